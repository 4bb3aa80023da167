"""Models in the file format GGUF."""
