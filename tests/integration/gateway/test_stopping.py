"""How a gateway leaves without destroying what is on its way to it, and takes over what another process has left."""

import socket

import pytest

from gateway.doors import PUBLIC
from gateway.fleet.reuseport import listening
from kfn.observe import web
from tests.fakes.routed import HttpClient, routed
from tests.fakes.upstream import upstream


async def test_a_client_that_was_just_answered_may_send_one_more_request_and_is_told_that_it_is_the_last() -> None:
    async with upstream() as instance, routed(drain=20.0, stop_idle=10.0) as gw:
        gw.cluster.instance(instance.port)
        client = await gw.client()
        assert (await client.ask("GET")).status == 200
        gw.gateway.stop()
        await gw.until(lambda: not gw.gateway.ready)
        answer = await client.ask("GET")
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await client.reader.read() == b""
        await client.close()


async def test_one_that_sends_nothing_more_is_left_after_that_moment() -> None:
    async with upstream() as instance, routed(drain=20.0, stop_idle=0.2) as gw:
        gw.cluster.instance(instance.port)
        client = await gw.client()
        assert (await client.ask("GET")).status == 200
        gw.gateway.stop()
        assert await client.reader.read() == b""
        await client.close()


async def test_it_takes_the_connections_of_another_door_and_leaves_it_again() -> None:
    async with upstream() as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        with web.listen("127.0.0.1", 0) as door:
            door.listen()
            port = door.getsockname()[1]
            queued = await HttpClient.connect(port)  # the kernel has accepted it, nobody else has
            leave = await gw.gateway.accept_too({PUBLIC: door.dup()})
            assert (await queued.ask("GET")).status == 200
            leave()
            assert (await queued.ask("GET")).status == 200, "it stays"
            late = await HttpClient.connect(port)
            await late.send(b"GET / HTTP/1.1\r\nHost: hello.default.localhost\r\n\r\n")
            with pytest.raises(TimeoutError):
                await late.answer(seconds=0.2)  # it waits for whose door it is
            await late.close()
            await queued.close()


def test_a_connection_in_the_queue_survives_the_process_that_would_have_accepted_it() -> None:
    with listening("127.0.0.1", 0, 2, 16) as ours:
        theirs = [sock.dup() for sock in ours]  # what the workers have
        for sock in theirs:
            sock.listen(16)
        clients = [socket.create_connection(ours[0].getsockname()) for _ in range(16)]
        for sock in theirs:
            sock.close()
        accepted = []
        for sock in ours:
            sock.setblocking(False)
            try:
                while True:
                    accepted.append(sock.accept()[0])
            except BlockingIOError:
                pass
        assert len(accepted) == 16
        for one in accepted:
            one.sendall(b"x")
        assert [client.recv(1) for client in clients] == [b"x"] * 16
        for one in [*accepted, *clients]:
            one.close()


def test_a_port_that_is_shared_already_is_refused() -> None:
    with listening("127.0.0.1", 0, 2, 16) as ours:
        for sock in ours:
            sock.listen(16)
        with pytest.raises(web.ListenError, match="Address already in use"), listening("127.0.0.1", ours[0].getsockname()[1], 2, 16):
            pass
