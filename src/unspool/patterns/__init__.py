"""Regular expressions of Python: as a tree, and followed through a text that grows."""
