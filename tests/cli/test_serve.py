"""`unspool serve`: what it refuses before it listens, and a server that starts and stops as a program."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest
from helpers.program import called


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--host", "0.0.0.0"), "set UNSPOOL_API_KEY"),
        (("--rows", "0"), "--rows must be at least 1; got 0"),
        (("--max-tokens", "-3"), "--max-tokens must be at least 1; got -3"),
        (("--time-limit", "0"), "--time-limit is above 0"),
        (("--host", "no.such.host.invalid"), "UNSPOOL_API_KEY"),
        (("--port", "70000"), "70000"),
        (("--pord", "1"), "--port"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(arguments, said, monkeypatch):
    monkeypatch.delenv("UNSPOOL_API_KEY", raising=False)
    code, found, error = called("serve", *arguments)
    assert (code, found) == (2, "")
    assert said in error
    assert error.count("\n") == 1


def test_a_port_that_is_taken():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, _, error = called("serve", "--port", str(taken.getsockname()[1]))
    assert code == 2
    assert "give another --port" in error


@pytest.mark.parametrize("name", ["uvicorn", "starlette", "prometheus_client"])
def test_a_missing_extra_says_how_to_install_it(name):
    program = f"import sys; sys.modules[{name!r}] = None; from unspool.cli.program import run; sys.exit(run(['serve', '--port', '0']))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.returncode == 2
    assert ran.stderr == f"unspool: the server needs {name}: pip install 'unspool[serve]'\n"


def test_it_starts_and_stops():
    command = [sys.executable, "-m", "unspool", "serve", "--port", "0", "--name", "mine", "--seed", "3"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "UNSPOOL_API_KEY": "sesame"}) as server:
        try:
            line = server.stderr.readline()
            url = re.fullmatch(r"unspool serves mine at (http://127\.0\.0\.1:\d+/v1)\n", line)[1]
            body = json.dumps({"prompt": "A", "max_tokens": 2, "model": "mine"}).encode()
            headers = {"Content-Type": "application/json", "Authorization": "Bearer sesame"}
            with urllib.request.urlopen(urllib.request.Request(f"{url}/completions", body, headers)) as answer:
                assert json.load(answer)["seed"] == 3
        finally:
            server.send_signal(signal.SIGTERM)
        assert server.wait(300) in (0, -signal.SIGTERM)
        assert server.stderr.read() == ""
