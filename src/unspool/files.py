"""The one writer. A file is written whole or stays as it was; a device or a pipe is written to; what goes wrong is one error.

A symbolic link is followed: the file it leads to is replaced, the link stays. An existing file keeps its permissions and, where
the system lets us, its owner.
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import io
import itertools
import os
import shutil
import stat
import sys
import weakref
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from unspool.errors import ParameterError, UnspoolError, in_digits

FORMS = {".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv", ".md": "md", ".html": "html", ".htm": "html"}
FORMS |= {".parquet": "parquet", ".pq": "parquet", ".svg": "svg", ".png": "png", ".pdf": "pdf", ".dot": "dot", ".gv": "dot"}
FORMS |= {".gguf": "gguf", ".safetensors": "safetensors", ".py": "python", ".toml": "toml", ".tex": "latex", ".rst": "rst", ".xml": "xml"}
FORMS |= {".mmd": "mermaid", ".yaml": "yaml", ".yml": "yaml", ".jpg": "jpeg", ".jpeg": "jpeg", ".gif": "gif", ".webp": "webp"}
FORMS |= {".xls": "excel", ".xlsx": "excel", ".docx": "word", ".zip": "zip", ".gz": "gzip", ".npy": "numpy", ".npz": "numpy"}
"""What endings of files mean. Others mean nothing, and .txt any kind of text."""
MODEL_FILES = ("*config.json", "*tokens*.json", "tokenizer*", "vocab*", "merges.txt", "chat_template*", "*.index.json", "*.model", "*.gguf")
WEIGHT_FILES = ("*.safetensors", "*.bin", "*.pt", "*.pth")
"""What a folder of a model consists of."""
DataPiece: TypeAlias = str | bytes | memoryview
Data: TypeAlias = str | bytes | Iterable[DataPiece]
BINARY = getattr(os, "O_BINARY", 0)
LOCKED_BYTE = 1 << 62
"""On Windows a byte is locked, which nobody else may read: one beyond any file's end."""
ANY_MAY_WRITE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def write(path: str | Path, data: Data) -> None:
    """Write a file so that it holds all of the data, or stays as it was. Text is UTF-8; a lone surrogate, which that lacks, is \\udNNN."""
    check_writable(path)
    with _named(path):
        if is_stream(path):
            descriptor = _opened(path)
            try:
                _write_all(descriptor, data)
            finally:
                os.close(descriptor)
        else:
            _replace(Path(os.path.realpath(path)), data)


def check_writable(path: str | Path) -> None:
    """Refuse a path that cannot be written, before any work is done."""
    with _named(path):
        if (own := _own_descriptor(path)) is not None:
            os.fstat(own)
            return
        target, mode = Path(os.path.realpath(path)), _mode(path)
        _check_itself(path, mode)
        if mode is not None and not stat.S_ISREG(mode):
            return
        if not target.parent.is_dir():
            raise UnspoolError(f"cannot write {path}: there is no folder {target.parent}")
        if not os.access(target.parent, os.W_OK):
            raise UnspoolError(f"cannot write {path}: permission denied in the folder {target.parent}")


def _check_itself(path: str | Path, mode: int | None) -> None:
    """Refuse what is there and cannot be written."""
    if mode is None:
        return
    if stat.S_ISDIR(mode):
        raise UnspoolError(f"cannot write {path}: it is a folder")
    if stat.S_ISREG(mode) and not mode & ANY_MAY_WRITE:
        raise UnspoolError(f"cannot write {path}: it is read-only")       # root could; whoever took the permission away meant it
    if not os.access(path, os.W_OK):
        raise UnspoolError(f"cannot write {path}: permission denied")


def check_ending(what: str, path: str | Path, forms: Sequence[str]) -> None:
    """Refuse a name whose ending means another form than those (if any) that are written there. what: the option that names it."""
    suffix = Path(path).suffix.lower()
    if forms and FORMS.get(suffix, forms[0]) not in forms:
        first = {means: ending for ending, means in reversed(FORMS.items())}
        endings = [first[form] for form in forms if form in first]
        end = f"; end it in {' or '.join(endings)}" if endings else ""
        raise ParameterError(f"{what} {path}: {suffix} means {FORMS[suffix]}, and {' or '.join(forms)} is written there{end}")


