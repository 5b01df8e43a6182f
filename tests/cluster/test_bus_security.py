"""NATS on a cluster as the chart runs it: accounts and TLS, what was stored before there were any, and a function that speaks it."""

import asyncio
import json
import socket
import ssl
from collections.abc import Iterator

import nats
import pytest

from kfn.busauth import nkey
from tests.cluster import installing
from tests.cluster.platform import Platform, a_service
from tests.cluster.shell import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

NAMES = ("taken", "arrived")


@pytest.fixture(scope="module")
def bus(platform: Platform) -> Iterator[Platform]:
    """A NATS with a password, as charts before this installed it, with events that wait; then one with accounts, over it."""
    platform.upgrade(**{"nats.accounts": "off"})
    try:
        for name in NAMES:
            platform.kfn("broker", "create", name)
        platform.kfn("trigger", "create", "on", "--broker", "taken", "--sink", "broker:arrived")
        platform.kfn("trigger", "pause", "on")
        for number in range(3):
            platform.kfn("events", "publish", "--broker", "taken", "--type", "t", "--id", f"before-{number}", "--data", "{}")
        platform.upgrade(**{"nats.functions.enabled": True})
        yield platform
    finally:
        platform.kfn("trigger", "delete", "on", check=False)
        for name in NAMES:
            platform.kfn("broker", "delete", name, check=False)
        platform.delete("ksvc", "speaks")
        platform.upgrade()


def arrived(platform: Platform, count: int) -> list[str]:
    tail = platform.kfn("events", "tail", "--broker", "arrived", "--since", "20m", "--count", str(count), timeout=120)
    return sorted(json.loads(line)["id"] for line in tail.stdout.splitlines())


def test_what_was_stored_before_there_were_accounts_is_delivered(bus: Platform) -> None:
    config = bus.get("configmap", "kfn-nats", bus.namespace)["data"]["nats.conf"]
    assert "made/accounts.conf" in config and "tls {" in config and "http" not in config
    bus.kfn("trigger", "resume", "on")
    assert arrived(bus, 3) == ["before-0", "before-1", "before-2"]


def test_a_function_speaks_nats_by_tls_with_what_it_asked_for_and_a_new_certificate_loses_nothing(bus: Platform) -> None:
    bus.apply(a_service("speaks", bus.hello("here"), annotations={"kfn.dev/nats-publish": "arrived"}))
    bus.ready("speaks")
    pods = json.loads(bus.kubectl("get", "pods", "-l", "serving.knative.dev/service=speaks", "-o", "json"))["items"]
    assert all(any(one["name"] == "kfn-nats" for one in pod["spec"]["volumes"]) for pod in pods)
    said = bus.kfn("nats", "creds", "speaks").stdout
    assert "# url: tls://kfn-nats." in said
    published(bus, said, "by-function")
    assert "by-function" in arrived(bus, 4)
    before = serial(bus, said)
    bus.kubectl("-n", bus.namespace, "rollout", "restart", "statefulset/kfn-nats")
    bus.kubectl("-n", bus.namespace, "rollout", "status", "statefulset/kfn-nats", "--timeout=180s", timeout=200)
    publish = ("events", "publish", "--broker", "taken", "--type", "t", "--id", "after", "--data", "{}")
    wait_for("events are taken again", lambda: bus.kfn(*publish, check=False).returncode == 0, 120)
    assert arrived(bus, 5) == ["after", "before-0", "before-1", "before-2", "by-function"]
    assert serial(bus, said) != before


def test_nothing_answers_at_the_monitoring_port(bus: Platform) -> None:
    address = bus.get("pod", "kfn-nats-0", bus.namespace)["status"]["podIP"]
    with pytest.raises(OSError):
        socket.create_connection((address, 8222), timeout=5)


def trusted(said: str) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=said.partition("certificate:\n")[2])


def serial(platform: Platform, said: str) -> str:
    """The number of the server's certificate, which is verified."""
    host, port = installing.address(platform, "kfn-nats", 4222)
    with socket.create_connection((host, port), timeout=20) as plain:
        assert plain.recv(1 << 16).startswith(b"INFO")
        with trusted(said).wrap_socket(plain, server_hostname=f"kfn-nats.{platform.namespace}.svc.cluster.local") as secured:
            return str((secured.getpeercert() or {})["serialNumber"])


def published(platform: Platform, said: str, id: str) -> None:
    """As the function would: one event into its Broker; and one thing that it may not."""
    identity, told = nkey.from_credentials(said), list[str]()
    host, port = installing.address(platform, "kfn-nats", 4222)

    async def note(error: Exception) -> None:
        told.append(str(error))

    async def talk() -> None:
        client = await nats.connect(
            f"tls://{host}:{port}", tls=trusted(said), tls_hostname=f"kfn-nats.{platform.namespace}.svc.cluster.local", connect_timeout=30,
            user_jwt_cb=lambda: identity.jwt.encode(), signature_cb=identity.sign, error_cb=note,
            inbox_prefix=f"_INBOX_{identity.public[1:25]}",
        )  # fmt: skip
        headers = {"ce-specversion": "1.0", "ce-id": id, "ce-source": "/f", "ce-type": "t"}
        answer = await client.request("kfn.default.arrived.ev.t.-", b"{}", headers=headers, timeout=30)
        assert json.loads(answer.data)["stream"] == "KFN_default_arrived"
        await client.publish("kfn.default.taken.ev.t.-", b"{}")
        await client.flush()
        async with asyncio.timeout(30):
            while not told:
                await asyncio.sleep(0.05)
        assert "permissions violation" in told[0]
        await client.close()

    asyncio.run(talk())
