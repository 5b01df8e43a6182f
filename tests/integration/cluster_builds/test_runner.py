"""The runner as its Job starts it: an ordinary process of nobody, without capabilities and with no_new_privs, whose home cannot be
written; source and image in a real registry."""

import asyncio
import gzip
import json
import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest

from builder import oci
from builder.cluster import source_artifact, wire
from builder.registry.client import Registries
from builder.registry.push import push
from builder.registry.reference import parse_ref
from kfn.api.base import decode
from kfn.api.build import BuildSpec
from tests.integration.builder import git_server
from tests.integration.cluster_builds.stage import HANDLER, environment, python, uploaded
from tests.peers.registry import PASSWORD, USER, registry, skopeo
from tests.unit.builder.test_cluster_source import HOSTILE, PLAIN

RUNNER = "builder.cluster.runner"


@dataclass
class Ran:
    code: int
    lines: list[dict[str, Any]]
    message: str
    errors: str

    @property
    def result(self) -> dict[str, Any]:
        found: dict[str, Any] = self.lines[-1]["result"]
        return found


@dataclass
class Bench:
    """Starts runners. `home` is a folder that they may not write to."""

    folder: Path

    def unprivileged(self, *argv: str) -> list[str]:
        if os.geteuid():
            return ["setpriv", "--no-new-privs", *argv] if shutil.which("setpriv") else list(argv)
        if not shutil.which("setpriv"):
            pytest.skip("setpriv is not installed (Debian's package util-linux)")
        drop = ("--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all")
        return ["setpriv", *drop, *argv]

    async def start(self, spec: dict[str, Any], secrets: Path | None = None, **more: str) -> asyncio.subprocess.Process:
        scratch, home, message = self.folder / "tmp", self.folder / "home", self.folder / "message"
        for path in (scratch, self.folder / "cache"):
            path.mkdir(exist_ok=True)
            path.chmod(0o777)
        home.mkdir(exist_ok=True, mode=0o555)
        message.write_bytes(b"")
        message.chmod(0o666)
        wanted = {"timeoutSeconds": 60, "base": "none", **spec}
        request = wire.Request("default", "hello-1", "uid", decode(BuildSpec, wanted))
        env = environment() | {
            "HOME": str(home), "TMPDIR": str(scratch), "XDG_CACHE_HOME": str(self.folder / "cache"), "PYTHONDONTWRITEBYTECODE": "1",
            wire.REQUEST: wire.write_request(request), wire.TERMINATION_LOG: str(message), wire.SECRETS: str(secrets or home), **more,
        }  # fmt: skip
        argv = self.unprivileged(python(), "-m", RUNNER)
        return await asyncio.create_subprocess_exec(
            *argv, env=env, cwd=scratch, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )

    async def finish(self, process: asyncio.subprocess.Process) -> Ran:
        with anyio.fail_after(90):
            out, err = await process.communicate()
        assert process.returncode is not None
        message = (self.folder / "message").read_text()
        return Ran(process.returncode, [json.loads(line) for line in out.splitlines()], message, err.decode())

    async def run(self, spec: dict[str, Any], secrets: Path | None = None, **more: str) -> Ran:
        return await self.finish(await self.start(spec, secrets, **more))


@pytest.fixture
def bench(folder: Path) -> Bench:
    return Bench(folder)


def inline(host: str, files: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "source": {"inline": files or {"func.py": HANDLER}}, "image": {"repository": f"{host}/team/hello", "tags": ["1", "latest"]},
        "name": "hello", **spec,
    }  # fmt: skip


async def hostile(host: str, packed: bytes, **changes: str) -> str:
    """Push what somebody else made as a source artifact; its reference."""
    blob = oci.blob(packed, changes.get("layer", source_artifact.LAYER))
    content = oci.artifact(changes.get("kind", source_artifact.ARTIFACT), None, (blob,), {})
    ref = parse_ref(f"{host}/team/hello:src-x")
    async with Registries() as registries:
        await push(registries, content, [ref], lambda step: None)
    return f"{ref.name}@{content.digest}"


