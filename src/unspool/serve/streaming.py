"""Streaming: of every text the tokens that are certain, as soon as they are; of beams those that all of them share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unspool.record.step import Hypothesis, Step
from unspool.serve.answers import Likely, Text, Told, likely_at
from unspool.strategies.sample import Sample
from unspool.stream import Stream
from unspool.text import Detokenizer


@dataclass
class Streamed:
    """What of one text was told."""

    writer: Detokenizer
    node: int = 0
    """The last that was told."""
    text: str = ""


class Certain:
    """Reads a run as it goes, and tells what has become certain of its texts: `texts` of every prompt."""

    def __init__(self, stream: Stream, prompts: int, texts: int, likely: bool) -> None:
        self.stream, self.texts, self.likely = stream, texts, likely
        self.apart = texts > 1 and isinstance(stream.strategy, Sample)
        """Whether each text is one row from the beginning, with a number of its own."""
        self.shown = [[Streamed(stream.writer(prompt)) for _ in range(texts)] for prompt in range(prompts)]
        self.known: list[dict[int, Likely]] = [{} for _ in range(prompts)]

    def after(self, step: Step) -> list[Text]:
        """The pieces that a step makes certain."""
        found = []
        for prompt in step.prompts():
            if self.likely:
                self.known[prompt] |= likely_at([step.only(prompt)])
            leaves = self.stream.leaves(prompt)
            for i, shown in enumerate(self.shown[prompt]):
                own = [node for node, columns in leaves if not self.apart or int(columns.get("text", -1)) == i]
                if own and (told := self._told(prompt, shown, self._shared(prompt, shown.node, own))):
                    before = len(shown.text)
                    piece = "".join(shown.writer.add(t.token) for t in told)
                    shown.text += piece
                    if piece or self.likely:
                        found.append(Text(prompt * self.texts + i, piece, told, before=before))
        return found

    def _shared(self, prompt: int, after: int, leaves: list[int]) -> list[int]:
        """The nodes behind one that lie on the paths to all of these."""
        paths = [self.stream.path(prompt, leaf, after)[1:] for leaf in leaves]
        count = next((k for k, some in enumerate(zip(*paths, strict=False)) if len(set(some)) > 1), min(map(len, paths)))
        return paths[0][:count]

    def _told(self, prompt: int, shown: Streamed, nodes: list[int]) -> list[Told]:
        """The tokens of some nodes that follow what was told."""
        found = []
        for node in nodes:
            before, token, logprob = self.stream.born(prompt, node)
            found.append(Told(token, logprob, self.known[prompt].get(before, [])))
            shown.node = node
        return found

    def rest(self, prompt: int, i: int, text: Text, h: Hypothesis) -> Text:
        """What of a prompt's i-th text was not told yet; h: the same as the record has it."""
        i = int(h.columns.get("text", i)) if self.apart else i
        shown = self.shown[prompt][i]
        if not text.text.startswith(shown.text) or shown.node not in h.nodes:
            raise RuntimeError("a text departs from what was streamed of it")
        left = text.tokens[h.nodes.index(shown.node) :]
        return Text(prompt * self.texts + i, text.text[len(shown.text) :], left, text.reason, len(shown.text))


def event(data: Any) -> str:
    """A server-sent event."""
    return f"data: {data}\n\n"
