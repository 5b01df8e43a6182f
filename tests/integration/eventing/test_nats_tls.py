"""A nats-server as the chart runs it, with TLS and accounts that `kfn nats prepare` made: who is believed, and that a new certificate
loses nothing."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
from click.testing import CliRunner

from cli.nats import command
from embedded import nats as child
from embedded.nats import NatsServer, nats_server
from eventing.bus import Bus
from eventing.settings import Settings
from kfn.busauth import trust
from kfn.busauth.keys import Keys
from kfn.clock import utcnow
from tests.fakes.sink import sink
from tests.integration.eventing.stage import Stage, set_up

SECRET = "a secret of the chart's, of forty characters"


def prepare(dir: Path) -> str:
    """The init container."""
    (dir / "key").write_text(f"{SECRET}\n")
    (dir / "out").mkdir(exist_ok=True)
    given = ["prepare", "--secret-file", str(dir / "key"), "--store", str(dir), "--out", str(dir / "out"), "--name", "127.0.0.1"]
    done = CliRunner().invoke(command, given)
    assert done.exit_code == 0, done.output
    return done.output


@asynccontextmanager
async def chart_server(dir: Path, port: int) -> AsyncIterator[None]:
    """nats-server itself, with what the chart's configuration says of TLS and accounts."""
    (dir / "nats.conf").write_text(f"""
listen: "127.0.0.1:{port}"
server_name: "kfn-nats-0"
log_file: "{dir}/nats.log"
include "out/accounts.conf"
tls {{ cert_file: "{dir}/out/tls.crt", key_file: "{dir}/out/tls.key", timeout: 5, min_version: "1.2" }}
jetstream {{ store_dir: "{dir}", max_file_store: 1073741824, max_memory_store: 1048576, sync_interval: always }}
""")
    process = await child._start(dir, port)
    try:
        yield
    finally:
        await child._end(process, grace=10)


class TestTls:
    async def test_events_survive_the_way_to_tls_and_accounts_and_each_new_certificate(self, tmp_path: Path) -> None:
        async with set_up(tmp_path / "unused") as one, sink() as got:
            dir = tmp_path / "nats"
            async with nats_server(dir) as server:  # as an older chart installed it
                one.server = server
                async with one.running() as bus:
                    await bus.broker()
                    await bus.publish_surely("before")
            assert "3 streams moved" in prepare(dir)  # the Broker's two, and the server's notices
            port = child._free_port()
            one.server = NatsServer(f"tls://127.0.0.1:{port}", "", "", 0, keys=Keys(SECRET.encode()))
            async with AsyncExitStack() as first:
                await first.enter_async_context(chart_server(dir, port))
                async with one.running() as bus:
                    await bus.trigger("t", got.url)
                    await bus.publish_surely("first")
                    assert (await bus.eventing._bus.api("STREAM.INFO.KFN_default_default"))["state"]["messages"] == 2
                    version, serial = peer(bus)
                    assert version == "TLSv1.3"
                    await first.aclose()  # the pod is made anew, and has another certificate
                    prepare(dir)
                    async with chart_server(dir, port):
                        await bus.publish_surely("second")
                        assert peer(bus)[1] != serial
                        assert {e.id for e in await got.wait(2)} >= {"first", "second"}

    async def test_a_server_that_somebody_else_certifies_is_told_nothing(self, tmp_path: Path) -> None:
        dir, port = tmp_path, child._free_port()
        prepare(dir)
        stranger = trust.server(Keys(b"another secret" * 3), ["127.0.0.1"], utcnow())
        (dir / "out" / "tls.crt").write_bytes(stranger[0])
        (dir / "out" / "tls.key").write_bytes(stranger[1])
        async with chart_server(dir, port):
            await refused(Settings(nats_url=f"tls://127.0.0.1:{port}", nats_keys=SECRET.encode()), "CERTIFICATE_VERIFY_FAILED")
            other = tmp_path / "other.pem"
            other.write_bytes(trust.authority(Keys(b"another secret" * 3)))
            await refused(Settings(nats_url=f"tls://localhost:{port}", nats_keys=SECRET.encode(), nats_ca=str(other)), "localhost")
            bus = Bus(Settings(nats_url=f"tls://127.0.0.1:{port}", nats_keys=SECRET.encode(), nats_ca=str(other)))
            with anyio.fail_after(30):
                async with bus.connected():
                    assert bus.is_up

    async def test_a_server_without_tls_is_not_told_a_password(self, tmp_path: Path) -> None:
        async with nats_server(tmp_path) as server:
            given = Settings(nats_url=server.url.replace("nats://", "tls://"), nats_user=server.user, nats_password=server.password)
            await refused(given, "offers no TLS")


def peer(bus: Stage) -> tuple[str, str]:
    """What TLS the connection speaks, and the number of the server's certificate."""
    secured = bus.eventing._bus.client._transport._io_writer.transport.get_extra_info("ssl_object")
    return secured.version(), secured.getpeercert()["serialNumber"]


async def refused(settings: Settings, why: str) -> None:
    told: list[str] = []
    bus = Bus(settings)

    async def note(error: Exception) -> None:
        told.append(str(error))

    bus._on_error = note  # type: ignore[method-assign]
    with anyio.move_on_after(30) as scope:
        async with anyio.create_task_group() as tasks:

            async def connect() -> None:
                async with bus.connected():
                    told.append("connected")

            tasks.start_soon(connect)
            while not any(why in one for one in told):
                assert "connected" not in told
                await anyio.sleep(0.02)
            tasks.cancel_scope.cancel()
    assert not scope.cancelled_caught, told
