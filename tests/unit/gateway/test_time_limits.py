"""A revision's time limits with Knative's meaning, through the real connections, in virtual time: an hour costs nothing."""

import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import pytest

from tests.fakes.routed import HOST
from tests.fakes.wired import Notes, Wired

TICK = 0.5
GET = f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n"
SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\none"


@asynccontextmanager
async def _limited(*, instance: bool = True, settings: dict[str, Any] | None = None, **limits: float) -> AsyncIterator[Wired]:
    """A function whose revision has these limits and no other."""
    async with anyio.create_task_group() as tasks:
        wired = Wired(tasks, anyio.current_time, **(settings or {}))
        wired.line.policy = replace(wired.line.policy, **{"timeout": 0.0, **limits})
        if not instance:
            wired.line.set_addresses({})

        async def keep_time() -> None:
            while True:
                await anyio.sleep(TICK)
                wired.chain.keep_time()

        tasks.start_soon(keep_time)
        await anyio.sleep(0)
        yield wired
        tasks.cancel_scope.cancel()


def _took(wired: Wired) -> bytes:
    """What the client has got since the last call."""
    found = b"".join(wired.client.took)
    wired.client.took.clear()
    return found


async def _answered(wired: Wired, within: float) -> float:
    """The seconds until the client got something."""
    began = anyio.current_time()
    with anyio.fail_after(within):
        while not wired.client.took:
            await anyio.sleep(TICK / 2)
    return anyio.current_time() - began


def _is_free(wired: Wired) -> bool:
    return wired.line.meter.concurrency == 0 and wired.instance.active == 0 and not wired.chain.active


