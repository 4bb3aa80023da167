"""The model `unspool` of lm_eval: words, repeats, batches, caches, chat, and what it refuses."""

import gc
import json
import logging
import multiprocessing

import pytest

pytest.importorskip("lm_eval")

from lm_eval.api.instance import Instance
from lm_eval.api.registry import get_model

import unspool as un
from unspool.errors import UnspoolError
from unspool.harness.model import UnspoolLM
from unspool.harness.start import registry

TEXTS = ["Once upon a time", " the cats", "the king\n", "옛날 옛적에 왕이 살았다 👑", "naïve  café ", "<|im_end|>", "", " "]
DRAWN = {"do_sample": True, "temperature": 1.0, "top_k": 0, "max_gen_toks": 8, "until": []}


def asks(count, kwargs, repeats=1, context="Once upon"):
    """Requests as lm_eval makes them: a document's repeats are the same object, one after another."""
    requests = [Instance("generate_until", {}, (f"{context} {i}", dict(kwargs)), 0, ("task", i, repeats)) for i in range(count)]
    return [request for request in requests for _ in range(repeats)]


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_words_are_theirs(name, ours, theirs):
    mine, its = ours[name], theirs[name]
    assert (mine.eot_token_id, mine.prefix_token_id, mine.max_length) == (its.eot_token_id, its.prefix_token_id, its.max_length)
    start = its.tok_decode([its.prefix_token_id], skip_special_tokens=False)
    for text in [*TEXTS, start + "the king"]:
        for special in (None, True, False):
            assert mine.tok_encode(text, special) == its.tok_encode(text, special), (text, special)


def test_a_start_token_that_is_asked_for(folders):
    plain, with_start = (UnspoolLM(str(folders["llama"]), add_bos_token=bos) for bos in (False, True))
    assert with_start.tok_encode("the") == [1, *plain.tok_encode("the")]
    assert UnspoolLM(str(folders["gpt2"]), add_bos_token=True).tok_encode("the")[0] == 0
    assert UnspoolLM(str(folders["gpt2"]), prefix_token_id=7).prefix_token_id == 7


def test_repeats_differ_and_nothing_else_makes_them(ours):
    requests = asks(4, DRAWN, repeats=3)
    found = ours["gpt2"].generate_until(requests, disable_tqdm=True)
    assert all(len(set(found[i : i + 3])) == 3 for i in range(0, 12, 3))
    assert found == ours["gpt2"].generate_until(requests, disable_tqdm=True)
    swapped = [i for pair in reversed([requests[i : i + 3] for i in range(0, 12, 3)]) for i in pair]
    again = ours["gpt2"].generate_until(swapped, disable_tqdm=True)
    assert [again[i : i + 3] for i in (9, 6, 3, 0)] == [found[i : i + 3] for i in (0, 3, 6, 9)]
    assert ours["gpt2"].generate_until(requests[3:6], disable_tqdm=True) == found[3:6]


def test_seeds(folders, ours):
    requests = asks(2, DRAWN)
    found = ours["gpt2"].generate_until(requests, disable_tqdm=True)
    other = UnspoolLM(str(folders["gpt2"]), seed=1).generate_until(requests, disable_tqdm=True)
    assert found != other
    assert ours["gpt2"].generate_until(asks(2, DRAWN | {"seed": 1}), disable_tqdm=True) == other


@pytest.mark.parametrize("size", [1, 3, "auto", "auto:4", "2"])
def test_no_answer_depends_on_the_batch(size, folders, ours):
    model = UnspoolLM(str(folders["llama"]), batch_size=size)
    mixed = [*asks(3, DRAWN), *asks(3, {"until": ["a"], "max_gen_toks": 12}), *asks(2, {"decoder": "beam(3)", "max_gen_toks": 6})]
    assert model.generate_until(mixed, disable_tqdm=True) == ours["llama"].generate_until(mixed, disable_tqdm=True)
    pairs = [Instance("loglikelihood", {}, (text, " king"), 0, ("t", 0, 1)) for text in TEXTS[:5]]
    for (mine, flag), (its, other) in zip(model.loglikelihood(pairs), ours["llama"].loglikelihood(pairs), strict=True):
        assert mine == pytest.approx(its, abs=1e-4)
        assert flag == other


def test_any_decoder(folders, ours):
    lm = un.load(folders["gpt2"])
    (request,) = asks(1, {"decoder": "no_repeat_ngram(2) | beam(4)", "max_gen_toks": 10})
    expected = lm.generate(request.args[0], "no_repeat_ngram(2) | beam(4)", max_new_tokens=10).text
    assert ours["gpt2"].generate_until([request], disable_tqdm=True) == [expected]
    its = UnspoolLM(str(folders["gpt2"]), decoder="no_repeat_ngram(2) | beam(4)")
    assert its.generate_until(asks(1, {"max_gen_toks": 10, "do_sample": False}), disable_tqdm=True) == [expected]
    assert its.get_model_info()["decoder"] == str(un.parse("no_repeat_ngram(2) | beam(4)"))


