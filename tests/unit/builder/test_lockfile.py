"""Locks are read into pins; index settings go from pip's names to uv's; distributions are split into layers."""

from pathlib import Path

import pytest

from builder.errors import DependencyError
from builder.python import lockfile, wheels
from builder.python.index import environment, uv_settings
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

    def test_settings_that_would_change_what_is_installed_do_not_reach_uv(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("UV_NO_VERIFY_HASHES", "UV_COMPILE_BYTECODE", "UV_PYTHON", "VIRTUAL_ENV"):
            monkeypatch.setenv(name, "1")
        monkeypatch.setenv("UV_HTTP_TIMEOUT", "7")
        env = environment({"UV_CONCURRENT_DOWNLOADS": "2"})
        assert not {"UV_NO_VERIFY_HASHES", "UV_COMPILE_BYTECODE", "UV_PYTHON", "VIRTUAL_ENV"} & env.keys()
        assert (env["UV_HTTP_TIMEOUT"], env["UV_CONCURRENT_DOWNLOADS"]) == ("7", "2")


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


class TestInstalledFolders:
    """What uv leaves is not taken on trust."""

    def made(self, root: Path, record: str, **files: str) -> Path:
        info = root / "a_b-1.0.dist-info"
        info.mkdir()
        (info / "RECORD").write_text(record + "a_b-1.0.dist-info/RECORD,,\n")
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return root

    @pytest.mark.parametrize(
        ("record", "said"),
        [
            ("../evil.py,,\n", "outside its folder"),
            ("/etc/passwd,,\n", "outside its folder"),
            ("c:\\\\x.py,,\n", "outside its folder"),
            ("a\0.py,,\n", "outside its folder"),
            ("\x1b]0;x\x07.py,,\n", "'\\\\x1b"),
            ("gone.py,,\n", "does not have it"),
            ("a,,\n", "not a plain file"),
        ],
    )
    def test_a_record_that_does_not_fit_is_refused(self, tmp_path: Path, record: str, said: str) -> None:
        (tmp_path / "a").symlink_to("/etc/hostname")
        with pytest.raises(DependencyError, match=said):
            wheels.read(self.made(tmp_path, record))

    def test_a_folder_without_a_record_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "a-1.dist-info").mkdir()
        with pytest.raises(DependencyError, match="no RECORD that can be read"):
            wheels.read(tmp_path)

    def test_files_that_no_record_lists_are_kept_and_told(self, tmp_path: Path) -> None:
        files = {"p/x.py": "", "p/sub/y.py": "", "p/x.pyc": "", "a_b-1.0.dist-info/direct_url.json": "{}"}
        (found,) = wheels.read(self.made(tmp_path, "p/x.py,sha256=1,0\n", **files))
        assert set(found.files) == {"p/x.py", "p/sub/y.py", "a_b-1.0.dist-info/RECORD"}
        assert found.warnings == ("a-b 1.0: its RECORD does not list p/sub/y.py",)

    @pytest.mark.parametrize(
        ("metadata", "found"),
        [
            ("License-Expression: MIT OR Apache-2.0\nLicense: x\n", ("MIT OR Apache-2.0",)),
            ("License: BSD\nClassifier: License :: OSI Approved :: BSD License\n", ("BSD License",)),
            ("License: BSD\n", ("BSD",)),
            ("License: UNKNOWN\n", ()),
            (f"License: {'x' * 200}\n", ()),
            ("Name: a\n\nLicense: in the text\n", ()),
        ],
    )
    def test_a_licence_is_what_the_metadata_says(self, tmp_path: Path, metadata: str, found: tuple[str, ...]) -> None:
        (one,) = wheels.read(self.made(tmp_path, "", **{"a_b-1.0.dist-info/METADATA": f"Metadata-Version: 2.4\n{metadata}"}))
        assert one.licenses == found
