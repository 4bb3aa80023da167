"""unspool in the place of `generate`'s own loops: functions for `model.generate(..., custom_generate=...)`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from unspool.core.decoder import Decoder, Part, as_decoder
from unspool.errors import ParameterError, check, whole
from unspool.language_model import LanguageModel
from unspool.models.hf_tokenizer import as_tokenizer
from unspool.strategies.greedy import Greedy
from unspool.text import TokenIds
from unspool.transformers.asked import CallOfGenerate, read
from unspool.transformers.flags import flags_of, said_beside
from unspool.transformers.given import given_in
from unspool.transformers.opened import opened
from unspool.transformers.outputs import result
from unspool.transformers.watched import SeenRows, watch

LARGEST_SEED = 2**63 - 1


class Custom:
    """A decoder in the place of `generate`'s own loops; see `decode`."""

    def __init__(self, decoder: Decoder, tokenizer: Any = None, seed: int | None = None) -> None:
        self.decoder, self.tokenizer, self.seed = decoder, tokenizer, seed

    def __repr__(self) -> str:
        return f"unspool.transformers.decode({str(self.decoder)!r})"

    def __call__(
        self,
        model: Any,
        input_ids: Any,
        logits_processor: Any = None,
        stopping_criteria: Any = None,
        generation_config: Any = None,
        seed: int | None = None,
        **model_kwargs: Any,
    ) -> Any:
        """As `generate` calls it."""
        asked = read(model, input_ids, generation_config, model_kwargs)
        strategy = self.decoder.strategy or Greedy()
        said_beside(generation_config, model.generation_config, strategy)
        given = given_in(model, generation_config, logits_processor, stopping_criteria, asked)
        whole_decoder = Decoder((*self.decoder.processors, *given.processors, strategy, *self.decoder.stops, *given.stops))
        return _run(model, given.asked, whole_decoder, generation_config, self.seed if seed is None else seed, self.tokenizer)


def decode(decoder: Decoder | Part | str, *, tokenizer: Any = None, seed: int | None = None) -> Callable[..., Any]:
    """Any decoder inside `generate`: `model.generate(ids, custom_generate=un.transformers.decode("no_repeat_ngram(3) | beam(4)"))`.

    decoder: processors, strategy and stops, as `lm.generate` takes them; it says all that decides the text, so the model's own settings for
    sampling and beams do not count, and others given in the call are refused. tokenizer: of transformers, for decoders that name texts;
    the one given to `generate` is not handed on. seed: of all draws; if it is given neither here nor to `generate`, a number that torch
    draws, so that `torch.manual_seed` makes a call again.

    Lengths, end tokens, padding, `logits_processor=` and `stopping_criteria=` are those of the call; what comes back is what `generate`
    returns, with as many rows for each prompt as the decoder gives texts.
    """
    chosen = as_decoder(decoder)
    if seed is not None:
        whole("seed", seed)
    back = [str(part) for part in chosen.processors if part.takes_back]
    check(not back, f"{', '.join(back)} takes tokens of the prompt back, which generate returns: use un.load(model, tokenizer=...)")
    return Custom(chosen, tokenizer, seed)


def generate(
    model: Any,
    input_ids: Any,
    logits_processor: Any = None,
    stopping_criteria: Any = None,
    generation_config: Any = None,
    seed: int | None = None,
    **model_kwargs: Any,
) -> Any:
    """The settings of `generate` itself, run by unspool.

        model.generate(ids, penalty_alpha=0.6, top_k=4, custom_generate=un.transformers.generate)

    So run all its modes and those that transformers 5 no longer has: `penalty_alpha`, `num_beam_groups` with `diversity_penalty`,
    `force_words_ids` and `constraints`, `dola_layers`. It is not called, but given as `custom_generate=`. seed: see `decode`.
    """
    asked = read(model, input_ids, generation_config, model_kwargs)
    given = given_in(model, generation_config, logits_processor, stopping_criteria, asked)
    held = opened(model, given.asked.caches)
    flags = flags_of(generation_config, given.asked, held, given.negative)
    chosen = flags.decoder(given.processors)
    return _run(model, given.asked, Decoder((*chosen.parts, *given.stops)), generation_config, seed, None, flags.bare)


def _run(model: Any, asked: CallOfGenerate, decoder: Decoder, config: Any, seed: int | None, tokenizer: Any, bare: bool = False) -> Any:
    """Decode, and return what `generate` returns."""
    import torch

    scores, logits = SeenRows(), SeenRows()
    wants = bool(config.return_dict_in_generate)
    first = [watch(logits)] if wants and config.output_logits else []
    last = [watch(scores)] if wants and config.output_scores else []
    strategy = decoder.strategy or Greedy()
    watched = Decoder((*first, *decoder.processors, *last, strategy, *decoder.stops))
    held = opened(model, asked.caches, bare)
    lm = LanguageModel(held, None if tokenizer is None else as_tokenizer(tokenizer), type(model).__name__)
    if tokenizer is None:
        _need_no_words(watched, held.vocabulary)
    state = torch.get_rng_state()
    drawn = int(torch.randint(LARGEST_SEED, (1,)).item()) if seed is None else seed
    options: dict[str, Any] = {"max_new_tokens": asked.limit, "end_tokens": asked.end_tokens, "ids": _names(asked.prompts)}
    run = lm.stream(asked.prompts, watched, seed=drawn, level="off", **options)
    found = run.outputs
    if seed is None and not run.drew:
        torch.set_rng_state(state)                                       # as if nobody had asked
    return result(asked, found, config, strategy, scores, logits)


def _names(prompts: Sequence[Sequence[int]]) -> list[str]:
    """Names of prompts for randomness: their tokens, and of equal ones which of them they are, so that they draw apart."""
    met: Counter[tuple[int, ...]] = Counter()
    names = []
    for prompt in map(tuple, prompts):
        names.append(f"{' '.join(map(str, prompt))} #{met[prompt]}")
        met[prompt] += 1
    return names


def _need_no_words(decoder: Decoder, size: int) -> None:
    """Refuse a decoder that names texts, where nobody can make tokens of them."""
    for part in decoder.parts:
        try:
            part.resolve(NoWords(size))
            if _reads_text(part):
                raise NoTokenizer
        except NoTokenizer:
            raise ParameterError(
                f"{part} names texts: give decode(..., tokenizer=tokenizer), for generate does not hand on the one that it is given"
            ) from None


def _reads_text(part: Any) -> bool:
    """Whether it, or what is inside it, follows the text and not the tokens."""
    return bool(getattr(part, "reads_text", False)) or (hasattr(part, "then") and _reads_text(part.then))


class NoTokenizer(Exception):
    """Somebody asked for what a text is in tokens."""


class NoWords(TokenIds):
    """In place of a tokenizer where there is none, for decoders that need none."""

    def encode(self, text: str) -> list[int]:
        raise NoTokenizer

    def bytes_of(self, token: int) -> bytes:
        raise NoTokenizer
