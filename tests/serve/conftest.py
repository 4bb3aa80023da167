"""A server that is really started, on a free port of this machine, in a thread."""

import json
from contextlib import contextmanager
from http.client import HTTPConnection

import openai
import pytest
from helpers.listening import listening, until

import unspool as un
from unspool.models.chat import ChatTemplate
from unspool.serve.app import Server
from unspool.serve.settings import Settings

TEMPLATE = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
)


class Started:
    """A server at work, and the model behind it."""

    def __init__(self, server, port, lm):
        self.server, self.port, self.lm = server, port, lm
        self.url = f"http://127.0.0.1:{port}/v1"

    def client(self, cls=openai.OpenAI, **more):
        return cls(base_url=self.url, api_key=more.pop("api_key", "none"), max_retries=0, **more)

    def send(self, path, body=None, method="POST", headers=None, raw=None):
        """Status, headers and JSON of an answer."""
        data = raw if raw is not None else None if body is None else json.dumps(body)
        connection = HTTPConnection("127.0.0.1", self.port, timeout=600)
        try:
            connection.request(method, path, data, {"Content-Type": "application/json", **(headers or {})})
            answer = connection.getresponse()
            text = answer.read().decode()
            is_json = answer.headers.get("content-type", "").startswith("application/json")
            return answer.status, answer.headers, json.loads(text) if is_json else text
        finally:
            connection.close()

    def completion(self, **body):
        """The answer to a completion without what differs between two of them."""
        status, _, answer = self.send("/v1/completions", body)
        assert status == 200, answer
        return {name: value for name, value in answer.items() if name not in ("id", "created")}

    def until(self, right, seconds=300):
        """Wait until something is so."""
        until(right, seconds)

    def idle(self):
        """Whether nothing is at work and no row is kept."""
        return not self.server.engine.batch.busy and not self.server.engine.waiting


@contextmanager
def started(lm, settings=None):
    server = Server(lm, settings or Settings())
    with listening(server) as port:
        yield Started(server, port, lm)


def bundled():
    lm = un.load()
    lm.chat = ChatTemplate(TEMPLATE)
    return lm


@pytest.fixture(scope="session")
def served():
    with started(bundled()) as found:
        yield found


@pytest.fixture(scope="session")
def client(served):
    with served.client() as found:
        yield found