def test_a_prompt_to_which_nothing_comes_has_an_empty_answer(ours, caplog):
    nothing = {"decoder": "allowed(5) | banned((5,)) | greedy", "max_gen_toks": 3}
    with caplog.at_level(logging.WARNING):
        found = ours["gpt2"].generate_until(asks(2, nothing), disable_tqdm=True)
    assert found == ["", ""]
    assert "the answer is empty" in caplog.text


def test_answers_are_kept_as_they_come(ours, monkeypatch):
    kept = {}

    class Hook:
        def add_partial(self, kind, arguments, result):
            kept[kind, json.dumps(arguments)] = result

    model = ours["gpt2"]
    monkeypatch.setattr(model, "cache_hook", Hook())
    requests = asks(3, {"until": ["a"], "max_gen_toks": 5})
    found = model.generate_until(requests, disable_tqdm=True)
    pairs = [Instance("loglikelihood", {}, ("the", " king"), 0, ("t", 0, 1))]
    (scored,) = model.loglikelihood(pairs, disable_tqdm=True)
    (rolled,) = model.loglikelihood_rolling([Instance("loglikelihood_rolling", {}, ("the king",), 0, ("t", 0, 1))], disable_tqdm=True)
    assert kept == {
        **{("generate_until", json.dumps(r.args)): text for r, text in zip(requests, found, strict=True)},
        ("loglikelihood", json.dumps(["the", " king"])): scored,
        ("loglikelihood_rolling", json.dumps(["the king"])): rolled,
    }


def test_lm_evals_own_cache(folders, evaluated, tmp_path, monkeypatch):
    first = evaluated(UnspoolLM(str(folders["gpt2"])), "choices", "answers", use_cache=str(tmp_path / "kept"))
    model = UnspoolLM(str(folders["gpt2"]))
    monkeypatch.setattr(model.lm, "model", None)                          # nothing is computed again
    again = evaluated(model, "choices", "answers", use_cache=str(tmp_path / "kept"))
    assert first["results"] == again["results"]


def test_chat(ours, theirs):
    talk = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who?"}]
    begun = [*talk, {"role": "assistant", "content": "The king"}]
    for messages, opens in ((talk, True), (begun, False)):
        expected = theirs["gpt2"].apply_chat_template(messages, add_generation_prompt=opens)
        assert ours["gpt2"].apply_chat_template(messages, add_generation_prompt=opens) == expected
    assert ours["gpt2"].chat_template(True) == theirs["gpt2"].chat_template(True)
    assert ours["gpt2"].chat_template(False) is None
    with pytest.raises(UnspoolError, match="no chat template"):
        ours["llama"].apply_chat_template(talk)
    assert ours["gpt2"].tokenizer_name != ours["llama"].tokenizer_name


@pytest.mark.parametrize("task", ["shots", "answers"])
def test_chat_in_tasks(task, ours, theirs, evaluated):
    own, other = (evaluated(models["gpt2"], task, apply_chat_template=True, fewshot_as_multiturn=True) for models in (ours, theirs))
    assert own["results"][task] == other["results"][task]
    prompts = [[sample["arguments"] for sample in found["samples"][task]] for found in (own, other)]
    assert prompts[0] == prompts[1]
    assert "<|im_start|>assistant" in str(prompts[0][0])


def test_a_template_without_system_messages(ours, monkeypatch, caplog):
    from unspool.models.chat import ChatTemplate

    text = "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}{{ m.content }}{% endfor %}"
    monkeypatch.setattr(ours["gpt2"].lm, "chat", ChatTemplate(text))
    talk = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who?"}]
    assert ours["gpt2"].apply_chat_template(talk) == "Who?"
    assert "left out" in caplog.text


def test_thinking_is_no_part_of_the_answer(folders, monkeypatch):
    model = UnspoolLM(str(folders["gpt2"]), think_end_token="</t>", chat_template_args={})
    decoder = 'follow("a\\nb</t> yes\\nno")'
    monkeypatch.setattr(model, "decoder", un.parse(decoder))
    assert model.generate_until(asks(1, {"until": ["\n"], "max_gen_toks": 40}), disable_tqdm=True) == ["yes"]


def test_a_model_that_is_open_already(folders):
    lm = un.load(folders["gpt2"])
    assert UnspoolLM(lm).lm is lm
    with pytest.raises(UnspoolError, match="leave out device='cpu'"):
        UnspoolLM(lm, device="cpu")


