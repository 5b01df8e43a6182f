"""Indexes with passwords: they are used, and told to nobody. And requirements that would lead out of the source or run code."""

import base64
import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from builder.errors import DependencyError
from tests.integration.builder.conftest import Workshop

PASSWORD = "hunter2secret"
WHEEL = "tinything-1.0-py3-none-any.whl"
USES = "import tinything\n\n\ndef handle(request):\n    return tinything.X\n"


def wheel() -> bytes:
    files = {
        "tinything.py": "X = 'private'\n",
        "tinything-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tinything\nVersion: 1.0\n",
        "tinything-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files["tinything-1.0.dist-info/RECORD"] = "".join(f"{name},,\n" for name in [*files, "tinything-1.0.dist-info/RECORD"])
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return out.getvalue()


@pytest.fixture
def index() -> Iterator[str]:
    """An index with one package for who knows the password. Gives host:port."""
    content = wheel()
    page = f'<a href="/{WHEEL}#sha256={hashlib.sha256(content).hexdigest()}">{WHEEL}</a>'.encode()
    wanted = "Basic " + base64.b64encode(f"user:{PASSWORD}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind, body = ("application/zip", content) if self.path.endswith(".whl") else ("text/html", page)
            known = "tinything" in self.path
            status = 401 if self.headers.get("Authorization") != wanted else 200 if known else 404
            self.send_response(status)
            if status == 401:
                self.send_header("WWW-Authenticate", "Basic")
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body) if status == 200 else 0))
            self.end_headers()
            if status == 200 and self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    with serving(Handler) as address:
        yield address


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def told(workshop: Workshop, warnings: tuple[str, ...]) -> str:
    return repr(workshop.steps) + repr(warnings)


@pytest.mark.parametrize("option", ["--index-url", "--extra-index-url", "-i"])
async def test_an_index_with_a_password_is_used_warned_of_and_told_to_nobody(
    workshop: Workshop, index: str, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_NO_CACHE", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    text = f"# ours\n{option} http://user:{PASSWORD}@{index}/simple\ntinything\n"
    source = workshop.source(func_py=USES, requirements_txt=text)
    result = await workshop.build(source)
    said = told(workshop, result.warnings)
    assert "requirements.txt line 2 has a password in a URL" in said
    lock = (source / "kfn.lock").read_text()
    assert "tinything==1.0" in lock
    for text in (said, lock, repr(workshop.image(result))):
        assert PASSWORD not in text
        assert index not in text
    deps = workshop.image(result).layers[1]
    assert deps.kind == "deps"
    with tarfile.open(workshop.store.blob_path(deps.digest)) as archive:
        files = [archive.extractfile(member) for member in archive if member.isfile()]
        assert not [file.name for file in files if file is not None and PASSWORD.encode() in file.read()]
    (source / "func.py").write_text(USES + "# again\n")
    again = await workshop.build(source, locked=True)
    assert "line 2 has a password" in told(workshop, again.warnings), "as long as it is there"


async def test_a_password_that_comes_from_the_environment_needs_no_warning(
    workshop: Workshop, index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_NO_CACHE", "1")
    monkeypatch.setenv("INDEX_PASSWORD", PASSWORD)
    text = f"--index-url http://user:${{INDEX_PASSWORD}}@{index}/simple\ntinything\n"
    source = workshop.source(func_py=USES, requirements_txt=text.replace("user:", "${INDEX_USER}:"))
    monkeypatch.setenv("INDEX_USER", "user")
    result = await workshop.build(source)
    assert "password" not in told(workshop, result.warnings)
    assert PASSWORD not in (source / "kfn.lock").read_text()


async def test_a_package_given_by_a_url_with_a_password_is_refused_without_telling_it(workshop: Workshop, index: str) -> None:
    text = f"tinything @ http://user:{PASSWORD}@{index}/{WHEEL}\n"
    source = workshop.source(func_py=USES, requirements_txt=text)
    with pytest.raises(DependencyError, match=r"the URL of tinything holds a password.*netrc") as error:
        await workshop.build(source)
    assert PASSWORD not in str(error.value)
    assert not (source / "kfn.lock").exists()


async def test_links_to_a_folder_are_followed_from_the_file_that_gives_them(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    source = workshop.source(func_py=USES, requirements_txt="-r more/private.txt\n")
    wheels = workshop.root / "wheels"
    wheels.mkdir()
    (wheels / WHEEL).write_bytes(wheel())
    workshop.write(source / "more" / "private.txt", f"--no-index\n--find-links {wheels}\ntinything\n")
    result = await workshop.build(source)
    assert [layer.kind for layer in workshop.image(result).layers] == ["runtime", "deps", "source"]
    assert str(wheels) not in (source / "kfn.lock").read_text()


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("-r ../other.txt", "`../other.txt` is outside the source"),
        ("-c ../other.txt", "`../other.txt` is outside the source"),
        ("-r link.txt", "`link.txt` is outside the source"),
        ("-r /etc/hostname", "`/etc/hostname` is outside the source"),
        ("-r file:///etc/hostname", "take files of the source, not URLs"),
        ("-r http://127.0.0.1:9/requirements.txt", "take files of the source, not URLs"),
    ],
)
async def test_requirements_outside_the_source_are_refused(workshop: Workshop, line: str, why: str) -> None:
    source = workshop.source(func_py=USES, requirements_txt=f"{line}\n")
    (workshop.root / "other.txt").write_text("idna\n")
    (source / "link.txt").symlink_to(workshop.root / "other.txt")
    (source / ".kfnignore").write_text("link.txt\n")  # or it would be refused as what it is
    with pytest.raises(DependencyError, match=r"requirements\.txt: ") as error:
        await workshop.build(source)
    assert why in str(error.value)


@pytest.mark.parametrize("line", ["-e ./mine", "--editable ./mine", "--editable=./mine", "./mine", "mine @ file://MINE"])
async def test_a_build_runs_no_code_of_a_package_that_lies_in_the_source(workshop: Workshop, tmp_path: Path, line: str) -> None:
    ran = tmp_path / "ran"
    source = workshop.source(func_py=USES)
    workshop.write(
        source / "mine" / "setup.py", f"open({str(ran)!r}, 'w')\nfrom setuptools import setup\nsetup(name='mine', version='1')\n"
    )
    workshop.write(source / "requirements.txt", line.replace("MINE", str(source / "mine")) + "\n")
    with pytest.raises(DependencyError):
        await workshop.build(source)
    assert not ran.exists()
