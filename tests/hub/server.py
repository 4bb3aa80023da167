"""A stand-in for the Hugging Face hub on loopback: repositories in memory, and every way in which a download can go wrong."""

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".gguf")


@dataclass
class Repository:
    """Files of one commit, the names of that commit, and what is wrong with it."""

    files: dict[str, bytes]
    revisions: tuple[str, ...] = ("main",)
    gated: bool = False
    token: str = ""
    """Without it the repository is not shown."""
    breaks: dict[str, list[int]] = field(default_factory=dict)
    """For a file, after how many bytes one download after the other breaks off."""
    served: dict[str, bytes] = field(default_factory=dict)
    """What is sent instead of a file's own bytes."""
    claimed: dict[str, int] = field(default_factory=dict)
    """Sizes that files are said to have."""

    @property
    def commit(self):
        digest = hashlib.sha1()
        for name, data in sorted(self.files.items()):
            digest.update(name.encode() + hashlib.sha256(data).digest())
        return digest.hexdigest()

    def etag(self, name):
        """sha256 of large files, git's hash of others."""
        data = self.files[name]
        if name.endswith(LARGE):
            return hashlib.sha256(data).hexdigest()
        return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()


class Hub:
    """The server: `repositories` by name, and `log` of (method, path, Range) of what was asked."""

    def __init__(self):
        self.repositories, self.log = {}, []
        hub = self

        class Handler(Answer):
            pass

        Handler.hub = hub
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def fetched(self):
        """The files that were downloaded, with where each download began."""
        found = [(path.rsplit("/", 1)[1], where) for method, path, where in self.log if method == "GET" and "/resolve/" in path]
        return sorted(found, key=lambda pair: (pair[0], pair[1] or ""))


class Answer(BaseHTTPRequestHandler):
    """One request."""

    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        path = unquote(urlsplit(self.path).path)
        self.hub.log.append((self.command, path, self.headers.get("Range")))
        if path.startswith("/api/models/"):
            self.answer_api(path.removeprefix("/api/models/"))
        elif "/resolve/" in path:
            name, rest = path[1:].split("/resolve/", 1)
            revision, file = rest.split("/", 1)
            self.answer_file(name, revision, file, body)
        else:
            self.refuse(404, "NotHere")

    def repository(self, name, revision):
        """A repository that may be seen, or None after it was refused."""
        found = self.hub.repositories.get(name)
        allowed = found and (not found.token or self.headers.get("Authorization") == f"Bearer {found.token}")
        if not found or not allowed:
            return self.refuse(401 if not found else 404, "RepoNotFound")
        if found.gated:
            return self.refuse(401, "GatedRepo")
        if revision not in (*found.revisions, found.commit):
            return self.refuse(404, "RevisionNotFound")
        return found

    def answer_api(self, path):
        name, _, revision = path.replace("/tree/", "/revision/").partition("/revision/")
        found = self.repository(name, revision)
        if not found:
            return
        if "/tree/" in path:
            value = [self.entry(found, file) for file in found.files]
        else:
            value = {"id": name, "sha": found.commit, "siblings": [{"rfilename": file} for file in found.files]}
        self.send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def entry(self, found, file):
        data = found.files[file]
        entry = {"type": "file", "path": file, "size": len(data), "oid": found.etag(file)}
        return entry | ({"lfs": {"oid": found.etag(file), "size": len(data), "pointerSize": 130}} if file.endswith(LARGE) else {})

    def answer_file(self, name, revision, file, body):
        found = self.repository(name, revision)
        if not found:
            return
        if file not in found.files:
            self.refuse(404, "EntryNotFound")
            return
        data, first = found.served.get(file, found.files[file]), 0
        size = found.claimed.get(file, len(data))
        headers = {"ETag": f'"{found.etag(file)}"', "X-Repo-Commit": found.commit, "Accept-Ranges": "bytes"}
        if (where := self.headers.get("Range")) and body:
            first = int(where.removeprefix("bytes=").removesuffix("-"))
            headers["Content-Range"] = f"bytes {first}-{size - 1}/{size}"
        rest = data[first:]
        breaks = found.breaks.get(file) if body else None
        if breaks:
            rest = rest[: breaks.pop(0)]
        self.send(206 if first else 200, rest if body else b"", headers, size - first, broken=breaks is not None)

    def send(self, status, data, headers, length=None, broken=False):
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)
        self.close_connection = self.close_connection or broken

    def refuse(self, status, code):
        self.send(status, b"{}" if self.command == "GET" else b"", {"X-Error-Code": code, "Content-Type": "application/json"})
