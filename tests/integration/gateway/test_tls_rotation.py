"""Certificates change under load: nobody's connection breaks, and the next handshake sees the new one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio

from kfn.api import kinds
from tests.fakes.authority import Issued, secret
from tests.fakes.routed import HOST, Cluster
from tests.fakes.secure import Secure, secure
from tests.fakes.upstream import upstream

ROTATIONS = 50
LABEL = {"kfn.dev/gateway-certificate": "true"}


def _cluster(port: int) -> Cluster:
    cluster = Cluster()
    cluster.route()
    cluster.revision()
    cluster.instance(port)
    return cluster


def _put(cluster: Cluster, issued: Issued, name: str = "web", labels: dict[str, str] | None = None, namespace: str = "front") -> None:
    cluster.api.put(kinds.SECRET, secret(issued, name, labels=labels, namespace=namespace))


@dataclass
class Load:
    kept: int = 0  # answers on the connections that were there from the beginning
    fresh: int = 0  # answers on connections of their own


@asynccontextmanager
async def _load(web: Secure, host: str = HOST) -> AsyncIterator[Load]:
    """Clients that ask and ask until the block ends. Any error is the test's."""
    done, load = False, Load()

    async def keeps() -> None:
        client = await web.client(host)
        while not done:
            assert (await client.ask("GET")).status == 200
            load.kept += 1
        await client.close()

    async def comes_and_goes() -> None:
        while not done:
            client = await web.client(host)
            assert (await client.ask("POST", body=b"x" * 5000)).status == 200
            await client.close()
            load.fresh += 1

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(keeps)
        for _ in range(2):
            tasks.start_soon(comes_and_goes)
        yield load
        done = True


async def test_fifty_changes_of_the_files_under_load(tmp_path: Path) -> None:
    async with upstream() as instance, secure(tmp_path, _cluster(instance.port), tls_check=0.01) as web, _load(web) as load:
        before = await web.shown()
        for turn in range(1, ROTATIONS + 1):
            issued = web.authority.issue("*.default.localhost")
            issued.write(web.folder)
            await web.gw.until(lambda turn=turn: web.certificates.reloads == turn)  # type: ignore[misc]
            assert await web.shown() == issued.serial != before
        asked = load.kept
        await web.gw.until(lambda: load.kept > asked + 10)
    assert load.fresh > 10
    assert not web.certificates.handshake_failures


async def test_fifty_changes_of_the_secret_under_load(tmp_path: Path) -> None:
    host = "shop.example.com"
    async with upstream() as instance:
        cluster = _cluster(instance.port)
        async with secure(tmp_path, cluster, tls_secrets=("front/web",)) as web:
            _put(cluster, web.authority.issue(host))
            await web.gw.until(lambda: len(web.certificates.pairs()) == 2)
            async with _load(web, host) as load:
                for turn in range(1, ROTATIONS + 1):
                    issued = web.authority.issue(host)
                    _put(cluster, issued)
                    await web.gw.until(lambda turn=turn: web.certificates.reloads == turn)  # type: ignore[misc]
                    assert await web.shown(host) == issued.serial
                    assert await web.shown() != issued.serial
            assert load.fresh > 10
            assert not web.certificates.handshake_failures


async def test_a_wrong_pair_under_load_changes_nothing(tmp_path: Path) -> None:
    async with upstream() as instance, secure(tmp_path, _cluster(instance.port), tls_check=0.01) as web, _load(web) as load:
        serial = await web.shown()
        (web.folder / "tls.crt").write_bytes(web.authority.issue("*.default.localhost").cert)
        await web.gw.until(lambda: bool(web.certificates.failures))
        asked = load.fresh
        await web.gw.until(lambda: load.fresh > asked + 5)
        assert await web.shown() == serial


async def test_the_port_is_open_before_the_secret_is_there(tmp_path: Path) -> None:
    async with upstream() as instance:
        cluster = _cluster(instance.port)
        async with secure(tmp_path, cluster, tls_files=(), tls_secrets=("front/web",), tls_secrets_namespace="front") as web:
            assert "no peer certificate" in await web.s_client()
            _put(cluster, web.authority.issue("elsewhere.test"), "more", LABEL)
            await web.gw.until(lambda: web.certificates.context is not None)
            assert "unrecognized name" in await web.s_client("-servername", HOST)  # only named ones are for everybody
            _put(cluster, web.authority.issue("*.default.localhost"))
            await web.gw.until(lambda: len(web.certificates.pairs()) == 2)
            assert await web.curl("--http1.1", web.url()) == "hello"
            assert await web.shown("elsewhere.test") != await web.shown()


async def test_only_labelled_secrets_of_the_one_namespace_are_taken(tmp_path: Path) -> None:
    cluster = Cluster()
    async with secure(tmp_path, cluster, tls_secrets_namespace="front") as web:
        _put(cluster, web.authority.issue("a.test"), "without")
        _put(cluster, web.authority.issue("b.test"), "elsewhere", LABEL, namespace="tenant")
        _put(cluster, web.authority.issue("c.test"), "with", LABEL)
        await web.gw.until(lambda: len(web.certificates.pairs()) == 2)
        assert set(web.certificates.expiries()) == {"*.default.localhost", "c.test"}
        cluster.api.remove(kinds.SECRET, "with", "front")
        await web.gw.until(lambda: len(web.certificates.pairs()) == 1)
