"""What a person gets for each mistake: an exit code for scripts and a message that says what to do."""

import shutil
from pathlib import Path

import pytest

from tests.e2e.harness import KFN, function, run, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

OK = "def handle(request):\n    return 'ok'\n"
YAML = "specVersion: 0.36.0\nname: f\nruntime: python\ncreated: 2026-01-01T00:00:00Z\n"

MISTAKES = [
    pytest.param("def greet(request):\n    return 1\n", {}, 3, ["handle", "greet"], id="unknown-handler"),
    pytest.param("def handle(request:\n    return 1\n", {}, 3, ["func.py", "1"], id="syntax-error"),
    pytest.param(OK, {"requirements__txt": "kfn-no-such-package==1.0\n"}, 3, ["kfn-no-such-package"], id="unresolvable-dependency"),
    pytest.param(OK, {"func__yaml": YAML + "deploy:\n  anotations: {}\n"}, 3, ["func.yaml", "anotations", "annotations"], id="wrong-field"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "files", "code", "words"), MISTAKES)
async def test_a_mistake_in_the_source_is_told_before_anything_is_deployed(
    tmp_path: Path, source: str, files: dict[str, str], code: int, words: list[str]
) -> None:
    folder = function(tmp_path / "f", source, **files)
    result = await run(*KFN, "build", str(folder), "--store", str(tmp_path / "images"), timeout=90)
    assert result.code == code, result.err
    for word in words:
        assert word in result.err
    assert "Traceback" not in result.err


async def test_mistakes_that_only_a_platform_can_see(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as platform:
        long = await platform.kfn("deploy", str(function(tmp_path / "long", OK)), "--name", "x" * 70, check=False)
        assert long.code in (2, 3)
        assert "63" in long.err or "characters" in long.err

        unknown = await platform.request("nobody.default.localhost")
        assert unknown.status_code == 404
        assert "nobody.default.localhost" in unknown.text

        second = await run(*KFN, "up", "--port", "0", "--data-dir", str(platform.data))
        assert second.code == 1
        assert "already runs" in second.err
        assert str(platform.facts["pid"]) in second.err

        nothing = await platform.kfn("deploy", str(tmp_path / "nothing"), check=False)
        assert nothing.code == 2
        assert "no such folder" in nothing.err


async def test_a_function_that_never_listens_is_named_as_such(tmp_path: Path) -> None:
    source = "import time\ntime.sleep(3600)\ndef handle(request):\n    return 1\n"
    folder = function(tmp_path / "mute", source)
    patience = "serving.knative.dev/progress-deadline: 25s"  # without it, 30 s; the node looks for 5 s before it says what is missing
    (folder / "func.yaml").write_text(f"specVersion: 0.36.0\nname: mute\nruntime: python\ndeploy:\n  annotations:\n    {patience}\n")
    async with running(tmp_path / "data") as platform:
        result = await platform.kfn("deploy", str(folder), check=False, timeout=90)
        assert result.code == 1
        assert "listens on port" in result.err


async def test_a_body_over_the_limit_is_refused_with_413(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as platform:
        await platform.kfn("deploy", str(function(tmp_path / "f", OK.replace("'ok'", "str(len(request.body))"))))
        fits = await platform.request("f.default.localhost", method="POST", content=b"x" * (1 << 20))
        assert (fits.status_code, fits.text) == (200, str(1 << 20))
        over = await platform.request("f.default.localhost", method="POST", content=b"x" * (17 << 20))
        assert over.status_code == 413


async def test_without_a_platform_the_command_says_how_to_get_one(tmp_path: Path) -> None:
    result = await run(*KFN, "list", "--kubeconfig", str(tmp_path / "nowhere"))
    assert result.code == 2
    assert "kfn up" in result.err


async def test_a_data_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = await run(*KFN, "up", "--port", "0", "--data-dir", str(tmp_path / "file" / "data"))
    assert result.code == 1
    assert "--data-dir" in result.err


async def test_a_full_disk_is_told_at_start_and_at_each_write(tmp_path: Path) -> None:
    """A small file system of its own; needs the right to mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = await run("mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", str(disk))
    if mounted.code:
        pytest.skip(f"this machine does not let us mount a tmpfs: {mounted.err.strip()}")
    try:
        async with running(disk / "data") as platform:
            await platform.kfn("broker", "create", "kept")
            filler = disk / "filler"
            with filler.open("wb", buffering=0) as file:  # or what did not fit would be tried once more at its end
                try:
                    while True:
                        file.write(b"\0" * (1 << 16))
                except OSError:
                    pass
            refused = await platform.kfn("broker", "create", "refused", "--no-wait", check=False)
            assert refused.code != 0
            assert "disk" in refused.err or "space" in refused.err
            filler.unlink()
            await platform.kfn("broker", "create", "again", "--no-wait")
            assert "kept" in (await platform.kfn("broker", "list")).out
        with (disk / "filler").open("wb") as file:
            file.truncate(0)
            file.write(b"\0" * (60 << 20))
        full = await run(*KFN, "up", "--port", "0", "--data-dir", str(disk / "data"))
        assert full.code == 1
        assert "the disk is full" in full.err
    finally:
        await run("umount", "-l", str(disk))
        shutil.rmtree(disk, ignore_errors=True)
