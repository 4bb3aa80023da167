"""Makes the site's pages of the repository's: python docs/make_site.py

Pages are written so that a code host shows them. Here each is put where the site has it, and its links lead on from there. A file
that a page leads to and that is no page comes along: code as a page, anything else as it is. `scripts/site` runs this, then builds.
"""

import ast
import os
import re
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "build" / "pages"
BUNDLED = "src/unspool/models/bundled"
AT_THE_TOP = ("README.md", "README.ko.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
MOVED = {f"{BUNDLED}/README.md": "bundled-model.md", f"{BUNDLED}/PHENOMENA.md": "phenomena.md"}
AS_IT_IS = {".csv", ".ipynb", ".json", ".png", ".safetensors", ".svg"}
KOREAN = "ko/"
CODE = re.compile(r"(^ *```.*?^ *```|`[^`\n]*`)", re.M | re.S)
LINK = re.compile(r"(?<=\]\()([^)\s]+)|(?<=src=\")([^\"]+)|(?<=srcset=\")([^\"]+)|(?<=href=\")([^\"]+)")


def sources() -> list[Path]:
    """The pages of the repository that are pages of the site."""
    own = [ROOT / name for name in (*AT_THE_TOP, *MOVED)]
    return [*own, *sorted((ROOT / "docs").rglob("*.md"))]


def address(path: Path) -> str:
    """Where the site has a file of the repository; what is no page of its own, or a folder, lies below source/."""
    name = path.relative_to(ROOT).as_posix()
    if name in MOVED:
        return MOVED[name]
    if name in AT_THE_TOP:
        name = name.lower()
    elif name.startswith("docs/") and (path.suffix == ".md" or path.suffix in AS_IT_IS):
        name = name.removeprefix("docs/")
        name = re.sub(r"^chapter/(en|ko)/", lambda found: {"en": "chapter/", "ko": f"{KOREAN}chapter/"}[found[1]], name)
    else:
        name = f"source/{name}" + ("/index.md" if path.is_dir() else "" if path.suffix in AS_IT_IS else ".md")
    if name.endswith(".ko.md"):
        name = KOREAN + name.removesuffix(".ko.md") + ".md"
    return re.sub(r"(^|/)readme\.md$", r"\1index.md", name, flags=re.I)


class Site:
    """The pages, by their addresses, and the files that go with them."""

    def __init__(self) -> None:
        self.pages: dict[str, str] = {}
        self.files: dict[str, Path] = {}
        for path in sources():
            self.pages[address(path)] = self._moved(path)
        self.pages |= reference()
        self._add_languages()
        self.pages["methods/SUMMARY.md"] = _summary(self.pages["methods/index.md"])

    def _moved(self, path: Path) -> str:
        """A page's text with its links as they are from where the site has it."""
        here = os.path.dirname(address(path))

        def led(found: re.Match[str]) -> str:
            target, mark, part = found[0].partition("#")
            if not target or re.match(r"\w+:", target):
                return found[0]
            file = Path(os.path.normpath(path.parent / target))
            if not file.exists():
                raise SystemExit(f"{path.relative_to(ROOT)} leads to {target}, which is not there")
            self._bring(file)
            return os.path.relpath(address(file), here or ".").replace(os.sep, "/") + mark + part

        pieces = CODE.split(path.read_text(encoding="utf-8"))
        return "".join(piece if i % 2 else LINK.sub(led, piece) for i, piece in enumerate(pieces))

    def _bring(self, file: Path) -> None:
        """What is no page of the repository comes along."""
        place = address(file)
        if file.is_dir():
            inside = sorted(f for f in file.iterdir() if f.is_file())
            for one in inside:
                self._bring(one)
            links = [f"- [{one.name}]({os.path.relpath(address(one), os.path.dirname(place))})" for one in inside]
            self.pages[place] = _headed(f"`{file.relative_to(ROOT).as_posix()}`", "\n".join(links) + "\n")
        elif file.suffix in AS_IT_IS:
            self.files[place] = file
        elif file.suffix != ".md":
            language = {".py": "python", ".toml": "toml"}.get(file.suffix, "text")
            text = f"```{language}\n{file.read_text(encoding='utf-8').rstrip()}\n```\n"
            self.pages[place] = _headed(f"`{file.relative_to(ROOT).as_posix()}`", text)

    def _add_languages(self) -> None:
        """Every page says its language, and where the same is in the other one: if it is not there, where that one begins."""
        for place, text in self.pages.items():
            lang, other = ("ko", place.removeprefix(KOREAN)) if place.startswith(KOREAN) else ("en", KOREAN + place)
            twin = other if other in self.pages else f"{KOREAN if lang == 'en' else ''}index.md"
            head = {"lang": lang, "twin": twin.removesuffix(".md") + ".html"}
            rest = text.removeprefix("---\n") if text.startswith("---\n") else f"---\n{text}"
            self.pages[place] = "---\n" + "".join(f"{key}: {value}\n" for key, value in head.items()) + rest

    def write(self, folder: Path) -> None:
        """All of it, in place of what was there."""
        shutil.rmtree(folder, ignore_errors=True)
        for place, text in self.pages.items():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).write_text(text, encoding="utf-8")
        for place, file in self.files.items():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, folder / place)
        shutil.copytree(ROOT / "docs" / "site" / "assets", folder / "assets")


