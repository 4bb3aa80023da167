"""Write tests/data/llama-cpp.json.gz: what llama.cpp says to the cases of llama_cases.py.

    pip install llama-cpp-python==0.3.36 gguf safetensors
    PYTHONPATH=tests:src python tests/parity/make_llama_golden.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from parity import peers
from parity.llama_cases import CASES, CHANCES, COURSES, TELLINGS
from parity.llama_driver import Llama, lib, write_gguf
from parity.llama_partings import PARTINGS

TARGET = peers.DATA / "llama-cpp.json.gz"
COMMITS = {"0.3.36": "0c1e57098"}
"""Of llama.cpp in releases of llama-cpp-python, by its change log."""


def answers(llama: Llama) -> dict:
    """What it says to every case."""
    found: dict = {"llama-cpp-python": lib.__version__, "llama.cpp": COMMITS[lib.__version__], "cases": {}, "courses": {}}
    for case in CASES:
        found["cases"][str(case)] = [peers.packed(scores, llama.scores_after(case, scores, text)) for scores, text in case.inputs()]
    found["partings"] = {str(p): peers.packed(p.row(), llama.scores_after(p, p.row(), p.text)) for p in PARTINGS}
    for course in COURSES:
        after, tokens = llama.course(course)
        found["courses"][str(course)] = [[peers.packed(*x) for x in zip(course.inputs(), after, strict=True)], tokens]
    found["cuts"] = [llama.cuts(*chance) for chance in CHANCES]
    found["texts"] = {str(telling): llama.tell(telling) for telling in TELLINGS}
    return found


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        write_gguf(Path(folder) / "stories260K.gguf")
        peers.write(TARGET, answers(Llama(Path(folder) / "stories260K.gguf")))
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")