class TestABuild:
    async def test_pushes_an_image_that_others_can_read_and_tells_its_digest_three_times(self, bench: Bench, folder: Path) -> None:
        async with registry(folder) as reg:
            ran = await bench.run(inline(reg.host))
            assert ran.code == 0, ran
            seen = json.loads(await skopeo("inspect", "--tls-verify=false", f"docker://{reg.host}/team/hello:1"))
            assert seen["Digest"] == ran.result["digest"] == json.loads(ran.message)["digest"]
            assert {"1", "latest"} <= set(seen["RepoTags"])
            assert ran.result["image"] == f"{reg.host}/team/hello@{seen['Digest']}"

    async def test_gives_the_digest_that_a_build_on_the_command_line_gives(self, bench: Bench, folder: Path) -> None:
        source = folder / "elsewhere" / "hello"
        (source / "pkg").mkdir(parents=True)
        (source / "func.py").write_text(HANDLER)
        (source / "func.yaml").write_text("name: hello\nrun:\n  envs:\n  - name: A\n    value: b\n")
        (source / "pkg" / "data.bin").write_bytes(bytes(range(256)))
        (source / "run.sh").write_text("#!/bin/sh\n")
        (source / "run.sh").chmod(0o700)
        async with registry(folder) as reg:
            artifact = await uploaded(source, reg.host, folder / "c1")
            ran = await bench.run(inline(reg.host) | {"source": {"artifact": artifact}})
            assert ran.code == 0, ran
            env = environment() | {"XDG_CACHE_HOME": str(folder / "c2"), "KUBECONFIG": "", "HOME": str(folder)}
            here = await asyncio.create_subprocess_exec(
                python(), "-m", "cli.main", "build", str(source), "--push", "--base", "none", "-t", f"{reg.host}/other/hello:1",
                env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            out, err = await here.communicate()
            assert out.decode().strip().endswith(ran.result["digest"]), (out, err, ran.result)

    async def test_takes_a_source_that_is_uploaded_already_with_one_question(self, folder: Path) -> None:
        source = folder / "hello"
        source.mkdir()
        (source / "func.py").write_text(HANDLER)
        async with registry(folder) as reg:
            first = await uploaded(source, reg.host, folder / "c1")
            before = len(reg.requests())
            assert await uploaded(source, reg.host, folder / "c1") == first
            assert [line.split()[0] for line in reg.requests()[before:]] == ["HEAD"]

    async def test_is_allowed_to_push_by_the_mounted_secret_only(self, bench: Bench, folder: Path) -> None:
        async with registry(folder, "basic") as reg:
            refused = await bench.run(inline(reg.host))
            assert (refused.code, refused.result["result"]) == (4, "failed")
            secrets = folder / "secrets"
            (secrets / "push").mkdir(parents=True)
            login = {"auths": {reg.host: {"username": USER, "password": PASSWORD}}}
            (secrets / "push" / ".dockerconfigjson").write_text(json.dumps(login))
            ran = await bench.run(inline(reg.host), secrets)
            assert ran.code == 0, ran
            assert PASSWORD not in json.dumps(ran.lines) + ran.message + ran.errors

    async def test_leaves_nothing_in_its_temporary_folder(self, bench: Bench, folder: Path) -> None:
        async with registry(folder) as reg:
            assert (await bench.run(inline(reg.host))).code == 0
        assert list((folder / "tmp").iterdir()) == []


class TestAGitRepository:
    async def test_is_built_at_the_commit_that_is_told(self, bench: Bench, folder: Path) -> None:
        with git_server.serving(folder / "git") as served:
            work = served.repository(files={"functions/hello/func.py": HANDLER})
            commit = git_server.git("rev-parse", "HEAD", at=work)
            async with registry(folder) as reg:
                source = {"git": {"url": served.url(), "ref": "main", "subdir": "functions/hello"}}
                ran = await bench.run(inline(reg.host) | {"source": source})
                assert (ran.code, ran.result.get("commit")) == (0, commit), ran

    async def test_that_is_private_is_read_with_the_mounted_secret_only(self, bench: Bench, folder: Path) -> None:
        with git_server.serving(folder / "git") as served:
            served.repository("private")
            secrets = folder / "secrets"
            (secrets / "git").mkdir(parents=True)
            (secrets / "git" / "username").write_text(git_server.USER)
            (secrets / "git" / "password").write_text(f"{git_server.PASSWORD}\n")
            async with registry(folder) as reg:
                spec = inline(reg.host) | {"source": {"git": {"url": served.url("private")}}}
                refused = await bench.run(spec)
                assert (refused.code, refused.result["result"]) == (4, "failed")
                ran = await bench.run(spec, secrets)
                assert ran.code == 0, ran
                assert git_server.PASSWORD not in json.dumps(ran.lines) + ran.message + ran.errors

    async def test_that_is_not_there_is_told(self, bench: Bench, folder: Path) -> None:
        with git_server.serving(folder / "git") as served:
            ran = await bench.run(inline("127.0.0.1:1") | {"source": {"git": {"url": served.url("nowhere")}}})
        assert (ran.code, ran.result["result"]) in ((3, "failed"), (4, "failed"))


class TestAFailure:
    @pytest.mark.parametrize(
        ("files", "code"),
        [({"func.py": "def handle(:\n"}, 3), ({"func.py": "x = 1\n"}, 3), ({"README": "x"}, 3)],
        ids=["a syntax error", "no handler", "no function"],
    )
    async def test_of_the_source_ends_with_its_exit_code_and_says_why(
        self, bench: Bench, folder: Path, files: dict[str, str], code: int
    ) -> None:
        async with registry(folder) as reg:
            ran = await bench.run(inline(reg.host, files))
        assert (ran.code, ran.result["code"], json.loads(ran.message)["code"]) == (code, code, code)
        assert ran.result["message"]

    async def test_to_reach_the_registry_may_pass(self, bench: Bench, folder: Path) -> None:
        async with registry(folder) as reg:
            host = reg.host
        ran = await bench.run(inline(host))
        assert (ran.code, ran.result["result"]) == (75, "failed")

    async def test_is_told_in_the_log_even_if_the_message_cannot_be_written(self, bench: Bench, folder: Path) -> None:
        async with registry(folder) as reg:
            ran = await bench.run(inline(reg.host, {"README": "x"}), **{wire.TERMINATION_LOG: str(folder / "nowhere" / "message")})
        assert ran.result["code"] == 3

    async def test_of_the_request_is_told_as_well(self, bench: Bench) -> None:
        ran = await bench.run(inline("127.0.0.1:1"), **{wire.REQUEST: '{"spec": {"timeoutSeconds": "x"}}'})
        assert ran.code == 2


class TestHostileArtifacts:
    @pytest.mark.parametrize("name", ["a path upwards", "a file through a link", "a hard link to the machine's own", "no end"])
    async def test_end_the_build_and_leave_nothing_anywhere(self, bench: Bench, folder: Path, name: str) -> None:
        async with registry(folder) as reg:
            ran = await bench.run(inline(reg.host) | {"source": {"artifact": await hostile(reg.host, gzip.compress(HOSTILE[name]))}})
        assert (ran.code, ran.result["reason"]) == (3, "SourceUnsafe")
        assert not list(folder.rglob("evil"))
        assert list((folder / "tmp").iterdir()) == []

    @pytest.mark.parametrize("changes", [{"kind": "application/x"}, {"layer": "application/x"}], ids=["kind", "layer"])
    async def test_of_another_kind_are_refused(self, bench: Bench, folder: Path, changes: dict[str, str]) -> None:
        async with registry(folder) as reg:
            ran = await bench.run(inline(reg.host) | {"source": {"artifact": await hostile(reg.host, gzip.compress(PLAIN), **changes)}})
        assert (ran.code, ran.result["reason"]) == (3, "SourceUnsafe")

    async def test_that_are_not_what_their_digest_says_are_refused(self, bench: Bench, folder: Path) -> None:
        async with registry(folder) as reg:
            packed = gzip.compress(PLAIN)
            artifact = await hostile(reg.host, packed)
            reg.blob(oci.sha256(packed)).write_bytes(packed[:-1] + b"x")
            ran = await bench.run(inline(reg.host) | {"source": {"artifact": artifact}})
        assert (ran.result["result"], ran.result.get("image", "")) == ("failed", "")

    async def test_that_are_gone_are_told(self, bench: Bench, folder: Path) -> None:
        async with registry(folder) as reg:
            ran = await bench.run(inline(reg.host) | {"source": {"artifact": f"{reg.host}/team/hello@sha256:{'0' * 64}"}})
        assert ran.result["result"] == "failed"
        assert "0000" in ran.result["message"]


class TestStopping:
    async def test_by_sigterm_is_told_as_cancelled(self, bench: Bench, silent: str) -> None:
        process = await bench.start(inline(silent))
        assert process.stdout is not None
        await process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        ran = await bench.finish(process)
        assert (ran.code, ran.result["result"], json.loads(ran.message)["reason"]) == (130, "cancelled", "Cancelled")
        assert list((bench.folder / "tmp").iterdir()) == []

    async def test_by_its_timeout_is_told_as_that(self, bench: Bench, silent: str) -> None:
        ran = await bench.run(inline(silent, timeoutSeconds=2))
        assert (ran.code, ran.result["result"]) == (124, "timeout")

    async def test_by_sigkill_at_any_moment_leaves_the_next_build_fine(self, bench: Bench, folder: Path) -> None:
        async with registry(folder) as reg:
            for pause in (0.3, 0.5, 0.7, 0.9, 1.1, 1.4):
                process = await bench.start(inline(reg.host))
                await asyncio.sleep(pause)
                if process.returncode is None:
                    process.kill()
                await process.communicate()
            assert (await bench.run(inline(reg.host))).code == 0


class TestPrivileges:
    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can start it as root")
    async def test_of_root_are_refused_with_the_word(self, bench: Bench) -> None:
        bench.unprivileged = lambda *argv: list(argv)  # type: ignore[method-assign]
        ran = await bench.run(inline("127.0.0.1:1"))
        assert (ran.code, ran.result["reason"]) == (1, "TooPrivileged")
        assert "runAsNonRoot" in ran.result["message"]

    @pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can hand out capabilities")
    async def test_of_a_capability_are_refused(self, bench: Bench) -> None:
        keep = ("--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=+net_raw", "--ambient-caps=+net_raw")
        bench.unprivileged = lambda *argv: ["setpriv", *keep, *argv]  # type: ignore[method-assign]
        ran = await bench.run(inline("127.0.0.1:1"))
        assert (ran.code, ran.result["reason"]) == (1, "TooPrivileged")
        assert "CapEff" in ran.result["message"]


class TestSweeping:
    async def test_deletes_the_artifact_and_is_content_if_it_is_gone(self, bench: Bench, folder: Path) -> None:
        async with registry(folder) as reg:
            artifact = await hostile(reg.host, gzip.compress(PLAIN))
            spec = decode(BuildSpec, inline(reg.host) | {"source": {"artifact": artifact}, "timeoutSeconds": 60})
            request = wire.write_request(wire.Request("default", "hello-1", "uid", spec, sweep=True))
            for _ in range(2):
                assert (await bench.run(inline(reg.host), **{wire.REQUEST: request})).code == 0
            ran = await bench.run(inline(reg.host) | {"source": {"artifact": artifact}})
            assert ran.result["result"] == "failed"
