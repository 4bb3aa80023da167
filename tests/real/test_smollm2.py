"""A real model, SmolLM2 in a GGUF file: every engine computes what transformers' own reading of it computes, and decodes as it does."""

import copy
import json
from functools import cache

import numpy as np
import pytest
from helpers import real
from helpers.chapter import make
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence

import unspool as un
from unspool.arrays import log_softmax
from unspool.core.model import ROOT
from unspool.kernels.library import available
from unspool.lab.facts import recorded
from unspool.lab.quantization import held_out
from unspool.text import text_of

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("gguf")
pytestmark = pytest.mark.real

REFERENCE = f"transformers {transformers.__version__}"
TOLERANCE = 2e-3
"""Of logits, which lie between -20 and 45; most are within 2e-4, and only a text that says one word sixteen times brings them this far."""
NEAR = 2e-3
"""Logits that are nearer may be in either order; a text that parts there counts as a near tie."""
BACKENDS = ["numpy", "torch", *(["compiled"] if available() else [])]
FACTS = next(facts for facts in recorded() if facts["model"].startswith("SmolLM2"))
PROMPTS = ["Transformers are the", "def fibonacci(n):\n", "옛날 옛적에"]
AT_LENGTH = {"compiled": (PROMPTS, 200), "numpy": (PROMPTS[:1], 200), "torch": (PROMPTS[:1], 40)}
"""Prompts and numbers of tokens: each engine has its share of the time."""
LONG, PERPLEXITY = 1500, 27.07
"""Tokens of `held_out.txt`, and their perplexity."""
TEXTS = [
    "Once upon a time there was a king who had three sons, and the youngest was called Simple.",
    "TRANSFORMERS ARE THE most common Type Of particle, aren't they? They're; we'll, I'd.",
    "def fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\n\n\nprint(fib(10))\n",
    '{"name": "Ann", "age": 31, "tags": ["a", "b"], "none": null, "x": -1.5e-7}',
    "1 + 1 = 2; 17 * 23 = 391; 123456789012345678901234567890",
    "Q: What is 7 + 8?\nA: 15\n\nQ: What is 9 + 6?\nA:",
    "| a | b |\n|---|---|\n| **1** | `2` |\n\n- item\n  - nested\n",
    "https://example.org/path?q=1&r=%20#top, mail@example.org, C:\\Windows\\System32",
    "옛날 옛적에 세 아들을 둔 왕이 살았다. 막내는 바보라고 불렸다.",
    "昔々、あるところにおじいさんとおばあさんがいました。",
    "في قديم الزمان كان هناك ملك له ثلاثة أبناء.",
    "Жил-был король, и было у него три сына.",
    "naïve café, Ünïcödé, e\u0301 and é, ﬁ ligature, ½ and ²",
    "👑👩\u200d👩\u200d👧 🇰🇷 🏳️\u200d🌈 ✨",
    "     five spaces,\ttab,\n\n\nthree lines, trailing   ",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "the the the the the the the the the the the the the the the the",
    "<|im_start|>user\nWhy is the sky blue?<|im_end|>\n<|im_start|>assistant\n",
    "∀ε>0 ∃δ>0: |x−a|<δ ⇒ |f(x)−f(a)|<ε; ∑ᵢ xᵢ² ≤ ∞",
    "x",
]
CHATS = [
    [{"role": "user", "content": "Why is the sky blue?"}],
    [{"role": "system", "content": "Answer in one word."}, {"role": "user", "content": "What is the capital of Korea?"}],
    [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4."}, {"role": "user", "content": "  times 3?\n"}],
    [{"role": "user", "content": "안녕 <|im_end|> 👋"}],
]
SCORED = [
    ("Once upon a time", " there was a king."),
    ("Once upon a time", " zxqv the of"),
    ("The capital of France is", " Paris."),
    ("The capital of France is", " Berlin."),
    ("2 + 2 =", " 4"),
    ("옛날 옛적에", " 왕이 살았다."),
    ("import numpy", " as np\n"),
    ("She said:", " \"I don't know,\" and left."),
]
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "colours": {"type": "array", "items": {"enum": ["red", "green", "blue"]}, "minItems": 1, "maxItems": 3},
    },
    "required": ["name", "age", "colours"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def path():
    return real.smollm2()


@pytest.fixture(scope="module")
def theirs(path):
    """transformers' model of the file, in float32; it ends where ours does."""
    model = transformers.AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = [2, 0], 0
    return model


@pytest.fixture(scope="module")
def tokenizer(path):
    return transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)


@pytest.fixture(scope="module")
def opened(path):
    """The model by its backend; of what is packed nothing is kept."""

    @cache
    def load(backend):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("UNSPOOL_CACHE", "none")
            return un.load(path, backend=backend, **({"device": "cpu", "dtype": "float32"} if backend == "torch" else {}))

    return load


