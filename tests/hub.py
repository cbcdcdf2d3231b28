"""A hub on the loopback interface that serves a folder: models/ and datasets/, owner/name/revision/files.

A revision's folder is named as in an address, `refs%2Fconvert%2Fparquet` for `refs/convert/parquet`; beside
its name a revision answers to a commit hash, made up from it unless it is one. Clients run in a process of
their own with `environment(...)`, because the libraries read the endpoint when they are imported.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

API = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+)(?:/(.*))?)?")
FILE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


class NotOnHubError(Exception):
    """What the hub says in its error header."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    root: Path

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        try:
            if match := API.fullmatch(path):
                self.answer_api(*match.groups())
            elif match := FILE.fullmatch(path):
                self.answer_file(*match.groups())
            else:
                raise NotOnHubError("EntryNotFound")
        except NotOnHubError as error:
            self.send(404, b"{}", {"X-Error-Code": str(error)})

    def answer_api(self, kind: str, repo: str, verb: str | None, revision: str | None, under: str | None) -> None:
        folder = self.folder(kind, repo, revision or "main")
        if verb == "tree":
            deep = "recursive=true" in urlsplit(self.path).query.lower()
            inside = sorted((folder / unquote(under or "")).glob("**/*" if deep else "*"))
            if not inside:
                raise NotOnHubError("EntryNotFound")
            self.send_json([self.entry(path, path.relative_to(folder).as_posix()) for path in inside])
        else:
            files = sorted(path for path in folder.rglob("*") if path.is_file())
            siblings = [{"rfilename": path.relative_to(folder).as_posix()} for path in files]
            self.send_json({"id": repo, "sha": commit(folder), "siblings": siblings, "tags": []})

    def answer_file(self, datasets: str | None, repo: str, revision: str, name: str) -> None:
        folder = self.folder("datasets" if datasets else "models", repo, revision)
        path = folder / unquote(name)
        if not path.is_file():
            raise NotOnHubError("EntryNotFound")
        headers = {"ETag": f'"{digest(path)}"', "X-Repo-Commit": commit(folder), "Accept-Ranges": "bytes"}
        body = path.read_bytes()
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            first, last = int(match[1]), int(match[2] or len(body) - 1)
            headers["Content-Range"] = f"bytes {first}-{min(last, len(body) - 1)}/{len(body)}"
            self.send(206, body[first : last + 1], headers)
        else:
            self.send(200, body, headers)

    def folder(self, kind: str, repo: str, revision: str) -> Path:
        revisions = list((self.root / kind / repo).glob("*"))
        if not revisions:
            raise NotOnHubError("RepoNotFound")
        wanted = quote(unquote(revision), safe="")
        for folder in revisions:
            if wanted in (folder.name, commit(folder)):
                return folder
        raise NotOnHubError("RevisionNotFound")

    def entry(self, path: Path, name: str) -> dict[str, object]:
        if path.is_dir():
            return {"type": "directory", "oid": commit(path), "size": 0, "path": name}
        return {"type": "file", "oid": digest(path)[:40], "size": path.stat().st_size, "path": name}

    def send_json(self, value: object) -> None:
        self.send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


def commit(folder: Path) -> str:
    if re.fullmatch(r"[0-9a-f]{40}", folder.name):
        return folder.name
    return hashlib.sha1(f"{folder.parent.parent.name}/{folder.parent.name}/{folder.name}".encode()).hexdigest()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def serve(root: Path) -> Iterator[str]:
    """Serve *root*, and give the endpoint."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"root": root}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def environment(endpoint: str, home: Path) -> dict[str, str]:
    """Give the variables under which the libraries know no other hub, and no home but *home*."""
    quiet = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
    threads = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    return {**os.environ, **quiet, **threads, "HF_ENDPOINT": endpoint, "HF_HOME": str(home)}


def run(code: str, endpoint: str, home: Path) -> object:
    """Run *code* against the hub in a process of its own; give what it prints last, as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(endpoint, home),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=Path(__file__).parents[1],
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
