"""What generation_kwargs mean."""

import pytest

import unspool as un
from unspool.errors import UnspoolError
from unspool.harness.generation import generation_of


def meant(models=None, **kwargs):
    """models: the model's own decoder."""
    return generation_of({"until": [], "max_gen_toks": 9, "do_sample": False} | kwargs, models and un.parse(models), 0)


@pytest.mark.parametrize(
    ("kwargs", "decoder"),
    [
        ({}, "greedy"),
        ({"temperature": 0.0}, "greedy"),
        ({"do_sample": True, "temperature": 0.7}, "temperature(0.7) | top_k(50) | sample"),
        ({"do_sample": True, "top_k": 0, "top_p": 0.9, "temperature": 1.0}, "top_p(0.9) | sample"),
        ({"num_beams": 4}, "beam(4)"),
        ({"decoder": "beam(4)"}, "beam(4)"),
        ({"decoder": un.Beam(4)}, "beam(4)"),
        ({"until": ["\n", ""]}, 'greedy | stop("\\n")'),
        ({"decoder": "min_p(0.1) | sample", "until": ["a", "b"]}, 'min_p(0.1) | sample | stop("a", "b")'),
    ],
    ids=str,
)
def test_settings_and_decoders(kwargs, decoder):
    assert meant(**kwargs).decoder == un.parse(decoder)


def test_a_tasks_decoder_stands_before_the_models_and_that_before_settings():
    assert meant("beam(4)").decoder == un.parse("beam(4)")
    assert meant("beam(4)", decoder="greedy").decoder == un.parse("greedy")
    found = meant("beam(4)", do_sample=True, temperature=0.7, top_p=0.9)
    assert found.decoder == un.parse("beam(4)")
    assert found.notes == ("the decoder beam(4) stands in place of temperature=0.7, top_p=0.9",)
    assert not meant("beam(4)", do_sample=False, temperature=0.0).notes


def test_what_changes_nothing_is_told():
    assert any("top_p=0.9 has no effect" in note for note in meant(top_p=0.9).notes)
    assert not meant().notes


def test_end_tokens_and_seed():
    assert meant(eos_token_id=[3, 4]).end_tokens == (3, 4)
    assert meant().end_tokens is None
    assert (meant().seed, meant(seed=5).seed) == (0, 5)


def test_stop_strings_count_after_thinking():
    found = generation_of({"until": ["\n"], "max_gen_toks": 9}, None, 0, think_end="</think>")
    assert found.decoder == un.parse('greedy | after("</think>", stop("\\n"))')


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        ({"decoder": "baem(4)"}, "beam"),
        ({"topp": 0.9}, "top_p"),
        ({"do_sample": True, "temperature": 0.0}, "do_sample=False"),
        ({"max_gen_toks": 0}, "max_gen_toks"),
        ({"until": [3]}, "until is a list of texts"),
        ({"seed": "x"}, "seed is a whole number"),
    ],
    ids=str,
)
def test_refusals(kwargs, said):
    with pytest.raises(UnspoolError, match=said):
        meant(**kwargs)
