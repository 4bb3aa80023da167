"""The kernels on trial: every variant that this machine runs against numpy, on random layers and random transformers.

Also a program of its own, for a library that was built another way (with a sanitizer, by another compiler):
`python -m helpers.kernels FOLDER_OF_THE_LIBRARY SEED COUNT AT_ONCE`.
"""

import ctypes as c
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import numpy as np

from unspool.core.model import Plan
from unspool.kernels import library
from unspool.kernels.build import FOLDER, compilers
from unspool.kernels.library import BLOCK_OUTPUTS, FORMAT_CODES, GROUP_INPUTS, PACKED_FORMATS
from unspool.models import transformer
from unspool.models.compiled.cache import PackedStore
from unspool.models.compiled.coded import CODED_AS
from unspool.models.compiled.forms import PackedForm, form_of
from unspool.models.compiled.model import CompiledTransformer
from unspool.models.compiled.packing import pack, size_of
from unspool.models.gguf.formats import GGUF_FORMATS
from unspool.models.gguf.weights import Blocks
from unspool.models.rope import Rope
from unspool.models.slots import Rule
from unspool.models.transformer import Block, Linear, Norm, Transformer
from unspool.models.weights import widen

EPSILON = 2.0**-24
SMALLEST_INPUT = np.float32(1e-30)
"""A group of inputs of which none is larger counts as zeros, where inputs become whole numbers."""
THREADS = (1, 2, 7)
WITH_POINT = ("float32", "bfloat16", "float16")


def has_compiler():
    """Whether a C compiler of the system is here; then nothing about the kernels is left out."""
    return any(True for _ in compilers())


def run_in_process(code, fixed=False, **environment):
    """What a program says that runs by itself, with variables of the environment (None: without); fixed: at addresses not random."""
    places = os.pathsep.join(str(path) for path in (FOLDER.parents[1], Path(__file__).parents[1]))
    given = {**os.environ, "PYTHONPATH": places, **environment}
    given = {name: value for name, value in given.items() if value is not None}
    command = [*(["setarch", "-R"] if fixed else []), sys.executable, "-c", code]
    return subprocess.run(command, env=given, capture_output=True, text=True, timeout=300)


# --- linear layers ------------------------------------------------------------------------------------------------------


def packed(weight, bias, kind):
    """A layer, packed in memory."""
    return packed_as([Linear(weight, bias)], kind)


def packed_as(linears, kind, form=None):
    """Layers packed as one in memory, in a form or as a dtype asks for."""
    form = form or form_of([linear.weight for linear in linears], kind)
    return pack(linears, form, PackedStore.empty(size_of(linears, form), kind))