def check_apart(written: Sequence[tuple[str, str]], read: Sequence[tuple[str, str]] = ()) -> None:
    """Refuse to write what is read, or the same file twice, of which one would be lost; a device or a pipe takes both.

    Each is (what names it, path); "-" is standard output, or where it is read standard input. A folder that is read is a model's.
    """
    files = [(what, path) for what, path in written if path != "-" and not is_stream(path)]
    for (one, first), (other, second) in itertools.combinations(files, 2):
        if _same_file(first, second):
            raise ParameterError(f"{one} and {other} would write the same file, {second}; give each its own")
    for (what, path), (source, there) in itertools.product(files, read):
        if _same_file(path, there) or (os.path.isdir(there) and _is_part(path, there)):
            raise ParameterError(f"{what} would overwrite {path}, which {source} reads ({source_name(there)}); give another file")


def unfinished_file(path: str | Path) -> Path:
    """Where texts come to first: a file of lines itself, and beside a Parquet file, which is written in one go."""
    return Path(f"{path}.unfinished.jsonl") if FORMS.get(Path(path).suffix.lower()) == "parquet" else Path(path)


def source_name(name: str | Path) -> str:
    """A file that is read, for people; "-" is standard input."""
    return "standard input" if str(name) == "-" else str(name)


def _same_file(first: str, second: str) -> bool:
    """Whether two names lead to one file: links of either kind, and names in either case on some disks."""
    try:
        if second == "-":
            return os.path.samestat(os.stat(first), os.fstat(sys.stdin.fileno()))
        return os.path.realpath(first) == os.path.realpath(second) or os.path.samefile(first, second)
    except (OSError, ValueError):
        return False


def _is_part(path: str, folder: str) -> bool:
    """Whether it is a file of the model in a folder."""
    name = os.path.basename(os.path.realpath(path))
    of_model = any(fnmatch.fnmatch(name, pattern) for pattern in (*MODEL_FILES, *WEIGHT_FILES))
    return of_model and _same_file(os.path.dirname(os.path.realpath(path)), folder)


def is_stream(path: str | Path) -> bool:
    """Whether it is a device, a pipe or one of this program's own descriptors, such as /dev/stdout: what is written to, not replaced."""
    mode = _mode(path)
    return _own_descriptor(path) is not None or (mode is not None and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode))


def write_output(data: str | bytes) -> None:
    """Write to standard output, all of it and at once; a BrokenPipeError says that nobody reads it any more."""
    try:
        sys.stdout.flush()
        try:
            descriptor = sys.stdout.fileno()
        except io.UnsupportedOperation:                                   # what stands for it in a notebook or a test
            (sys.stdout if isinstance(data, str) else sys.stdout.buffer).write(data)  # type: ignore[arg-type]
            return
        _write_all(descriptor, data)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UnspoolError(f"cannot write standard output: {said(error)}") from None


def said(error: OSError) -> str:
    """What the system says of a file, in its words; of one that was closed before the program began, that."""
    return "it is closed" if error.errno == errno.EBADF else error.strerror or str(error)


