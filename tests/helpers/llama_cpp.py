"""Tiny GGUF files, and llama.cpp's own greedy search, by its C interface alone."""

import ctypes

import numpy as np

from helpers.checkpoints import tiny_llama
from helpers.gguf_files import add, describe, describe_words, finish, gpt2_words, write_model

SHAPE = {"heads": 2, "key_heads": 1, "width": 64, "inner": 96, "vocabulary": 300, "positions": 64, "scale": 0.2}


def tiny_file(path, quantise=None, seed=1, **shape):
    """A Llama that both engines read."""
    write_model(path, "llama", *tiny_llama(seed, **SHAPE | shape), quantise=quantise)
    return path


def strange_file(path, pre="gpt-2"):
    """A model of an architecture that llama.cpp alone reads: OLMo, a Llama whose norms have no weights."""
    import gguf

    config, weights = tiny_llama(1, **SHAPE)
    config |= {"layer_norm_eps": 1e-5}
    del config["rms_norm_eps"]
    writer = gguf.GGUFWriter(str(path), "olmo")
    describe(writer, "llama", config)
    names, merges = gpt2_words(config["vocab_size"])
    describe_words(writer, names, merges, pre, bos=1, eos=2)
    table = gguf.get_tensor_name_map(gguf.MODEL_ARCH.OLMO, config["num_hidden_layers"])
    for name, tensor in weights.items():
        if "norm" not in name:
            add(writer, table.get_name(name, try_suffixes=(".weight",)), tensor, None)
    finish(writer)
    return path


def greedy_of_llama_cpp(path, prompt, count):
    """The likeliest tokens after a prompt, one at a time, as llama.cpp's own sampler takes them."""
    from unspool.models.llama_cpp.library import library

    lib = library()
    model = lib.llama_model_load_from_file(str(path).encode(), lib.llama_model_default_params())
    params = lib.llama_context_default_params()
    params.n_ctx, params.n_threads, params.n_threads_batch = len(prompt) + count + 8, 1, 1
    context = lib.llama_init_from_model(model, params)
    sampler, found, tokens = lib.llama_sampler_init_greedy(), [], np.array(prompt, np.int32)
    for _ in range(count):
        pointer = tokens.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
        assert lib.llama_decode(context, lib.llama_batch_get_one(pointer, len(tokens))) == 0
        found.append(lib.llama_sampler_sample(sampler, context, -1))
        tokens = np.array(found[-1:], np.int32)
    lib.llama_sampler_free(sampler)
    lib.llama_free(context)
    lib.llama_model_free(model)
    return found
