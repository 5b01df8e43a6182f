"""Every row of the corpus of answers: the client gets 502, or a cut that it can see, or the honest part; never a byte of what an instance
sent behind it. A connection on which an instance said such a thing is not used again."""

import asyncio

import anyio
import pytest

from tests.conformance.gateway.corpus import CUT, Answer, get
from tests.conformance.gateway.corpus.instance import ANSWERS, STRAY
from tests.fakes.routed import Routed, routed
from tests.fakes.strict import Got, answers
from tests.fakes.upstream import Handler, Reader, Received, Upstream, Writer, ok, upstream

SMUGGLED = ok(b"smuggled")
SECONDS = 30


async def told(gw: Routed, case: Answer) -> tuple[list[Got], bytes]:
    """What the client gets who asks the instance twice on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gw.gateway.port, limit=1 << 20)
    data = b""
    try:
        with anyio.fail_after(SECONDS):
            writer.write(get(first=case.method + b" /bad HTTP/1.1"))
            while not (data.endswith(b"\r\n\r\n") or b"\r\n\r\n" in data):
                piece = await reader.read(65536)
                if not piece:
                    return answers(data, [case.method]), data
                data += piece
            writer.write(get(b"Connection: close", first=b"GET /next HTTP/1.1"))
            while piece := await reader.read(65536):
                data += piece
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()
    return answers(data, [case.method]), data


def instance_that(case: Answer, ways: str) -> Handler:
    """It answers /bad with the row and a second answer behind it: at once, in pieces, or the second a moment after the first."""

    async def answer(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        if "/bad" not in request.line:
            return ok(b"good")
        data = case.data + SMUGGLED
        if ways == "at-once":
            return data
        size = 1 if len(data) < 2000 else 9999
        for at in range(0, len(data), size):
            if writer.transport.is_closing():
                return None
            writer.write(data[at : at + size])
            await anyio.sleep(0)
        return b""

    return answer


@pytest.mark.parametrize("ways", ["at-once", "in-pieces"])
@pytest.mark.parametrize("case", ANSWERS, ids=lambda case: case.name)
async def test_reaches_nobody_as_something_else(case: Answer, ways: str) -> None:
    async with upstream(instance_that(case, ways)) as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        await reaches_nobody(case, gw, instance)


@pytest.mark.parametrize("case", STRAY, ids=lambda case: case.name)
async def test_what_comes_behind_an_answer_reaches_nobody(case: Answer) -> None:
    async with upstream(instance_that(case, "at-once")) as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        await reaches_nobody(case, gw, instance)


async def test_what_comes_between_two_answers_ends_the_connection() -> None:
    async def answer(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        if "/bad" in request.line:
            asyncio.get_running_loop().call_later(0.01, writer.write, SMUGGLED)
        return ok(b"good")

    async with upstream(answer) as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        assert (await gw.get("/bad")).body == b"good"
        await anyio.sleep(0.03)
        assert (await gw.get("/next")).body == b"good"
        not_used_again(instance)


async def reaches_nobody(case: Answer, gw: Routed, instance: Upstream) -> None:
    got, data = await told(gw, case)
    assert b"smuggled" not in data
    expected(case, got)
    not_used_again(instance)
    assert (await gw.get("/next")).body == b"good"
    assert gw.line().meter.concurrency == 0


def expected(case: Answer, got: list[Got]) -> None:
    first = got[0]
    if case.expected == CUT:
        assert (first.status, first.whole) in ((502, True), (200, False)), "a cut that the client cannot see"
        assert first.status == 502 or (case.content or b"").startswith(first.body)
        return
    assert first.whole
    assert first.status == case.expected, first.body
    assert case.content is None or first.body == case.content
    assert [g.body for g in got[1:]] == [b"good"], "the next answer is the next request's own"


def not_used_again(instance: Upstream) -> None:
    bad = [r.connection for r in instance.received if "/bad" in r.line]
    next_ = [r.connection for r in instance.received if "/next" in r.line]
    assert len(bad) == 1, "asked again what may have been executed"
    assert not set(bad) & set(next_)