@pytest.fixture(scope="module")
def lm(opened):
    return opened(BACKENDS[-1])


@pytest.fixture(scope="module")
def logits(theirs):
    """What transformers computes after every token of a text."""

    @cache
    def compute(tokens):
        with torch.no_grad():
            return theirs(torch.tensor([tokens])).logits[0].numpy()

    return compute


def ours(lm, tokens):
    session = lm.model.session()
    (row,) = session.extend([ROOT], [np.array(tokens)])
    return np.asarray(session.logits(session.nodes.path(int(row))))


def chosen(logits, prompt, tokens):
    """Whether greedy search of transformers writes these tokens, asked at all of them at once; False where it does not, but nearly."""
    after = logits((*prompt, *tokens))[len(prompt) - 1 : -1]
    for at in np.flatnonzero(after.argmax(-1) != tokens):
        assert after[at].max() - after[at, tokens[at]] < NEAR, f"parts at token {at}"
        return False
    return True


def test_tokens(lm, tokenizer, tally):
    """transformers reads no more of how the file's texts are cut than that they are cut as GPT-2's; the rest is told it here."""
    told = copy.deepcopy(tokenizer)
    told.backend_tokenizer.pre_tokenizer = Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)])
    for text in TEXTS:
        tokens = lm.tokens_of(text)
        assert tokens == told(text)["input_ids"]
        assert text_of(lm.tokenizer, tokens) == tokenizer.decode(tokens, skip_special_tokens=True)
        tally("tokens of SmolLM2's file", "equal" if tokens == tokenizer(text)["input_ids"] else "on purpose")
    assert lm.tokens_of(" ½") != tokenizer(" ½")["input_ids"]
    what = "A GGUF file's way to cut texts (`tokenizer.ggml.pre`) is read"
    tally.difference(what, "theirs cuts as GPT-2 whatever the file says: ` ½` becomes other tokens than those that SmolLM2 was trained on")


@pytest.mark.parametrize("backend", BACKENDS)
def test_logits(backend, opened, logits, tally):
    lm = opened(backend)
    for text in TEXTS[:: 2 if backend == "torch" else 1]:
        tokens = lm.tokens_of(text)
        assert np.abs(ours(lm, tokens) - logits(tuple(tokens))).max() < TOLERANCE, text
        tally("logits of SmolLM2")


@pytest.mark.parametrize(("backend", "prompts", "count"), [(b, *AT_LENGTH[b]) for b in BACKENDS])
def test_greedy_texts(backend, prompts, count, opened, logits, tally):
    """200 tokens after each prompt, side by side."""
    lm = opened(backend)
    for prompt, out in zip(prompts, lm.generate(prompts, max_new_tokens=count, end_tokens=(), level="off"), strict=True):
        assert len(out.tokens) == count
        same = chosen(logits, lm.tokens_of(prompt), out.tokens)
        tally("greedy search, SmolLM2", "equal" if same else "near tie")


@pytest.mark.parametrize("fact", [fact for fact in FACTS["texts"] if fact.get("decoder", "greedy") in ("greedy", "beam(5)")])
def test_texts_of_the_facts(fact, theirs, tokenizer, logits, lm, tally):
    """What is recorded is what `generate` writes."""
    prompt = lm.tokens_of(fact["prompt"])
    limits = {name: fact[name] for name in ("max_length", "max_new_tokens") if name in fact}
    beams = 5 if "beam" in fact.get("decoder", "") else 1
    ids = torch.tensor([prompt])
    with torch.no_grad():
        found = theirs.generate(ids, attention_mask=torch.ones_like(ids), num_beams=beams, do_sample=False, **limits)
    found = found[0, len(prompt) :].tolist()
    assert tokenizer.decode(found, skip_special_tokens=True) == fact["text"]
    after = log_softmax(logits((*prompt, *found))[len(prompt) - 1 : -1].astype(np.float64))
    assert after[np.arange(len(found)), found].sum() == pytest.approx(float(fact["logprob"]), abs=0.006)
    tally(f"{'beam search of width 5' if beams > 1 else 'greedy search'}, SmolLM2")


@pytest.mark.parametrize("decoder", ["beam(5, n=5)", "log_softmax | no_repeat_ngram(2) | beam(5, n=5, renormalise=False)"])
def test_beams(decoder, theirs, lm, tally):
    """All five texts and their scores."""
    prompt, ngrams = lm.tokens_of("The three wishes"), {"no_repeat_ngram_size": 2} if "ngram" in decoder else {}
    out = lm.generate([prompt], decoder, max_new_tokens=16)[0]
    ids = torch.tensor([prompt])
    asked = {"num_beams": 5, "num_return_sequences": 5, "do_sample": False, "max_new_tokens": 16, **ngrams}
    with torch.no_grad():
        found = theirs.generate(ids, attention_mask=torch.ones_like(ids), output_scores=True, return_dict_in_generate=True, **asked)
    for sequence, tokens, score in zip(out.sequences, found.sequences[:, len(prompt) :].tolist(), found.sequences_scores, strict=True):
        assert sequence.tokens == tokens[: len(sequence.tokens)]
        assert sequence.score == pytest.approx(float(score), abs=1e-4)
    tally("beam search of width 5, SmolLM2")