def _headed(title: str, text: str) -> str:
    """A page that is there to be read from another one, and not found by searching."""
    return f"---\nsearch:\n  exclude: true\n---\n\n# {title}\n\n{text}"


def _summary(methods: str) -> str:
    """The list of the methods' pages in the form that navigation is read of, from the page that lists them with their definitions."""
    lines = []
    for heading, name, page in re.findall(r"^## (.+)$|^- \[(.+?)\]\((.+?)\)", methods, re.M):
        lines.append(f"- {heading}" if heading else f"    - [{name}]({page})")
    return "- [All](index.md)\n" + "\n".join(lines) + "\n"


WITHOUT_MEMBERS = ("strategies", "processors", "stops")
"""Of parts the loop asks for the members; who writes a decoder needs what the class takes."""
REFERENCE = {
    "strategies": ("Strategies", ("unspool.strategies.",)),
    "processors": ("Processors", ("unspool.processors.",)),
    "stops": ("Stops", ("unspool.stops.",)),
    "lab": ("Comparing, checking, translating", ("unspool.lab.", "unspool.many.", "unspool.views.diff")),
    "parts": ("Parts of your own", ("unspool.core.", "unspool.arrays")),
    "errors": ("Errors", ("unspool.errors",)),
    "decoding": ("Models, texts and records", ("unspool.",)),
    "transformers": ("Inside transformers", ()),
}
"""Pages of the reference, and of which modules they take the names: the first that fits."""


def public_names() -> dict[str, list[str]]:
    """The public names by their page, from the one list of them."""
    found: dict[str, list[str]] = {page: [] for page in REFERENCE}
    for node in ast.parse((ROOT / "src/unspool/__init__.pyi").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module == "unspool":
            found["transformers"] += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            page = next(page for page, (_, homes) in REFERENCE.items() if f"{node.module}.".startswith(homes))
            found[page] += [alias.name for alias in node.names]
    return found


def reference() -> dict[str, str]:
    """The pages of the reference; what they say is put in from the docstrings where the site is built."""
    pages, lines = {}, []
    for page, names in public_names().items():
        title = REFERENCE[page][0]
        options = "    options:\n      members: false\n" if page in WITHOUT_MEMBERS else ""
        blocks = (f"::: unspool.{name}\n{options}" for name in sorted(names, key=str.lower))
        pages[f"reference/{page}.md"] = f"# {title}\n\n" + "\n".join(blocks)
        links = ", ".join(f"[`{name}`]({page}.md#unspool.{name})" for name in sorted(names, key=str.lower))
        lines.append(f"## [{title}]({page}.md)\n\n{links}\n")
    pages["reference/index.md"] = "# Reference\n\nEvery public name, `un.NAME` after `import unspool as un`.\n\n" + "\n".join(lines)
    return pages


if __name__ == "__main__":
    Site().write(PAGES)
    print(f"{sum(1 for _ in PAGES.rglob('*.md'))} pages are in {PAGES.relative_to(ROOT)}")
