"""Source distributions: never built unless asked for, and then with bounds, without secrets, and said."""

import io
import tarfile
from pathlib import Path

import pytest

from builder.errors import DependencyError
from builder.python import sdists
from tests.integration.builder.conftest import HANDLER, Workshop
from tests.integration.builder.test_targets import base, build

BACKEND = """
import os, resource, zipfile
def build_wheel(folder, config_settings=None, metadata_directory=None):
    {more}
    seen = sorted(os.environ) + [os.environ["HOME"], str(resource.getrlimit(resource.RLIMIT_CORE))]
    files = {{"srconly.py": f"SEEN = {{seen!r}}\\nVALUES = {{sorted(os.environ.values())!r}}\\n",
        "srconly-1.0.dist-info/METADATA": "Metadata-Version: 2.1\\nName: srconly\\nVersion: 1.0\\n",
        "srconly-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"}}
    files["srconly-1.0.dist-info/RECORD"] = "".join(f"{{n}},,\\n" for n in [*files, "srconly-1.0.dist-info/RECORD"])
    with zipfile.ZipFile(os.path.join(folder, "srconly-1.0-py3-none-any.whl"), "w") as out:
        for name, text in files.items():
            out.writestr(zipfile.ZipInfo(name), text)
    return "srconly-1.0-py3-none-any.whl"
"""


def source_only(workshop: Workshop, more: str = "pass") -> Path:
    """A function whose one dependency has no wheel."""
    source = workshop.source(func_py=HANDLER, requirements_txt="--no-index\n--find-links dist\nsrconly\n")
    (source / "dist").mkdir()
    files = {
        "pyproject.toml": '[project]\nname = "srconly"\nversion = "1.0"\n'
        '[build-system]\nrequires = []\nbuild-backend = "back"\nbackend-path = ["."]\n',
        "back.py": BACKEND.format(more=more),
        "PKG-INFO": "Metadata-Version: 2.2\nName: srconly\nVersion: 1.0\n",
    }
    with tarfile.open(source / "dist/srconly-1.0.tar.gz", "w:gz") as out:
        for name, text in files.items():
            info = tarfile.TarInfo(f"srconly-1.0/{name}")
            info.size = len(text)
            out.addfile(info, io.BytesIO(text.encode()))
    return source


class TestASourceDistribution:
    async def test_is_refused_by_default_and_runs_nothing(self, workshop: Workshop, tmp_path: Path) -> None:
        source = source_only(workshop, f"open({str(tmp_path / 'ran')!r}, 'w')")
        with pytest.raises(DependencyError, match="--allow-sdists"):
            await workshop.build(source)
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize("how", ["option", "func.yaml"])
    async def test_is_built_when_allowed_and_the_build_says_so(self, workshop: Workshop, how: str) -> None:
        source = source_only(workshop)
        if how == "func.yaml":
            workshop.write(source / "func.yaml", "kfn: {allowSdists: true}\n")
        result = await workshop.build(source, allow_sdists=how == "option")
        assert result.layers[1].title == "srconly 1.0"
        assert any("the code of srconly 1.0 was run on this machine" in warning for warning in result.warnings)
        again = await workshop.build(source, allow_sdists=how == "option")
        assert (again.digest, again.warnings) == (result.digest, result.warnings)

    async def test_sees_no_secret_no_home_and_has_bounds(self, workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("MY_TOKEN", "AWS_SECRET_ACCESS_KEY", "UV_INDEX_OURS_PASSWORD", "UV_PUBLISH_TOKEN"):
            monkeypatch.setenv(name, "s3cr3t")
        monkeypatch.setenv("UV_INDEX", "ours=http://user:s3cr3t@127.0.0.1:9/simple")
        source = source_only(workshop)
        workshop.write(source / "func.yaml", "build: {buildEnvs: [{name: FLAVOUR, value: mild}]}\n")
        result = await workshop.build(source, allow_sdists=True)
        with tarfile.open(workshop.store.blob_path(result.layers[1].layer.digest)) as archive:
            file = archive.extractfile("opt/kfn/deps/srconly.py")
            assert file is not None
            text = file.read().decode()
        assert "s3cr3t" not in text
        assert "FLAVOUR" in text
        assert "SOURCE_DATE_EPOCH" in text
        assert "kfn-sdist-" in text, "a home of its own"
        assert "(0, 0)" in text

    async def test_cannot_be_built_for_another_platform(self, workshop: Workshop) -> None:
        with pytest.raises(DependencyError, match=r"srconly 1\.0: .*this machine's platform only"):
            await build(workshop, source_only(workshop), base("arm64"), allow_sdists=True)

    async def test_that_fails_is_told_with_its_own_words(self, workshop: Workshop) -> None:
        source = source_only(workshop, "raise SystemExit('fatal error: Python.h: No such file or directory')")
        with pytest.raises(DependencyError) as error:
            await workshop.build(source, allow_sdists=True)
        assert "fatal error: Python.h" in str(error.value)
        assert "The headers of Python" in str(error.value)


def test_passwords_leave_the_environment_for_a_netrc_file() -> None:
    env = {
        "PATH": "/bin",
        "HOME": "/home/me",
        "UV_DEFAULT_INDEX": "https://me:p%40ss@one.example/simple",
        "UV_INDEX": "ours=https://two.example:8443/simple",
        "UV_INDEX_OURS_USERNAME": "we",
        "UV_INDEX_OURS_PASSWORD": "two",
        "UV_INDEX_IN_FILE_PASSWORD": "three",
    }
    kept, logins = sdists.split(env, [{"name": "in-file", "url": "https://three.example/"}])
    assert kept == {"PATH": "/bin", "UV_DEFAULT_INDEX": "https://one.example/simple", "UV_INDEX": env["UV_INDEX"]}
    assert sorted(logins) == [("one.example", "me", "p@ss"), ("three.example", "", "three"), ("two.example", "we", "two")]