@pytest.mark.parametrize("backend", BACKENDS)
def test_logprobs_of_given_texts(backend, opened, logits, tally):
    lm = opened(backend)
    for prompt, text in SCORED:
        score = lm.score(prompt, text)
        before = lm.tokens_of(prompt)
        expected = log_softmax(logits((*before, *score.tokens))[len(before) - 1 : -1].astype(np.float64))
        np.testing.assert_allclose(score.logprobs, expected[np.arange(len(score.tokens)), score.tokens], atol=TOLERANCE, rtol=0)
        tally("log-probabilities of given texts, SmolLM2")


@pytest.mark.parametrize("messages", CHATS, ids=["one", "system", "turns", "marks"])
def test_chat(messages, lm, tokenizer, logits, tally):
    """The same prompt as the template makes in transformers, and the same answer."""
    pytest.importorskip("jinja2")
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    out = lm.generate(messages=messages, max_new_tokens=24)
    assert out.prompt == text
    prompt = tokenizer(text)["input_ids"]
    tally("chat template of SmolLM2")
    assert chosen(logits, prompt, out.tokens)


@pytest.mark.parametrize("decoder", ["greedy", "sample(4)", "beam(3)"])
def test_json_of_a_schema(decoder, lm):
    jsonschema, _ = pytest.importorskip("jsonschema"), pytest.importorskip("llguidance")
    messages = [{"role": "user", "content": "Describe a person as JSON with name, age and colours."}]
    out = lm.generate(messages=messages, decoder=un.JsonSchema(SCHEMA) | un.parse(decoder), max_new_tokens=90)
    for sequence in out.sequences:
        assert sequence.reason in ("end", "complete")
        jsonschema.validate(json.loads(sequence.text), SCHEMA)


def test_a_long_prompt(opened, lm, logits, tally):
    """1,500 tokens at once: every logit, and the perplexity of the text; in numpy, the logits after 700."""
    tokens = lm.tokens_of(held_out())[:LONG]
    found, expected = ours(lm, tokens), logits(tuple(tokens))
    assert np.abs(found - expected).max() < TOLERANCE
    here, there = (log_softmax(x[:-1])[np.arange(LONG - 1), tokens[1:]].mean(dtype=np.float64) for x in (found, expected))
    assert np.exp(-here) == pytest.approx(np.exp(-there), rel=1e-5)
    assert np.exp(-here) == pytest.approx(PERPLEXITY, abs=0.005)
    session = opened("numpy").model.session()
    last = session.logits(session.extend([ROOT], [np.array(tokens[:700])]))
    assert np.abs(last - expected[699]).max() < TOLERANCE
    tally("logits of SmolLM2 after 1,500 tokens")


def test_an_installation_is_as_recorded(lm):
    checks = un.verify(lm)
    assert [check for check in checks if not check.ok] == []
    assert len(checks) == sum(len(table["steps"]) for table in FACTS["tables"]) + 2 * len(FACTS["texts"]) + len(FACTS["sums"])


@pytest.mark.parametrize("name", ["1-the-loop.md", "2-greedy-search.md"])
def test_the_chapter_runs_by_one_name(name, theirs, path, monkeypatch):
    """The second page compares with transformers, which is opened once for all of these tests."""
    real.by_its_word(monkeypatch)
    asked, library = [], transformers.AutoModelForCausalLM
    monkeypatch.setattr(library, "from_pretrained", lambda *given, **named: asked.append((given, named)) or theirs)
    cells = make.read(make.PAGES / "en" / name)
    for cell in cells:
        cell.source = cell.source.replace('MODEL = "bundled"', 'MODEL = "smollm2"')
    printed = "".join(result.text for result in make.run(cells))
    if name.startswith("2"):
        assert asked == [((path.parent,), {"dtype": torch.float32, "gguf_file": path.name})]
        assert "transformers' generate writes the same 24 tokens" in printed


def test_tables_of_the_facts(lm, logits):
    """The percentages are those of transformers."""
    for table in FACTS["tables"]:
        prompt = lm.tokens_of(table["prompt"])
        taken = [lm.tokens_of(step[0][0])[0] for step in table["steps"]]
        after = np.exp(log_softmax(logits((*prompt, *taken))[len(prompt) - 1 : -1].astype(np.float64)))
        for share, step in zip(after, table["steps"], strict=True):
            best = np.argsort(-share)[: len(step)]
            assert lm.pieces(best) == [text for text, _ in step]
            assert [100 * share[token] for token in best] == pytest.approx([float(number) for _, number in step], abs=0.006)
