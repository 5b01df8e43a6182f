"""`kfn source-adapter apiserver` as a process: ready when it follows, health and metrics, the end at SIGTERM, what it refuses."""

import asyncio
import os
import sys
from pathlib import Path

import anyio
import httpx

from eventing.apiserver import config
from kfn.api import kinds
from kfn.api.core import ConfigMap
from kfn.api.meta import ObjectMeta
from tests.fakes.sink import sink
from tests.integration.embedded_api.served import served

COMMAND = (sys.executable, "-m", "cli.main", "source-adapter", "apiserver", "--admin-port", "0")


async def started(kubeconfig: Path, log: Path, **env: str) -> asyncio.subprocess.Process:
    with log.open("wb") as err:
        return await asyncio.create_subprocess_exec(
            *COMMAND, env={**os.environ, "KUBECONFIG": str(kubeconfig), **env}, stdout=asyncio.subprocess.PIPE, stderr=err
        )


def put(name: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace="default"))


async def test_it_lives_and_ends_as_every_process_here(tmp_path: Path) -> None:
    told = config.Config("default", "maps", "https://api", "s", (config.Resource("v1", "ConfigMap"),), ("default",))
    async with served(tmp_path) as api, sink() as there:
        await api.client.create(kinds.CONFIG_MAP, put("old"), "default")
        (tmp_path / "tokens").mkdir()
        (tmp_path / "tokens/one").write_text("open sesame\n")
        env = {config.SINK: there.url, config.CONFIG: config.dumps(told), config.TOKENS: str(tmp_path / "tokens")}
        process = await started(api.kubeconfig, tmp_path / "log", **env)
        try:
            assert process.stdout is not None
            with anyio.fail_after(60):
                line = (await process.stdout.readline()).decode()
            assert line.startswith("ready source-adapter source=default/maps "), line + (tmp_path / "log").read_text()
            await there.wait(1)
            await api.client.create(kinds.CONFIG_MAP, put("new"), "default")
            await there.wait(2)
            assert {got.headers["authorization"] for got in there.got} == {"Bearer open sesame"}
            admin = line.split("admin=")[1].split()[0]
            async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
                assert (await http.get(f"{admin}/readyz")).status_code == 200
                metrics = (await http.get(f"{admin}/metrics")).text
            assert 'kfn_source_changes_total{namespace="default",outcome="sent",source="maps"}' in metrics
            assert 'kfn_process_info{part="source-adapter"' in metrics
        finally:
            process.terminate()
            with anyio.fail_after(60):
                await process.communicate()
        assert process.returncode == 0


async def test_without_a_source_it_says_who_starts_it(tmp_path: Path) -> None:
    async with served(tmp_path) as api:
        process = await started(api.kubeconfig, tmp_path / "log")
        with anyio.fail_after(60):
            await process.communicate()
        assert process.returncode == 2 and "$K_SINK and $K_SOURCE_CONFIG are not set" in (tmp_path / "log").read_text()
