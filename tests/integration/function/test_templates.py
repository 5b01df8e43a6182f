"""Every template of `kfn new` and every example passes its own tests and serves as it is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from kfn.function import detect
from tests.fakes.function_process import ROOT, function

TEMPLATES = ROOT / "cli" / "templates"
KINDS = sorted(path.name for path in TEMPLATES.iterdir())
EVENT = ("ce-specversion: 1.0", "ce-id: 1", "ce-source: /t", "ce-type: x", "content-type: application/json")


def made(kind: str) -> dict[str, str]:
    return {path.name: path.read_text().replace("__NAME__", "mine") for path in (TEMPLATES / kind).iterdir() if path.is_file()}


@pytest.mark.parametrize("kind", KINDS)
class TestTemplate:
    def test_its_own_tests_pass(self, kind: str, tmp_path: Path) -> None:
        for name, text in made(kind).items():
            (tmp_path / name).write_text(text)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout

    def test_its_handler_is_the_one_that_would_be_found(self, kind: str, tmp_path: Path) -> None:
        files = made(kind)
        assert yaml.safe_load(files["func.yaml"])["kfn"]["handler"] == detect.find(files.get)


class TestServed:
    def test_http_answers(self, tmp_path: Path) -> None:
        with function(tmp_path, made("http")) as f:
            assert f.get("/?name=Ada").json()["hello"] == "Ada"

    def test_cloudevents_replies(self, tmp_path: Path) -> None:
        with function(tmp_path, made("cloudevents")) as f:
            assert f.get("/", *EVENT, method="POST", body=b'{"a":1}').json() == {"you_sent": {"a": 1}}

    def test_inference_answers_both(self, tmp_path: Path) -> None:
        with function(tmp_path, made("inference")) as f:
            assert f.get("/", method="POST", body=b'{"text":"good"}').json()["score"] == 1.0
            assert f.get("/", *EVENT, method="POST", body=b'{"text":"bad"}').headers["ce-type"] == "com.example.scored"
            assert f.get("/", method="POST", body=b"{}").status == 400

    def test_the_hello_example_greets(self, tmp_path: Path) -> None:
        files = {path.name: path.read_text() for path in (ROOT / "examples" / "hello").iterdir() if path.is_file()}
        with function(tmp_path, files) as f:
            assert f.get("/?name=Ada").json() == {"hello": "Ada"}
            assert f.get("/", method="POST", body=b'{"name":"Bob"}').json() == {"hello": "Bob"}
            assert f.get().json() == {"hello": "world"}