def unpacked(layer, kind):
    """The weights that a packed layer stands for: (outputs, inputs), in float64."""
    outputs, inputs = layer.fields.outputs, layer.fields.inputs
    blocks, groups = -(-outputs // BLOCK_OUTPUTS), -(-inputs // GROUP_INPUTS)
    data = layer.rooms.numbers
    if kind in WITH_POINT:
        wide = {"float32": np.float32, "bfloat16": np.uint16, "float16": np.float16}
        numbers = widen(data.view(wide[kind]))
        return numbers.reshape(blocks, inputs, BLOCK_OUTPUTS).transpose(0, 2, 1).reshape(-1, inputs)[:outputs].astype(np.float64)
    none = np.zeros(blocks * groups * BLOCK_OUTPUTS)
    wide = [room.view(np.float16).astype(np.float64) if len(room) else none for room in layer.rooms[1:3]]
    scales, minima = (numbers.reshape(blocks, groups, BLOCK_OUTPUTS, 1) for numbers in wide)
    if kind == "int8":
        whole = data.reshape(blocks, groups, 8, BLOCK_OUTPUTS, 4).astype(np.float64) - 128
    else:
        both = data.reshape(blocks, groups, 4, BLOCK_OUTPUTS, 4)
        whole = np.concatenate([both & 15, both >> 4], axis=2).astype(np.float64) - (8 if kind == "int4" else 0)
    weight = whole.transpose(0, 1, 3, 2, 4).reshape(blocks, groups, BLOCK_OUTPUTS, GROUP_INPUTS) * scales + minima
    return weight.transpose(0, 2, 1, 3).reshape(blocks * BLOCK_OUTPUTS, groups * GROUP_INPUTS)[:outputs, :inputs]


def rounded_inputs(x, fused):
    """x as the kernels round it for weights in whole numbers: each 32 of a row to 255 steps.

    fused: whether x * 127 / most is rounded once, with the rounding to a whole number, as where there is a fused multiplication.
    """
    groups = -(-x.shape[1] // GROUP_INPUTS)
    wide = np.zeros((len(x), groups * GROUP_INPUTS), np.float32)
    wide[:, : x.shape[1]] = x
    wide = wide.reshape(len(x), groups, GROUP_INPUTS)
    most = np.abs(wide).max(-1, keepdims=True)
    inverse = np.divide(np.float32(127), most, out=np.zeros_like(most), where=most > SMALLEST_INPUT)
    steps = np.rint(wide.astype(np.float64) * inverse if fused else wide * inverse)
    return (steps * (most / np.float32(127))).reshape(len(x), -1)[:, : x.shape[1]].astype(np.float64)


def product(variant, layer, x, softcap=0.0):
    """What a variant computes of rows x; y lies between numbers that must stay."""
    room = np.full((len(x) + 2, layer.fields.outputs), 7.0, np.float32)
    assert variant.linear(c.addressof(layer.fields), x.ctypes.data, len(x), room[1:].ctypes.data, softcap) == 0
    assert (room[0] == 7).all(), "a number before y was written"
    assert (room[-1] == 7).all(), "a number after y was written"
    return room[1:-1]


def extreme(numbers, rng, most):
    """Numbers, or the same with what is rare: one sign, zeros alone or between, numbers below the least normal one, large ones."""
    kind = rng.integers(12)
    if kind in (0, 1):
        return np.abs(numbers) * np.float32(1 - 2 * kind)
    if kind == 2:
        return np.where(rng.random(numbers.shape) < 0.5, np.float32(rng.choice([0.0, -0.0])), numbers)
    if kind == 3:
        return numbers * (np.arange(numbers.shape[-1]) // GROUP_INPUTS % 2).astype(np.float32)
    if kind == 4:
        return np.zeros_like(numbers)
    if kind == 5:
        return numbers / np.abs(numbers).max() * np.float32(1e-39)
    if kind == 6:
        return np.where(rng.random(numbers.shape) < 0.1, numbers, numbers / np.abs(numbers).max() * np.float32(1e-40))
    if kind in (7, 8):                                                    # with signs that cancel each other, and of one sign
        large = numbers / np.abs(numbers).max() * np.float32(most)
        return large if kind == 7 else np.abs(large) * np.float32(rng.choice([-1, 1]))
    return numbers


def random_weight(rng, outputs, inputs, most=6e4):
    """Weights of any strides, some of them extreme."""
    weight = rng.standard_normal((2 * outputs, 2 * inputs)).astype(np.float32) * np.float32(10.0 ** rng.uniform(-5, 1))
    weight = extreme(weight, rng, most)
    which = rng.integers(5)
    if which == 0:
        return weight[:outputs, :inputs].copy()
    if which == 1:
        return weight[:outputs, :inputs].T.copy().T
    return (weight[::2, ::2], weight[:outputs, :inputs], weight[outputs - 1 :: -1, :inputs])[which - 2]


def check_linear(name, variant, kind, rng):
    """One random layer: numpy's numbers within a bound; every row as if alone; any number of threads."""
    rows, outputs, inputs = (int(rng.integers(1, most)) for most in (41, 83, 150))
    if rng.integers(20) == 0:                                             # enough work for threads
        outputs, inputs = int(rng.integers(400, 700)), int(rng.integers(300, 500))
    weight = random_weight(rng, outputs, inputs, 1e30 if kind in ("float32", "bfloat16") else 6e4)
    bias = rng.standard_normal(outputs).astype(np.float32) if rng.integers(2) else None
    layer, x = packed(weight, bias, kind), rng.standard_normal((rows, inputs)).astype(np.float32)
    x[:, rng.integers(inputs)] *= np.float32(10.0 ** rng.uniform(-3, 3))
    x = extreme(x, rng, 1e4)
    given, held = f"{name} {kind} {rows, outputs, inputs}", unpacked(layer, kind)
    check_rounding(weight, held, kind, given)
    exact = rounded_inputs(x, name != "baseline") if kind.startswith("int") else x.astype(np.float64)
    start = 0.0 if bias is None else bias.astype(np.float64)
    expected = exact @ held.T + start
    # Each product passes through at most `inputs` additions, each of which rounds by 2^-24; with a few for scales and the end.
    bound = (inputs + 16) * EPSILON * (np.abs(exact) @ np.abs(held).T + np.abs(start)) + 1e-30
    if kind == "int4_min":                                                # adds numbers that are larger than what they come to
        minima = layer.rooms.minima.view(np.float16).astype(np.float64).reshape(-1, BLOCK_OUTPUTS)
        bound += (inputs + 16) * EPSILON * 4 * np.abs(exact).sum(-1, keepdims=True) * np.abs(minima).max()
    found = product(variant, layer, x)
    assert (np.abs(found - expected) <= bound).all(), (given, float((np.abs(found - expected) / bound).max()))
    for r in rng.integers(0, rows, 3):
        assert (product(variant, layer, x[r : r + 1]) == found[r]).all(), f"{given}: row {r} alone"
    some = np.ascontiguousarray(x[rng.permutation(rows)[: rng.integers(1, rows + 1)]])
    order = [int(np.flatnonzero((x == row).all(-1))[0]) for row in some]
    assert (product(variant, layer, some) == found[order]).all(), f"{given}: other rows beside"
    for count in THREADS:
        with threads(count):
            assert (product(variant, layer, x) == found).all(), f"{given}: {count} threads"
    return found.size


def check_rounding(weight, held, kind, given):
    """How far packed weights may lie from those that were given."""
    outputs, inputs = weight.shape
    wide = np.zeros((outputs, -(-inputs // GROUP_INPUTS) * GROUP_INPUTS))
    wide[:, :inputs] = weight
    groups = wide.reshape(outputs, -1, GROUP_INPUTS)
    most, span = np.abs(groups).max(-1, keepdims=True), groups.max(-1, keepdims=True) - groups.min(-1, keepdims=True)
    # Half a step, with what scales of binary16 lose beside it: 2^-11 of them, or 2^-25 where they are smallest.
    # The scale of int8 is most / 127; those of int4 reach from -8 to 7 of a step, or 15 of them; both try some around it.
    part = {"float32": 0, "bfloat16": most * 2.0**-8 + 2.0**-134, "float16": most * 2.0**-11 + 2.0**-25}
    part |= {"int8": most * (0.5 / 127 + 2.0**-11) + 2.0**-18}
    part |= {"int4": most * (1 / 7 + 0.01) + 2.0**-20, "int4_min": span * (0.5 / 15 + 0.01) + most * 2.0**-10 + 2.0**-19}
    off = np.abs(np.pad(held, ((0, 0), (0, wide.shape[1] - inputs))).reshape(groups.shape) - groups)
    off.reshape(outputs, -1)[:, inputs:] = 0
    if kind.startswith("int4"):                                           # the scale is the best for the group, not for each of it
        off = np.sqrt((off**2).mean(-1, keepdims=True))
    assert (off <= part[kind]).all(), (given, float((off - part[kind]).max()))


FILE_FORMATS = [form for form in GGUF_FORMATS.values() if form.blocks]
"""Formats of a file whose weights are whole numbers with scales."""


def random_blocks(rng, form, outputs, blocks):
    """Random weights (outputs, blocks * form.numbers) as a file has them, in any order of their rows."""
    data = rng.integers(0, 256, (outputs * blocks, form.size), np.uint8)
    data[~(np.abs(form.widen(data)) < 1e4).all(1)] = 0
    rows = rng.permutation(outputs) if rng.integers(2) else None
    return Blocks(data.reshape(outputs, -1), form, rows)


def check_whole(name, variant, rng):
    """Random layers that a file has in whole numbers, of one format or several: to the bit what the same weights are in float32."""
    forms = [FILE_FORMATS[i] for i in rng.integers(0, len(FILE_FORMATS), rng.choice([1, 1, 3]))]
    inputs, rows = 256 * int(rng.integers(1, 4)), int(rng.integers(1, 41))
    parts = [(form, int(rng.integers(1, 50))) for form in forms]
    biases = [rng.standard_normal(outputs).astype(np.float32) if rng.integers(2) else None for _, outputs in parts]
    blocks = [random_blocks(rng, form, outputs, inputs // form.numbers) for form, outputs in parts]
    x = extreme(rng.standard_normal((rows, inputs)).astype(np.float32), rng, 1e4)
    answers, formats = [], []
    for weights in (blocks, [np.asarray(weight) for weight in blocks]):
        linears = [Linear(weight, bias) for weight, bias in zip(weights, biases, strict=True)]
        layer = packed_as(linears, "float32")
        answers.append(product(variant, layer, x))
        formats.append(layer.fields.format)
    given = f"{name} {[(form.name, outputs) for form, outputs in parts]} {rows, inputs}"
    kind = "whole4" if all(form.blocks.whole.four_bits for form in forms) else "whole8"
    assert formats == [FORMAT_CODES[kind], FORMAT_CODES["float32"]], given
    assert answers[0].tobytes() == answers[1].tobytes(), given
    return answers[0].size


def check_coded(name, variant, rng):
    """A random layer whose exponents are coded, with none, one or many exceptions, zeros and what is no number among them: to the bit
    what it is in its own format."""
    kind, inputs, rows = str(rng.choice(list(CODED_AS))), 8 * int(rng.integers(1, 40)), int(rng.integers(1, 41))
    parts = [int(rng.integers(1, 60)) for _ in range(rng.choice([1, 1, 3]))]
    outputs, exponent = sum(parts), int(rng.choice([0, 240, rng.integers(0, 241)]))
    bits = rng.integers(0, 1 << 23, (outputs, inputs)) | (exponent + rng.integers(1, 16, (outputs, inputs))) << 23
    bits = np.where(rng.random(bits.shape) < rng.choice([0, 0.1]), rng.integers(0, 1 << 23, bits.shape), bits)  # 0, and below the least
    where = rng.permutation(bits.size)[: rng.choice([0, 1, bits.size // 200, bits.size // 3])]
    others = np.setdiff1d(np.arange(1, 256), exponent + np.arange(1, 16))
    bits.reshape(-1)[where] = rng.choice(others, len(where)) << 23 | rng.integers(0, 1 << 23, len(where))
    form = PackedForm(CODED_AS[kind], GROUP_INPUTS, False, exponent, len(where))
    bits = (bits | rng.integers(0, 2, bits.shape) << 31).astype(np.uint32)
    weight = (bits if kind == "float32" else bits & np.uint32(0xFFFF0000)).view(np.float32)
    weight = weight if rng.integers(2) else weight.T.copy().T
    biases = [rng.standard_normal(count).astype(np.float32) if rng.integers(2) else None for count in parts]
    linears = [Linear(part, bias) for part, bias in zip(np.split(weight, np.cumsum(parts)[:-1]), biases, strict=True)]
    x = rng.standard_normal((rows, inputs)).astype(np.float32)
    found, wanted = (product(variant, packed_as(linears, kind, its), x) for its in (form, None))
    alike = (found.view(np.uint32) == wanted.view(np.uint32)) | (np.isnan(found) & np.isnan(wanted))
    assert alike.all(), f"{name} {kind} {rows, outputs, inputs} exponent {exponent}, {len(where)} exceptions"
    return found.size


@contextmanager
def threads(count):
    """A number of threads for a while."""
    library.library().un_threads(count)
    try:
        yield
    finally:
        library.library().un_threads(library.thread_count())


def check_log_sum_exp(name, variant, rng):
    """Rows of one random table against float64, and rows with what is no number."""
    rows, columns = int(rng.integers(1, 9)), int(rng.integers(1, 300))
    x = (rng.standard_normal((rows, columns)) * 10.0 ** rng.uniform(-2, 3)).astype(np.float32)
    kind = rng.integers(6)
    x = np.where(rng.random(x.shape) < 0.5, np.float32(-np.inf), x) if kind == 0 else x
    if kind == 1:
        x[:] = x[:, :1]                                                   # ties
    if kind == 2:
        x[0] = -np.inf
    if kind == 3:
        x[-1, rng.integers(columns)] = strange_nan(rng)
    if kind == 4:
        x[0, rng.integers(columns)] = np.inf
    found, terms = np.full(rows + 2, 7.0, np.float32), np.full(rows + 2, 7)
    variant.log_sum_exp(np.ascontiguousarray(x).ctypes.data, rows, columns, found[1:].ctypes.data, terms[1:].ctypes.data)
    assert found[0] == found[-1] == terms[0] == terms[-1] == 7
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        wide = x.astype(np.float64)
        most = wide.max(-1, keepdims=True)
        rest = np.log(np.exp(wide - np.where(np.isfinite(most), most, 0)).sum(-1, keepdims=True))
        expected = np.where(np.isfinite(most), most + rest, most)[:, 0]
    for got, wanted in zip(found[1:-1], expected, strict=True):
        given = f"{name} {rows, columns} kind {kind}: {got} for {wanted}"
        if np.isposinf(wanted):
            assert np.isnan(got) or np.isposinf(got), given
        elif not np.isfinite(wanted):
            assert (np.isnan(got) and np.isnan(wanted)) or got == wanted, given
        else:
            assert abs(got - wanted) <= 2e-6 * (1 + abs(wanted)), given
    below = wide - np.where(np.isfinite(most), most, 0)
    above = (below > -86.9).sum(-1), (below > -104).sum(-1)              # terms whose exponential is no 0
    for count, least, largest, top in zip(terms[1:-1], *above, most[:, 0], strict=True):
        assert not np.isfinite(top) or least <= count <= largest, f"{name} {rows, columns} kind {kind}: {count} terms"


def strange_nan(rng):
    """One of many bit patterns that are no number."""
    return np.asarray(rng.integers(1, 1 << 22) | rng.choice([0x7F800000, 0xFF800000, 0xFFC00000]), np.uint32).view(np.float32)


# --- transformers -------------------------------------------------------------------------------------------------------

HEAD_SIZES = (4, 8, 20, 64, 80, 128)


def random_transformer(rng, head_size=None):
    """A transformer of random shape, whose parts are those of no family in particular."""
    key_heads, group = (int(n) for n in rng.integers(1, 4, 2))
    size = head_size or int(rng.choice(HEAD_SIZES))
    heads, layers, vocabulary, width = key_heads * group, int(rng.integers(2, 4)), int(rng.integers(20, 60)), int(rng.integers(5, 40))
    inner, coin = int(rng.integers(5, 70)), lambda p=0.5: bool(rng.random() < p)

    def linear(outputs, inputs, bias):
        weight = (rng.standard_normal((outputs, inputs)) * 1.2 / np.sqrt(inputs)).astype(np.float32)
        return Linear(weight.T.copy().T if coin() else weight, rng.standard_normal(outputs).astype(np.float32) * 0.1 if bias else None)

    def norm(width, there=True):
        if not there:
            return None
        bias = (0.1 * rng.standard_normal(width)).astype(np.float32) if coin() else None
        return Norm((1 + 0.2 * rng.standard_normal(width)).astype(np.float32), bias, 1e-5, coin())

    ropes = [None if coin(0.3) else Rope(10.0 ** -rng.uniform(0, 3, rng.integers(1, size // 2 + 1)), coin()) for _ in range(2)]
    bias, gated, split, inner_norms, whole = coin(), coin(), coin(), coin(0.3), coin()
    before = [coin(0.8), coin(0.3), coin(0.8), coin(0.3)]
    blocks = []
    for _ in range(layers):
        outputs = [heads * size, key_heads * size, key_heads * size]
        qkv = tuple(linear(n, width, bias and coin()) for n in (outputs if split else [sum(outputs)]))
        both = (heads * size, key_heads * size) if whole else (size, size)
        up, down, gate = linear(inner, width, bias), linear(width, inner, bias), linear(inner, width, bias) if gated else None
        norms = [norm(width, there) for there in before]
        its = [norm(width, inner_norms) for width in both]
        out = linear(width, heads * size, bias)
        blocks.append(Block(qkv, out, up, down, gate, *norms, *its, ropes[rng.integers(2)], float(rng.choice([1.0, 0.7]))))
    rules = [Rule(int(rng.integers(1, 12)) if coin(0.4) else None, 5.0 if coin(0.3) else None) for _ in range(layers)]
    activation = (transformer.gelu, transformer.gelu_tanh, transformer.silu, transformer.relu)[rng.integers(4)]
    embedding = rng.standard_normal((vocabulary, width)).astype(np.float32)
    positions = (0.3 * rng.standard_normal((64, width))).astype(np.float32) if coin() else None
    settings = {"parallel": coin(0.3), "whole_norms": whole, "softcap": 4.0 if coin(0.3) else None}
    settings["slopes"] = 2.0 ** -np.arange(1, heads + 1) if coin(0.3) else None
    output = Linear(embedding) if coin() else linear(vocabulary, width, bias)
    top = (rules, norm(width), output, activation)
    first = (heads, key_heads, size, embedding, positions, float(rng.choice([1.0, 2.5])), norm(width, coin(0.2)), blocks)
    return Transformer("random", vocabulary, 64, (0,), 1, *first, *top, **settings)


def grown(model, rng, plan, steps=6):
    """Sessions of models side by side, grown alike as trees that fork and forget: their rows, and the texts of these."""
    models = model if isinstance(model, list) else [model]
    sessions = [one.session(plan) for one in models]
    texts = {}

    def extend(parents, chains):
        new = [session.extend(parents, chains).tolist() for session in sessions]
        assert all(one == new[0] for one in new)
        for parent, chain, row in zip(parents, chains, new[0], strict=True):
            texts[row] = [*texts.get(parent, []), *chain]
        return new[0]

    def chain(most):
        return rng.integers(0, models[0].vocabulary, rng.integers(1, most)).tolist()

    count = int(rng.integers(1, 4))
    rows = extend([-1] * count, [chain(9) for _ in range(count)])
    for _ in range(steps):
        parents = rng.choice(rows, rng.integers(1, 9)).tolist()
        new = extend(parents, [chain(4) for _ in parents])
        rows = [*rng.choice(rows, min(2, len(rows)), replace=False).tolist(), *new]
        if rng.integers(2):
            rows = rng.permutation(rows)[:6].tolist()
            for session in sessions:
                session.keep(rows)
    return sessions, rows, texts


class Rounded(Linear):
    """A linear layer in numpy that rounds its weights and inputs as the kernels do."""

    fused, kind = True, "float32"

    def __call__(self, x):
        held = unpacked(packed(self.weight, self.bias, self.kind), self.kind)
        wide = rounded_inputs(x, self.fused) if self.kind.startswith("int") else x.astype(np.float64)
        return (wide @ held.T + (0 if self.bias is None else self.bias)).astype(np.float32)


class ShortKeys(Transformer):
    """A transformer in numpy whose keys and values are kept in bfloat16."""

    def forward(self, tokens, positions, attend, layers=()):
        return super().forward(tokens, positions, lambda layer, q, k, v: attend(layer, q, short(k), short(v)), layers)


def short(x):
    """To bfloat16, to the nearest, ties to even, and back."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).view(np.float32)


def in_numpy(model, kind, fused):
    """The model that the kernels compute, in numpy."""
    if kind == "float32":
        return model
    its = type("Its", (Rounded,), {"fused": fused, "kind": kind})

    def rounded(part):
        if isinstance(part, tuple):
            return tuple(map(rounded, part))
        return its(part.weight, part.bias) if isinstance(part, Linear) else part

    blocks = [Block(*(rounded(getattr(block, part.name)) for part in fields(Block))) for block in model.blocks]
    kept = {part.name: getattr(model, part.name) for part in fields(Transformer) if part.init}
    return ShortKeys(**{**kept, "blocks": blocks, "output": rounded(model.output)})


def check_session(variant_name, kind, rng, head_size=None):
    """A random model: the compiled session answers as the plain one, and bit for bit as for each text alone."""
    plain = random_transformer(rng, head_size)
    layers = tuple(sorted(rng.choice(range(1, plain.layers), rng.integers(0, plain.layers), replace=False).tolist()))
    ready = CompiledTransformer(plain, kind)
    plan = Plan(layers=layers)
    sessions, rows, texts = grown([in_numpy(plain, kind, variant_name != "baseline"), ready], rng, plan)
    answers = {layer: [session.logits(rows, layer) for session in sessions] for layer in (None, *layers)}
    given = f"{variant_name} {kind} {shape_of(plain)}"
    for layer, (expected, found) in answers.items():
        assert np.isfinite(found).all(), given
        # Sums of some hundred numbers about 1, through a few layers that may enlarge what is off. Where inputs or keys are rounded,
        # one between two steps may go either way, and the layers after it go with it: that much may differ.
        off = np.abs(found - expected) / (1 + np.abs(expected).std())
        most = {"float32": (1e-4, 5e-3), "bfloat16": (5e-4, 2e-2), "float16": (5e-4, 2e-2)}.get(kind, (0.05, np.inf))
        assert (np.quantile(off, [0.5, 1]) <= most).all(), (given, layer, np.quantile(off, [0.5, 0.9, 1]).tolist())
    for row in {*rng.choice(rows, 2).tolist()}:
        alone = ready.session(plan)
        (own,) = alone.extend([-1], [texts[row]])
        for layer in (None, *layers):
            assert (alone.logits([own], layer)[0] == answers[layer][1][rows.index(row)]).all(), f"{given}: a text alone, layer {layer}"
    return len(rows)


def shape_of(model):
    """A random transformer in words."""
    block = model.blocks[0]
    norms = [name for name in vars(block) if isinstance(getattr(block, name), Norm)]
    names = ("heads", "key_heads", "head_size", "width", "parallel", "whole_norms", "softcap", "rules")
    parts = {name: getattr(model, name) for name in names}
    return parts | {"norms": norms, "slopes": model.slopes is not None, "inner": len(block.up.weight)}


def all_variants(seed, count, at_once=1):
    """Some of every check over every variant and format, in so many Python threads at once; how many there were."""

    def some(name, variant, seed):
        done, rng = 0, np.random.default_rng(seed)
        for kind in PACKED_FORMATS:
            done += sum(check_linear(name, variant, kind, rng) > 0 for _ in range(count))
            done += sum(check_session(name, kind, rng) > 0 for _ in range(max(1, count // 8)))
        for _ in range(count):
            check_log_sum_exp(name, variant, rng)
            check_whole(name, variant, rng)
            check_coded(name, variant, rng)
        return done

    total = 0
    for name, variant in library.variants().items():
        os.environ["UNSPOOL_KERNELS"] = name
        with ThreadPoolExecutor(at_once) as pool:
            total += sum(pool.map(lambda i, name=name, variant=variant: some(name, variant, seed + i), range(at_once)))
    return total


if __name__ == "__main__":
    library.FOLDER = Path(sys.argv[1])
    assert library.variants(), f"no library in {sys.argv[1]}"
    print(f"{all_variants(*map(int, sys.argv[2:]))} checks over {', '.join(library.variants())}")
