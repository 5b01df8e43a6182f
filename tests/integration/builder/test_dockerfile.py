"""A Dockerfile built by real buildah, in a storage of the test's own; FROM scratch, so that no registry is needed."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from builder.errors import ProgramUnfit, SourceError, StepFailed, ToolMissing, UsageError
from builder.platform import Platform, host
from tests.integration.builder.conftest import Workshop
from tests.peers.golang import cache

HEAD = "FROM scratch\nCOPY prog /prog\n"
TAIL = 'USER 1000\nENTRYPOINT ["/prog"]\n'
STEP = """package main

import "os"

func main() {
	println("step ran")
	if len(os.Args) > 1 {
		os.Exit(3)
	}
	os.WriteFile("/made", nil, 0o644)
}
"""
pytestmark = [
    pytest.mark.skipif(not shutil.which("buildah"), reason="buildah is not on this machine"),
    pytest.mark.skipif(not shutil.which("go"), reason="go is not on this machine; it makes the program that the Dockerfile runs"),
]


@pytest.fixture(scope="module")
def prog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A static program that writes a file, or fails if it gets an argument."""
    folder = tmp_path_factory.mktemp("prog")
    (folder / "main.go").write_text(STEP)
    env = {**os.environ, "CGO_ENABLED": "0", "GO111MODULE": "off", "GOCACHE": str(cache(tmp_path_factory))}
    subprocess.run(["go", "build", "-o", "prog", "main.go"], cwd=folder, env=env, check=True, timeout=120)
    return folder / "prog"


@pytest.fixture(autouse=True)
def _storage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the test goes into this machine's images."""
    conf = f'[storage]\ndriver = "vfs"\nrunroot = "{tmp_path}/run"\ngraphroot = "{tmp_path}/graph"\n'
    (tmp_path / "storage.conf").write_text(conf)
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", str(tmp_path / "storage.conf"))


def folder(workshop: Workshop, prog: Path, text: str, name: str = "app", **files: str) -> Path:
    made = workshop.source(name, **{"read.me": "", **files})
    workshop.write(made / "Dockerfile", text)
    shutil.copy(prog, made / "prog")
    return made


class TestAnImageOfADockerfile:
    async def test_is_taken_over_whole_with_its_user_and_commands(self, workshop: Workshop, prog: Path, tmp_path: Path) -> None:
        text = f'{HEAD}ENV A=b\nRUN ["/prog"]\nWORKDIR /x\nLABEL a=b\n{TAIL}CMD ["serve"]\n'
        made = folder(workshop, prog, text)
        result = await workshop.build(made, builder="dockerfile", base="", store=None, outputs=(f"oci:{tmp_path}/out",))
        config = json.loads(result.content.blobs[0].data or b"")["config"]
        assert (config["Entrypoint"], config["Cmd"], config["User"], config["WorkingDir"]) == (["/prog"], ["serve"], "1000", "/x")
        assert "A=b" in config["Env"]
        assert config["Labels"] == {"a": "b", "dev.kfn.runtime": "dockerfile", "dev.kfn.invoke": "http"}
        assert any("foreign code" in warning for warning in result.warnings)
        if shutil.which("umoci"):
            words = ["umoci", "unpack", "--rootless", "--image", f"{tmp_path}/out:{_tag(tmp_path / 'out')}", str(tmp_path / "bundle")]
            subprocess.run(words, check=True, capture_output=True, timeout=60)
            assert {"prog", "made"} <= {path.name for path in (tmp_path / "bundle/rootfs").iterdir()}

    async def test_has_the_same_digest_from_another_folder(self, workshop: Workshop, prog: Path, tmp_path: Path) -> None:
        text = f'{HEAD}RUN ["/prog"]\n{TAIL}'
        digests = []
        for name in ("one", "two"):
            where = Workshop(tmp_path / name)
            result = await where.build(
                folder(where, prog, text), builder="dockerfile", base="", store=None, outputs=(f"oci:{tmp_path}/{name}-out",), no_cache=True
            )
            digests.append(result.digest)
        assert digests[0] == digests[1]

    async def test_does_not_see_what_is_left_out_of_the_source(self, workshop: Workshop, prog: Path, tmp_path: Path) -> None:
        made = folder(workshop, prog, f"{HEAD}COPY .env /.env\n{TAIL}", **{".env": "TOKEN=x"})
        with pytest.raises(StepFailed, match=r"\.env.*no such file"):
            await workshop.build(made, builder="dockerfile", base="", store=None, outputs=(f"oci:{tmp_path}/out",))