class TestBeforeTheFirstByte:
    @pytest.mark.parametrize(
        ("limits", "seconds", "named"),
        [
            pytest.param({"timeout": 300}, 300, "timeoutSeconds (300 s)", id="total"),
            pytest.param({"timeout": 300, "response_start": 60}, 60, "responseStartTimeoutSeconds (60 s)", id="response-start"),
            pytest.param({"timeout": 300, "idle": 30}, 30, "idleTimeoutSeconds (30 s)", id="idle"),
            pytest.param({"timeout": 20, "response_start": 60, "idle": 30}, 20, "timeoutSeconds (20 s)", id="the-first-of-all"),
        ],
    )
    async def test_it_is_504_that_names_the_limit(self, limits: dict[str, float], seconds: float, named: str) -> None:
        async with _limited(**limits) as wired:
            wired.near.data_received(GET)
            assert await _answered(wired, 400) == pytest.approx(seconds, abs=2 * TICK)
            said = _took(wired)
            assert said.startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
            assert b"request timeout: " in said
            assert named.encode() in said
            assert (wired.client.closed, wired.server.closed) == ("", "aborted")
            assert _is_free(wired)

    async def test_the_client_gets_it_as_a_problem_if_it_takes_json(self) -> None:
        async with _limited(timeout=10) as wired:
            wired.near.data_received(GET.replace(b"\r\n\r\n", b"\r\nAccept: application/json\r\n\r\n"))
            await _answered(wired, 20)
            said = _took(wired)
            assert b"Content-Type: application/problem+json\r\n" in said
            assert b'"status": 504' in said

    async def test_the_wait_for_an_instance_counts_for_the_total_only(self) -> None:
        async with _limited(instance=False, timeout=100, response_start=10, idle=5) as wired:
            wired.near.data_received(GET)
            assert await _answered(wired, 200) == pytest.approx(100, abs=2 * TICK)
            assert _took(wired).startswith(b"HTTP/1.1 504 ")
            assert wired.line.meter.concurrency == 0

    async def test_an_interim_answer_is_a_beginning_but_the_final_one_may_still_be_504(self) -> None:
        async with _limited(timeout=100, response_start=10) as wired:
            wired.near.data_received(GET)
            await anyio.sleep(9)
            wired.far.data_received(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            assert _took(wired).startswith(b"HTTP/1.1 103 ")
            await anyio.sleep(80)
            assert not wired.client.took
            assert await _answered(wired, 20) == pytest.approx(11, abs=3 * TICK)
            assert _took(wired).startswith(b"HTTP/1.1 504 ")

    async def test_an_instance_that_is_silent_during_an_upload_is_silent(self) -> None:
        async with _limited(idle=10) as wired:
            wired.near.data_received(f"POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 1000\r\n\r\n".encode())
            for _ in range(9):
                await anyio.sleep(1)
                wired.near.data_received(b"x")
            assert await _answered(wired, 20) == pytest.approx(1, abs=3 * TICK)
            said = _took(wired)
            assert said.startswith(b"HTTP/1.1 504 ")
            assert b"Connection: close\r\n" in said
            assert said.endswith(b"<end>")  # and what the client still sends is read for a while, or the answer would be lost
            assert wired.client.closed == ""

    async def test_no_limit_means_none(self) -> None:
        async with _limited() as wired:
            wired.near.data_received(GET)
            await anyio.sleep(3600)
            assert not wired.client.took


class TestAfterTheFirstByte:
    @pytest.mark.parametrize("limits", [{"timeout": 30}, {"idle": 30}], ids=["total", "idle"])
    async def test_a_chunked_body_is_ended_cleanly_with_a_text(self, limits: dict[str, float]) -> None:
        async with _limited(**limits) as wired:
            wired.near.data_received(GET)
            wired.far.data_received(CHUNKED)
            assert _took(wired).endswith(b"\r\n\r\n3\r\none\r\n")
            assert await _answered(wired, 60) == pytest.approx(30, abs=2 * TICK)
            assert _took(wired) == b"f\r\nrequest timeout\r\n0\r\n\r\n"
            assert (wired.client.closed, wired.server.closed) == ("", "aborted")
            assert _is_free(wired)
            wired.near.data_received(GET)  # the client's connection goes on
            assert wired.near.current is not None

    async def test_a_client_of_http_1_0_gets_the_text_and_the_end(self) -> None:
        async with _limited(timeout=30) as wired:
            wired.near.data_received(GET.replace(b"1.1", b"1.0"))
            wired.far.data_received(CHUNKED)
            assert _took(wired).endswith(b"\r\n\r\none")
            await _answered(wired, 60)
            assert _took(wired) == b"request timeout<end>"

    async def test_a_sized_body_gets_no_text_and_is_seen_to_be_short(self) -> None:
        """There is no clean end. What was sent still arrives: the connection is closed, not reset."""
        async with _limited(timeout=30) as wired:
            wired.near.data_received(GET)
            wired.far.data_received(SIZED)
            assert _took(wired).endswith(b"\r\n\r\none")
            await anyio.sleep(30 + 2 * TICK)
            assert (_took(wired), wired.client.closed) == (b"", "closed")
            assert _is_free(wired)

    async def test_response_start_does_not_end_what_has_begun(self) -> None:
        async with _limited(response_start=10) as wired:
            wired.near.data_received(GET)
            wired.far.data_received(CHUNKED)
            _took(wired)
            await anyio.sleep(3600)
            assert not wired.client.took

    async def test_a_stream_of_events_lives_as_long_as_it_speaks(self) -> None:
        async with _limited(idle=30) as wired:
            wired.near.data_received(GET)
            wired.far.data_received(CHUNKED)
            for _ in range(60):
                await anyio.sleep(29)
                wired.far.data_received(b"9\r\ndata: 1\n\n\r\n")
                assert b"data: 1" in _took(wired)
            assert await _answered(wired, 60) == pytest.approx(30, abs=2 * TICK)
            assert _took(wired).endswith(b"request timeout\r\n0\r\n\r\n")

    async def test_a_slow_client_is_not_the_instances_silence(self) -> None:
        async with _limited(idle=30) as wired:
            wired.near.data_received(GET)
            wired.far.data_received(CHUNKED)
            _took(wired)
            wired.near.pause_writing()
            assert not wired.server.reading
            await anyio.sleep(600)
            assert not wired.client.took
            wired.near.resume_writing()
            assert await _answered(wired, 60) == pytest.approx(30, abs=30)
            assert wired.server.closed == "aborted"

    async def test_a_slow_client_does_not_stretch_the_total(self) -> None:
        async with _limited(timeout=30) as wired:
            wired.near.data_received(GET)
            wired.far.data_received(CHUNKED)
            _took(wired)
            wired.near.pause_writing()
            assert await _answered(wired, 60) == pytest.approx(30, abs=2 * TICK)
            assert _is_free(wired)  # nobody's place is held for it
            wired.near.data_received(GET)


async def test_a_tunnel_has_an_idle_limit_of_the_gateways_and_none_of_the_revisions() -> None:
    async with _limited(timeout=10, response_start=5, idle=5, settings={"tunnel_idle": 300.0}) as wired:
        sides: list[Any] = []
        for transport in (wired.client, wired.server):
            transport.set_protocol = sides.append  # type: ignore[attr-defined]
        wired.near.data_received(GET.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"))
        wired.far.data_received(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        for _ in range(20):
            await anyio.sleep(250)
            sides[0].data_received(b"ping")
            assert wired.server.took[-1] == b"ping"
        assert wired.client.closed == wired.server.closed == ""
        await anyio.sleep(300 + 300 / 4 + 1)
        assert wired.client.closed == wired.server.closed == "closed"


async def test_a_client_that_has_reset_its_connection_unnoticed_does_not_stop_whoever_looks_after_time() -> None:
    class Reset(Notes):
        def write_eof(self) -> None:
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")  # as asyncio's transports do

    async with anyio.create_task_group() as tasks:
        wired = Wired(tasks, anyio.current_time, transport=Reset)
        wired.line.set_addresses({})
        wired.near.data_received(f"POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 4\r\n\r\nbo".encode())
        wired.chain.refuse_waiting()
        assert wired.client.closed == "aborted"
        assert wired.line.meter.concurrency == 0
        tasks.cancel_scope.cancel()
