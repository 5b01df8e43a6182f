"""Two replicas of each part with one Lease: who leads, who stands by, and what happens when the leader ends, dies or is stopped."""

import signal
from pathlib import Path

import httpx
import pytest

from kfn.api import kinds
from kfn.api.core import Namespace
from kfn.api.meta import ObjectMeta
from kfn.kube import errors
from tests.integration.parts.stage import Part, Stage, one_of, stage, until

pytestmark = pytest.mark.timeout(600)
PORTS = ("--port", "0", "--slots-port", "0")


async def namespace(s: Stage) -> None:
    await s.client.create(kinds.NAMESPACE, Namespace(metadata=ObjectMeta(name="kfn-system")))


def a_service(name: str) -> dict[str, object]:
    template = {"spec": {"containers": [{"image": "dev.local/hello"}]}}
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"template": template},
    }


async def works(s: Stage, name: str) -> None:
    """A controller acts: a new Service gets its Configuration."""
    await s.client.create(kinds.SERVICE, a_service(name), "default")

    async def there() -> bool:
        try:
            await s.client.get(kinds.CONFIGURATION, name, "default")
        except errors.NotFound:
            return False
        return True

    await until(there, f"Configuration {name}")


class TestControllers:
    async def test_one_leads_and_the_other_takes_over_when_it_is_killed(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as s:
            await namespace(s)
            both = [await s.part("controller", "--no-builds", "--identity", name) for name in ("a", "b")]
            first = await one_of(both)
            await works(s, "before")
            first.signal(signal.SIGKILL)
            second = await one_of([part for part in both if part is not first])
            assert second is not first
            await works(s, "after")

    async def test_a_stop_in_order_hands_the_lease_over(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as s:
            await namespace(s)
            both = [await s.part("controller", "--no-builds", "--identity", name) for name in ("a", "b")]
            first = await one_of(both)
            first.signal(signal.SIGTERM)
            assert await first.ended() == 0
            lease = await s.client.get(kinds.LEASE, "kfn-controller", "kfn-system")
            assert lease.spec.holder_identity in ("", next(part.said["identity"] for part in both if part is not first))
            await one_of([part for part in both if part is not first])
            await works(s, "after")


async def listens(address: str) -> bool:
    try:
        async with httpx.AsyncClient(timeout=10) as client:
            return (await client.post(f"{address}/load")).status_code == 401
    except httpx.HTTPError:
        return False


async def told(s: Stage) -> tuple[str, int]:
    """Where gateways are sent."""
    slice_ = await s.client.get(kinds.ENDPOINT_SLICE, "kfn-autoscaler-leader", "kfn-system")
    ports = {port.name: port.port or 0 for port in slice_.ports}
    return (slice_.endpoints[0].addresses[0] if slice_.endpoints else "", ports["load"])


class TestAutoscalers:
    @pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP], ids=["killed", "stopped in order", "hanging"])
    async def test_only_the_leader_listens_and_gateways_are_sent_to_it(self, tmp_path: Path, how: signal.Signals) -> None:
        async with stage(tmp_path) as s:
            await namespace(s)
            both = [await s.part("autoscaler", *PORTS, "--advertise", ip, "--identity", ip) for ip in ("127.0.0.1", "127.0.0.2")]
            first = await one_of(both)
            second = next(part for part in both if part is not first)
            await until(lambda: listens(first.said["load"]), "the leader listens")
            assert not await listens(second.said["load"])
            assert await told(s) == (first.said["identity"], int(first.said["load"].rpartition(":")[2]))
            first.signal(how)
            await until(lambda: listens(second.said["load"]), "the next one listens")

            async def found() -> bool:
                return await told(s) == (second.said["identity"], int(second.said["load"].rpartition(":")[2]))

            await until(found, "gateways are sent to the next one")
            if how == signal.SIGSTOP:
                await goes_on(first, second)

    async def test_the_slice_is_put_right_when_somebody_deletes_it(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as s:
            await namespace(s)
            await s.part("autoscaler", *PORTS, "--advertise", "127.0.0.1", "--no-lease")

            async def there() -> bool:
                try:
                    return (await told(s))[0] == "127.0.0.1"
                except errors.NotFound:
                    return False

            await until(there, "the slice")
            await s.client.delete(kinds.ENDPOINT_SLICE, "kfn-autoscaler-leader", "kfn-system")
            await until(there, "the slice again")


async def goes_on(first: Part, second: Part) -> None:
    """One that was stopped for longer than its lease finds out, stops listening, and stands by."""
    first.signal(signal.SIGCONT)

    async def noticed() -> bool:
        return "lost the lease" in first.text

    await until(noticed, "the old leader notices")
    leader = await one_of([first, second])  # on a machine with much to do it may have changed again
    await until(lambda: listens(leader.said["load"]), "the one that leads listens")
    assert first.process.returncode is None


class TestEventing:
    async def test_every_replica_takes_events_and_one_leads(self, tmp_path: Path) -> None:
        from embedded.nats import nats_server

        async with nats_server(tmp_path / "nats") as nats, stage(tmp_path) as s:
            await namespace(s)
            given = ("--port", "0", "--nats", nats.url, "--nats-user", nats.user, "--ingress-url", "")
            both = [await s.part("eventing", *given, "--identity", name, KFN_NATS_PASSWORD=nats.password) for name in ("a", "b")]
            first = await one_of(both)
            second = next(part for part in both if part is not first)
            broker = {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "metadata": {"name": "default", "namespace": "default"}}
            await s.client.create(kinds.BROKER, broker, "default")
            for part in (first, second):
                await until(lambda part=part: takes(part), f"{part.said['events']} takes events")
            first.signal(signal.SIGKILL)
            assert await takes(second), "at once, whoever leads"
            await one_of([second])


async def takes(part: Part) -> bool:
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/test", "ce-type": "test"}
    async with httpx.AsyncClient(timeout=30) as client:
        return (await client.post(f"{part.said['events']}/default/default", headers=headers)).status_code == 202
