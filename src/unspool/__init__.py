"""unspool decodes text from autoregressive language models, by every strategy, in full view."""

from unspool.version import __version__ as __version__


def __getattr__(name):  # type: ignore[no-untyped-def]
    """A public name, imported when it is first used, so that `unspool --help` need not wait for numpy."""
    from importlib import import_module

    homes = _homes()
    if name == "__all__":
        return sorted(homes)
    if name not in homes:
        raise AttributeError(f"module 'unspool' has no attribute {name!r}")
    own = homes[name] == __name__                                        # a package of the public API
    value = globals()[name] = import_module(f"{__name__}.{name}") if own else getattr(import_module(homes[name]), name)
    return value


def __dir__():  # type: ignore[no-untyped-def]
    return sorted({*globals(), *_homes()})


def _homes():  # type: ignore[no-untyped-def]
    """The module of every public name, as `__init__.pyi` lists them."""
    import re
    from importlib.resources import files

    listed = files("unspool").joinpath("__init__.pyi").read_text(encoding="utf-8")
    imports = re.findall(r"^from (\S+) import (\([^)]*\)|.*)", listed, re.MULTILINE)
    return {name: module for module, names in imports for name in re.findall(r"\w+ as (\w+)", names)}
