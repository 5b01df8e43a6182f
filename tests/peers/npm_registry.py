"""A small npm registry on loopback: packages of the test's own making, with a password if it says so. For real npm to ask."""

import base64
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Registry:
    """`packages` has, for each name and version, the tarball. `asked` has every path that npm asked for."""

    def __init__(self, url: str) -> None:
        self.url, self.token, self.status = url, "", 200
        self.tarballs: dict[tuple[str, str], bytes] = {}
        self.manifests: dict[tuple[str, str], dict[str, Any]] = {}
        self.asked: list[str] = []

    def publish(self, name: str, version: str = "1.0.0", files: dict[str, bytes] | None = None, **manifest: Any) -> dict[str, Any]:
        """Make a package known; returns its entry for a lock file."""
        self.manifests[name, version] = {"name": name, "version": version, **manifest}
        content = {"package.json": json.dumps(self.manifests[name, version]).encode(), "index.js": b"module.exports = 1\n", **(files or {})}
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w:gz") as tar:
            for path, text in content.items():
                info = tarfile.TarInfo(f"package/{path}")
                info.size, info.mode = len(text), 0o644
                tar.addfile(info, io.BytesIO(text))
        self.tarballs[name, version] = data.getvalue()
        bins = {"bin": manifest["bin"]} if "bin" in manifest else {}
        scripts = {"hasInstallScript": True} if {"install", "postinstall", "preinstall"} & set(manifest.get("scripts", ())) else {}
        kept = {key: manifest[key] for key in ("os", "cpu", "libc", "dependencies", "license") if key in manifest}
        return {"version": version, "integrity": self.integrity(name, version), **bins, **scripts, **kept}

    def integrity(self, name: str, version: str) -> str:
        return "sha512-" + base64.b64encode(hashlib.sha512(self.tarballs[name, version]).digest()).decode()

    def answer(self, path: str) -> bytes | None:
        name = path.strip("/").replace("%2f", "/").replace("%2F", "/")
        if name.startswith("-tarball-/"):
            _, package, version = name.rsplit("|", 2) if name.count("|") == 2 else ("", *name.removeprefix("-tarball-/").rsplit("|", 1))
            return self.tarballs.get((package, version))
        versions = {
            version: {**manifest, "dist": {"tarball": f"{self.url}-tarball-/{name}|{version}", "integrity": self.integrity(name, version)}}
            for (known, version), manifest in self.manifests.items()
            if known == name
        }
        return json.dumps({"name": name, "versions": versions, "dist-tags": {"latest": max(versions)}}).encode() if versions else None


@contextmanager
def npm_registry() -> Iterator[Registry]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            registry.asked.append(self.path)
            told = self.headers.get("Authorization", "")
            found = registry.answer(self.path.replace("%7C", "|").replace("%7c", "|"))
            status = 401 if registry.token and told != f"Bearer {registry.token}" else registry.status if found else 404
            body = found if status == 200 and found else b"{}"
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    registry = Registry(f"http://127.0.0.1:{server.server_address[1]}/")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
