"""notebooks/make.py as a module."""

import importlib.util
import sys

from helpers.program import ROOT

spec = importlib.util.spec_from_file_location("make", ROOT / "notebooks" / "make.py")
make = sys.modules["make"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make)
