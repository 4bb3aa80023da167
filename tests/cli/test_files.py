"""Everything that is written goes through one writer: a file is whole or as it was, and a device, a pipe or a link stays one."""

import os
import re
import resource
import stat
import subprocess
import threading
from pathlib import Path

import pytest
from helpers.program import PROGRAM, ROOT, called, environment, one_line, refusal, unspool

import unspool as un
from unspool import files
from unspool.lab.generations import GenerationFile
from unspool.models.keeping import kept

PROMPT = "Once upon a time"
FEW = ("--max-new-tokens", "4")
OLD = "as it was"
WRITES = [
    ("--output-file", ["generate", PROMPT, *FEW]),
    ("--trace", ["steps", PROMPT, "-n", "2"]),
    ("--trace", ["heat", PROMPT, " there"]),
    ("--save", ["compare", PROMPT, *FEW, "-d", "greedy", "--seeds", "1"]),
    ("--output-file", ["plot", "entropy", PROMPT, *FEW, "-o", "svg"]),
    ("--output-file", ["tree", PROMPT, *FEW, "-o", "svg"]),
]
"""Options of the program that write, and a command for each."""
every_writer = pytest.mark.parametrize(("option", "command"), WRITES, ids=[f"{c[0]} {o}" for o, c in WRITES])


def limited(size):
    """Let a program's files have so many bytes, as on a disk that is nearly full."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def program(*arguments, limit, **more):
    """The program where no file can have more than so many bytes."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 60, "env": environment(), "check": False} | more
    return subprocess.run([*PROGRAM, *arguments], preexec_fn=limited(limit), **options)


def test_nothing_else_writes():
    """Whoever opens a file for writing does so in files.py; what is downloaded or drawn into memory is no file of ours."""
    writing = re.compile(r"\.write_(?:text|bytes)\(|\.open\(\"[^r]|\bopen\([^)]*\"[wax]b?\"|\.savefig\(|O_WRONLY|O_RDWR|json\.dump\(")
    allowed = {
        "files.py",
        "cli/program.py",                                                # standard streams that were closed
        "views/plot.py",                                                 # savefig into memory
        "views/compare_plot.py",
        "views/sweep_plot.py",
        "lab/mauve.py",                                                   # the null device, for what another package prints
    }
    package = ROOT / "src/unspool"
    found = {str(p.relative_to(package)) for p in package.rglob("*.py") if writing.search(p.read_text(encoding="utf-8"))}
    assert found <= allowed


# --- what stands at the path stays what it is ---------------------------------------------------------------------------


@every_writer
def test_devices_pipes_and_links_stay_what_they_are(option, command, tmp_path):
    target, link, pipe = tmp_path / "target", tmp_path / "link", tmp_path / "pipe"
    link.symlink_to("target")
    if option != "--save":                                               # what it holds already is read there
        target.write_text(OLD)
        target.chmod(0o640)
    assert called(*command, option, str(link))[0] == 0
    whole = target.read_bytes()
    assert OLD.encode() not in whole
    assert len(whole) > 10
    assert link.is_symlink()
    if option != "--save":
        assert stat.S_IMODE(target.stat().st_mode) == 0o640
    os.mkfifo(pipe)
    received = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
    reader.start()
    assert called(*command, option, str(pipe))[0] == 0
    reader.join(20)
    assert len(received[0]) == pytest.approx(len(whole), abs=60), "seconds differ"
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert called(*command, option, "/dev/null")[0] == 0
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    code, _, said = called(*command, option, "/dev/full")
    assert code == 2
    assert one_line(said) == "unspool: cannot write /dev/full: No space left on device\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "pipe", "target"]


def test_a_link_to_nothing_makes_the_file_and_a_circle_of_links_is_refused(tmp_path):
    (tmp_path / "link").symlink_to("new")
    files.write(tmp_path / "link", "text")
    assert (tmp_path / "new").read_text() == "text"
    assert (tmp_path / "link").is_symlink()
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(un.UnspoolError, match=r"cannot write .*/a: Too many levels"):
        files.write(tmp_path / "a", "text")


