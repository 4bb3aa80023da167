"""The law of the batch: an answer is what it would be with nobody beside it, to the bit where the package's kernels compute."""

import random
import threading

from unspool.kernels.library import available

MIXED = [
    {"temperature": 0, "max_tokens": 24},
    {"n": 10, "seed": 1, "max_tokens": 12},
    {"temperature": 0.8, "top_p": 0.9, "n": 3, "seed": 2, "logprobs": 2},
    {"use_beam_search": True, "n": 4, "max_tokens": 12, "logprobs": 1},
    {"decoder": "beam(5, length_penalty=0.6)", "max_tokens": 20, "trace": True},
    {"structured_outputs": {"regex": "[a-z ]+\\."}, "seed": 3, "max_tokens": 10},
    {"response_format": {"type": "json_object"}, "seed": 4, "max_tokens": 12},
    {"echo": True, "logprobs": 3, "max_tokens": 0},
    {"echo": True, "logprobs": 1, "max_tokens": 1, "temperature": 0, "prompt": [[11, 12, 13, 400, 70], [9, 8, 7]]},
    {"decoder": "contrastive_search(4)", "max_tokens": 10},
    {"decoder": "prompt_lookup(6)", "seed": 5, "max_tokens": 12, "prompt": "the cat and the dog and the cat and"},
    {"decoder": "best_of(4)", "seed": 6, "max_tokens": 8},
    {"typical_p": 0.8, "xtc_probability": 0.5, "dry_multiplier": 1.0, "seed": 7},
    {"mirostat": 2, "seed": 8, "max_tokens": 10},
    {"frequency_penalty": 0.5, "presence_penalty": 0.2, "logit_bias": {"13": -5}, "seed": 9, "stop": [".", " the"]},
    {"prompt": ["One", "Two days", "Three little pigs went"], "n": 2, "seed": 10, "max_tokens": 9},
    {"decoder": "sequential_monte_carlo(4, truncated=True)", "seed": 11, "max_tokens": 6},
    {"decoder": "exact(2, nodes=40)", "max_tokens": 4},
]


def test_an_answer_does_not_depend_on_its_neighbours(served):
    bodies = [{"prompt": "Once upon a time there was", "seed": 0, **body} for body in MIXED]
    alone = [served.completion(**body) for body in bodies]
    found = {}

    def ask(number, some):
        for i in some:
            found[number, i] = served.completion(**bodies[i])

    rng = random.Random(0)
    orders = [rng.sample(range(len(bodies)), len(bodies)) for _ in range(8)]
    forwards = served.server.metrics.rows
    before = total(forwards, "_count"), total(forwards, "_sum")
    threads = [threading.Thread(target=ask, args=pair) for pair in enumerate(orders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 * len(bodies)
    for (_, i), answer in found.items():
        assert not available() or answer == alone[i], MIXED[i]          # numpy's products depend on their shapes
    count, rows = total(forwards, "_count") - before[0], total(forwards, "_sum") - before[1]
    assert rows > 8 * count, "they did not share their forwards"


def total(histogram, name):
    """A number of a histogram."""
    return next(s.value for metric in histogram.collect() for s in metric.samples if s.name.endswith(name))


def test_nothing_is_kept_when_all_is_over(served):
    served.until(served.idle)
    served.completion(prompt="One more", temperature=0)
    for joint in served.server.together.joint.values():
        joint.sweep(at_once=True)
    assert served.server.together.rows == 0