class TestARefusal:
    async def test_a_failing_step_is_shown_with_what_it_said(self, workshop: Workshop, prog: Path, tmp_path: Path) -> None:
        made = folder(workshop, prog, f'{HEAD}RUN ["/prog", "fail"]\n{TAIL}')
        with pytest.raises(StepFailed, match=r'step ran(.|\n)*building at STEP "RUN /prog fail": exit status 3') as told:
            await workshop.build(made, builder="dockerfile", base="", store=None, outputs=(f"oci:{tmp_path}/out",))
        assert told.value.exit_code == 3
        assert not (tmp_path / "out").exists()

    async def test_an_image_that_runs_as_root_needs_a_word(self, workshop: Workshop, prog: Path, tmp_path: Path) -> None:
        made = folder(workshop, prog, f'{HEAD}ENTRYPOINT ["/prog"]\n')
        with pytest.raises(ProgramUnfit, match=r"runs as root\. End it with a line such as `USER 1000`, or set kfn\.allowRoot: true"):
            await workshop.build(made, builder="dockerfile", base="", store=None, outputs=(f"oci:{tmp_path}/out",))
        (made / "func.yaml").write_text("kfn: {builder: dockerfile, allowRoot: true}\n")
        result = await workshop.build(made, base="", store=None, outputs=(f"oci:{tmp_path}/out",))
        assert json.loads(result.content.blobs[0].data or b"")["config"]["User"] == ""

    async def test_an_image_without_a_command_is_refused(self, workshop: Workshop, prog: Path, tmp_path: Path) -> None:
        with pytest.raises(ProgramUnfit, match="End it with ENTRYPOINT or CMD"):
            await workshop.build(
                folder(workshop, prog, f"{HEAD}USER 1\n"), builder="dockerfile", base="", store=None, outputs=(f"oci:{tmp_path}/out",)
            )

    async def test_the_embedded_platform_is_named_before_anything_is_built(self, workshop: Workshop, prog: Path, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="needs a container, and the embedded platform runs functions as processes"):
            await workshop.build(folder(workshop, prog, HEAD + TAIL), builder="dockerfile")
        assert not (tmp_path / "graph").exists()

    async def test_a_base_has_no_meaning(self, workshop: Workshop, prog: Path, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="whose FROM says what it stands on"):
            made = folder(workshop, prog, HEAD + TAIL)
            await workshop.build(made, builder="dockerfile", base="static", store=None, outputs=(f"oci:{tmp_path}/out",))

    async def test_a_folder_without_one_is_refused(self, workshop: Workshop, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="has no Dockerfile and no Containerfile"):
            await workshop.build(workshop.source(), builder="dockerfile", base="", store=None, outputs=(f"oci:{tmp_path}/out",))

    async def test_without_buildah_three_ways_are_named(
        self, workshop: Workshop, prog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = folder(workshop, prog, HEAD + TAIL)
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(ToolMissing, match="install buildah; build the image elsewhere and run `kfn deploy --image"):
            await workshop.build(made, builder="dockerfile", base="", store=None, outputs=(f"oci:{tmp_path}/out",))

    async def test_another_platform_with_a_program_of_this_one_fails_in_buildahs_words(
        self, workshop: Workshop, prog: Path, tmp_path: Path
    ) -> None:
        other = Platform({"amd64": "arm64", "arm64": "amd64"}[host().architecture])
        made = folder(workshop, prog, f"FROM missing.invalid/none:latest\n{TAIL}")
        with pytest.raises(Exception, match=r"missing\.invalid") as told:
            await workshop.build(made, builder="dockerfile", base="", store=None, outputs=(f"oci:{tmp_path}/out",), platforms=(other,))
        assert getattr(told.value, "exit_code", 0) in (3, 5, 75)


def _tag(layout: Path) -> str:
    index = json.loads((layout / "index.json").read_text())
    return str(index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"])
