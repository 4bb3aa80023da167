"""Build the kernels: one shared library beside the sources, every variant of them for the processors that may run it.

This file imports nothing of the package: the package's build runs it before the package is there. What building needs is
imported when something is built: every start of the program reads this file for its `stamp`.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

FOLDER = Path(__file__).parent
NAME = "libunspool.dylib" if sys.platform == "darwin" else "libunspool.so"
FLAGS = ("-std=gnu11", "-O3", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-psabi")
"""No -ffast-math: it breaks exp, and what is no number must stay none. No -ffp-contract=fast: by it Clang fuses the last product of a
sum here and not there, and a row's numbers depend on the rows beside it; as they are, GCC and Clang fuse x += y * z everywhere."""
VARIANTS = {
    "x86_64": {
        "baseline": (),
        "avx2": ("-mavx2", "-mfma", "-mf16c"),
        "avx512": (
            *("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512vnni", "-mfma", "-mf16c"),
            "-mprefer-vector-width=512",
        ),
    }
}
"""Flags of each variant, by machine; other machines have the baseline alone."""


class NoCompiler(Exception):
    """There is no C compiler, or it cannot build this."""


def compilers() -> Iterator[list[str]]:
    """C compilers to try: CC alone where it is set; else the system's, and zig's from its Python package."""
    import shlex
    import shutil

    if os.environ.get("CC"):
        yield shlex.split(os.environ["CC"])
        return
    yield from ([found] for name in ("cc", "gcc", "clang") if (found := shutil.which(name)))
    try:
        import ziglang  # noqa: F401
    except ImportError:
        return
    yield zig()


def zig() -> list[str]:
    """Zig's compiler. Left alone it compiles for the processor and the C library of this machine; here it is for all that may run it."""
    import platform

    glibc = sys.platform == "linux" and platform.libc_ver()[0] == "glibc"
    target = ["-target", f"{platform.machine()}-linux-gnu.2.17"] if glibc else []
    return [sys.executable, "-m", "ziglang", "cc", *target, "-mcpu=baseline"]


def stamp() -> str:
    """What the sources are: a library says which it was built of."""
    digest = hashlib.sha256()
    for path in sorted([*FOLDER.glob("*.[ch]"), Path(__file__)]):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def build(target: Path = FOLDER / NAME, compiler: Sequence[str] | None = None, extra: Sequence[str] = (), machine: str = "") -> Path:
    """Compile and link; the library appears whole or not at all."""
    import platform
    import shlex
    import subprocess
    import tempfile

    failures = []
    for command in [list(compiler)] if compiler else compilers():
        try:
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as folder:
                _build(command, Path(folder), extra, machine or platform.machine()).replace(target)
            return target
        except (OSError, subprocess.CalledProcessError) as error:
            status = f"it ended with {error.returncode}" if isinstance(error, subprocess.CalledProcessError) else str(error)
            said = [*(getattr(error, "stderr", None) or "").strip().splitlines(), status]
            named = " (which CC names; unset it, and others are tried)" if os.environ.get("CC") and not compiler else ""
            failures.append(f"{shlex.join(command)}{named}: {next((line for line in said if 'error' in line), said[0])}")
    raise NoCompiler("; ".join(failures) or "there is no C compiler (cc, gcc, clang, or the Python package ziglang)")


def _build(command: list[str], folder: Path, extra: Sequence[str], machine: str) -> Path:
    import subprocess
    from concurrent.futures import ThreadPoolExecutor

    jobs: list[tuple[str, str, tuple[str, ...]]] = [(source, source, ()) for source in ("pool", "pack", "pack_coded", "dispatch")]
    variants = VARIANTS.get("x86_64" if machine in ("AMD64", "x86_64") else machine, {"baseline": ()})
    jobs += [("variant", name, (f"-DVARIANT={name}", *flags)) for name, flags in variants.items()]

    def compile_one(job: tuple[str, str, tuple[str, ...]]) -> str:
        source, name, flags = job
        target = str(folder / f"{name}.o")
        given = [*FLAGS, *extra, *flags, f'-DSTAMP="{stamp()}"', "-c", str(FOLDER / f"{source}.c"), "-o", target]
        subprocess.run([*command, *given], check=True, capture_output=True, text=True)
        return target

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        objects = list(pool.map(compile_one, jobs))
    linked = folder / NAME
    strip = () if extra or sys.platform == "darwin" else ("-s",)
    given = ["-shared", *extra, *strip, *objects, "-lm", "-lpthread", "-o", str(linked)]
    subprocess.run([*command, *given], check=True, capture_output=True, text=True)
    return linked


if __name__ == "__main__":
    try:
        print(build())
    except NoCompiler as error:
        sys.exit(f"the kernels were not built: {error}")
