"""Views: readers of the record. They know no model and no strategy."""
