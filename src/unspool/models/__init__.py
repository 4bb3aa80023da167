"""Models: plain array code, their key-value slots, and how they are read from files."""
