"""The kernels built for another processor, in a program under an emulator that is called as the library here is.

What a call reads is copied into the program's memory, pointers are changed to where it lies there, and what it wrote is copied back.
"""

import ctypes as c
import shutil
import struct
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from unspool.kernels.build import FLAGS, FOLDER
from unspool.kernels.library import (
    BLOCK_OUTPUTS,
    FORMAT_CODES,
    PACKED_FORMATS,
    SEGMENT,
    BlockFields,
    Matrix,
    ModelFields,
    NormFields,
    StepFields,
)
from unspool.models.compiled.forms import PackedForm

EMULATOR = shutil.which("qemu-aarch64")
ROOM, LET_GO, WRITE, READ, THREADS, FORWARD, LINEAR, LOG_SUM_EXP, TOP, PACK, PACK_CODED = range(1, 12)


def compiler():
    """What compiles for AArch64 here; None if nothing does."""
    if found := shutil.which("aarch64-linux-gnu-gcc"):
        return [found, "-static"]
    zig = [sys.executable, "-m", "ziglang"] if find_spec("ziglang") else [shutil.which("zig")]
    return [*zig, "cc", "-target", "aarch64-linux-musl", "-static"] if zig[0] else None


def built(folder):
    """The program, for AArch64."""
    names = ("pool", "pack", "pack_coded", "dispatch", "variant")
    sources = [*(str(FOLDER / f"{name}.c") for name in names), str(Path(__file__).with_suffix(".c"))]
    given = [*FLAGS, "-DVARIANT=baseline", "-DWORK_OF_A_PIECE=1000.0", f"-I{FOLDER}", *sources, "-lm", "-lpthread"]
    subprocess.run([*compiler(), *given, "-o", str(folder / "guest")], check=True)
    return folder / "guest"


