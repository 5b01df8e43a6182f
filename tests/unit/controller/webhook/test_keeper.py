"""The Secret and the two configurations over an API server in memory, in virtual time."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import msgspec
import pytest

from controller.webhook import configuration, rotation
from controller.webhook.keeper import Keeper
from controller.webhook.rotation import AUTHORITIES, CERT
from controller.webhook.settings import Settings
from kfn import certificates
from kfn.api import kinds
from kfn.api.base import Json
from kfn.api.core import Secret
from kfn.api.meta import ObjectMeta
from kfn.api.registration import Mutating, Validating
from kfn.kube import errors
from kfn.kube.client import Client
from tests.fakes.kube import FakeApi

START = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = Settings(url="")
HOOKS = (kinds.MUTATING_WEBHOOKS, kinds.VALIDATING_WEBHOOKS)


def now() -> datetime:
    return START + timedelta(seconds=asyncio.get_running_loop().time())


class World:
    """An API server with the chart's objects, as they are before anybody has written an authority into them."""

    def __init__(self, settings: Settings = SETTINGS, *, chart: bool = True) -> None:
        self.api = FakeApi(now)
        self.client = Client(self.api)
        self.settings = settings
        if chart:
            self.api.put(kinds.SECRET, Secret(metadata=ObjectMeta(name=settings.secret, namespace=settings.namespace), type="Opaque"))
            self.api.put(kinds.MUTATING_WEBHOOKS, msgspec.convert(self.bare(configuration.mutating), Mutating))
            self.api.put(kinds.VALIDATING_WEBHOOKS, msgspec.convert(self.bare(configuration.validating), Validating))

    def bare(self, make: Any) -> Json:
        whole: Json = make(self.settings, b"")
        del whole["webhooks"][0]["clientConfig"]["caBundle"]
        return whole

    def keeper(self) -> Keeper:
        return Keeper(self.client, self.settings, now)

    @property
    def secret(self) -> Secret:
        return self.api.the(kinds.SECRET, self.settings.secret, self.settings.namespace)

    @property
    def contents(self) -> dict[str, bytes]:
        return {name: base64.b64decode(value) for name, value in self.secret.data.items()}

    def told(self) -> list[bytes]:
        """The authorities that each configuration names."""
        found = [hook for kind in HOOKS for one in self.api.all(kind, "") for hook in one.webhooks]
        return [base64.b64decode(hook["clientConfig"].get("caBundle", "")) for hook in found]

    def known(self) -> bool:
        return self.told() == [self.contents[AUTHORITIES]] * 2


@asynccontextmanager
async def running(world: World, *, replicas: int = 1, leads: bool = True) -> AsyncIterator[list[Keeper]]:
    keepers = [world.keeper() for _ in range(replicas)]
    async with anyio.create_task_group() as tasks:
        async with anyio.create_task_group() as starting:
            for keeper in keepers:
                starting.start_soon(keeper.prepare)
        for keeper in keepers:
            tasks.start_soon(keeper.follow)
        if leads:
            tasks.start_soon(keepers[0].lead, world.client)
        yield keepers
        tasks.cancel_scope.cancel()


async def until(holds: Any, within: float = 60.0) -> None:
    step = within / 1200
    with anyio.fail_after(within):
        while not holds():
            await anyio.sleep(step)


class TestTheFirst:
    async def test_replicas_that_start_together_show_the_same_one(self) -> None:
        world = World()
        async with running(world, replicas=5, leads=False) as keepers:
            assert len({keeper.ends for keeper in keepers}) == 1
            assert rotation.usable(world.contents, now())
            written = [path for method, path in world.api.writes if method == "PUT"]
            assert len(written) == 1, "one wrote, the others took it"

    async def test_a_secret_that_is_not_there_is_made(self) -> None:
        world = World(chart=False)
        async with running(world, replicas=3, leads=False):
            assert rotation.usable(world.contents, now())

    async def test_a_restart_keeps_it(self) -> None:
        world = World()
        async with running(world, leads=False):
            first = world.contents
        async with running(world, leads=False):
            assert world.contents == first

    async def test_an_api_server_that_is_away_is_waited_for(self) -> None:
        world = World()

        def away(method: str, path: str) -> None:
            if asyncio.get_running_loop().time() < 30:
                raise errors.ApiError(503, "ServiceUnavailable", "it is starting")

        world.api.before = away
        async with running(world, leads=False):
            assert 30 <= asyncio.get_running_loop().time() < 40


