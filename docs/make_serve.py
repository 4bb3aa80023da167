"""Writes the fields of docs/serve.md from the server's own table: python docs/make_serve.py"""

import json
import re
from pathlib import Path

from unspool.lab.engines import ENGINES
from unspool.lab.engines.engine import Engine
from unspool.serve.fields import COMPLETIONS, DECODER_SETTINGS, IDLE, NOT_SERVED, READ, SAYS_NOTHING, Known, Refusal
from unspool.serve.ranges import TAKES

PAGE = Path(__file__).parent / "serve.md"
BEGIN, END = "<!-- begin: written by make_serve.py -->\n", "<!-- end -->"


def cell(text: str) -> str:
    """A text in a table."""
    return text.replace("|", "\\|")


def read(field: Known) -> str:
    """A field that the server reads, as a line of the table."""
    where = "both" if len(field.at) == 2 else "completions" if COMPLETIONS in field.at else "chat"
    return f"| `{field.name}` | {where} | {cell(field.takes.wanted)} | {cell(field.what)} |"


def parts(engine: Engine, name: str) -> list[str]:
    """The parts of a decoder that a setting makes, and what else it does."""
    found = [place.method for place in engine.everything if any(s.name == name for s in place.settings)]
    found += ["no end tokens" for call in engine.calls if call.setting.name == name and call.argument == "end_tokens"]
    return list(dict.fromkeys(found + ["the order of the samplers"] * (name == engine.orders)))


def setting(name: str) -> str:
    """A setting, whose it is and what it becomes."""
    whose = [engine for engine in DECODER_SETTINGS if name in DECODER_SETTINGS[engine]]
    titles = ["OpenAI"] * (name in ENGINES["openai"].names) + [ENGINES[engine].title for engine in whose]
    found = {part: None for engine in whose for part in parts(ENGINES[engine], name)}
    linked = [f"[{part}](methods/{part}.md)" if (PAGE.parent / "methods" / f"{part}.md").exists() else part for part in found]
    return f"| `{name}` | {', '.join(titles)} | {cell(TAKES[name].wanted)} | {', '.join(linked)} |"


def refused(name: str, refusal: Refusal) -> str:
    """A field that is not served."""
    off = ", ".join(f"`{json.dumps(value)}`" for value in refusal.off if value not in SAYS_NOTHING or value is False)
    return f"| `{name}` | {cell(refusal.why)} | {off} |"


def tables() -> str:
    """All fields."""
    names = sorted(DECODER_SETTINGS["vllm"] | DECODER_SETTINGS["llama.cpp"])
    idle = [f"`{name}`" for name in sorted(IDLE)]
    rows = [
        "### Read by the server\n",
        "| field | endpoint | takes | what becomes of it |\n| --- | --- | --- | --- |",
        *map(read, READ),
        "\n### Settings of the decoder\n",
        "| field | whose | takes | what it becomes |\n| --- | --- | --- | --- |",
        *map(setting, (name for name in names if name != "n")),
        "\n### Accepted, and without a word in the text\n",
        f"{', '.join(idle)}: they are checked, and change nothing. `skip_special_tokens` may only be true.",
        "\n### Known, and not served\n",
        "What is null or empty says nothing and is let pass, and so are the values of the last column.\n",
        "| field | what to do | says nothing |\n| --- | --- | --- |",
        *(refused(name, refusal) for name, refusal in sorted(NOT_SERVED.items())),
    ]
    return "\n" + "\n".join(rows) + "\n\n"


def written(page: str) -> str:
    """The page with the fields of today."""
    return re.sub(f"({re.escape(BEGIN)}).*({re.escape(END)})", lambda found: found[1] + tables() + found[2], page, flags=re.S)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
