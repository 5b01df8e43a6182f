"""A wheels-only build runs no code of a package, whatever the source tells uv."""

import io
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest

from builder.base import rootfs
from builder.errors import BuildError, DependencyError
from builder.python.compiling import compile_files
from builder.python.interpreter import Interpreter
from tests.integration.builder.conftest import HANDLER, Workshop

PYPROJECT = '[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["foreign"]\n'
BACKEND = """[project]
name = "foreign"
version = "1"
dynamic = ["dependencies"]
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
LINKS = "--no-index\n--find-links ./links\n"
UV_LINKS = 'no-index = true\nfind-links = ["./links"]\n'


@pytest.fixture
def ran(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source with a source distribution whose build would write this file. Nothing else is to be had from anywhere."""
    for name in ("PIP_FIND_LINKS", "UV_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    ran = workshop.root / "ran"
    links = workshop.source(func_py=HANDLER) / "links"
    links.mkdir()
    with tarfile.open(links / "foreign-1.tar.gz", "w:gz") as tar:
        for name, text in (
            ("PKG-INFO", "Metadata-Version: 2.1\nName: foreign\nVersion: 1\n"),
            ("pyproject.toml", BACKEND),
            ("backend.py", f"open({str(ran)!r}, 'w')\nraise SystemExit('foreign code ran')\n"),
        ):
            info = tarfile.TarInfo(f"foreign-1/{name}")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return ran


class TestNoCodeOfAPackageRuns:
    @pytest.mark.parametrize(
        "text",
        [
            "foreign\n",
            "--no-binary foreign\nforeign\n",
            "--no-binary=:all:\nforeign\n",
            "--only-binary :none:\nforeign\n",
            "# a comment \\\n--no-binary foreign\nforeign\n",
            "# a comment\r--no-binary foreign\nforeign\n",
            "# a comment \\\n-r more.in\nforeign\n",
        ],
    )
    async def test_by_a_line_of_requirements(self, workshop: Workshop, ran: Path, text: str) -> None:
        source = workshop.root / "hello"
        (source / "requirements.txt").write_bytes((LINKS + text).encode())
        (source / "more.in").write_text("--no-binary foreign\n")
        with pytest.raises(DependencyError):
            await workshop.build(source)
        assert not ran.exists()

    @pytest.mark.parametrize(
        ("file", "text"),
        [
            ("uv.toml", '[pip]\nno-binary = ["foreign"]\n'),
            ("../uv.toml", '[pip]\nno-binary = ["foreign"]\n'),
            ("uv.toml", '[pip]\nonly-binary = [":none:"]\nno-build = false\n'),
            ("pyproject.toml", f'{PYPROJECT}[tool.uv]\n{UV_LINKS}no-binary-package = ["foreign"]\n'),
            ("pyproject.toml", f"{PYPROJECT}[tool.uv]\n{UV_LINKS}no-binary = true\n"),
            ("pyproject.toml", f'{PYPROJECT}[tool.uv.pip]\n{UV_LINKS}"no-\\u0062inary" = ["foreign"]\n'),
            ("pyproject.toml", f'{PYPROJECT}[tool.uv.pip]\n{UV_LINKS}only-binary = [":none:"]\nno-build = false\n'),
        ],
    )
    async def test_by_settings_that_uv_finds(self, workshop: Workshop, ran: Path, file: str, text: str) -> None:
        source = workshop.root / "hello"
        (source / file).write_text(text)
        if not file.startswith("py"):
            (source / "requirements.txt").write_text(f"{LINKS}foreign\n")
        with pytest.raises(DependencyError):
            await workshop.build(source)
        assert not ran.exists()

    async def test_but_it_does_when_that_is_allowed(self, workshop: Workshop, ran: Path) -> None:
        (workshop.root / "hello/requirements.txt").write_text(f"{LINKS}foreign\n")
        with pytest.raises(DependencyError, match="foreign code ran"):
            await workshop.build(workshop.root / "hello", allow_sdists=True)
        assert ran.exists(), "else the tests above prove nothing"


class TestAnInterpreterThatCompiles:
    async def test_sees_no_variable_that_could_be_a_secret_for_it_may_be_a_foreign_bases(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("KFN_REGISTRY_PASSWORD", "hunter2")
        (tmp_path / "python").write_text(f"#!/bin/sh\nenv > {tmp_path / 'env'}\necho '{{\"errors\": []}}'\n")
        (tmp_path / "python").chmod(0o755)
        python = Interpreter((str(tmp_path / "python"),), "3.13.0", "cpython-313")
        for work in (rootfs.ask(python), compile_files(python, tmp_path, [], tmp_path, "", timeout=5)):
            with suppress(ValueError, BuildError):
                await work
            assert "PATH=" in (tmp_path / "env").read_text()
            assert "hunter2" not in (tmp_path / "env").read_text()
            (tmp_path / "env").unlink()
