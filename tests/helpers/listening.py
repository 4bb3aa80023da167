"""An application of ours that really listens, on a free port of this machine, in a thread."""

import socket
import threading
import time
from contextlib import contextmanager

import uvicorn


def until(right, seconds, pause=0.005):
    """Wait till something is so."""
    end = time.monotonic() + seconds
    while not right():
        assert time.monotonic() < end, "it took too long"
        time.sleep(pause)


@contextmanager
def listening(app, seconds=300, **settings):
    """The port on which it listens; afterwards it has ended."""
    bound = socket.create_server(("127.0.0.1", 0))
    runner = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, **settings))
    thread = threading.Thread(target=runner.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    until(lambda: runner.started, seconds)
    try:
        yield bound.getsockname()[1]
    finally:
        runner.should_exit = True
        thread.join(seconds)
        bound.close()
        assert not thread.is_alive()
