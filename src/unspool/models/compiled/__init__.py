"""Transformers computed by the package's own kernels, where they are built; see `unspool/kernels`."""
