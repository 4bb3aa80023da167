"""Strategies: one file each. A new one is a file here and a name in `unspool/__init__.pyi`, or any of your own."""

from importlib import import_module
from pkgutil import iter_modules

for module in iter_modules(__path__):                                    # a part is known by its name once it is defined
    import_module(f"{__name__}.{module.name}")
