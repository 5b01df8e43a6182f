"""From a source folder to an image in the store, with real files and the real interpreter."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from builder import untar
from builder.errors import HandlerNotFound, ProjectInvalid, SyntaxInvalid, UsageError
from tests.integration.builder.conftest import HANDLER, Workshop

BIG = "x = [\n" + "".join(f"    {{'key{n}': ({n}, 'text {n}', lambda a: a + {n})}},\n" for n in range(500)) + "]\n"


def unpack(workshop: Workshop, image: object, into: Path) -> None:
    into.mkdir()
    into = into.resolve()
    for layer in image.layers:  # type: ignore[attr-defined]
        with tarfile.open(workshop.store.blob_path(layer.digest)) as tar:
            for member in tar:
                untar.place(tar, member, into)


class TestAnImage:
    async def test_has_the_layout_and_labels_that_the_node_reads(self, workshop: Workshop) -> None:
        result = await workshop.build(workshop.source())
        image = workshop.image(result)
        assert result.reference == f"kfn.local/default/hello@{image.digest}"
        assert [layer.kind for layer in image.layers] == ["runtime", "source"]
        assert image.labels["dev.kfn.runtime"] == "python"
        assert image.labels["dev.kfn.handler"] == result.handler == "func:handle"
        assert image.labels["dev.kfn.python"] == ".".join(str(n) for n in sys.version_info[:3])
        with tarfile.open(workshop.store.blob_path(image.layers[1].digest)) as tar:
            assert tar.getnames() == [
                "func",
                "func/__pycache__",
                f"func/__pycache__/func.{sys.implementation.cache_tag}.pyc",
                "func/func.py",
            ]
            assert {(m.mtime, m.uid, m.gid, m.uname, m.mode) for m in tar if m.isfile()} == {(0, 0, 0, "", 0o644)}
        assert [step.name for step in workshop.steps] == ["project", "source", "deps", "runtime", "profile", "image"]

    async def test_runs_from_its_unpacked_layers_with_its_own_bytecode(self, workshop: Workshop, tmp_path: Path) -> None:
        result = await workshop.build(workshop.source(func_py=HANDLER + "FILE = __file__\n"))
        unpack(workshop, workshop.image(result), tmp_path / "root")
        func, runtime = tmp_path / "root/func", tmp_path / "root/opt/kfn/runtime"
        # Bytecode is used without a look at the source: a changed source makes no difference.
        (func / "func.py").write_text("raise SystemExit('compiled again')\n")
        look = "import func, httptools, kfn.function.main as m; print(func.handle(0), httptools.HttpRequestParser.__name__, m.__file__)"
        ended = subprocess.run(
            [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:0] = [{str(func)!r}, {str(runtime)!r}]; {look}"],
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert ended.stdout.split() == ["hello", "HttpRequestParser", str(runtime / "kfn/function/main.py")], ended.stderr

    async def test_keeps_links_programs_and_data_and_leaves_out_what_does_not_belong(self, workshop: Workshop) -> None:
        files = {"func_py": HANDLER, "data__a_txt": "a", "venv__x_py": "x", "__pycache__/y.pyc": "y", "note_log": "z"}
        source = workshop.source(**files)
        (source / "run.sh").write_text("#!/bin/sh\n")
        (source / "run.sh").chmod(0o775)
        (source / "link").symlink_to("data/a.txt")
        (source / ".env").write_text("TOKEN=secret")
        (source / "func.yaml").write_text("name: hello\n")
        result = await workshop.build(source)
        with tarfile.open(workshop.store.blob_path(result.layers[-1].layer.digest)) as tar:
            everything = {m.name: m for m in tar if not m.isdir()}
        found = {name: m for name, m in everything.items() if not name.endswith(".pyc")}
        assert not [name for name in everything if name.endswith("/y.pyc")]
        assert sorted(found) == ["func/data/a.txt", "func/func.py", "func/link", "func/run.sh"]
        assert (found["func/run.sh"].mode, found["func/link"].linkname) == (0o755, "data/a.txt")
        assert any(".env" in warning and "secrets" in warning for warning in result.warnings)


class TestReproducibility:
    async def test_the_same_source_gives_the_same_digest_from_another_folder_time_umask_and_cache(self, workshop: Workshop) -> None:
        files = {"func_py": HANDLER, "big_py": BIG, "lib/__init__.py": "import json\n"}
        first = await workshop.build(workshop.source("one", **files), name="same")
        old = os.umask(0o077)
        try:
            source = workshop.source("elsewhere/two", **files)
        finally:
            os.umask(old)
        for path in source.rglob("*"):
            os.utime(path, (1_000_000_000, 1_000_000_000))
        second = await workshop.build(source, name="same", cache=workshop.root / "cache2", store=workshop.root / "images2")
        assert first.reference == second.reference

    async def test_the_digest_does_not_depend_on_what_else_the_process_did(self, workshop: Workshop) -> None:
        source = workshop.source(func_py=HANDLER, big_py=BIG)
        first = await workshop.build(source)
        exec(compile(BIG, "big.py", "exec"), {})
        assert (await workshop.build(source, no_cache=True)).digest == first.digest

    async def test_an_unchanged_source_makes_nothing_and_a_changed_one_only_its_layer(self, workshop: Workshop) -> None:
        source = workshop.source()
        first = await workshop.build(source)
        again = await workshop.build(source)
        assert [built.cached for built in again.layers] == [True, True]
        assert again.digest == first.digest
        assert all(step.cached for step in workshop.steps[1:])
        (source / "func.py").write_text(HANDLER.replace("hello", "changed"))
        changed = await workshop.build(source)
        assert [built.cached for built in changed.layers] == [True, False]
        assert changed.digest != first.digest
        assert workshop.store.resolve("kfn.local/default/hello").digest == changed.digest
        assert workshop.store.resolve(first.reference).digest == first.digest

    async def test_settings_of_the_deployment_do_not_change_the_image(self, workshop: Workshop) -> None:
        source = workshop.source()
        first = await workshop.build(source)
        (source / "func.yaml").write_text("name: hello\ndeploy: {options: {scale: {max: 3}}}\n")
        assert (await workshop.build(source)).digest == first.digest


async def test_a_heavy_image_is_told_with_its_largest_layers(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builder.app.HEAVY", 1_000_000)
    (warning,) = (await workshop.build(workshop.source())).warnings
    assert warning.startswith("the image has 2.")
    assert "the largest: kfn runtime 2." in warning


class TestBadInput:
    async def test_an_unknown_handler_is_told_before_any_dependency_is_asked_for(self, workshop: Workshop) -> None:
        source = workshop.source(func_py="def handel(request): ...\n", requirements_txt="no-such-package-at-all==1\n")
        with pytest.raises(HandlerNotFound, match=r"Rename handel in func\.py"):
            await workshop.build(source)
        assert [step.name for step in workshop.steps] == ["project"]
        assert not (source / "kfn.lock").exists()

    async def test_every_syntax_error_is_shown_with_its_place(self, workshop: Workshop) -> None:
        source = workshop.source(func_py=HANDLER + "    retrn 1\n", lib__x_py="x = (\n", ok_py="y = 1\n")
        with pytest.raises(SyntaxInvalid) as error:
            await workshop.build(source)
        assert "func.py:3:" in str(error.value)
        assert "    retrn 1\n" in str(error.value)
        assert "lib/x.py:1:5: '(' was never closed\n    x = (\n        ^" in str(error.value)
        assert error.value.exit_code == 3
        assert not (workshop.root / "images").exists()

    @pytest.mark.parametrize(
        ("text", "place"), [("x = " + "(" * 5000 + ")" * 5000, "evil.py"), ("x = '\0'", "evil.py"), ("# coding: nonsense\n", "evil.py")]
    )
    async def test_hostile_source_cannot_bring_the_builder_down(self, workshop: Workshop, text: str, place: str) -> None:
        source = workshop.source(func_py=HANDLER, evil_py=text)
        with pytest.raises(SyntaxInvalid, match=place):
            await workshop.build(source)
        (source / "evil.py").unlink()
        await workshop.build(source)

    async def test_source_that_takes_forever_to_compile_is_stopped(self, workshop: Workshop) -> None:
        source = workshop.source(func_py=HANDLER, slow_py="".join(f"a{n} = [{n}] * {n}\n" for n in range(600_000)))
        with pytest.raises(SyntaxInvalid, match=r"slow\.py could not be compiled within the limits"):
            await workshop.build(source, check_timeout=1.0)

    async def test_a_wrong_field_in_func_yaml_is_named_with_its_line(self, workshop: Workshop) -> None:
        source = workshop.source(func_py=HANDLER, func_yaml="name: a\ndeploy:\n  scael: 1\n")
        with pytest.raises(ProjectInvalid, match=r"func\.yaml:3: deploy\.scael: no such field"):
            await workshop.build(source)

    async def test_a_name_that_cannot_be_a_host_name_is_refused_with_one_that_can(self, workshop: Workshop) -> None:
        with pytest.raises(UsageError, match=r"name '[a]{70}' \(70 characters\) must be at most 63"):
            await workshop.build(workshop.source(), name="a" * 70)
        with pytest.raises(UsageError, match="my-app would do"):
            await workshop.build(workshop.source(), name="My_App")

    async def test_an_interpreter_that_is_none_is_refused(self, workshop: Workshop) -> None:
        with pytest.raises(UsageError, match="is not a Python interpreter"):
            await workshop.build(workshop.source(), python="/bin/false")
