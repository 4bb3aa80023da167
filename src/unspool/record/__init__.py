"""The record of a run: its steps, its texts, and the trace that is saved. It knows no model and no strategy."""
