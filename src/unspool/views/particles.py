"""Particles of sequential Monte Carlo: their lineages over the steps, each as wide as its weight."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from unspool.errors import ParameterError, check
from unspool.record.trace import Trace
from unspool.strategies.sequential_monte_carlo import WHOLE
from unspool.text import unfinished, visible
from unspool.views.characters import shown
from unspool.views.sheet import to_json

STRATEGY, TRUNCATED = "sequential_monte_carlo(", "truncated=True"


@dataclass
class Particle:
    """One particle after one step: the token that it drew, after those of its parent."""

    node: int
    text: str
    log_weight: float
    share: float = 0.0
    """Of all weight after the step: that of particles that go on and that have ended sums to 1."""
    parent: Particle | None = None
    reason: str = ""
    """Why it ended, "" if it goes on; "weight 0" if it died."""
    children: list[Particle] = field(default_factory=list)
    carried: bool = False
    """Whether it ended at an earlier step, and only its weight goes on."""
    cut: bool = False
    """Whether it ended before it was whole, so that its weight counts for nothing."""
    top: float = 0.0
    """Where it lies: the weight of all particles above it."""
    founder: int = 0
    """Which first token its lineage began with, from 0."""

    path: int = 0
    """Equal for particles that have the same text so far."""

    @property
    def label(self) -> str:
        return shown(self.text) or "∅"


@dataclass
class Round:
    """All particles after one step."""

    particles: list[Particle]
    effective: float
    """The effective sample size of those that go on, sum(w) ** 2 / sum(w ** 2), before any are drawn anew."""
    log_weight: float
    """The logarithm of all weight so far: the estimate of log p(valid) if it were whole here."""
    died: int = 0
    """How many got weight 0 here."""
    drawn_anew: bool = False
    """Whether the particles of this step were drawn, by weight, from those before."""

    @property
    def going(self) -> list[Particle]:
        return [p for p in self.particles if not p.reason]

    @property
    def size(self) -> str:
        """The effective sample size as shown."""
        cut = sum(p.cut for p in self.particles)
        if self.going or not self.particles:
            return f"ESS {self.effective:.1f}" if self.going else "none left"
        return "all ended" if not cut else f"{'all' if cut == len(self.particles) else cut} cut"


@dataclass
class Particles:
    """The particles of one run, step by step, in an order in which no two lineages cross."""

    prompt: str
    decoder: str
    rounds: list[Round]

    @classmethod
    def from_trace(cls, trace: Trace) -> Particles:
        """Of a trace of sequential_monte_carlo at any level; particles that got weight 0 are recorded from the level "choices" on."""
        decoder = str(trace.recipe.get("decoder", ""))
        check(STRATEGY in decoder, f"particles are of sequential_monte_carlo; this record is of {decoder or 'an unknown decoder'}")
        start = trace.bytes_of(trace.prompts[0])
        root = Particle(0, "", 0.0)
        alive, ended, bytes_at = {0: root}, list[Particle](), {0: start}
        rounds = list[Round]()
        for step in trace.steps:
            if not len(step) and step.dropped is None:
                continue
            going, over = dict[int, Particle](), list[Particle]()
            columns = (step.parents, step.nodes, step.tokens, step.score, step.reason)
            for parent, node, token, score, reason in zip(*map(_plain, columns), strict=True):
                if parent not in alive or not score < math.inf:
                    raise ParameterError("the particles of this record do not go on step by step, with weights; it is damaged")
                data = trace.tokens.get(token, b"")
                text = visible(data, unfinished(bytes_at[parent])) if data else trace.names.get(token, "")
                cut = bool(reason) and reason not in WHOLE and TRUNCATED not in decoder
                particle = Particle(node, text, score, parent=alive[parent], reason=str(reason), cut=cut)
                alive[parent].children.append(particle)
                bytes_at[node] = (bytes_at[parent] + data)[-4:]
                if reason:
                    over.append(particle)
                else:
                    going[node] = particle
            for old in ended:
                kept = Particle(old.node, old.text, old.log_weight, parent=old, reason=old.reason, carried=True, cut=old.cut)
                old.children.append(kept)
                over.append(kept)
            dead = step.dropped or {"parents": [], "tokens": []}
            everyone = [*going.values(), *over]
            total = _logsum([p.log_weight for p in everyone])
            for p in everyone:
                p.share = math.exp(p.log_weight - total) if total > -math.inf else 0.0
            drawn = {p.parent.node for p in everyone if p.parent and not p.carried} | set(map(int, dead["parents"]))
            many = len(step) + len(dead["parents"]) > len(drawn) and len(rounds) > 0
            shares = [p.share for p in going.values()]
            effective = sum(shares) ** 2 / sum(s * s for s in shares) if any(shares) else 0.0
            rounds.append(Round(everyone, effective, total, len(dead["parents"]), many))
            alive, ended = going, over
        made = cls(visible(start), decoder, rounds)
        made._lay_out(root)
        return made

    @property
    def estimate(self) -> float:
        """What the texts estimate log p(valid) to be: the logarithm of the weight of those that were not cut."""
        return _logsum([p.log_weight for p in self.rounds[-1].particles if not p.cut]) if self.rounds else 0.0

    def _lay_out(self, root: Particle) -> None:
        """Put the particles of every step in the order of their parents, so that no two lineages cross, heavier children first."""
        before, paths = [root], dict[tuple[int, str], int]()
        for number, now in enumerate(self.rounds):
            ordered = [child for parent in before for child in sorted(parent.children, key=lambda p: (p.text, -p.share))]
            top, names = 0.0, list[str]()
            for p in ordered:
                p.top, top = top, top + p.share
                names += [] if p.text in names else [p.text]
                came = p.parent or root
                p.path = came.path if p.carried else paths.setdefault((came.path, p.text), len(paths) + 1)
                p.founder = names.index(p.text) if number == 0 else came.founder
            now.particles = before = ordered

    def to_dict(self) -> dict[str, Any]:
        """Plain values: for each step its particles, each with the place of its parent among those of the step before."""
        steps, before = list[dict[str, Any]](), dict[int, int]()
        for now in self.rounds:
            found = [
                {"text": p.text, "share": p.share, "parent": before.get(id(p.parent)), "reason": p.reason}
                | {"carried": p.carried, "cut": p.cut}
                for p in now.particles
            ]
            values = {name: value for name, value in vars(now).items() if name != "particles"}
            steps.append(values | {"particles": found})
            before = {id(p): i for i, p in enumerate(now.particles)}
        estimate = self.estimate if math.isfinite(self.estimate) else None
        return {"prompt": self.prompt, "decoder": self.decoder, "estimate": estimate, "steps": steps}

    def to_json(self) -> str:
        return to_json(self.to_dict())


def _plain(column: Any) -> list[Any]:
    return list(column.tolist() if hasattr(column, "tolist") else column)


def _logsum(values: list[float]) -> float:
    known = [v for v in values if v > -math.inf]
    most = max(known, default=-math.inf)
    return most + math.log(math.fsum(math.exp(v - most) for v in known)) if known else -math.inf
