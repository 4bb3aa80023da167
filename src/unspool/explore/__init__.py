"""Exploring one prompt by hand: `explorer` holds what was chosen, without a terminal; `app` is the terminal."""
