"""`unspool lab`: what it refuses, what it says, and that it ends."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest
from helpers.program import called

from unspool.page import start


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-d", "greedy", "-d", "greedy"], "begins with one decoder; got 2"),
        (["-m", "bundled", "-m", "bundled", "-m", "bundled"], "compares two models; got 3"),
        (["-m", "nowhere/at-all/x"], "nowhere"),
        (["--port", "99999"], "99999"),
        (["--port", "x"], "x"),
        (["--unknown"], "--unknown"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(arguments, said):
    code, printed, error = called("lab", "--no-browser", *arguments)
    assert code == 2
    assert not printed
    assert said in error
    assert error.count("\n") == 1


def test_a_decoder_that_is_none_is_refused_before_a_model_is_opened():
    code, _, error = called("lab", "--no-browser", "-d", "topk(3)")
    assert code == 2
    assert "top_k" in error


def test_two_labs_on_one_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, _, error = called("lab", "--no-browser", "--port", port)
    assert code == 2
    assert f"port {port}: Address already in use" in error
    assert "give another --port" in error


def test_it_starts_and_ends_as_a_program():
    command = [sys.executable, "-m", "unspool", "lab", "It was", "--port", "0", "--no-browser", "-d", "beam(2)", "--seed", "4"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ) as lab:
        try:
            line = lab.stderr.readline()
            address = re.fullmatch(r"unspool lab with bundled at (http://127\.0\.0\.1:\d+/lab/) \(Ctrl-C ends it\)\n", line)[1]
            with urllib.request.urlopen(address, timeout=300) as answer:
                assert b"unspool lab" in answer.read()
        finally:
            lab.send_signal(signal.SIGINT)
        assert lab.wait(300) == 0
        assert "Traceback" not in lab.stderr.read()


def test_a_browser_is_opened_where_there_is_a_screen(monkeypatch):
    opened, waited = [], []
    monkeypatch.setattr(start.webbrowser, "open", opened.append)
    monkeypatch.setattr(start, "listen", lambda lm, host, port, settings, beside: waited.append(beside(_Server(), f"http://{host}:{port}")))
    monkeypatch.setattr("unspool.page.app.Lab", lambda *given: None)
    for browser, screen in ((True, True), (False, True), (True, False)):
        monkeypatch.setattr(start, "has_screen", lambda screen=screen: screen)
        start.open_lab({"bundled": None}, 8008, {}, browser, start.Settings())
    assert opened == ["http://127.0.0.1:8008/lab/"]
    assert len(waited) == 3


class _Server:
    """No server."""
