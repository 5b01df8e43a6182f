"""Where Python dependencies come from: extras, groups, several indexes, wheels in the source, old locks, wheels that are none."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from builder.cache import key
from builder.errors import DependencyError, IndexRefused, LockStale, ProjectInvalid
from builder.python import lockfile, requirements, wheels
from tests.integration.builder.conftest import HANDLER, Workshop
from tests.integration.builder.test_private_index import serving
from tests.integration.builder.test_targets import base, build, wheel, wheelhouse

PROJECT = '[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.11"\n'


def handler(packages: dict[str, list[tuple[str, bytes]]], status: int = 200) -> type[BaseHTTPRequestHandler]:
    """An index with these files."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name, files = self.path.rstrip("/").rpartition("/")[2], dict(file for some in packages.values() for file in some)
            body = files.get(name, b"")
            if not body and name in packages:
                links = ((file, hashlib.sha256(data).hexdigest()) for file, data in packages[name])
                body = "".join(f'<a href="/{file}#sha256={digest}">{file}</a>' for file, digest in links).encode()
            self.send_response(status if body or status != 200 else 404)
            self.send_header("Content-Type", "text/html" if name in packages else "application/zip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


@pytest.fixture
def indexes(monkeypatch: pytest.MonkeyPatch) -> Iterator[ExitStack]:
    """Serve indexes with `enter_context(serving(handler(...)))`; no other is asked."""
    for name in ("PIP_FIND_LINKS", "UV_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UV_NO_CACHE", "1")
    with ExitStack() as stack:
        yield stack


def names(workshop: Workshop, source: Path) -> dict[str, str]:
    return {pin.name: pin.spec for pin in lockfile.parse((source / "kfn.lock").read_text(), "kfn.lock")}


class TestExtras:
    TEXT = PROJECT + 'dependencies = ["idna"]\n[project.optional-dependencies]\nToml_Files = ["tomli==2.0.1"]\nother = ["six"]\n'

    async def test_are_installed_when_func_yaml_or_the_command_asks(self, workshop: Workshop) -> None:
        source = workshop.source(func_py=HANDLER, pyproject_toml=self.TEXT)
        await workshop.build(source)
        assert set(names(workshop, source)) == {"idna"}
        with pytest.raises(LockStale, match="the extras that are asked for, changed"):
            await workshop.build(source, extras=("toml-files",), locked=True)
        await workshop.build(source, extras=("toml-files",))
        assert set(names(workshop, source)) == {"idna", "tomli"}
        workshop.write(source / "func.yaml", "kfn: {extras: [toml.files]}\n")
        result = await workshop.build(source, locked=True)
        assert "2 small packages" in [built.title for built in result.layers]

    async def test_one_that_is_not_there_is_told_with_those_that_are(self, workshop: Workshop) -> None:
        source = workshop.source(func_py=HANDLER, pyproject_toml=self.TEXT)
        with pytest.raises(DependencyError, match=r"no extra 'gpu'; it has other, toml-files"):
            await workshop.build(source, extras=("gpu",))

    async def test_beside_a_requirements_file_they_have_no_meaning_and_that_is_said(self, workshop: Workshop) -> None:
        source = workshop.source(func_py=HANDLER, pyproject_toml=self.TEXT, requirements_txt="idna\n")
        with pytest.raises(ProjectInvalid, match=r"requirements\.txt says what is installed"):
            await workshop.build(source, extras=("other",))

    async def test_default_groups_are_installed_but_dev(self, workshop: Workshop) -> None:
        groups = '[dependency-groups]\ndev = ["six"]\nserve = ["tomli==2.0.1"]\n[tool.uv]\ndefault-groups = ["dev", "serve"]\n'
        source = workshop.source(func_py=HANDLER, pyproject_toml=PROJECT + groups)
        await workshop.build(source)
        assert set(names(workshop, source)) == {"tomli"}


class TestIndexes:
    async def test_a_package_comes_from_another_index_on_another_platform(self, workshop: Workshop, indexes: ExitStack) -> None:
        sites = {tag: indexes.enter_context(serving(handler({"tinytorch": [wheel("tinytorch", f"2.0+{tag}")]}))) for tag in ("cpu", "gpu")}
        empty = indexes.enter_context(serving(handler({"idna": [wheel("idna", "3.0")]})))
        text = PROJECT + 'dependencies = ["tinytorch==2.0", "idna"]\n[tool.uv.sources]\ntinytorch = [\n'
        text += "".join(f'  {{ index = "{t}", marker = "platform_machine {s} \'x86_64\'" }},\n' for t, s in (("gpu", "=="), ("cpu", "!=")))
        text += "]\n" + "".join(
            f'[[tool.uv.index]]\nname = "{t}"\nurl = "http://{site}/simple"\nexplicit = true\n' for t, site in sites.items()
        )
        text += f'[[tool.uv.index]]\nname = "all"\nurl = "http://{empty}/simple"\ndefault = true\n'
        source = workshop.source(func_py=HANDLER, pyproject_toml=text)
        built = await build(workshop, source, base("amd64"), base("arm64"))
        assert [built.files("deps", which)["opt/kfn/deps/tinytorch.py"] for which in (0, 1)] == [b"X = '2.0+gpu'\n", b"X = '2.0+cpu'\n"]
        lock = (source / "kfn.lock").read_text()
        assert "://" not in lock
        assert "127.0.0.1" not in lock
        again = await build(workshop, source, base("amd64"), base("arm64"), cache=workshop.root / "cold", locked=True)
        assert [again.digests("deps", which) for which in (0, 1)] == [built.digests("deps", which) for which in (0, 1)]

    async def test_the_first_index_that_has_a_package_is_the_only_one_asked_for_it(
        self, workshop: Workshop, indexes: ExitStack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ours = indexes.enter_context(serving(handler({"inner": [wheel("inner", "1.0")]})))
        theirs = indexes.enter_context(serving(handler({"inner": [wheel("inner", "9.0")], "outer": [wheel("outer", "1.0")]})))
        monkeypatch.setenv("UV_INDEX", f"http://{ours}/simple")
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://{theirs}/simple")
        source = workshop.source(func_py=HANDLER, requirements_txt="inner\nouter\n")
        await workshop.build(source)
        assert names(workshop, source) == {"inner": "inner==1.0", "outer": "outer==1.0"}

    async def test_an_index_that_refuses_is_told_with_what_to_do(
        self, workshop: Workshop, indexes: ExitStack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://{indexes.enter_context(serving(handler({'a': [wheel('a', '1')]}, 403)))}/simple")
        with pytest.raises(IndexRefused) as error:
            await workshop.build(workshop.source(func_py=HANDLER, requirements_txt="a\n"))
        assert "credentials" in str(error.value)
        assert error.value.exit_code == 4

    async def test_a_file_that_was_exchanged_after_it_was_locked_is_not_installed(
        self, workshop: Workshop, indexes: ExitStack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        packages = {"a": [wheel("a", "1.0")]}
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://{indexes.enter_context(serving(handler(packages)))}/simple")
        source = workshop.source(func_py=HANDLER, requirements_txt="a\n")
        await workshop.build(source)
        packages["a"] = [wheel("a", "1.0", **{"a.py": "X = 'evil'\n"})]
        with pytest.raises(DependencyError, match="tampering"):
            await workshop.build(source, cache=workshop.root / "cold")

    async def test_what_is_locked_and_known_to_uv_needs_no_index(self, workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
        source = workshop.source(func_py=HANDLER, requirements_txt="idna\n")
        first = await workshop.build(source)
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("UV_HTTP_RETRIES", "0")
        again = await workshop.build(source, no_cache=True)
        assert again.digest == first.digest
        offline = await workshop.build(source, no_cache=True, offline=True)
        assert offline.digest == first.digest


class TestWheelsInTheSource:
    @pytest.mark.parametrize("line", ["./wheels/a-1.0-py3-none-any.whl", "a @ file://HERE/wheels/a-1.0-py3-none-any.whl"])
    async def test_are_installed_and_locked_by_their_place(self, workshop: Workshop, line: str) -> None:
        source = workshop.source(func_py=HANDLER)
        file, content = wheel("a", "1.0")
        (source / "wheels").mkdir()
        (source / "wheels" / file).write_bytes(content)
        workshop.write(source / "requirements.txt", line.replace("HERE", str(source)) + "\n")
        result = await workshop.build(source)
        assert result.layers[1].title == "a 1.0"
        assert "./wheels/a-1.0-py3-none-any.whl" in (source / "kfn.lock").read_text()
        assert str(source) not in (source / "kfn.lock").read_text()
        assert (await workshop.build(source, locked=True, cache=workshop.root / "cold")).digest == result.digest

    async def test_one_that_changed_is_not_the_one_that_was_locked(self, workshop: Workshop) -> None:
        source = workshop.source(func_py=HANDLER, requirements_txt="./a-1.0-py3-none-any.whl\n")
        file, content = wheel("a", "1.0")
        (source / file).write_bytes(content)
        await workshop.build(source)
        (source / file).write_bytes(wheel("a", "1.0", **{"a.py": "X = 'other'\n"})[1])
        with pytest.raises(DependencyError, match="tampering"):
            await workshop.build(source, cache=workshop.root / "cold")

    async def test_one_outside_the_source_is_refused(self, workshop: Workshop) -> None:
        file, content = wheel("a", "1.0")
        (workshop.root / file).write_bytes(content)
        source = workshop.source(func_py=HANDLER, requirements_txt=f"../{file}\n")
        with pytest.raises(DependencyError, match="outside the source"):
            await workshop.build(source)


class TestOldLocks:
    async def test_become_locks_for_every_platform_and_keep_their_versions(self, workshop: Workshop) -> None:
        source = workshop.source(func_py=HANDLER, requirements_txt="idna==3.6\n")
        await workshop.build(source)
        workshop.write(source / "requirements.txt", "idna\n")
        python = base(minor="3.11").python
        assert python is not None
        inputs = requirements.find(source)
        assert inputs is not None
        body = (source / "kfn.lock").read_text().partition("inputs:")[2].partition("\n")[2]
        old = f"{lockfile.HEADER}\n# inputs: sha256:{key(inputs.digest, '3.11', 'x86_64-manylinux_2_28')}\n{body}"
        (source / "kfn.lock").write_text(old)
        result = await workshop.build(source, locked=True)
        assert any("build once without --locked" in warning for warning in result.warnings)
        assert (source / "kfn.lock").read_text() == old
        result = await workshop.build(source)
        assert any("is now for all, with the versions that it had" in warning for warning in result.warnings)
        assert names(workshop, source) == {"idna": "idna==3.6"}
        assert "# for: every platform, Python 3.11 or later" in (source / "kfn.lock").read_text()
        assert (await workshop.build(source, locked=True)).warnings == ()


class TestWheelsThatAreNotProper:
    @pytest.mark.parametrize(
        "files",
        [
            {"bad-1.0.dist-info/RECORD": "bad.py,,\n../../evil.py,,\nbad-1.0.dist-info/RECORD,,\n"},
            {"bad-1.0.dist-info/RECORD": "bad.py,,\ngone.py,,\nbad-1.0.dist-info/RECORD,,\n"},
            {"../../evil.py": "X = 1\n"},
            {"{root}/evil.py": "X = 1\n"},
            {"bad-1.0.data/data/../../../evil.py": "X = 1\n"},
            {"bad-1.0.data/scripts/../../evil.py": "X = 1\n"},
        ],
        ids=[
            "a RECORD that leads out",
            "a RECORD of what is not there",
            "a file outside",
            "an absolute file",
            "data outside",
            "a script outside",
        ],
    )
    async def test_write_nothing_elsewhere_and_bring_nothing_but_their_files(self, workshop: Workshop, files: dict[str, str]) -> None:
        named = {path.replace("{root}", str(workshop.root)): text for path, text in files.items()}
        try:
            built = await build(workshop, wheelhouse(workshop, wheel("bad", "1.0", **named)), base())
        except DependencyError:
            pass  # as good
        else:
            assert {name.partition("/deps/")[2] for name in built.files("deps") if not name.endswith(".pyc")} == {
                "bad.py", *(f"bad-1.0.dist-info/{name}" for name in ("METADATA", "RECORD", "WHEEL")),
            }  # fmt: skip
            assert b"evil" not in built.files("deps")["opt/kfn/deps/bad-1.0.dist-info/RECORD"]
        assert not list(workshop.root.rglob("evil*"))

    async def test_that_bring_another_package_than_they_say_are_refused(self, workshop: Workshop) -> None:
        other = {"other-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: other\nVersion: 1.0\n"}
        with pytest.raises(DependencyError, match=r"uv says|under another name"):
            await workshop.build(wheelhouse(workshop, wheel("bad", "1.0", **other)))

    async def test_scripts_and_data_lie_where_installers_put_them(self, workshop: Workshop) -> None:
        files = {"tool-1.0.data/scripts/run-it": "#!python\nprint(1)\n", "tool-1.0.data/data/share/tool.txt": "text"}
        built = await build(workshop, wheelhouse(workshop, wheel("tool", "1.0", **files)), base())
        found = built.files("deps")
        assert found["opt/kfn/deps/bin/run-it"].startswith(b"#!/usr/bin/env python3\n")
        assert found["opt/kfn/deps/share/tool.txt"] == b"text"
        assert b"/python" not in found["opt/kfn/deps/tool-1.0.dist-info/RECORD"]


class TestFilesThatSeveralBring:
    async def test_make_one_layer_and_the_last_by_name_wins_every_time(self, workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(wheels, "LARGE", 10)
        source = wheelhouse(
            workshop,
            wheel("aa", "1.0", **{"shared.py": "OWNER = 'aa'\n"}),
            wheel("bb", "1.0", **{"shared.py": "OWNER = 'bb'\n"}),
            wheel("cc", "1.0"),
        )
        built = await build(workshop, source, base())
        assert len(built.digests("deps")) == 1
        assert built.files("deps")["opt/kfn/deps/shared.py"] == b"OWNER = 'bb'\n"
        assert any(
            re.search(r"aa and bb both contain shared\.py; what bb has is taken.*one layer", text) for text in built.parts[0].warnings
        )
        again = await build(workshop, source, base())
        assert again.parts[0].warnings == built.parts[0].warnings, "also from the cache"

    async def test_a_warm_cache_gives_the_same_image_when_one_comes_that_clashes(
        self, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(wheels, "LARGE", 10)
        files = [wheel("aa", "1.0", **{"p/__init__.py": ""}), wheel("bb", "1.0", **{"p/more.py": ""})]
        alone = wheelhouse(workshop, files[0])
        assert [built.title for built in (await workshop.build(alone)).layers][1] == "aa 1.0"
        (alone / "wheels" / files[1][0]).write_bytes(files[1][1])
        workshop.write(alone / "requirements.txt", (alone / "requirements.txt").read_text() + "bb\n")
        warm = await workshop.build(alone)
        assert warm.layers[1].title == "2 packages"
        assert (await workshop.build(alone, cache=workshop.root / "cold")).digest == warm.digest
