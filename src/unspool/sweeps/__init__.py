"""Sweeps: one decoder at many settings, and which of them to take."""
