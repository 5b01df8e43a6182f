"""Locks are read into pins; index settings go from pip's names to uv's; distributions are split into layers."""

from pathlib import Path

import pytest

from builder.errors import DependencyError
from builder.python import lockfile, wheels
from builder.python.index import uv_settings
from builder.python.lockfile import Pin
from builder.python.wheels import LARGE, Distribution

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def distribution(name: str, *files: str) -> Distribution:
    return Distribution(name, "1", Path(), dict.fromkeys(files, ""), 0)


class TestLock:
    TEXT = f"""\
# a comment
Zope.Interface==7.0 ; python_version < "4" \\
    --hash={B} \\
    --hash={A}
    # via -r requirements.txt
idna==3.10 --hash={A}  # why
kfn==0.1 --hash={A}
"""

    def test_pins_are_sorted_normal_and_without_kfn_itself(self) -> None:
        pins = lockfile.parse(self.TEXT, "x")
        assert pins == (Pin("idna", "idna==3.10", (A,)), Pin("zope-interface", 'Zope.Interface==7.0 ; python_version < "4"', (A, B)))
        assert lockfile.parse(lockfile.render(pins), "x") == pins

    def test_the_header_remembers_the_inputs(self) -> None:
        assert lockfile.inputs_of(lockfile.with_header(A, "3.11", self.TEXT)) == A
        assert lockfile.inputs_of(self.TEXT) == ""

    @pytest.mark.parametrize("line", ["idna==3.10", "-e .", "--index-url https://user:pw@example.org", "./wheel.whl"])
    def test_a_line_that_is_not_locked_is_named(self, line: str) -> None:
        with pytest.raises(DependencyError, match=r"requirements\.txt: `") as error:
            lockfile.parse(line + "\n", "requirements.txt")
        assert "pw" not in str(error.value)

    def test_a_pylock_gives_the_same_pins(self) -> None:
        text = f"""
[[packages]]
name = "idna"
version = "3.10"
marker = "python_version < '4'"
wheels = [{{ name = "idna-3.10-py3-none-any.whl", hashes = {{ sha256 = "{"a" * 64}" }} }}]
[[packages]]
name = "kfn"
"""
        assert lockfile.parse_pylock(text) == (Pin("idna", "idna==3.10 ; python_version < '4'", (A,)),)

    @pytest.mark.parametrize("text", ["[[packages]]\nname = 'x'\nversion = '1'\n", "[[packages]]\nname = 'x'\nwheels = []\n", "= 1"])
    def test_a_pylock_without_wheels_or_sense_is_refused(self, text: str) -> None:
        with pytest.raises(DependencyError, match=r"pylock\.toml"):
            lockfile.parse_pylock(text)


class TestIndexSettings:
    def test_pips_settings_reach_uv_when_uv_was_told_nothing(self) -> None:
        assert uv_settings({"PIP_INDEX_URL": "i"}, {"find-links": "/a /b", "cert": "c"}, False) == {
            "UV_DEFAULT_INDEX": "i",
            "UV_FIND_LINKS": "/a,/b",
            "SSL_CERT_FILE": "c",
        }

    def test_the_environment_wins_over_the_file(self) -> None:
        assert uv_settings({"PIP_INDEX_URL": "env"}, {"index-url": "file"}, False) == {"UV_DEFAULT_INDEX": "env"}

    def test_an_index_told_to_uv_is_never_overridden(self) -> None:
        assert uv_settings({"UV_INDEX_URL": "u", "PIP_INDEX_URL": "p"}, {}, False) == {}
        assert uv_settings({"PIP_INDEX_URL": "p"}, {}, True) == {}


class TestWheels:
    def test_large_distributions_have_their_own_layer_up_to_a_limit(self) -> None:
        sizes = {"a": LARGE, "b": LARGE - 1, "c": LARGE * 3, "d": LARGE * 2}
        assert wheels.largest(sizes) == {"a", "c", "d"}
        assert wheels.largest(sizes, most=2) == {"c", "d"}

    def test_importable_names_are_found(self) -> None:
        files = (
            "six.py",
            "numpy/core/x.py",
            "_cffi.cpython-311-x86_64-linux-gnu.so",
            "a-1.dist-info/RECORD",
            "bin/tool.py",
            "data/readme.txt",
        )
        assert distribution("a", *files).modules == ("_cffi", "numpy", "six")

    @pytest.mark.parametrize(
        ("records", "told"),
        [
            ({"a": {"x.py": "1", "y.py": "1"}, "b": {"x.py": "2"}}, ["a and b both contain x.py; what b has is taken"]),
            ({"a": {"n/__init__.py": "1", "n/a.py": "1"}, "b": {"n/__init__.py": "1", "n/b.py": "1"}}, []),
            ({"a": {"n/__init__.py": "1"}, "b": {"n/b/c.py": "1"}}, ["b puts files into n, which belongs to a"]),
            ({"a": {"n/a.py": "1"}, "b": {"n/b.py": "1"}}, []),
            ({"a": {"bin/x": ""}, "b": {"bin/x": ""}}, ["a and b both contain bin/x; what b has is taken"]),
        ],
        ids=["other content", "the same content", "a package of another", "a namespace", "scripts"],
    )
    def test_what_cannot_be_in_layers_of_its_own_is_named(self, records: dict[str, dict[str, str]], told: list[str]) -> None:
        assert wheels.shared(records) == told
