"""C kernels of the compiled engine, and how they are built: `python -m unspool.kernels.build`."""
