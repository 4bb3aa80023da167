"""The core: what a model, a strategy and a processor are, and the one loop that joins them."""
