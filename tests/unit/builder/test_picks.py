"""uv's answer for one target is read, checked against the lock, and turned into what uv is asked next."""

import tomllib

import pytest

from builder.errors import DependencyError
from builder.python import picks
from builder.python.lockfile import Pin, relative
from builder.python.picks import Pick

A, B = "a" * 64, "b" * 64
PINS = (Pin("idna", "idna==3.10", (f"sha256:{A}",)), Pin("tiny-x", "./wheels/tiny_x-1.0-py3-none-any.whl", (f"sha256:{B}",)))
TEXT = f"""
[[packages]]
name = "Tiny.X"
archive = {{ path = "wheels/tiny_x-1.0-py3-none-any.whl", hashes = {{ sha256 = "{B}" }} }}
[[packages]]
name = "idna"
version = "3.10"
wheels = [{{ url = "https://files.example/some/idna-3.10%2Bx-py3-none-any.whl#part", hashes = {{ sha256 = "{A}" }} }}]
"""


class TestPicks:
    def test_each_is_one_file_with_its_hash(self) -> None:
        idna, tiny = picks.parse(TEXT, PINS, "kfn.lock")
        assert idna == Pick("idna", "3.10", "idna-3.10+x-py3-none-any.whl", A)
        assert tiny == Pick("tiny-x", "1.0", "tiny_x-1.0-py3-none-any.whl", B)
        assert (idna.where, tiny.where) == ("", "wheels/tiny_x-1.0-py3-none-any.whl"), "an index is asked again, a file is not"
        assert (idna.spec, tiny.wheel) == ("idna==3.10", True)

    def test_a_file_that_is_not_in_the_lock_is_refused_with_its_hash(self) -> None:
        with pytest.raises(DependencyError, match=rf"idna-3\.10\+x-py3-none-any\.whl has the sha256 {A}.*tampering"):
            picks.parse(TEXT, (Pin("idna", "idna==3.10", (f"sha256:{B}",)), PINS[1]), "kfn.lock")

    @pytest.mark.parametrize("what", ['vcs = { type = "git", url = "https://x" }', 'directory = { path = "." }', "wheels = []"])
    def test_what_has_no_hash_is_refused(self, what: str) -> None:
        with pytest.raises(DependencyError, match="neither a wheel nor a source distribution"):
            picks.parse(f'[[packages]]\nname = "idna"\n{what}\n', PINS, "kfn.lock")

    def test_a_project_with_any_text_is_toml(self) -> None:
        odd = 'a "quoted" \\ \x7f \n é 🐍'
        text = picks.project(
            [odd], {"torch": [{"index": odd, "marker": "os_name == 'posix'"}]}, [{"name": odd, "url": "x", "explicit": True}]
        )
        read = tomllib.loads(text)
        assert read["project"]["dependencies"] == [odd]
        assert read["tool"]["uv"]["sources"]["torch"][0]["index"] == odd
        assert read["tool"]["uv"]["index"] == [{"name": odd, "url": "x", "explicit": True}]


class TestWheelsOfTheSource:
    def test_are_locked_by_their_place_in_it(self) -> None:
        assert (
            relative("a @ file:///src/w/a-1-py3-none-any.whl \\\n    --hash=x\n", "/src", "f")
            == "./w/a-1-py3-none-any.whl \\\n    --hash=x\n"
        )

    @pytest.mark.parametrize(
        "line", ["a @ file:///other/a-1-py3-none-any.whl", "a @ file:///src/../a-1-py3-none-any.whl", "../a-1-py3-none-any.whl"]
    )
    def test_and_nowhere_else(self, line: str) -> None:
        with pytest.raises(DependencyError, match="outside the source"):
            relative(f"{line} --hash=x\n", "/src", "f")
