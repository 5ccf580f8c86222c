"""A hub on loopback: as much of one as pushing, listing and fetching a repository need, written from its protocol."""

import base64
import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

TOKEN = "hf_of_the_tests"
_BY_LFS = (".safetensors", ".parquet")
_PATHS = re.compile(
    r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree|preupload|commit|paths-info)/([^/]+)(/.*)?)?"
)
_BATCH = re.compile(r"/(datasets/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch")
_RESOLVE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


class FakeHub(ThreadingHTTPServer):
    """Repositories by kind and name, each a list of commits; a commit is its files, by name."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, list[dict[str, bytes]]] = {}
        self.private: set[str] = set()
        self.blobs: dict[str, bytes] = {}
        self.uploads = 0
        self.broken = False
        """Whether uploads fail."""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def files(self, repository: str) -> dict[str, bytes]:
        """Return the files of the newest commit of `models/OWNER/NAME` or `datasets/OWNER/NAME`."""
        return self.repositories[repository][-1]


def oid(number: int) -> str:
    """Return the name of a commit."""
    return f"{number:040x}"


class _Handler(BaseHTTPRequestHandler):
    server: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *parts: Any) -> None:
        pass

    def answer(self, status: int, content: Any = None, headers: dict[str, str] | None = None) -> None:
        body = content if isinstance(content, bytes) else json.dumps({} if content is None else content).encode()
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def do_POST(self) -> None:
        body, path = self.body(), unquote(urlsplit(self.path).path)
        if path == "/api/validate-yaml":
            return self.answer(200, {"warnings": [], "errors": []})
        if found := _PATHS.fullmatch(path):
            repository = f"{found[1]}/{found[2]}"
            if found[3] == "paths-info":
                return self.paths_info(repository, json.loads(body))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer(401, {"error": "Invalid username or password."})
        if path == "/api/repos/create":
            return self.create(json.loads(body))
        if _BATCH.fullmatch(path):
            return self.batch(json.loads(body))
        assert found, path
        if found[3] == "preupload":
            files = json.loads(body)["files"]
            modes = [{"path": file["path"], "uploadMode": _mode(file["path"]), "shouldIgnore": False} for file in files]
            return self.answer(200, {"files": modes})
        assert found[3] == "commit", path
        return self.commit(repository, [json.loads(line) for line in body.splitlines()])

    def create(self, wanted: dict[str, Any]) -> None:
        repository = f"{wanted['type']}s/{wanted['organization']}/{wanted['name']}"
        address = f"{self.server.address}/{repository.removeprefix('models/')}"
        if repository in self.server.repositories:
            return self.answer(409, {"error": "You already created this repo", "url": address})
        self.server.repositories[repository] = [{}]
        if wanted.get("visibility") == "private":
            self.server.private.add(repository)
        return self.answer(200, {"url": address})

    def batch(self, wanted: dict[str, Any]) -> None:
        objects: list[dict[str, Any]] = []
        for own in wanted["objects"]:
            upload = {"upload": {"href": f"{self.server.address}/lfs/{own['oid']}"}}
            objects.append(own if own["oid"] in self.server.blobs else {**own, "actions": upload})
        self.answer(200, {"transfer": "basic", "objects": objects})

    def do_PUT(self) -> None:
        content, name = self.body(), self.path.removeprefix("/lfs/")
        self.server.uploads += 1
        if self.server.broken or hashlib.sha256(content).hexdigest() != name:
            return self.answer(400, {"error": "the storage is out of order"})
        self.server.blobs[name] = content
        return self.answer(200)

    def commit(self, repository: str, lines: list[dict[str, Any]]) -> None:
        commits = self.server.repositories[repository]
        files = dict(commits[-1])
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.blobs[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        commits.append(files)
        name = oid(len(commits) - 1)
        self.answer(200, {"commitUrl": f"{self.server.address}/{repository}/commit/{name}", "commitOid": name})

    def at(self, repository: str, revision: str | None) -> tuple[str, dict[str, bytes]] | None:
        """Return the name of a commit and its files; None, which is answered, where there is none."""
        commits = self.server.repositories.get(repository)
        if commits is None:
            self.answer(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
            return None
        number = len(commits) - 1 if revision in (None, "main") else int(revision, 16)
        return oid(number), commits[number]

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if found := _RESOLVE.fullmatch(path):
            return self.resolve(f"{found[1] or 'models/'}{found[2]}", found[3], found[4])
        if (found := _PATHS.fullmatch(path)) is None:
            return self.answer(404, {"error": "no such page"})
        if (at := self.at(f"{found[1]}/{found[2]}", found[4])) is None:
            return None
        name, files = at
        if found[3] == "tree":
            below = (found[5] or "").strip("/")
            prefix = f"{below}/" if below else ""
            inside = {own: content for own, content in files.items() if own.startswith(prefix)}
            return self.answer(200, _tree(inside, prefix, "recursive=true" in self.path.lower()))
        return self.answer(200, {"id": found[2], "sha": name, "siblings": [{"rfilename": own} for own in files]})

    def do_HEAD(self) -> None:
        self.do_GET()

    def paths_info(self, repository: str, wanted: dict[str, Any]) -> None:
        if at := self.at(repository, None):
            entries = _tree(at[1], "", True)
            self.answer(200, [entry for entry in entries if entry["path"] in wanted["paths"]])

    def resolve(self, repository: str, revision: str, file: str) -> None:
        if (at := self.at(repository, revision)) is None:
            return None
        name, files = at
        if file not in files:
            return self.answer(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
        content = files[file]
        headers = {"X-Repo-Commit": name, "ETag": f'"{_etag(file, content)}"', "Accept-Ranges": "bytes"}
        if part := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            first, last = int(part[1]), int(part[2] or len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            return self.answer(206, content[first : last + 1], headers)
        return self.answer(200, content, headers)


def _mode(path: str) -> str:
    return "lfs" if path.endswith(_BY_LFS) else "regular"


def _etag(path: str, content: bytes) -> str:
    return (hashlib.sha256 if path.endswith(_BY_LFS) else hashlib.sha1)(content).hexdigest()


def _tree(files: dict[str, bytes], prefix: str, recursive: bool) -> list[dict[str, Any]]:
    """List files and folders below a folder."""
    folders, entries = set(), []
    for path, content in files.items():
        parts = path.removeprefix(prefix).split("/")
        folders |= {prefix + "/".join(parts[:depth]) for depth in range(1, len(parts)) if recursive or depth == 1}
        if recursive or len(parts) == 1:
            entry = {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
            lfs = {"oid": _etag(path, content), "size": len(content), "pointerSize": 127}
            entries.append({**entry, "lfs": lfs} if _mode(path) == "lfs" else entry)
    return [*({"type": "directory", "path": path, "oid": "0" * 40, "size": 0} for path in sorted(folders)), *entries]


@contextlib.contextmanager
def fake_hub(patch: pytest.MonkeyPatch, cache: object) -> Iterator[FakeHub]:
    """Run a hub, which the library takes for the only one, with an empty cache and a token that may write."""
    import fsspec
    from huggingface_hub import constants

    hub = FakeHub()
    thread = threading.Thread(target=hub.serve_forever, args=(0.01,))
    thread.start()
    patch.setenv("HF_TOKEN", TOKEN)
    template = f"{hub.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    for name, value in {
        "ENDPOINT": hub.address,
        "HUGGINGFACE_CO_URL_TEMPLATE": template,
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_CACHE": str(cache),
    }.items():
        patch.setattr(constants, name, value)
    fsspec.get_filesystem_class("hf").clear_instance_cache()
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()