def test_what_a_shell_opened_is_written_to_where_it_stands(tmp_path):
    """`--output-file /dev/stdout >> log` appends, as every program does; process substitution is a descriptor too."""
    log = tmp_path / "log"
    log.write_text("before\n")
    with log.open("ab") as file:
        done = subprocess.run([*PROGRAM, PROMPT, *FEW, "--output-file", "/dev/stdout"], stdout=file, env=environment(), check=True)
    assert done.returncode == 0
    assert log.read_text().startswith(f"before\n{PROMPT}")
    line = f"{' '.join(PROGRAM)} '{PROMPT}' --max-new-tokens 4 --output-file >(cat > {tmp_path}/got; echo >&2)"
    subprocess.run(["bash", "-c", f"{{ {line}; }} 2>&1 | cat"], env=environment(), check=True, timeout=60, capture_output=True)
    assert (tmp_path / "got").read_text().startswith(PROMPT)


def test_new_files_have_the_usual_permissions(tmp_path):
    before = os.umask(0o027)
    try:
        files.write(tmp_path / "new", "text")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640


def test_a_name_as_long_as_names_can_be(tmp_path):
    files.write(tmp_path / ("x" * 255), "text")
    with pytest.raises(un.UnspoolError, match="File name too long"):
        files.check_writable(tmp_path / ("x" * 256))


# --- a file is whole or as it was ---------------------------------------------------------------------------------------


def broken_off():
    yield "a piece"
    raise KeyboardInterrupt


def no_json():
    yield "a piece"
    raise ValueError("no JSON")


def full(*_):
    raise OSError(28, "No space left on device")


FAILURES = {
    "broken off": (broken_off, None),
    "no JSON": (no_json, None),
    "full when written": (lambda: "text", "write"),
    "full when it is all there": (lambda: "text", "fsync"),
    "full when closed": (lambda: "text", "close"),
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("old", [True, False])
def test_after_any_failure_the_file_is_as_it_was_and_nothing_lies_about(failure, old, tmp_path, monkeypatch):
    data, breaks = FAILURES[failure]
    file = tmp_path / "file"
    if old:
        file.write_text(OLD)
    if breaks:
        monkeypatch.setattr(os, breaks, full)
    with pytest.raises((un.UnspoolError, KeyboardInterrupt, ValueError)) as error:
        files.write(file, data())
    monkeypatch.undo()
    if breaks:
        assert str(error.value) == f"cannot write {file}: No space left on device"
    assert [p.name for p in tmp_path.iterdir()] == ["file"] * old
    assert not old or file.read_text() == OLD


@every_writer
def test_a_full_disk_is_one_line_with_the_file_s_name(option, command, tmp_path):
    file = tmp_path / "file"
    if option != "--save":
        file.write_text(OLD)
    done = program(*command, option, str(file), limit=20)
    assert done.returncode == 2
    assert one_line(done.stderr.decode()) == f"unspool: cannot write {file}: File too large\n"
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("file", OLD)] * (option != "--save")   # what it began is taken away


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_standard_output_that_takes_only_a_part_is_an_error(unbuffered, tmp_path):
    with (tmp_path / "out").open("wb") as file:
        done = program("steps", PROMPT, "-n", "9", stdout=file, limit=300, env=environment(PYTHONUNBUFFERED=unbuffered))
    assert done.returncode == 2
    assert one_line(done.stderr.decode()) == "unspool: cannot write standard output: File too large\n"
    for arguments in ([PROMPT, *FEW], ["plot", "entropy", PROMPT, *FEW], ["--help"], ["--version"]):
        with open("/dev/full", "wb") as device:
            done = subprocess.run(
                [*PROGRAM, *arguments],
                stdout=device,
                stderr=subprocess.PIPE,
                env=environment(PYTHONUNBUFFERED=unbuffered),
                check=False,
            )
        assert done.returncode == 2
        assert "standard output: No space left" in one_line(done.stderr.decode())


def test_a_batch_that_cannot_be_saved_whole_is_taken_back(tmp_path, monkeypatch):
    file = tmp_path / "texts.jsonl"
    lm = un.load()
    un.compare(lm, ["The king"], ["greedy"], seeds=1, max_new_tokens=2, save=file)
    before, write = file.read_bytes(), os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:50]) if len(data) > 600 else full())
    with pytest.raises(un.UnspoolError, match=r"texts.jsonl: No space left"):
        un.compare(lm, ["The king"], ["sample(2)"], seeds=1, max_new_tokens=2, save=file)
    monkeypatch.undo()
    assert file.read_bytes() == before
    assert len(list(GenerationFile(file).generations())) == 1


