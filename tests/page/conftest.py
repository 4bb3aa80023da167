"""A lab that is really started, on a free port of this machine, in a thread."""

import json
from contextlib import contextmanager
from http.client import HTTPConnection

import pytest
from helpers.listening import listening, until

import unspool as un
from unspool.page.app import Lab
from unspool.serve.app import Server
from unspool.serve.settings import Settings


class StartedLab:
    """A lab at work."""

    def __init__(self, server, lab, port):
        self.server, self.lab, self.port = server, lab, port
        self.url = f"http://127.0.0.1:{port}/lab/"

    def connection(self):
        return HTTPConnection("127.0.0.1", self.port, timeout=300)

    def ask(self, name, body, method="POST", **headers):
        """An answer: its status, and its JSON or its text."""
        connection = self.connection()
        sent = {"Content-Type": "application/json", "x-unspool-token": self.lab.guard.token, **headers}
        try:
            connection.request(method, f"/lab/api/{name}", json.dumps(body), sent)
            answer = connection.getresponse()
            text = answer.read().decode()
            is_json = answer.headers.get("content-type", "").startswith("application/json")
            return answer.status, json.loads(text) if is_json else text
        finally:
            connection.close()

    def right(self, name, **body):
        """The answer to what is right."""
        status, answer = self.ask(name, body)
        assert status == 200, answer
        return answer

    def wrong(self, name, status=400, **body):
        """What is said of what is wrong."""
        found, answer = self.ask(name, body)
        assert found == status, answer
        return answer["error"]["message"]

    def run(self, **body):
        """The events of a run."""
        return [json.loads(line.removeprefix("data: ")) for line in self.right("run", **body).split("\n\n") if line.startswith("data: ")]

    def until(self, right, seconds=120):
        until(right, seconds)


@contextmanager
def started_lab(lm, settings=None, others=None, begin=None):
    server = Server(lm, settings or Settings(seed=0, grace=1))
    lab = Lab(server, others, begin)
    with listening(server, 120) as port:
        yield StartedLab(server, lab, port)


@pytest.fixture(scope="session")
def lab():
    with started_lab(un.load(), others={"second": un.load()}) as found:
        yield found
