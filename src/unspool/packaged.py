"""The data files that come with the package."""

from importlib.resources import files


def packaged(name: str) -> str:
    """The text of a file of the folder data."""
    return files("unspool").joinpath(f"data/{name}").read_text(encoding="utf-8")
