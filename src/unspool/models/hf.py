"""Any causal language model of the transformers library, from a folder or held by the caller, as a model of ours."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from unspool.arrays import Array
from unspool.core.model import NO_PLAN, Plan
from unspool.errors import MissingExtra, ModelError, ParameterError, Unsupported
from unspool.models.hf_cache import Batch, gather
from unspool.models.hf_layers import found_layers
from unspool.models.hf_running import Computed, EarlyLayers
from unspool.models.hf_session import TransformersSession

UNLIMITED = 1 << 20
"""The context of a model whose configuration names none."""
CONTEXTS = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "n_ctx", "seq_length")
CACHES = ("past_key_values", "cache")
"""What a model may call the cache that it is given: the second since transformers 5.24."""
ATTENTIONS = {"full_attention", "sliding_attention"}
"""Kinds of layers whose keys and values are all that a later token needs."""
EXTRA = "pip install 'unspool[transformers]'"

Head = Callable[[Array], Array]


def library() -> Any:
    """The transformers library."""
    try:
        import torch  # noqa: F401
        import transformers
    except ImportError:
        raise MissingExtra(f"models of transformers need torch and transformers: {EXTRA}") from None
    return transformers


class TransformersModel:
    """A causal language model of transformers, used where it is, in its own number format, and left as it is.

    It is asked a few tokens when it is opened: whether it is causal, whether its logits follow from its hidden states, and
    whether its cache can be forked and rewound. A model whose cache cannot (recurrent ones as Mamba or RWKV) is right but slow:
    every row is computed from its tokens each time.
    """

    def __init__(self, inner: Any) -> None:
        library()
        self.inner, config = inner, inner.config
        self.config = config.get_text_config(decoder=True)
        self.architecture = str(getattr(self.config, "model_type", type(inner).__name__))
        refuse(config, type(inner).__name__)
        embeddings = inner.get_input_embeddings()
        if embeddings is None or not hasattr(embeddings, "weight"):
            raise Unsupported(f"{type(inner).__name__} has no token embeddings, so it reads no tokens")
        self.device, self.dtype = embeddings.weight.device, embeddings.weight.dtype
        if self.device.type == "meta":
            raise ModelError(f"{type(inner).__name__} lies on the device 'meta', which holds no numbers; load its weights first")
        self.context = min((n for name in CONTEXTS if isinstance(n := getattr(self.config, name, None), int) and n > 0), default=UNLIMITED)
        self._whole, self._body = accepted(inner), accepted(getattr(inner, "base_model", inner))
        self.told_positions = "position_ids" in self._whole & self._body
        self.gives_hidden, self.caches = False, False
        self.head: Head | None = None
        self.bare = False
        """Whether the states after earlier layers are read as they are, and counted from the embedding, which is layer 1 then: so
        transformers read them while it had DoLa."""
        self.vocabulary = self._check_causal(int(embeddings.weight.shape[0]))
        settings = getattr(inner, "generation_config", None)
        self.end_tokens = self._ids(getattr(settings, "eos_token_id", None)) or self._ids(getattr(self.config, "eos_token_id", None))
        starts = self._ids(getattr(settings, "bos_token_id", None)) or self._ids(getattr(self.config, "bos_token_id", None))
        self.start = next(iter(starts), None)

    def __repr__(self) -> str:
        way = "cached" if self.caches else "computed from the tokens at every step"
        return f"TransformersModel({type(self.inner).__name__}, {self.vocabulary} tokens, {self.dtype} on {self.device}, {way})"

    @property
    def notes(self) -> tuple[str, ...]:
        """What its user should know: whether it is slow."""
        who = f"{type(self.inner).__name__} ({self.architecture})"
        return () if self.caches else (f"{who} runs without a cache: every row is computed from all its tokens, which is right but slow",)

    def broken_weights(self) -> list[str]:
        """The names of weights that hold NaN or infinity, in alphabetical order."""
        return sorted(name for name, weight in self.inner.named_parameters() if not bool(weight.isfinite().all()))

    @property
    def parameters(self) -> int:
        return int(self.inner.num_parameters())

    def session(self, plan: Plan = NO_PLAN) -> TransformersSession:
        return TransformersSession(self, plan)

    @contextmanager
    def still(self) -> Iterator[None]:
        """No dropout and no gradients; afterwards every part is in training or not, as it was."""
        import torch

        training = [module for module in self.inner.modules() if module.training]
        for module in training:
            module.training = False
        try:
            with torch.no_grad():
                yield
        finally:
            for module in training:
                module.training = True

    def run(self, tokens: Any, mask: Any, positions: Any, cache: Any, early: bool = False) -> Computed:
        """What comes of tokens (R, N); early: with the states after every layer."""
        given = {"input_ids": tokens, "attention_mask": mask, "position_ids": positions}
        accepts = self._whole if self.head is None else self._body
        asked: dict[str, Any] = {k: v.to(self.device) for k, v in given.items() if k in accepts}
        if "use_cache" in accepts:
            asked["use_cache"] = cache is not None
        if cache is not None:
            asked[next(name for name in CACHES if name in accepts)] = cache
        with self.still():
            if self.head is not None:
                whole = self.inner.base_model(**asked, return_dict=True, **({"output_hidden_states": True} if early else {}))
                return Computed(whole.last_hidden_state, None, tuple(whole.hidden_states or ()) if early else ())
            out = self.inner(**asked, output_hidden_states=self.gives_hidden, return_dict=True)
            return Computed(out.hidden_states[-1] if self.gives_hidden else None, out.logits)

    @cached_property
    def early(self) -> EarlyLayers | None:
        """What its states after earlier layers need to become logits; None if it does not show them."""
        return None if self.head is None else found_layers(self)

    # --- what is found out about the model when it is opened ----------------------------------------------------------

    def _check_causal(self, embedded: int) -> int:
        """The size of the vocabulary; on the way it is found out what the model can."""
        import torch

        one, two = 1 % embedded, 2 % embedded
        tokens = torch.tensor([[one, two, 0], [one, two, one]])
        try:
            logits = self.run(tokens, torch.ones_like(tokens), torch.arange(3).expand(2, 3), None).logits
        except (TypeError, ValueError, RuntimeError, AttributeError, NotImplementedError) as error:
            raise Unsupported(f"{type(self.inner).__name__} gives no logits for tokens alone: {first_line(error)}") from None
        assert logits is not None
        if not self._same(logits[0, :2], logits[1, :2], 1e-5):
            raise Unsupported(
                f"{type(self.inner).__name__} ({self.architecture}) is no causal language model: what it predicts changes with later "
                "tokens, as in encoders; give a model with causal attention"
            )
        self.head = self._find_head(tokens, logits)
        if self.head is None:
            self.gives_hidden = self._shows_states(tokens, logits)
        self.caches = self._can_cache(tokens, logits)
        return int(logits.shape[-1])

    def _same(self, one: Array, other: Array, near: float = 1e-3) -> bool:
        """Equal but for rounding; numbers that are none are somebody else's to refuse."""
        import torch

        one, other = one.float(), other.float()
        if one.shape != other.shape:
            return False
        near = near if self.dtype in (torch.float32, torch.float64) else 5e-2
        scale = max(1e-6, float(one.abs().nan_to_num().max()))
        return bool(((one - other).abs().nan_to_num() <= near * scale).all())

    def _find_head(self, tokens: Any, logits: Array) -> Head | None:
        """What makes logits of hidden states: the output embeddings, and a scale or a soft cap after them."""
        import torch

        output, scale = self.inner.get_output_embeddings(), getattr(self.config, "logit_scale", None)
        shrink, cap = (getattr(self.config, name, None) for name in ("logits_scaling", "final_logit_softcapping"))
        if output is None:
            return None
        ways: list[Head] = [output]
        ways += [lambda h: output(h) * scale] if isinstance(scale, float) else []
        ways += [lambda h: output(h) / shrink] if isinstance(shrink, float | int) and shrink else []
        ways += [lambda h: torch.tanh(output(h) / cap) * cap] if isinstance(cap, float | int) and cap else []
        for way in ways:
            self.head = way
            try:
                states = self.run(tokens, torch.ones_like(tokens), torch.arange(3).expand(2, 3), None).states
                with self.still():
                    if states is not None and self._same(way(states), logits):
                        self.gives_hidden = True
                        return way
            except (TypeError, ValueError, RuntimeError, AttributeError, NotImplementedError):
                break
        self.head = None
        return None

    def _shows_states(self, tokens: Any, logits: Array) -> bool:
        """Whether the whole model gives hidden states beside its logits."""
        import torch

        self.gives_hidden = True
        try:
            states, again, _ = self.run(tokens, torch.ones_like(tokens), torch.arange(3).expand(2, 3), None)
            return states is not None and states.shape[:2] == tokens.shape and again is not None and self._same(again, logits)
        except (TypeError, ValueError, RuntimeError, AttributeError, NotImplementedError, IndexError):
            return False

    def _can_cache(self, tokens: Any, logits: Array) -> bool:
        """Whether keys and values are all it remembers: then two rows that swap places and grow answer as if alone."""
        import torch

        kinds = getattr(self.config, "layer_types", None) or ()
        accepts = self._whole if self.head is None else self._body
        if "use_cache" not in accepts or not accepts.intersection(CACHES) or not set(kinds) <= ATTENTIONS:
            return False
        try:
            from transformers.cache_utils import DynamicCache, DynamicLayer

            batch, rows = Batch(DynamicCache(), [0, 0]), torch.arange(3).expand(2, 3)
            self.run(tokens[:, :2], torch.ones(2, 2, dtype=torch.long), rows[:, :2], batch.cache)
            layers: list[Any] = batch.cache.layers
            shapes = {(type(layer), tuple(layer.keys.shape[::2])) for layer in layers}
            if shapes != {(DynamicLayer, (2, 2))}:
                return False
            swapped = gather([(batch, 1, 2), (batch, 0, 2)])
            states, answers, _ = self.run(tokens[:, 2:].flip(0), torch.ones(2, 3, dtype=torch.long), rows[:, 2:], swapped.cache)
            with self.still():
                found = self.head(states) if self.head is not None else answers
            return found is not None and self._same(found[:, 0], logits[:, 2].flip(0))
        except (ImportError, TypeError, ValueError, RuntimeError, AttributeError, NotImplementedError, IndexError, KeyError):
            return False

    def _ids(self, value: Any) -> tuple[int, ...]:
        """Token ids of a configuration: one, several or none."""
        values = value if isinstance(value, list | tuple) else [value]
        return tuple(int(v) for v in values if isinstance(v, int) and 0 <= v < self.vocabulary)