@pytest.mark.parametrize("there", [True, False])
def test_lm_evals_own_device_is_a_wish(there, folders, monkeypatch):
    asked = []
    monkeypatch.setattr("unspool.harness.opening._has_cuda", lambda: there)
    monkeypatch.setattr("unspool.harness.opening.open_quietly", lambda name, **how: asked.append(how["device"]) or un.load(name))
    UnspoolLM(str(folders["gpt2"]), device="cuda:0")
    UnspoolLM(str(folders["gpt2"]), device="cuda:0", backend="compiled")
    UnspoolLM(str(folders["gpt2"]), device="cpu")
    UnspoolLM(un.load(folders["gpt2"]), device="cuda:0")
    assert asked == ["cuda:0" if there else None, None, "cpu"]


def test_backends_agree(folders, ours):
    pairs = [Instance("loglikelihood", {}, (text, " king"), 0, ("t", 0, 1)) for text in TEXTS[:5]]
    expected = ours["llama"].loglikelihood(pairs, disable_tqdm=True)
    for backend in ("numpy", "torch", "transformers"):
        found = UnspoolLM(str(folders["llama"]), backend=backend, dtype="float32").loglikelihood(pairs, disable_tqdm=True)
        assert [flag for _, flag in found] == [flag for _, flag in expected]
        assert [value for value, _ in found] == pytest.approx([value for value, _ in expected], abs=1e-4)


def test_registered():
    registry()
    assert get_model("unspool") is UnspoolLM
    registry()


def test_the_argument_string(folders):
    registry()
    text = f"pretrained={folders['gpt2']},decoder=beam(2),max_gen_toks=7"
    found = get_model("unspool").create_from_arg_string(text, {"batch_size": 1, "max_batch_size": None, "device": None})
    assert (str(found.decoder), found.max_gen_toks, found.together) == ("beam(2)", 7, 1)
    commas = f"pretrained={folders['gpt2']},decoder=beam(2, length_penalty=0)"
    assert get_model("unspool").create_from_arg_string(commas).decoder == un.parse("beam(2, length_penalty=0)")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"decodr": "beam(4)"}, "decoder"),
        ({"decoder": "baem(4)"}, "beam"),
        ({"batch_size": "many"}, "batch_size is a whole number >= 1 or auto; got 'many'"),
        ({"batch_size": 0}, "batch_size"),
        ({"max_length": 10_000}, "max_length"),
        ({"prefix_token_id": 99_999}, "prefix_token_id=99999"),
        ({"pretrained": "/nowhere"}, "nowhere"),
    ],
    ids=str,
)
def test_arguments_that_are_refused(given, said, folders):
    with pytest.raises(UnspoolError, match=said):
        UnspoolLM(**{"pretrained": str(folders["gpt2"])} | given)


def test_requests_that_are_refused(ours):
    with pytest.raises(UnspoolError, match="max_gen_toks=96 leaves no room for a prompt: the context is 96"):
        ours["gpt2"].generate_until(asks(1, {"max_gen_toks": 96}))
    with pytest.raises(UnspoolError, match="longer than the model's context of 96"):
        ours["gpt2"].loglikelihood([Instance("loglikelihood", {}, ("a", "b c " * 60), 0, ("t", 0, 1))])


def test_workers_that_are_lost_are_replaced(folders, ours):
    model = UnspoolLM(str(folders["gpt2"]), engine="processes", workers=2, batch_size=1)
    requests = [*asks(3, DRAWN), *asks(3, {"until": ["a"], "max_gen_toks": 12}), *asks(3, {"decoder": "beam(3)", "max_gen_toks": 6})]
    expected = ours["gpt2"].generate_until(requests, disable_tqdm=True)
    assert model.generate_until(requests, disable_tqdm=True) == expected
    for child in multiprocessing.active_children():
        child.kill()
    assert model.generate_until(requests, disable_tqdm=True) == expected
    pairs = [Instance("loglikelihood", {}, (text, " king"), 0, ("t", 0, 1)) for text in TEXTS[:5]]
    assert model.loglikelihood(pairs, disable_tqdm=True) == ours["gpt2"].loglikelihood(pairs, disable_tqdm=True)
    with pytest.raises(UnspoolError, match="longer than the model's context"):
        model.loglikelihood([Instance("loglikelihood", {}, ("a", " king" * 200), 0, ("t", 0, 1))], disable_tqdm=True)
    with pytest.raises(UnspoolError):                                     # a worker says what is wrong, and the next work begins anew
        model.generate_until(asks(3, {"decoder": "banned(99999) | greedy", "max_gen_toks": 6}), disable_tqdm=True)
    assert model.generate_until(requests, disable_tqdm=True) == expected
    del model
    gc.collect()
    assert not multiprocessing.active_children()


def test_what_workers_cannot_have(folders):
    held = un.LanguageModel(un.load(folders["gpt2"]).model, name="mine")
    with pytest.raises(UnspoolError, match="was not opened by a name"):
        UnspoolLM(held, engine="processes")
    with pytest.raises(UnspoolError, match="inline has no workers"):
        UnspoolLM(str(folders["gpt2"]), workers=2)
