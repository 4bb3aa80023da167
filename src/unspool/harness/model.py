"""The model `unspool` of lm-evaluation-harness."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from itertools import count
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import normalize_gen_kwargs, postprocess_generated_text
from lm_eval.utils import get_rolling_token_windows, handle_arg_string, make_disjoint_window
from tqdm import tqdm

from unspool.core.decoder import as_decoder
from unspool.errors import PromptError, UnspoolError, check, is_whole, unknown
from unspool.harness.answers import AnswersUnit
from unspool.harness.continuations import Continued, continuations_units
from unspool.harness.generation import HarnessGeneration, generation_of
from unspool.harness.opening import opened, pieces_of, placed
from unspool.harness.words import HarnessWords
from unspool.harness.workers import HarnessWorkers
from unspool.models.chat import pick

LOGGER = logging.getLogger("unspool")
ANSWERS_AT_ONCE = 128
"""Texts that are kept before the next are begun: what is lost if a run is broken off."""
DEFAULT_GENERATED = 256
"""New tokens of a text if a task says nothing, as lm_eval has it."""


class UnspoolLM(TemplateLM):
    """A model of unspool for lm_eval's tasks, `--model unspool`.

    pretrained: what `unspool.load` takes, or a LanguageModel. tokenizer, device, dtype, backend: as for `unspool.load`. decoder: how texts
    are generated, in its text form, in place of what tasks say; a task's own, or that of `--gen_kwargs decoder=...`, stands in its place.
    batch_size: how many prompts or contexts go through the model together, "auto" for as many as are fast; no result depends on it.
    max_batch_size: the most of them. max_length: the context, if it is to be shorter than the model's. max_gen_toks: new tokens of a
    text where a task does not say. seed: of all draws; each repeat of a document has its own. add_bos_token, prefix_token_id: whether a
    start token stands before texts, and which token before those without a context. think_end_token: what ends a model's thinking,
    which is no part of the answer. enable_thinking, chat_template_args: what else the chat template reads. engine: "inline", "processes"
    or "ray", with workers and ray_address, as for `unspool.run`; no result depends on it.
    """

    def __init__(
        self,
        pretrained: Any = "bundled",
        tokenizer: Any = None,
        decoder: Any = None,
        device: str | None = None,
        dtype: str | None = None,
        backend: str | None = None,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
        max_length: int | None = None,
        max_gen_toks: int = DEFAULT_GENERATED,
        seed: int = 0,
        add_bos_token: bool | None = None,
        prefix_token_id: int | None = None,
        think_end_token: str | None = None,
        enable_thinking: bool | None = None,
        chat_template_args: dict[str, Any] | None = None,
        engine: str = "inline",
        workers: int | None = None,
        ray_address: str | None = None,
        **others: Any,
    ) -> None:
        super().__init__()
        for name in others:
            raise unknown("model_args of unspool", name, set(UnspoolLM.__init__.__annotations__) - {"others", "return"})
        self.lm = opened(pretrained, tokenizer, device, dtype, backend)
        self.workers = HarnessWorkers(self.lm, engine, workers, ray_address)
        for note in self.lm.notes:
            LOGGER.warning(note)
        self.decoder = None if decoder is None else as_decoder(decoder)
        if self.decoder is not None:
            self.lm.resolve(self.decoder)                                # what is wrong with it is said before any task is read
        self.together = placed(batch_size, max_batch_size)
        context = self.lm.model.context
        right = max_length is None or (is_whole(max_length, 1) and max_length <= context)
        check(right, f"max_length is a whole number of 1 to the model's context, {context}; got {max_length!r}")
        self.max_length, self.max_gen_toks, self.seed = max_length or context, max_gen_toks, seed
        self.words = HarnessWords(self.lm, tokenizer, add_bos_token, prefix_token_id)
        self.think_end = think_end_token
        self.template = dict(chat_template_args or {}) | ({} if enable_thinking is None else {"enable_thinking": enable_thinking})

    @classmethod
    def create_from_arg_string(cls, arg_string: str, additional_config: dict[str, Any] | None = None) -> UnspoolLM:
        given = dict[str, Any]()
        for piece in pieces_of(arg_string or ""):
            name, equals, value = piece.partition("=")
            check(bool(equals), f"model_args are name=value,name=value; got {piece!r:.60}")
            given[name.strip()] = handle_arg_string(value)
        return cls(**given, **{name: value for name, value in (additional_config or {}).items() if value is not None})

    # --- words --------------------------------------------------------------------------------------------------------

    @property
    def eot_token_id(self) -> int | None:
        return self.words.end

    @property
    def prefix_token_id(self) -> int:
        return self.words.before()

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        return self.words.encode(string, add_special_tokens)

    def tok_decode(self, tokens: Sequence[int], skip_special_tokens: bool = True) -> str:
        """The text of tokens."""
        return self.words.decode(list(tokens))

    @property
    def tokenizer_name(self) -> str:
        """By which lm_eval keeps prompts that a chat template made."""
        return f"{self.lm.name.replace('/', '__')}-{self.lm.tokenizer.hash[:12]}"

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """The text of the model's chat template, which lm_eval writes down; of several, the one of a name."""
        if chat_template in (False, None):
            return None
        text = getattr(self.lm.chat, "text", None)
        if isinstance(chat_template, str) and isinstance(text, dict):
            raise UnspoolError(f"of several chat templates the one named 'default' is used; leave out {chat_template!r:.40}")
        return pick(text)

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The prompt that the model's chat template makes of messages; the last turn is left open if no other is to begin."""
        variables = self.template | ({"add_generation_prompt": True} if add_generation_prompt else {})
        try:
            return self.lm.render(chat_history, variables)
        except PromptError:
            without = [message for message in chat_history if message["role"] != "system"]
            if len(without) == len(chat_history):
                raise
            LOGGER.warning("the chat template takes no system message: it is left out")
            return self.lm.render(without, variables)

    # --- scoring ------------------------------------------------------------------------------------------------------

    def _loglikelihood_tokens(
        self, requests: list[tuple[Any, list[int], list[int]]], disable_tqdm: bool = False, **kwargs: Any
    ) -> list[tuple[float, bool]]:
        pairs = [self._fitted(context, continuation) for _, context, continuation in requests]
        answers: list[tuple[float, bool]] = [(0.0, False)] * len(requests)
        with tqdm(total=len(requests), desc="loglikelihood", disable=disable_tqdm) as bar:
            for _, scores in self.workers.run(continuations_units(pairs, self.together)):
                for i, found in scores:
                    answers[i] = found.logprob, found.greedy
                    if requests[i][0] is not None:
                        self.cache_hook.add_partial("loglikelihood", requests[i][0], answers[i])
                bar.update(len(scores))
        return answers

    def _fitted(self, context: list[int], continuation: list[int]) -> Continued:
        """A context without what of its beginning is too much: the last token of a continuation needs no room."""
        room, length = self.max_length, len(continuation)
        check(length > 0, "a continuation has no tokens of its own: the tokenizer joins it to its context")
        check(length <= room, f"a continuation of {length} tokens is longer than the model's context of {room}")
        kept = context[max(0, len(context) + length - (room + 1)) :]
        return tuple(kept), tuple(continuation)

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        windows: list[tuple[None, list[int], list[int]]] = []
        ends = []
        for request in requests:
            tokens = self.tok_encode(request.args[0])
            rolling = get_rolling_token_windows(tokens, self.prefix_token_id, max_seq_len=self.max_length, context_len=1)
            windows += [(None, *make_disjoint_window(window)) for window in rolling]
            ends.append(len(windows))
        found = [logprob for logprob, _ in self._loglikelihood_tokens(windows, disable_tqdm=disable_tqdm)]
        sums = [sum(found[begin:end]) for begin, end in zip([0, *ends], ends, strict=False)]
        for request, total in zip(requests, sums, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, total)
        return sums

    # --- generating ---------------------------------------------------------------------------------------------------

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        texts = [""] * len(requests)
        groups: dict[str, list[int]] = {}
        for i, request in enumerate(requests):
            groups.setdefault(repr(sorted(request.args[1].items())), []).append(i)
        wanted = [self._wanted(requests[group[0]].args[1]) for group in groups.values()]
        units = self._units(requests, list(zip(groups.values(), wanted, strict=True)))
        until = {i: one for group, one in zip(groups.values(), wanted, strict=True) for i in group}
        with tqdm(total=len(requests), desc="generate_until", disable=disable_tqdm) as bar:
            for unit, answers in self.workers.run(units):
                for i, answer in zip(unit.requests, answers, strict=True):
                    if answer.failure:
                        LOGGER.warning("%s: the answer is empty", answer.failure)
                    text = self.words.alone(answer.text, answer.prompt)
                    texts[i] = postprocess_generated_text(text, list(until[i].until), self.think_end)
                    self.cache_hook.add_partial("generate_until", requests[i].args, texts[i])
                bar.update(len(answers))
        return texts

    def _wanted(self, kwargs: dict[str, Any]) -> HarnessGeneration:
        """What generation_kwargs ask for; what is to be known of them is said."""
        normal = dict(normalize_gen_kwargs(kwargs, self.max_gen_toks))
        wanted = generation_of(normal, self.decoder, self.seed, self.lm.tokenizer, self.think_end)
        room = self.max_length - wanted.tokens
        check(room > 0, f"max_gen_toks={wanted.tokens} leaves no room for a prompt: the context is {self.max_length}")
        for note in wanted.notes:
            LOGGER.warning("generation_kwargs: %s", note)
        return wanted

    def _units(self, requests: list[Instance], groups: Sequence[tuple[list[int], HarnessGeneration]]) -> Iterator[AnswersUnit]:
        """The work of requests, those together that ask for the same. A prompt is cut from the left where there is not room for both."""
        names, number = list(_names(requests)), count()
        for group, wanted in groups:
            room, ends = self.max_length - wanted.tokens, wanted.end_tokens
            if ends is None and self.eot_token_id is not None:
                ends = (*self.lm.model.end_tokens, self.eot_token_id)
            decoder = self.workers.sent(wanted.decoder)
            for start in range(0, len(group), ANSWERS_AT_ONCE):
                some = tuple(group[start : start + ANSWERS_AT_ONCE])
                prompts = tuple(tuple(self.tok_encode(requests[i].args[0])[-room:] or [self.prefix_token_id]) for i in some)
                own = tuple(names[i] for i in some)
                yield AnswersUnit(next(number), some, prompts, own, decoder, wanted.tokens, wanted.seed, ends, self.together)

    # --- records ------------------------------------------------------------------------------------------------------

    def get_model_info(self) -> dict[str, Any]:
        """What stands in lm_eval's results, for the run to be made again."""
        chosen = {} if self.decoder is None else {"decoder": str(self.decoder)}
        return {"unspool_version": version("unspool"), "model_name": self.lm.name, "unspool_seed": self.seed, **self.lm.info, **chosen}


def _names(requests: Sequence[Instance]) -> Iterator[str]:
    """What a request's draws depend on: its task, document and number there, and which repeat of it this is; not what stands beside it."""
    seen: dict[str, int] = {}
    for request in requests:
        of = f"{request.task_name} {request.doc_id} {request.idx}"
        if request.doc_id is None:
            of = f"{request.args[0]!r}"
        seen[of] = seen.get(of, -1) + 1
        yield f"{of} {seen[of]}"