def accepted(inner: Any) -> set[str]:
    """What a model may be given; of a forward that passes on whatever it gets, what the class below it names."""
    names: set[str] = set()
    for forward in [inner.forward, *(vars(cls)["forward"] for cls in type(inner).__mro__ if "forward" in vars(cls))]:
        names = set(inspect.signature(forward).parameters)
        if "input_ids" in names:
            break
    return names | {"input_ids"}


def refuse(config: Any, name: str) -> None:
    """Refuse by name what is no decoder alone."""
    kind = getattr(config, "model_type", "unknown")
    if getattr(config, "is_encoder_decoder", False):
        raise Unsupported(f"{name} is an encoder-decoder model ({kind}); unspool decodes causal models, which have no encoder")
    masked = [a for a in getattr(config, "architectures", None) or () if "MaskedLM" in a]
    if masked and not getattr(config, "is_decoder", False):
        raise Unsupported(f"{name} is an encoder-only model ({kind}, {masked[0]}); unspool decodes causal models")


def first_line(error: BaseException) -> str:
    """An error of a library in one line."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def open_folder(folder: Path, device: str | None = None, dtype: str | None = None) -> TransformersModel:
    """The model in a folder, on a device and in a dtype, its own if not given; only safetensors, no code of the folder's."""
    transformers = library()
    import torch

    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        config = transformers.AutoConfig.from_pretrained(folder, **options)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"transformers cannot read the configuration of {folder}: {first_line(error)}") from None
    refuse(config, str(folder))
    if type(config) not in transformers.AutoModelForCausalLM._model_mapping:
        raise Unsupported(f"{folder} is a model of type {config.model_type!r}, of which transformers has no causal language model")
    wanted = getattr(torch, dtype) if dtype else "auto"
    with quiet(transformers):
        try:
            inner, notes = transformers.AutoModelForCausalLM.from_pretrained(
                folder, config=config, dtype=wanted, use_safetensors=True, output_loading_info=True, **options
            )
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError, AttributeError) as error:
            raise ModelError(f"transformers cannot load {folder}: {first_line(error)}") from None
    if notes.get("missing_keys"):
        lacking = sorted(notes["missing_keys"])
        raise ModelError(f"{folder} lacks weights: {', '.join(lacking[:3])}{' ...' if len(lacking) > 3 else ''}")
    if device is not None:
        try:
            inner.to(device)
        except (RuntimeError, AssertionError) as error:                   # a build without CUDA asserts
            raise ParameterError(f"device {device!r} cannot be used: {first_line(error)}") from None
    return TransformersModel(inner.eval())


@contextmanager
def quiet(transformers: Any) -> Iterator[None]:
    """Keep the library from writing to the terminal."""
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


__all__ = ["TransformersModel", "library", "open_folder"]
