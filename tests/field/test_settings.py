"""Field cases of settings of other engines."""

import pytest

import unspool as un


@pytest.mark.field("F98")
def test_a_setting_that_is_not_given_is_not_none():
    found = un.from_engine("mlx-lm", {"temp": 0.7, "xtc_probability": 0.5})
    (xtc,) = (p for p in found.decoder.processors if isinstance(p, un.Xtc))
    assert xtc.probability == 0.5
    nulls = un.from_engine("mlx-lm", {"temp": 0.7, "xtc_probability": 0.5, "xtc_special_tokens": None, "top_k": None})
    assert nulls.decoder == found.decoder


@pytest.mark.field("F102")
def test_a_text_is_one_phrase():
    found = un.from_engine("vllm", {"bad_words": "describe", "stop": "###"})
    assert un.Banned("describe") in found.decoder.processors
    assert found.decoder.stops == (un.StopStrings("###"),)
    assert un.from_engine("vllm", {"bad_words": ["describe"], "stop": ["###"]}).decoder == found.decoder


@pytest.mark.field("F103")
def test_ids_in_a_bias_of_llama_cpp():
    pairs = [un.from_engine("llama.cpp", given).decoder.processors[0] for given in (
        "-l 15043-100",
        {"logit_bias": [[15043, -100]]},
        {"logit_bias": {"15043": -100}},
    )]  # fmt: skip
    assert pairs == [un.Bias(((15043, -100.0),))] * 3
    assert un.from_engine("llama.cpp", {"logit_bias": [[15043, False]]}).decoder.processors[0] == un.Banned(15043)
    assert un.from_engine("llama.cpp", "-l 15043+1").decoder.processors[0] == un.Bias(((15043, 1.0),))
