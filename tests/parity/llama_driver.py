"""llama.cpp's samplers and model through llama-cpp-python, whose names they keep."""

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
from parity.llama_cases import DRAWS, NEW, Case, Course, Telling
from parity.llama_partings import Parting

try:
    import llama_cpp as lib
except ImportError:
    lib = None

FOLDER = Path(__file__).parents[1] / "data" / "stories260K"


class Llama:
    """Its samplers; those of a vocabulary, and the model, need a GGUF file of stories260K."""

    def __init__(self, gguf: Path) -> None:
        self.quiet = lib.llama_log_callback(lambda level, text, data: None)
        lib.llama_log_set(self.quiet, None)
        lib.llama_backend_init()
        self.model = lib.llama_model_load_from_file(str(gguf).encode(), lib.llama_model_default_params())
        assert self.model, f"llama.cpp cannot read {gguf}"
        self.vocabulary = lib.llama_model_get_vocab(self.model)

    def chain(self, parts: tuple[tuple, ...], vocabulary: int, text: tuple[int, ...] = ()) -> Any:
        """Samplers in a row, which have read a text."""
        chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        for name, *settings in parts:
            lib.llama_sampler_chain_add(chain, self._sampler(name, settings, vocabulary))
        for token in text:
            lib.llama_sampler_accept(chain, token)
        return chain

    def _sampler(self, name: str, settings: list, vocabulary: int) -> Any:
        if name == "logit_bias":
            biases = (lib.llama_logit_bias * len(settings[0]))(*(lib.llama_logit_bias(t, b) for t, b in settings[0]))
            return lib.llama_sampler_init_logit_bias(vocabulary, len(biases), biases)
        if name == "penalties":
            return lib.llama_sampler_init_penalties(vocabulary, *settings)
        if name == "dry":
            *numbers, breakers = settings
            texts = (ctypes.c_char_p * len(breakers))(*(b.encode() for b in breakers))
            return lib.llama_sampler_init_dry(self.vocabulary, *numbers, texts, len(breakers))
        if name == "xtc":
            return lib.llama_sampler_init_xtc(*settings, 7)
        return getattr(lib, f"llama_sampler_init_{name}")(*settings)

    def scores_after(self, case: Case | Parting, scores: np.ndarray, text: tuple[int, ...]) -> np.ndarray:
        """(V,), -inf for what is gone."""
        parts = (case.theirs,) if isinstance(case, Parting) else case.theirs
        chain = self.chain(parts, len(scores), text)
        after, _ = applied(chain, scores)
        lib.llama_sampler_free(chain)
        return after

    def course(self, course: Course) -> tuple[list[np.ndarray], list[int]]:
        """Scores after every step, and the tokens that it chose."""
        chain, found, tokens = self.chain((course.theirs,), course.vocabulary), [], []
        for scores in course.inputs():
            after, token = applied(chain, scores)
            lib.llama_sampler_accept(chain, token)
            found.append(after)
            tokens.append(token)
        lib.llama_sampler_free(chain)
        return found, tokens

    def cuts(self, threshold: float, probability: float) -> int:
        """How often xtc cuts, of DRAWS times."""
        chain, scores = self.chain((("xtc", probability, threshold, 0),), 8), np.zeros(8, np.float32)
        found = sum(bool(np.isneginf(applied(chain, scores)[0]).any()) for _ in range(DRAWS))
        lib.llama_sampler_free(chain)
        return found

    def tokens(self, text: str) -> list[int]:
        """Its tokens, with the one that begins a text."""
        room = (lib.llama_token * 512)()
        return list(room[: lib.llama_tokenize(self.vocabulary, text.encode(), len(text.encode()), room, 512, True, False)])

    def tell(self, telling: Telling) -> tuple[list[int], list[int]]:
        """Tokens of the prompt, and the likeliest new ones."""
        settings = lib.llama_context_default_params()
        settings.n_ctx, settings.n_batch, settings.n_threads, settings.n_threads_batch = 512, 512, 1, 1
        settings.type_k = settings.type_v = lib.GGML_TYPE_F32
        context = lib.llama_init_from_model(self.model, settings)
        prompt, new = self.tokens(telling.prompt), []
        size = lib.llama_vocab_n_tokens(self.vocabulary)
        chain, fed = self.chain((*telling.theirs, ("greedy",)), size, tuple(prompt)), prompt
        while len(new) < NEW and (not new or new[-1] != 2):
            tokens = (lib.llama_token * len(fed))(*fed)
            assert lib.llama_decode(context, lib.llama_batch_get_one(tokens, len(fed))) == 0
            scores = np.ctypeslib.as_array(lib.llama_get_logits_ith(context, -1), (size,)).copy()
            new.append(applied(chain, scores)[1])
            lib.llama_sampler_accept(chain, new[-1])
            fed = new[-1:]
        lib.llama_sampler_free(chain)
        lib.llama_free(context)
        return prompt, new


