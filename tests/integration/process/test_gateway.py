"""`kfn gateway` as a process: what it says, what signals do to it, and what it refuses to start with."""

import asyncio
import signal
import socket
from pathlib import Path

import anyio
import pytest

from autoscaler.app import Autoscaler
from autoscaler.settings import Settings as AutoscalerSettings
from embedded.api.local import LocalTransport
from kfn.api import kinds, names
from kfn.kube.client import Client
from tests.fakes.routed import HttpClient
from tests.fakes.upstream import Reader, Received, Writer, ok, upstream
from tests.integration.process.stage import HOST, KEY, Process, stage, until


class TestServing:
    async def test_it_answers_for_the_function_and_tells_an_operator_how_it_is(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as s, upstream() as instance, s.gateway() as gateway:
            await s.instance(instance.port)
            assert await gateway.get() == (200, "hello")
            assert (await gateway.ask("/healthz")).status_code == 200
            assert (await gateway.ask("/readyz")).status_code == 200
            assert await gateway.number("kfn_gateway_requests_total", code="200") == 1
            assert await gateway.number("process_resident_memory_bytes") > 0
            await until(lambda: s.heard.requests == 1)
            assert await gateway.number("kfn_gateway_autoscaler_connected") == 1

    async def test_a_request_for_a_function_at_zero_pokes_and_waits(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as s, upstream() as instance, s.gateway() as gateway:
            asking = asyncio.create_task(gateway.get())
            await until(lambda: s.heard.pokes)
            await s.instance(instance.port)
            assert await asking == (200, "hello")
            assert list((await gateway.ask("/cold-starts")).json()) == [str(KEY)]

    async def test_it_goes_on_serving_while_api_server_and_autoscaler_are_away(self, tmp_path: Path) -> None:
        async with upstream() as instance:
            async with stage(tmp_path) as s:
                await s.instance(instance.port)
                gateway = await s.start()
                await gateway.ready()
                assert (await gateway.get())[0] == 200
            try:
                assert await gateway.get() == (200, "hello")
                assert (await gateway.ask("/readyz")).status_code == 200
                assert await gateway.number("kfn_gateway_autoscaler_connected") == 0
            finally:
                gateway.signal()
                assert await gateway.ended() == 0


class TestTwo:
    async def test_the_autoscaler_scales_by_the_sum_of_both(self, tmp_path: Path) -> None:
        go = asyncio.Event()

        async def wait(request: Received, reader: Reader, writer: Writer) -> bytes | None:
            await go.wait()
            return ok()

        settings = AutoscalerSettings(stable_window=6.0, tick=0.2)
        listener = _Late()
        async with stage(tmp_path, listener, containerConcurrency=10) as s, upstream(wait) as instance:
            await s.api.client.create(kinds.DEPLOYMENT, _deployment(), "default")
            scaler = listener.autoscaler = Autoscaler(Client(LocalTransport(s.api.server)), settings)
            async with anyio.create_task_group() as tasks, s.gateway() as one, s.gateway() as two:
                tasks.start_soon(scaler.run)
                asking = [asyncio.create_task(gateway.get()) for gateway in (one, two) for _ in range(7)]
                await until(lambda: bool(scaler.decisions(KEY)) and scaler.decisions(KEY)[-1].decision.replicas == 2)
                assert max(record.seen.waiting for record in scaler.decisions(KEY)) == 14
                await s.instance(instance.port)
                await until(lambda: len(instance.received) == 14)
                tracked = scaler._tracked[KEY]
                await until(lambda: round(tracked.concurrency(anyio.current_time())) == 14 and not tracked.waiting(anyio.current_time()))
                two.process.kill()
                await two.ended()
                await until(lambda: round(tracked.concurrency(anyio.current_time())) == 7, what="the dead one counts")
                go.set()
                answers = await asyncio.gather(*asking, return_exceptions=True)
                assert answers[:7] == [(200, "hello")] * 7, "the other one's death is nothing to these"
                tasks.cancel_scope.cancel()


class TestStopping:
    async def test_sigterm_finishes_what_is_under_way_and_says_goodbye_to_the_autoscaler(self, tmp_path: Path) -> None:
        go = asyncio.Event()

        async def wait(request: Received, reader: Reader, writer: Writer) -> bytes | None:
            await go.wait()
            return ok()

        async with stage(tmp_path) as s, upstream(wait) as instance, s.gateway() as gateway:
            await s.instance(instance.port)
            asking = asyncio.create_task(gateway.get())
            await until(lambda: instance.received)
            gateway.signal()
            await until(lambda: _refuses(gateway.port))
            assert (await gateway.ask("/healthz")).status_code == 200
            assert (await gateway.ask("/readyz")).status_code == 503
            go.set()
            assert await asking == (200, "hello")
            assert await gateway.ended() == 0
            await until(lambda: s.heard.gone_gateways)
            assert s.heard.requests == 1, "the last report came"

    async def test_a_second_signal_ends_it_at_once(self, tmp_path: Path) -> None:
        async def never(request: Received, reader: Reader, writer: Writer) -> bytes | None:
            await asyncio.Event().wait()
            return None

        async with stage(tmp_path) as s, upstream(never) as instance, s.gateway() as gateway:
            await s.instance(instance.port)
            asking = asyncio.create_task(gateway.get())
            await until(lambda: instance.received)
            gateway.signal()
            await until(lambda: _refuses(gateway.port))
            gateway.signal(signal.SIGINT)
            assert await gateway.ended() == 130
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await asking

    async def test_drain_is_the_longest_that_it_waits(self, tmp_path: Path) -> None:
        async def never(request: Received, reader: Reader, writer: Writer) -> bytes | None:
            await asyncio.Event().wait()
            return None

        async with stage(tmp_path) as s, upstream(never) as instance, s.gateway("--drain", "0.5") as gateway:
            await s.instance(instance.port)
            asking = asyncio.create_task(gateway.get())
            await until(lambda: instance.received)
            gateway.signal()
            assert await gateway.ended() == 0
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await asking

    async def test_with_a_stop_delay_it_accepts_yet_and_says_that_it_is_not_ready(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as s, upstream() as instance, s.gateway("--stop-delay", "2") as gateway:
            await s.instance(instance.port)
            gateway.signal()
            await _until_not_ready(gateway)
            client = await HttpClient.connect(gateway.port)
            answer = await client.ask("GET", "/", HOST)
            assert (answer.status, answer.headers["connection"]) == (200, "close")
            await client.close()
            assert await gateway.ended() == 0

    async def test_one_that_never_got_ready_stops_too(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as s:
            kubeconfig = tmp_path / "away"
            kubeconfig.write_text(s.api.kubeconfig.read_text().replace(s.api.url, "https://127.0.0.1:1"))
            gateway = await s.start("--kubeconfig", str(kubeconfig))
            await until(lambda: "does not answer" in gateway.text)
            gateway.signal()
            assert await gateway.ended() == 0


class TestRefused:
    @pytest.mark.parametrize(
        ("args", "env", "told"),
        [
            (["--autoscaler", "autoscaler:8080"], {}, "--autoscaler: 'autoscaler:8080' is not an http or https URL"),
            (["--autoscaler", "http://a:x"], {}, "--autoscaler: "),
            (["--autoscaler-token-file", "/nowhere/token"], {}, "--autoscaler-token-file /nowhere/token: No such file"),
            ([], {"KFN_AUTOSCALER_TOKEN": ""}, "give --autoscaler-token-file, or set KFN_AUTOSCALER_TOKEN"),
            (["--kubeconfig", "/nowhere/kubeconfig"], {}, "/nowhere/kubeconfig: no such file"),
            (["--workers", "0"], {}, "--workers"),
            (["--drain", "-1"], {}, "--drain"),
            (["--tls-port", "0"], {}, "--tls-port: say which certificate"),
            (["--tls-port", "0", "--tls-secret", "tls"], {}, "--tls-secret tls: expected NAMESPACE/NAME"),
            (["--tls-secret", "a/b"], {}, "need --tls-port"),
            (["--access-log", "/nowhere/log"], {}, "--access-log"),
        ],
        ids=[
            "no URL",
            "no port",
            "no token file",
            "no token",
            "no kubeconfig",
            "no workers",
            "negative drain",
            "no certificate",
            "no name of a Secret",
            "a Secret without a port",
            "no folder for the log",
        ],
    )
    async def test_what_is_wrong_is_said_with_the_flag(self, tmp_path: Path, args: list[str], env: dict[str, str], told: str) -> None:
        async with stage(tmp_path) as s:
            gateway = await s.start(*args, env=env)
            assert await gateway.ended() == 2
            assert told in gateway.text

    async def test_a_port_that_is_taken(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as s, s.gateway() as first:
            for args in (["--port", str(first.port)], ["--admin-port", first.admin.rpartition(":")[2]]):
                second = await s.start(*args)
                assert await second.ended() == 1
                assert args[1] in second.text and args[0] in second.text and "Address already in use" in second.text


class _Late:
    """An autoscaler that is made after the stage that it is on."""

    autoscaler: Autoscaler

    def __getattr__(self, name: str) -> object:
        return getattr(self.autoscaler, name)


def _deployment() -> dict[str, object]:
    labels = {names.REVISION: KEY.name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "user-container", "image": "kfn.local/default/hello:1"}]}}
    meta = {"name": names.deployment(KEY.name), "namespace": "default", "labels": labels}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}


def _refuses(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) != 0


async def _until_not_ready(gateway: Process) -> None:
    with anyio.fail_after(30):
        while (await gateway.ask("/readyz")).status_code != 503:
            await anyio.sleep(0.01)


async def test_nothing_secret_is_in_what_ps_shows(tmp_path: Path) -> None:
    async with stage(tmp_path) as s, s.gateway() as gateway:
        shown = Path(f"/proc/{gateway.pid}/cmdline").read_bytes()
        assert b"token-of" not in shown
        assert "token-of" not in gateway.text
