"""A stub of the Hugging Face Hub on 127.0.0.1 with the endpoints that `huggingface_hub` uses."""

import hashlib
import json
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote

COMMIT = "a" * 40

Files = Mapping[str, bytes]


def read_folder(folder: Path) -> Files:
    """Returns the files of a folder by their relative path."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


class StubHub(ThreadingHTTPServer):
    """`with StubHub({"owner/name": files}) as hub` serves at `hub.endpoint`.

    `refusal` is the status and error code of every file (and list, if `refuses_lists`);
    `requested` and `tokens` are the paths and tokens received.
    """

    daemon_threads = True

    def __init__(self, repos: Mapping[str, Files]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repos = dict(repos)
        self.refusal: tuple[int, str] | None = None
        self.refuses_lists = True
        self.requested: list[str] = []
        self.tokens: set[str | None] = set()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> "StubHub":
        self._thread = Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    """Serves lists at `/api/models/…` and files at `/…/resolve/…`."""

    server: StubHub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(has_body=True)

    def do_HEAD(self) -> None:
        self._answer(has_body=False)

    def _answer(self, *, has_body: bool) -> None:
        hub, path = self.server, unquote(self.path.partition("?")[0])
        hub.requested.append(path)
        hub.tokens.add(self.headers["authorization"])
        name = "/".join(path.removeprefix("/api/models").split("/")[1:3])
        files = hub.repos.get(name, {})
        headers = {"X-Repo-Commit": COMMIT}
        status, body = 200, b""
        if hub.refusal is not None and (hub.refuses_lists or "/resolve/" in path):
            status, headers["X-Error-Code"] = hub.refusal
        elif "/revision/" in path:
            siblings = [{"rfilename": file} for file in files]
            body = json.dumps({"id": name, "sha": COMMIT, "siblings": siblings}).encode()
        elif "/tree/" in path:
            entries = [
                {"type": "file", "path": file, "size": len(data), "oid": _digest(data)[:40]}
                for file, data in files.items()
            ]
            body = json.dumps(entries).encode()
        else:
            body = files[path.partition(f"/resolve/{COMMIT}/")[2]]
            headers["ETag"] = f'"{_digest(body)}"'
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if has_body:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
