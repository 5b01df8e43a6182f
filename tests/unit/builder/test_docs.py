"""docs/func-yaml.md names every field there is."""

import types
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec
import pytest

from builder.funcyaml import FuncYaml
from builder.sources.ignore import Rules, Verdict

TEXT = (Path(__file__).parents[3] / "docs/func-yaml.md").read_text("utf-8")


def leaves(type_: Any, prefix: str = "") -> list[str]:
    found = []
    for field in msgspec.structs.fields(type_):
        inner, suffix = field.type, ""
        if isinstance(inner, types.UnionType):
            inner = next((t for t in get_args(inner) if isinstance(t, type) and issubclass(t, msgspec.Struct)), inner)
        if get_origin(inner) is list:
            inner, suffix = get_args(inner)[0], "[]"
        path = f"{prefix}{field.encode_name}{suffix}"
        found += leaves(inner, f"{path}.") if isinstance(inner, type) and issubclass(inner, msgspec.Struct) else [path]
    return found


@pytest.mark.parametrize("path", leaves(FuncYaml))
def test_every_field_is_documented(path: str) -> None:
    parent, _, name = path.removesuffix("[]").rpartition(".")
    rows = [line for line in TEXT.splitlines() if line.startswith("|")]
    assert any(f"`{path.removesuffix('[]')}" in row or (f"`{parent}." in row and f"`.{name}`" in row) for row in rows), path


@pytest.mark.parametrize(
    ("path", "ignored", "secret"),
    [
        ("func.py", False, False),
        (".git/", True, False),
        ("a/__pycache__/", True, False),
        ("a/x.pyc", True, False),
        (".env", True, True),
        (".env.example", False, False),
        ("keys/id_rsa", True, True),
        ("model.bin", False, False),
        ("logs/x.log", True, False),
    ],
)
def test_defaults_leave_out_what_nobody_wants_and_tell_secrets_apart(path: str, ignored: bool, secret: bool) -> None:
    folder, path = path.endswith("/"), path.removesuffix("/")
    verdict = Rules().judge(path, path.rpartition("/")[2], folder)
    assert (verdict is not Verdict.IN, verdict is Verdict.SECRET) == (ignored, secret)