def applied(chain: Any, scores: np.ndarray) -> tuple[np.ndarray, int]:
    """Scores after a chain, and the token it chose, -1 for none."""
    data = (lib.llama_token_data * len(scores))(*((i, s, 0.0) for i, s in enumerate(scores.tolist())))
    array = lib.llama_token_data_array(data, len(scores), -1, False)
    lib.llama_sampler_apply(chain, ctypes.byref(array))
    after = np.full(len(scores), -np.inf, np.float32)
    for i in range(array.size):
        after[array.data[i].id] = array.data[i].logit
    return after, array.data[array.selected].id if array.selected >= 0 else -1


def write_gguf(target: Path) -> None:
    """stories260K as a GGUF file in float32."""
    import json

    import gguf
    from safetensors.numpy import load_file

    config, tokenizer = (json.loads((FOLDER / f"{name}.json").read_text()) for name in ("config", "tokenizer"))
    out = gguf.GGUFWriter(target, "llama")
    out.add_block_count(config["num_hidden_layers"])
    out.add_context_length(config["max_position_embeddings"])
    out.add_embedding_length(config["hidden_size"])
    out.add_feed_forward_length(config["intermediate_size"])
    out.add_head_count(config["num_attention_heads"])
    out.add_head_count_kv(config["num_key_value_heads"])
    out.add_rope_dimension_count(config["head_dim"])
    out.add_rope_freq_base(config["rope_theta"])
    out.add_layer_norm_rms_eps(config["rms_norm_eps"])
    out.add_vocab_size(config["vocab_size"])
    pieces = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].get)
    rank = {"".join(pair): i for i, pair in reversed(list(enumerate(tokenizer["model"]["merges"])))}
    kinds = [gguf.TokenType.UNKNOWN, *[gguf.TokenType.CONTROL] * 2, *[gguf.TokenType.BYTE] * 256]
    out.add_tokenizer_model("llama")
    out.add_token_list(pieces)
    out.add_token_scores([-float(rank.get(piece, 1e6)) for piece in pieces])
    out.add_token_types(kinds + [gguf.TokenType.NORMAL] * (len(pieces) - len(kinds)))
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)
    out.add_unk_token_id(0)
    out.add_add_space_prefix(True)
    for name, tensor in load_file(FOLDER / "model.safetensors").items():
        heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}.get(name.split(".")[-2])
        if heads:                                                             # its rotary embedding pairs neighbours, not halves
            tensor = tensor.reshape(heads, 2, -1, tensor.shape[1]).swapaxes(1, 2).reshape(tensor.shape)
        out.add_tensor(gguf_name(name), np.ascontiguousarray(tensor))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def gguf_name(name: str) -> str:
    parts = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output"}
    parts |= {"mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm"}
    parts |= {"post_attention_layernorm": "ffn_norm", "model.layers": "blk", "model.embed_tokens": "token_embd"}
    parts |= {"model.norm": "output_norm"}
    for theirs, short in parts.items():
        name = name.replace(theirs, short)
    return name