class Growing:
    """A file that grows by whole pieces: one that cannot be written whole is taken back. A device or a pipe is only written to.

    A file that is not there comes with its first piece, so that a run that fails before that leaves none; where it is `claimed`, at once,
    and goes again if nothing comes.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path
        self._stream = is_stream(path)
        self._descriptor, self._made = -1, False
        check_writable(path) if _mode(path) is None else self._open()

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Have the file for oneself: whoever else claims it meanwhile is refused. The claim ends with this program, however that ends."""
        if self._stream:
            yield
            return
        self._made = self._descriptor < 0 or self._made
        for _ in range(100):                                              # another may take its empty file away while we open it
            if self._descriptor < 0:
                self._open()
            _lock(self._descriptor, self.path)
            if os.path.exists(self.path) and os.path.samestat(os.fstat(self._descriptor), os.stat(self.path)):
                break
            self._descriptor = -1
        try:
            yield
        finally:
            if self._made and not os.fstat(self._descriptor).st_size:
                with contextlib.suppress(OSError):
                    os.unlink(os.path.realpath(self.path))
            _unlock(self._descriptor)

    def _open(self) -> None:
        with _named(self.path):
            _check_itself(self.path, _mode(self.path))
            self._descriptor = _opened(self.path) if self._stream else os.open(self.path, os.O_RDWR | os.O_CREAT | BINARY, 0o666)
        weakref.finalize(self, os.close, self._descriptor)

    def lines(self) -> Iterator[bytes]:
        """Its lines, one at a time, each with its line break; the last may lack one. Nothing of a device or a pipe."""
        if self._stream or self._descriptor < 0:
            return
        with _named(self.path), os.fdopen(os.dup(self._descriptor), "rb") as file:
            file.seek(0)
            yield from file

    def append(self, text: str, end: int) -> int:
        """Write a piece after the first `end` bytes, in place of what may stand there; where it ends."""
        data = _encoded(text)
        if self._descriptor < 0:
            self._open()
        with _named(self.path):
            if self._stream:
                _write_all(self._descriptor, data)
                return end + len(data)
            try:
                os.ftruncate(self._descriptor, end)
                os.lseek(self._descriptor, end, os.SEEK_SET)
                _write_all(self._descriptor, data)
                os.fsync(self._descriptor)                                # some disks say that they are full only here
            except BaseException:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._descriptor, end)
                raise
        return end + len(data)


def _lock(descriptor: int, path: str | Path) -> None:
    """Take the lock of an open file, or say that another program has it; the system lets go of it when its holder ends."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(descriptor, LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK):
            return                                                        # a disk without locks
        raise UnspoolError(f"another program is writing {path}; wait for its end, or give another file") from None


def _unlock(descriptor: int) -> None:
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            import msvcrt

            os.lseek(descriptor, LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_UN)


# --- what they share --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _named(path: str | Path) -> Iterator[None]:
    """What the system refuses is an error that names the file."""
    if not os.fspath(path):
        raise UnspoolError("the name of a file to write is empty")
    try:
        yield
    except BrokenPipeError:
        raise UnspoolError(f"cannot write {path}: nobody reads it any more") from None
    except OSError as error:
        raise UnspoolError(f"cannot write {path}: {said(error)}") from None


def _replace(target: Path, data: Data) -> None:
    """Write beside a file, then put that in its place."""
    part = target.with_name(f".{os.urandom(6).hex()}.part")              # not made of its name, which may be as long as names can be
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY, 0o666)
    try:
        try:
            _write_all(descriptor, data)
            os.fsync(descriptor)                                          # some disks say that they are full only here
        finally:
            os.close(descriptor)
        if target.exists():
            _keep_owner(target, part)
            shutil.copymode(target, part)
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _keep_owner(target: Path, part: Path) -> None:
    old, new = target.stat(), part.stat()
    if hasattr(os, "chown") and (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
        with contextlib.suppress(OSError):
            os.chown(part, old.st_uid, old.st_gid)


def _mode(path: str | Path) -> int | None:
    """What a path leads to, None if nothing is there."""
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return None


def _own_descriptor(path: str | Path) -> int | None:
    """The descriptor of this program that a path stands for, as /dev/stdout and /dev/fd/63 do.

    Such a path can lead to a file that a shell opened at a place of its own (`>> log`): it is written to there.
    """
    place = os.fspath(path)
    for _ in range(40):                                                   # links of links; a circle ends somewhere
        folder, name = os.path.realpath(os.path.dirname(place) or "."), os.path.basename(place)
        if (number := in_digits(name)) is not None and folder in ("/dev/fd", f"/proc/{os.getpid()}/fd"):
            return number
        if not os.path.islink(place):
            return None
        place = os.path.join(folder, os.readlink(place))
    return None


def _opened(path: str | Path) -> int:
    """A descriptor to write to what is no file."""
    own = _own_descriptor(path)
    return os.open(path, os.O_WRONLY) if own is None else os.dup(own)


def _write_all(descriptor: int, data: Data | memoryview) -> None:
    """All of the data: the system may take a part of it at a time."""
    for piece in [data] if isinstance(data, str | bytes | memoryview) else data:
        left = memoryview(_encoded(piece))
        while left:
            written = os.write(descriptor, left)
            if not written:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            left = left[written:]


def _encoded(data: DataPiece) -> bytes | memoryview:
    return data.encode("utf-8", "backslashreplace") if isinstance(data, str) else data