class Guest:
    """A variant of the kernels, as `unspool.kernels.library.Kernels` is one."""

    name = b"aarch64"

    def __init__(self, program):
        self.program = program
        self.process = subprocess.Popen([EMULATOR, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.held = []
        self.ask(THREADS, 3)

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(60) == 0
        self.process.stdout.close()

    # --- memory -----------------------------------------------------------------------------------------------------------

    def ask(self, *question, data=b"", size=0):
        """One question; what it answers, or the `size` bytes that come before the answer."""
        words = [word or 0 for word in question]
        self.process.stdin.write(struct.pack("<12q", *words, *[0] * (12 - len(words))) + data)
        self.process.stdin.flush()
        found = self.process.stdout.read(size)
        (answer,) = struct.unpack("<q", self.process.stdout.read(8))
        return found if size else answer

    def put(self, data):
        """Bytes, copied there until the call is over: their address."""
        data = bytes(data)
        address = self.ask(ROOM, len(data))
        self.held.append(address)
        assert self.ask(WRITE, address, len(data), data=data) == len(data)
        return address

    def copied(self, address, size):
        """What lies at an address here, copied there; nothing of nothing."""
        return self.put(c.string_at(address, size)) if address else 0

    def back(self, there, here, size):
        c.memmove(here, self.ask(READ, there, size, size=size), size)

    def let_go(self):
        for address in self.held:
            self.ask(LET_GO, address)
        self.held = []

    # --- what the library offers --------------------------------------------------------------------------------------------

    def un_pack(self, w, to_output, to_input, outputs, inputs, number, *places):
        first = min(0, (outputs - 1) * to_output * 4)                     # strides may be negative
        last = max(0, (outputs - 1) * to_output) + (inputs - 1) * to_input + 1
        room = PackedForm.of(PACKED_FORMATS[number]).sizes(outputs, inputs)
        there = [self.put(bytes(size)) if size else 0 for size in room[:3]]
        self.ask(PACK, self.copied(w + first, last * 4 - first) - first, to_output, to_input, outputs, inputs, number, *there)
        for one, place, size in zip(there, places, room[:3], strict=True):
            if size:
                self.back(one, place, size)
        self.let_go()

    def un_pack_coded(self, w, to_output, to_input, outputs, inputs, number, exponent, *places):
        *here, room = places
        form = PackedForm(list(FORMAT_CODES)[number], 32, False, exponent, room)
        sizes, blocks = form.sizes(outputs, inputs), -(-outputs // BLOCK_OUTPUTS)
        numbers, first = self.put(bytes(sizes.numbers)), self.put(bytes(sizes.exceptions))
        last = ((outputs - 1) * to_output + (inputs - 1) * to_input + 1) * 4
        shape = (to_output, to_input, outputs, inputs, number, exponent)
        found = self.ask(PACK_CODED, self.copied(w, last), *shape, numbers, first, first + 4 * (blocks + 1), room)
        self.back(numbers, here[0], sizes.numbers)
        self.back(first, here[1], sizes.exceptions)
        self.let_go()
        return found

    def linear(self, layer, x, rows, y, softcap):
        fields = self.matrix(Matrix.from_address(layer))
        there = self.copied(y, rows * fields.outputs * 4)
        bits = struct.unpack("<i", struct.pack("<f", softcap))[0]
        found = self.ask(LINEAR, self.put(fields), self.copied(x, rows * fields.inputs * 4), rows, there, bits)
        self.back(there, y, rows * fields.outputs * 4)
        self.let_go()
        return found

    def log_sum_exp(self, x, rows, columns, y, terms):
        there, counts = self.put(bytes(4 * rows)), self.put(bytes(8 * rows))
        self.ask(LOG_SUM_EXP, self.copied(x, 4 * rows * columns), rows, columns, there, counts)
        self.back(there, y, 4 * rows)
        self.back(counts, terms, 8 * rows)
        self.let_go()

    def top(self, x, rows, columns, k, found):
        there = self.put(bytes(8 * rows * k))
        said = self.ask(TOP, self.copied(x, 4 * rows * columns), rows, columns, k, there)
        self.back(there, found, 8 * rows * k)
        self.let_go()
        return said

    def forward(self, model, step):
        its, given = self.model(ModelFields.from_address(model)), StepFields.from_buffer_copy(StepFields.from_address(step))
        n, width, states = given.tokens, its.width, 1 + given.wanted
        lengths = np.ctypeslib.as_array(c.cast(given.length, c.POINTER(c.c_int32)), (n,))
        paths, tables = (np.ctypeslib.as_array(c.cast(address, c.POINTER(c.c_int64)), (n,)) for address in (given.path, given.pool))
        segments, moved = {}, {}
        for path, table, length in zip(paths.tolist(), tables.tolist(), lengths.tolist(), strict=True):
            slots = np.ctypeslib.as_array(c.cast(path, c.POINTER(c.c_int64)), (length,))
            count = int(slots.max()) // SEGMENT + 1
            moved[path] = max(moved.get(path, 0), length)
            segments[table] = max(segments.get(table, 0), count)
        size = 2 * its.layers * its.key_heads * SEGMENT * its.slot_size * (2 if its.short_keys else 4)
        places = {}
        for table, count in segments.items():
            here = np.ctypeslib.as_array(c.cast(table, c.POINTER(c.c_int64)), (count,)).tolist()
            places[table] = here, [self.copied(address, size) for address in here]
        starts = {table: self.put(np.asarray(there, np.int64)) for table, (_, there) in places.items()}
        longest = {path: self.copied(path, 8 * length) for path, length in moved.items()}
        pairs = np.ctypeslib.as_array(c.cast(self.pairs, c.POINTER(c.c_int32)), (its.ropes,)) if its.ropes else []
        for name in ("cosines", "sines"):
            tables_of = np.ctypeslib.as_array(c.cast(getattr(given, name), c.POINTER(c.c_int64)), (its.ropes,)) if its.ropes else []
            there = [self.copied(int(a), 4 * n * int(k)) for a, k in zip(tables_of, pairs, strict=True)]
            setattr(given, name, self.put(np.asarray(there, np.int64)))
        here = given.hidden
        given.x, given.length = self.copied(given.x, 4 * n * width), self.copied(given.length, 4 * n)
        given.layer, given.hidden = self.copied(given.layer, 4 * given.wanted), self.put(bytes(4 * states * n * width))
        given.path = self.put(np.asarray([longest[path] for path in paths.tolist()], np.int64))
        given.pool = self.put(np.asarray([starts[table] for table in tables.tolist()], np.int64))
        found = self.ask(FORWARD, self.put(its), self.put(given))
        self.back(given.hidden, here, 4 * states * n * width)
        for origins, there in places.values():
            for origin, one in zip(origins, there, strict=True):
                self.back(one, origin, size)
        self.let_go()
        return found

    # --- structures ---------------------------------------------------------------------------------------------------------

    def matrix(self, its):
        fields = Matrix.from_buffer_copy(its)
        if its.data:
            for name, size in zip(("data", "scales", "minima", "exceptions"), room_of(its), strict=True):
                setattr(fields, name, self.copied(getattr(its, name), size))
            fields.bias = self.copied(its.bias, -(-its.outputs // BLOCK_OUTPUTS) * BLOCK_OUTPUTS * 4)
        return fields

    def norm(self, its, size):
        return NormFields(self.copied(its.weight, 4 * size), self.copied(its.bias, 4 * size), its.epsilon, its.centred)

    def block(self, its, model):
        fields, inner = BlockFields.from_buffer_copy(its), {"query_norm": model.heads, "key_norm": model.key_heads}
        for name, kind in BlockFields._fields_:
            if kind is Matrix:
                setattr(fields, name, self.matrix(getattr(its, name)))
            elif kind is NormFields:
                heads = inner.get(name)
                size = model.width if heads is None else model.head_size * (heads if model.whole_norms else 1)
                setattr(fields, name, self.norm(getattr(its, name), size))
        return fields

    def model(self, its):
        fields, self.pairs = ModelFields.from_buffer_copy(its), its.rope_pairs
        blocks = (BlockFields * its.layers).from_address(its.blocks)
        fields.blocks = self.put((BlockFields * its.layers)(*(self.block(one, its) for one in blocks)))
        fields.final, fields.head = self.norm(its.final, its.width), self.matrix(its.head)
        fields.slopes = self.copied(its.slopes, 4 * its.heads)
        fields.rope_pairs, fields.rope_interleaved = (self.copied(a, 4 * its.ropes) for a in (its.rope_pairs, its.rope_interleaved))
        return fields


def room_of(its):
    """Bytes of the numbers, scales, minima and exceptions of packed weights."""
    kind = list(FORMAT_CODES)[its.format]
    blocks = -(-its.outputs // BLOCK_OUTPUTS)
    exceptions = c.c_int32.from_address(its.exceptions + 4 * blocks).value if its.exceptions else 0
    return PackedForm(kind, its.group, bool(its.minima), its.exponent, exceptions).sizes(its.outputs, its.inputs)
