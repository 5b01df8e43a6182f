"""Real uv, the machine's own index, and small pure wheels."""

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from builder.errors import DependencyError, IndexUnreachable, LockStale, ToolMissing
from builder.python import lockfile, wheels
from builder.python.index import environment
from builder.python.uv import binary
from tests.integration.builder.conftest import HANDLER, Workshop

USES = "import idna\n" + HANDLER


def names(workshop: Workshop, digest: str) -> list[str]:
    with tarfile.open(workshop.store.blob_path(digest)) as tar:
        return tar.getnames()


def unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """No index answers, and uv has nothing of its own."""
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://user:pass@127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_NO_CACHE", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)


class TestRequirements:
    async def test_are_locked_installed_compiled_and_preloaded(self, workshop: Workshop) -> None:
        source = workshop.source(func_py=USES, requirements_txt="idna>=3\nkfn  # the runtime brings it\n")
        result = await workshop.build(source)
        image = workshop.image(result)
        assert [layer.kind for layer in image.layers] == ["runtime", "deps", "source"]
        assert image.labels["dev.kfn.preload"] == "idna"
        found = names(workshop, image.layers[1].digest)
        assert f"opt/kfn/deps/idna/__pycache__/core.{sys.implementation.cache_tag}.pyc" in found
        assert not [name for name in found if name.endswith(("INSTALLER", "REQUESTED", "direct_url.json"))]
        lock = (source / "kfn.lock").read_text()
        assert [pin.name for pin in lockfile.parse(lock, "kfn.lock")] == ["idna"]
        assert "://" not in lock
        assert str(workshop.root) not in lock

    async def test_a_lock_is_used_until_the_requirements_change_and_no_index_is_asked(
        self, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = workshop.source(func_py=USES, requirements_txt="idna\n")
        first = await workshop.build(source)
        unreachable(monkeypatch)
        (source / "func.py").write_text(USES + "# changed\n")
        (source / "requirements.txt").write_text("# a note changes nothing\nidna\n")
        again = await workshop.build(source, locked=True)
        assert [built.cached for built in again.layers] == [True, True, False]
        assert again.layers[1].layer == first.layers[1].layer
        (source / "requirements.txt").write_text("idna\ntomli\n")
        with pytest.raises(LockStale, match=r"requirements\.txt changed since it was made.*build once without --locked"):
            await workshop.build(source, locked=True)
        with pytest.raises(IndexUnreachable) as error:
            await workshop.build(source)
        assert error.value.exit_code == 75
        assert "pass" not in str(error.value).replace("pass@", "") or "***@" in str(error.value)
        assert "user:pass@" not in str(error.value)

    async def test_another_package_keeps_the_versions_that_were_locked(self, workshop: Workshop) -> None:
        source = workshop.source(func_py=USES, requirements_txt="idna==3.7\n")
        await workshop.build(source)
        (source / "requirements.txt").write_text("idna\ntomli\n")
        result = await workshop.build(source)
        pins = {pin.name: pin.spec for pin in lockfile.parse((source / "kfn.lock").read_text(), "kfn.lock")}
        assert pins["idna"] == "idna==3.7"
        assert set(pins) == {"idna", "tomli"}
        assert "kfn.lock was made anew from requirements.txt" in result.warnings

    async def test_a_source_that_cannot_be_written_to_is_built_with_a_warning(self, workshop: Workshop) -> None:
        source = workshop.source(func_py=USES, requirements_txt="idna\n")
        (source / "kfn.lock").mkdir()  # renaming a file over a folder fails, also for root
        result = await workshop.build(source)
        assert any("kfn.lock could not be written" in warning for warning in result.warnings)

    async def test_offline_without_a_lock_is_worth_another_try(self, workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
        unreachable(monkeypatch)
        with pytest.raises(IndexUnreachable):
            await workshop.build(workshop.source(func_py=USES, requirements_txt="idna\n"), offline=True)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("idna==99.9\n", "there is no version of idna==99.9"),
            ("idna==3.7\nidna==3.6\n", "idna==3.7 and idna==3.6"),
            ("-r more.txt\n", "names a file that is not there"),
            ("idna >< 3\n", "uv says"),
        ],
    )
    async def test_what_cannot_be_resolved_is_told_in_uvs_words_with_the_file(self, workshop: Workshop, text: str, said: str) -> None:
        with pytest.raises(DependencyError) as error:
            await workshop.build(workshop.source(func_py=USES, requirements_txt=text))
        assert said in str(error.value)
        assert "requirements.txt" in str(error.value)
        assert error.value.exit_code == 3

    async def test_a_wrong_hash_is_loud_and_nothing_is_installed(self, workshop: Workshop) -> None:
        text = f"idna==3.7 --hash=sha256:{'0' * 64}\n"
        with pytest.raises(DependencyError, match="tampering"):
            await workshop.build(workshop.source(func_py=USES, requirements_txt=text))
        assert not (workshop.root / "images").exists()

    @pytest.mark.parametrize("kind", ["requirements", "uv.lock"])
    async def test_an_unchanged_lock_needs_no_uv_at_all(
        self, workshop: Workshop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
    ) -> None:
        source = workshop.source(func_py=USES, requirements_txt="idna\n")
        if kind == "uv.lock":
            (source / "requirements.txt").unlink()
            text = '[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["idna==3.7"]\n'
            (source / "pyproject.toml").write_text(text)
            subprocess.run([binary(), "lock", "--quiet"], cwd=source, env=environment({}), check=True, timeout=60)
        python = str(Path(sys.prefix) / "bin/python")
        first = await workshop.build(source, python=python)
        monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
        monkeypatch.setenv("PATH", str(tmp_path))
        (source / "func.py").write_text(USES + "# changed\n")
        again = await workshop.build(source, python=python, profile=False)
        assert again.layers[1].layer == first.layers[1].layer

    async def test_no_uv_is_told_with_what_to_do(self, workshop: Workshop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
        monkeypatch.setenv("PATH", str(tmp_path))
        python = str(Path(sys.prefix) / "bin/python")
        with pytest.raises(ToolMissing, match="pip install uv"):
            await workshop.build(workshop.source(func_py=USES, requirements_txt="idna\n"), python=python)


class TestPyproject:
    TEXT = '[project]\nname = "x"\nversion = "1"\ndependencies = ["idna", "kfn>=0.1"]\n[tool.uv]\noverride-dependencies = ["idna==3.6"]\n'

    async def test_dependencies_and_uvs_overrides_are_honoured(self, workshop: Workshop) -> None:
        source = workshop.source(func_py=USES, pyproject_toml=self.TEXT)
        result = await workshop.build(source)
        assert result.layers[1].title == "idna 3.6"
        assert "idna==3.6" in (source / "kfn.lock").read_text()
        first = result.digest
        (source / "pyproject.toml").write_text(self.TEXT.replace('version = "1"', 'version = "2"'))
        again = await workshop.build(source, locked=True)
        assert again.layers[1].cached
        assert again.digest != first

    async def test_dynamic_dependencies_are_refused_because_they_run_code(self, workshop: Workshop) -> None:
        source = workshop.source(func_py=HANDLER, pyproject_toml='[project]\nname = "x"\ndynamic = ["dependencies"]\n')
        with pytest.raises(DependencyError, match="dynamic dependencies would mean running its build"):
            await workshop.build(source)

    async def test_a_project_without_dependencies_needs_no_uv(self, workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
        unreachable(monkeypatch)
        result = await workshop.build(workshop.source(func_py=HANDLER, pyproject_toml='[project]\nname = "x"\nversion = "1"\n'))
        assert len(result.layers) == 2


class TestLocks:
    async def test_a_uv_lock_is_installed_as_it_is_even_without_an_index(self, workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
        text = '[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["idna==3.7"]\n'
        source = workshop.source(func_py=USES, pyproject_toml=text)
        subprocess.run([binary(), "lock", "--quiet"], cwd=source, env=environment({}), check=True, timeout=60)
        first = await workshop.build(source)
        assert first.layers[1].title == "idna 3.7"
        assert not (source / "kfn.lock").exists()
        unreachable(monkeypatch)
        assert (await workshop.build(source, locked=True)).digest == first.digest

    async def test_a_pylock_is_installed_as_it_is(self, workshop: Workshop) -> None:
        made = workshop.source("made", func_py=USES, requirements_txt="idna==3.7\n")
        await workshop.build(made)
        (pin,) = lockfile.parse((made / "kfn.lock").read_text(), "kfn.lock")
        wheels = ", ".join(f'{{ hashes = {{ sha256 = "{h.removeprefix("sha256:")}" }} }}' for h in pin.hashes)
        text = f'lock-version = "1.0"\n[[packages]]\nname = "idna"\nversion = "3.7"\nwheels = [{wheels}]\n'
        source = workshop.source("pylock", func_py=USES, pylock_toml=text)
        result = await workshop.build(source)
        assert result.layers[1].title == "idna 3.7"
        assert not (source / "kfn.lock").exists()

    async def test_a_cold_cache_and_another_folder_give_the_same_digest(self, workshop: Workshop) -> None:
        files = {"func_py": USES, "requirements_txt": "idna==3.7\ntomli==2.0.1\n"}
        first = await workshop.build(workshop.source("one", **files), name="same")
        second = await workshop.build(workshop.source("two", **files), name="same", cache=workshop.root / "cold")
        assert first.digest == second.digest
        assert (first.layers[1].title, first.layers[1].cached, second.layers[1].cached) == ("2 small packages", False, False)


class TestLayers:
    @pytest.fixture(autouse=True)
    def _small_is_large(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """idna is large here and tomli is not, so that no large package has to be compiled."""
        monkeypatch.setattr(wheels, "LARGE", 150_000)

    async def test_a_large_package_keeps_its_layer_when_another_one_changes(self, workshop: Workshop) -> None:
        source = workshop.source(func_py=USES, requirements_txt="idna==3.7\ntomli==2.0.1\n")
        first = await workshop.build(source)
        assert [built.title for built in first.layers[1:-1]] == ["idna 3.7", "tomli 2.0.1"]
        (source / "requirements.txt").write_text("idna==3.7\ntomli==2.0.2\n")
        second = await workshop.build(source)
        assert [(built.title, built.cached) for built in second.layers[1:-1]] == [("idna 3.7", True), ("tomli 2.0.2", False)]
        cold = await workshop.build(source, cache=workshop.root / "cold")
        assert cold.digest == second.digest

    async def test_when_there_are_too_many_large_ones_a_warm_cache_gives_the_same_image(
        self, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(wheels, "largest", lambda sizes: frozenset(sorted(sizes, key=lambda name: -sizes[name])[:1]))
        source = workshop.source(func_py=USES, requirements_txt="tomli==2.0.1\n")
        assert (await workshop.build(source)).layers[1].title == "tomli 2.0.1"
        (source / "requirements.txt").write_text("tomli==2.0.1\nidna==3.7\n")
        warm = await workshop.build(source)
        assert [built.title for built in warm.layers[1:-1]] == ["idna 3.7", "tomli 2.0.1"]
        cold = await workshop.build(source, cache=workshop.root / "cold")
        assert cold.digest == warm.digest

    async def test_the_pin_that_a_marker_rules_out_is_not_mistaken_for_the_other(self, workshop: Workshop) -> None:
        made = {}
        for version in ("3.6", "3.7"):
            made[version] = workshop.source(version, func_py=USES, requirements_txt=f"idna=={version}\n")
            await workshop.build(made[version], cache=workshop.root / "other")
        old, new = ((folder / "kfn.lock").read_text() for folder in made.values())
        both = old.replace("idna==3.6", 'idna==3.6 ; python_version < "3"') + new.replace("idna==3.7", 'idna==3.7 ; python_version >= "3"')
        result = await workshop.build(workshop.source("both", func_py=USES, requirements_txt=both))
        assert result.layers[1].title == "idna 3.7"
        result = await workshop.build(made["3.6"])
        assert result.layers[1].title == "idna 3.6"