# --- refused before any work --------------------------------------------------------------------------------------------


@every_writer
def test_what_cannot_be_written_is_refused_before_any_work(option, command, tmp_path):
    nowhere, model = str(tmp_path / "none" / "file"), ["-m", "no/such"]
    assert f"cannot write {nowhere}: " in refusal(*command, option, nowhere, *(model if option != "--save" else []))
    assert f"cannot write {tmp_path}: " in refusal(*command, option, str(tmp_path), *(model if option != "--save" else []))
    closed = tmp_path / "closed"
    closed.write_text(OLD if option != "--save" else "")
    closed.chmod(0o444)
    assert "it is read-only" in refusal(*command, option, str(closed), *(model if option != "--save" else []))
    assert "cannot write /dev/fd/99: it is closed" in refusal(*command, option, "/dev/fd/99", *(model if option != "--save" else []))
    assert [p.name for p in tmp_path.iterdir()] == ["closed"]


def test_a_folder_in_which_nothing_can_be_made_is_refused_before_any_work(tmp_path, monkeypatch):
    """Asked of the system by `os.access`, for root may write anywhere."""
    file, access = tmp_path / "file", os.access
    file.write_text(OLD)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path and access(path, mode))
    with pytest.raises(un.UnspoolError, match=f"permission denied in the folder {tmp_path}"):
        files.check_writable(file)


def test_a_pipe_that_nobody_reads_is_one_line(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    growing = files.Growing(pipe)
    os.close(reader)
    with pytest.raises(un.UnspoolError, match="nobody reads it any more"):
        growing.append("text", 0)


# --- closed streams -----------------------------------------------------------------------------------------------------


def shell(line):
    """What the program says where a shell closes some of its streams."""
    done = subprocess.run(["bash", "-c", f"{' '.join(PROGRAM)} {line}"], capture_output=True, env=environment(), timeout=60, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("'The king' --max-new-tokens 2 >&-", 2, "cannot write standard output: it is closed"),
        ("--help >&-", 2, "standard output: it is closed"),
        ("--version >&-", 2, "standard output: it is closed"),
        ("- <&-", 2, "cannot read standard input: it is closed"),
        ("-f - <&-", 2, "cannot read standard input: it is closed"),
        ("'The king' --max-new-tokens 2 -d nothing 2>&-", 2, ""),
        ("'The king' --max-new-tokens 2 <&- 2>&- >&-", 2, ""),
    ],
)
def test_a_closed_stream_is_one_line(line, code, says):
    found, out, said = shell(line)
    assert (found, out) == (code, "")
    assert says in (one_line(said) if says else said + "x")


def test_closed_streams_that_are_not_needed_do_no_harm(tmp_path):
    file = tmp_path / "file"
    assert shell(f"'The king' --max-new-tokens 2 --output-file {file} <&- >&- 2>&-") == (0, "", "")
    assert file.read_text().startswith("The king")
    assert shell("'The king' --max-new-tokens 2 <&-")[0] == 0


@pytest.mark.parametrize("arguments", [["--help"], ["steps", PROMPT], ["plot", "entropy", PROMPT, *FEW]])
def test_a_reader_that_leaves_ends_the_program_quietly(arguments):
    process = subprocess.Popen([*PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(30) == (1 if arguments == ["--help"] else 141), "click's own answer is 1"


def test_the_program_as_a_whole_refuses_a_read_only_file(tmp_path):
    file = tmp_path / "file"
    file.write_text(OLD)
    file.chmod(0o400)
    done = unspool(PROMPT, *FEW, "--trace", str(file))
    assert (done.returncode, done.stdout) == (2, b"")
    assert file.read_text() == OLD


def test_the_home_of_a_user_that_the_shell_did_not_see(tmp_path, monkeypatch):
    """As it sees none behind a sign of equality, and in no variable."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(PROMPT)
    assert called("heat", "--file=~/text.txt", "--output-file=~/out.json", "-o", "json")[0] == 0
    monkeypatch.setenv("UNSPOOL_CACHE", "~/kept")
    assert kept("packed") == tmp_path / "kept" / "packed"
    monkeypatch.delenv("UNSPOOL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "~/cache")
    assert kept("packed") == tmp_path / "cache" / "unspool" / "packed"
    assert {path.name for path in tmp_path.iterdir()} == {"text.txt", "out.json"}