class TestWhoLeads:
    async def test_both_configurations_name_the_authority(self) -> None:
        world = World()
        async with running(world):
            await until(world.known)

    @pytest.mark.parametrize("kind", HOOKS, ids=lambda kind: kind.kind)
    async def test_what_somebody_edits_or_an_upgrade_resets_is_mended_and_the_rest_is_left(self, kind: kinds.Kind[Any]) -> None:
        world = World()
        async with running(world):
            await until(world.known)
            edited = world.api.the(kind, configuration.NAME, "")
            hook = {**edited.webhooks[0], "timeoutSeconds": 3, "clientConfig": {"service": {"name": "kfn-webhook", "namespace": "other"}}}
            world.api.put(kind, msgspec.structs.replace(edited, webhooks=[hook]))
            assert not world.known()
            await until(world.known)
            mended = world.api.the(kind, configuration.NAME, "").webhooks[0]
            assert mended["timeoutSeconds"] == 3
            assert mended["clientConfig"]["service"]["namespace"] == "other"

    async def test_a_configuration_that_is_made_anew_is_told_again(self) -> None:
        world = World()
        async with running(world):
            await until(world.known)
            world.api.remove(kinds.VALIDATING_WEBHOOKS, configuration.NAME, "")
            await anyio.sleep(5)
            world.api.put(kinds.VALIDATING_WEBHOOKS, msgspec.convert(world.bare(configuration.validating), Validating))
            await until(world.known)

    async def test_beside_a_cluster_it_makes_the_configurations_itself(self) -> None:
        world = World(Settings(url="https://10.0.0.1:9443"), chart=False)
        async with running(world):
            await until(lambda: len(world.told()) == 2 and world.known())
            hook = world.api.the(kinds.MUTATING_WEBHOOKS, configuration.NAME, "").webhooks[0]
            assert hook["clientConfig"]["url"] == "https://10.0.0.1:9443/default"

    async def test_a_secret_that_is_deleted_comes_back_as_it_was(self) -> None:
        world = World()
        async with running(world, replicas=2):
            await until(world.known)
            before = world.contents
            world.api.remove(kinds.SECRET, SETTINGS.secret, SETTINGS.namespace)
            await until(lambda: world.api.find(kinds.SECRET, SETTINGS.secret, SETTINGS.namespace) and world.contents)
            assert world.contents == before

    async def test_a_secret_that_is_spoilt_is_put_right_and_is_never_shown(self) -> None:
        world = World()
        async with running(world, replicas=2) as keepers:
            await until(world.known)
            before, ends = world.contents, keepers[1].ends
            world.api.put(kinds.SECRET, msgspec.structs.replace(world.secret, data={"tls.crt": "anVuaw==", "tls.key": "!"}))
            await until(lambda: world.contents == before)
            assert keepers[1].ends == ends

    async def test_a_failing_api_server_is_told_of_and_asked_again(self) -> None:
        world = World()

        def fails(method: str, path: str) -> None:
            if method == "PATCH" and asyncio.get_running_loop().time() < 20:
                raise errors.Forbidden(403, "Forbidden", "may not patch")

        world.api.before = fails
        async with running(world) as keepers:
            await anyio.sleep(10)
            assert "may not patch" in keepers[0].trouble
            await until(world.known)
            await until(lambda: not keepers[0].trouble)


HOUR = 3600.0
SHORT = Settings(life=5 * HOUR, renew_before=2 * HOUR, retire_after=600.0, look=600.0)


class TestRotation:
    async def test_at_every_moment_what_each_replica_shows_is_trusted(self) -> None:
        world = World(SHORT)
        async with running(world, replicas=3) as keepers:
            await until(world.known)
            shown, seen = set(), set()
            end = asyncio.get_running_loop().time() + 10.5 * HOUR
            while asyncio.get_running_loop().time() < end:
                await anyio.sleep(1 if rotation.NEXT_CERT in world.secret.data else 61)
                for keeper in keepers:
                    shown.add(keeper._shown[CERT])
                    for bundle in {(keeper._shown[CERT], told) for told in world.told()} - seen:
                        seen.add(bundle)
                        assert rotation.usable({**keeper._shown, AUTHORITIES: bundle[1]}, now()), now()
            assert len(shown) == 4, "every three hours a new one, and the first"
            assert len(certificates.bundle(world.contents[AUTHORITIES])) == 1

    async def test_the_staged_one_waits_while_the_configurations_cannot_be_written(self) -> None:
        world = World(SHORT)
        stuck = [True]

        def fails(method: str, path: str) -> None:
            if method == "PATCH" and stuck[0] and asyncio.get_running_loop().time() > 1000:
                raise errors.Forbidden(403, "Forbidden", "may not patch")

        world.api.before = fails
        async with running(world):
            await until(world.known)
            first = world.contents[CERT]
            await anyio.sleep(3.5 * HOUR)
            assert rotation.NEXT_CERT in world.contents, "the next one is there"
            assert world.contents[CERT] == first, "nobody would trust it"
            stuck[0] = False
            await until(lambda: world.contents[CERT] != first, within=120)

    async def test_a_new_leader_goes_on_where_the_last_one_stopped(self) -> None:
        world = World(SHORT)
        async with running(world):
            await until(world.known)
            first = world.contents[CERT]
            await anyio.sleep(3 * HOUR - 600)
            await until(lambda: rotation.NEXT_CERT in world.contents, within=1200)
        assert world.contents[CERT] == first
        async with running(world):
            await until(lambda: world.contents[CERT] != first, within=120)
            await until(lambda: len(certificates.bundle(world.contents[AUTHORITIES])) == 1, within=1200)
