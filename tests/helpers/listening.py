"""A server of ours that really listens, on a free port of this machine, in a thread."""

import socket
import sys
import threading
import time
import traceback
from contextlib import contextmanager

from unspool.serve.runner import StoppableServer


def until(right, seconds, pause=0.005):
    """Wait till something is so."""
    end = time.monotonic() + seconds
    while not right():
        assert time.monotonic() < end, "it took too long"
        time.sleep(pause)


@contextmanager
def listening(server, seconds=300):
    """The port on which it listens; afterwards it has ended."""
    bound = socket.create_server(("127.0.0.1", 0))
    runner = StoppableServer(server)
    thread = threading.Thread(target=runner.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    until(lambda: runner.started, seconds)
    try:
        yield bound.getsockname()[1]
    finally:
        runner.should_exit = True
        thread.join(seconds)
        bound.close()
        assert not thread.is_alive(), at_work()


def at_work():
    """What every thread is doing."""
    frames, threads = sys._current_frames(), threading.enumerate()
    stacks = {thread.name: traceback.format_stack(frames[thread.ident])[-6:] for thread in threads if thread.ident in frames}
    return "".join(f"\n{name}:\n{''.join(lines)}" for name, lines in stacks.items())
