"""Golden vectors: what an engine's settings make of given logits, in a file that other projects can test against."""
