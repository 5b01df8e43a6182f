"""The HTTPS port with real clients: handshakes, what they may cost, and everything that a plain connection can do, under TLS."""

import hashlib
import ssl
from pathlib import Path

import anyio
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from gateway.observe import metrics
from tests.fakes.routed import HOST, Cluster
from tests.fakes.secure import Secure, secure
from tests.fakes.upstream import Reader, Received, Writer, ok, upstream


async def _echo(request: Received, reader: Reader, writer: Writer) -> bytes | None:
    return ok(request.body)


async def _proto(request: Received, reader: Reader, writer: Writer) -> bytes | None:
    return ok(f"{request.headers['x-forwarded-proto']} {request.headers['forwarded']}".encode())


class TestClients:
    async def test_curl_keeps_its_connection_and_the_function_hears_of_https(self, tmp_path: Path) -> None:
        async with upstream(_proto) as instance, secure(tmp_path) as web:
            web.gw.cluster.instance(instance.port)
            said = await web.curl("-v", "--http1.1", web.url("/1"), web.url("/2"))
            assert said.count("https for=127.0.0.1;host=") == 2
            assert said.count(";proto=https") == 2
            assert "Re-using existing connection" in said
            forwarded = await web.curl("-H", "X-Forwarded-Proto: http", "--http1.1", web.url())
            assert forwarded.startswith("http for=")

    async def test_openssl_speaks_1_2_and_1_3_and_is_refused_with_1_1(self, tmp_path: Path) -> None:
        async with secure(tmp_path) as web:
            for version in ("TLSv1.2", "TLSv1.3"):
                said = await web.s_client(f"-{version.lower().replace('v', '').replace('.', '_')}", "-servername", HOST)
                assert f"New, {version}, Cipher is" in said
            said = await web.s_client("-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
            assert "alert protocol version" in said
            assert "Cipher is (NONE)" in said

    async def test_a_client_that_asks_for_no_protocol_speaks_http_1_1(self, tmp_path: Path) -> None:
        async with upstream() as instance, secure(tmp_path) as web:
            web.gw.cluster.instance(instance.port)
            for alpn in ((), ("http/1.1",), ("spdy/9",)):
                client = await web.client(context=web.authority.trusting(alpn))
                assert (await client.ask("GET")).status == 200
                await client.close()

    async def test_the_version_of_http_is_agreed_on_and_2_can_be_turned_off(self, tmp_path: Path) -> None:
        async with upstream(_proto) as instance:
            for on, version in ((True, "2"), (False, "1.1")):
                async with secure(tmp_path, tls_http2=on) as web:
                    web.gw.cluster.instance(instance.port)
                    said = await web.curl("--http2", "-w", " version=%{http_version}", web.url())
                    assert said.startswith("https for=127.0.0.1;")
                    assert said.endswith(f"version={version}")

    async def test_a_session_is_resumed_until_the_certificate_changes(self, tmp_path: Path) -> None:
        ticket = str(tmp_path / "ticket")
        ask = f"GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode()
        async with upstream() as instance, secure(tmp_path) as web:
            web.gw.cluster.instance(instance.port)
            names = ("-servername", HOST, "-ign_eof")
            assert "Reused" not in await web.s_client(*names, "-sess_out", ticket, say=ask)
            assert "Reused, TLSv1.3" in await web.s_client(*names, "-sess_in", ticket, say=ask)
            web.authority.issue("*.default.localhost").write(web.folder)
            web.certificates.check()
            assert "Reused" not in await web.s_client(*names, "-sess_in", ticket, say=ask)

    async def test_a_client_of_tls_1_2_cannot_ask_for_another_handshake(self, tmp_path: Path) -> None:
        async with secure(tmp_path) as web:
            said = await web.s_client("-tls1_2", "-servername", HOST, "-msg", say=b"R\n")
            assert "no_renegotiation" in said or "no renegotiation" in said

    async def test_each_name_has_its_certificate(self, tmp_path: Path) -> None:
        cluster = Cluster()
        cluster.route()
        async with upstream() as instance, secure(tmp_path, cluster, also=["shop.example.com", "*.shop.example.com"]) as web:
            cluster.revision()
            cluster.instance(instance.port)
            asked = (HOST, "shop.example.com", "eu.shop.example.com")
            assert len({await web.shown(name) for name in asked}) == 3
            with pytest.raises(ssl.SSLCertVerificationError, match="elsewhere"):
                await web.client("elsewhere.test")  # is shown the default
            said = await web.curl("--http1.1", "-H", f"Host: {HOST}", web.url(host="shop.example.com"), host="shop.example.com")
            assert said == "hello"


class TestHandshakes:
    async def test_plain_http_is_told_to_use_https(self, tmp_path: Path) -> None:
        async with secure(tmp_path, linger=0.1) as web:
            client = await web.raw()
            await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
            answer = await client.answer()
            assert (answer.status, "This port speaks HTTPS" in answer.text) == (400, True)
            await client.send(b"x" * 100_000)  # more may come, and does not destroy the answer
            assert await client.reader.read() == b""
            await web.gw.until(lambda: not web.connections)
            await client.close()
            assert web.certificates.handshake_failures == {"plain": 1}

    @pytest.mark.parametrize("junk", [b"\x00\x01\x02", b"\x16\x03\x01\x00\x05hello", b"\x16\xff\xff\xff\xff" * 100])
    async def test_what_is_neither_tls_nor_http_is_closed(self, tmp_path: Path, junk: bytes) -> None:
        async with secure(tmp_path) as web:
            client = await web.raw()
            await client.send(junk)
            with anyio.fail_after(30):
                assert b"HTTP" not in await client.reader.read()
            await client.close()
            await web.gw.until(lambda: not web.connections)
            assert web.certificates.handshake_failures == {"protocol": 1}

    async def test_one_that_stalls_counts_as_a_connection_and_is_closed_in_time(self, tmp_path: Path) -> None:
        async with secure(tmp_path, handshake=0.2) as web:
            silent, half = await web.raw(), await web.raw()
            await half.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
            await web.gw.until(lambda: web.connections == 2)
            for client in (silent, half):
                with anyio.fail_after(30):
                    try:
                        assert await client.reader.read() == b""
                    except ConnectionError:
                        pass
                await client.close()
            assert (web.connections, web.certificates.handshake_failures) == (0, {"timeout": 2})

    async def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind(self, tmp_path: Path) -> None:
        async with secure(tmp_path) as web:
            for reset in (False, True):
                client = await web.raw()
                await client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
                await web.gw.until(lambda: web.connections == 1)
                if reset:
                    client.writer.transport.abort()
                await client.close()
                await web.gw.until(lambda: web.connections == 0)
            assert web.certificates.handshake_failures == {"closed": 2}

    async def test_over_the_limit_of_connections_there_is_no_handshake(self, tmp_path: Path) -> None:
        async with upstream() as instance, secure(tmp_path, connections=2) as web:
            web.gw.cluster.instance(instance.port)
            one, shaking = await web.client(), await web.raw()
            await web.gw.until(lambda: web.connections == 2)
            with pytest.raises(OSError):
                await web.client()
            assert (await one.ask("GET")).status == 200
            await shaking.close()
            await web.gw.until(lambda: web.connections == 1)
            another = await web.client()
            assert (await another.ask("GET")).status == 200
            await one.close()
            await another.close()

    async def test_they_count_for_the_limit_of_one_client(self, tmp_path: Path) -> None:
        async with upstream() as instance, secure(tmp_path, connections_per_client=2) as web:
            web.gw.cluster.instance(instance.port)
            chain = web.gw.gateway.chain
            assert chain is not None
            one, shaking = await web.client(), await web.raw()
            await web.gw.until(lambda: chain.census.total == 2)
            with pytest.raises(OSError):
                await web.client()
            assert (await one.ask("GET")).status == 200
            await shaking.close()
            await one.close()
            await web.gw.until(lambda: chain.census.total == 0)
            assert not chain.census.clients

    async def test_one_that_has_begun_may_end_and_ask_though_the_gateway_stops(self, tmp_path: Path) -> None:
        async with upstream() as instance, secure(tmp_path, drain=20, stop_idle=5.0) as web:
            web.gw.cluster.instance(instance.port)
            client, incoming, outgoing = await web.raw(), ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = web.authority.trusting(("http/1.1",)).wrap_bio(incoming, outgoing, server_hostname=HOST)
            stopped, answer = False, b""

            async def more() -> None:
                await client.send(outgoing.read())
                data = await client.reader.read(65536)
                assert data, ("the gateway closed the connection", answer)
                incoming.write(data)

            with anyio.fail_after(15):
                while True:
                    try:
                        tls.do_handshake()
                        break
                    except ssl.SSLWantReadError:
                        await more()
                        if not stopped:
                            web.gw.gateway.stop()
                            stopped = True
                            await web.gw.until(lambda: web.gw.gateway.chain is not None and web.gw.gateway.chain.stopping)
                            await anyio.sleep(0.05)
                tls.write(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
                while b"hello" not in answer:
                    await more()
                    try:
                        answer += tls.read()
                    except ssl.SSLWantReadError:
                        continue
            assert answer.startswith(b"HTTP/1.1 200 OK")
            assert b"Connection: close" in answer
            await client.close()

    async def test_a_stop_does_not_wait_for_them(self, tmp_path: Path) -> None:
        async with secure(tmp_path, drain=20) as web:
            client = await web.raw()
            await web.gw.until(lambda: web.connections == 1)
        with anyio.fail_after(5):
            assert await client.reader.read() == b""
        await client.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
class TestTransport:
    """What the loops' own transports do for plain connections."""

    @staticmethod
    def _context(web: Secure, version: ssl.TLSVersion) -> ssl.SSLContext:
        context = web.authority.trusting()
        context.minimum_version = context.maximum_version = version
        return context

    async def test_large_bodies_pass_whole_in_both_directions(self, tmp_path: Path, version: ssl.TLSVersion) -> None:
        body = bytes(range(256)) * 40_000
        async with upstream(_echo) as instance, secure(tmp_path) as web:
            web.gw.cluster.instance(instance.port)
            client = await web.client(context=self._context(web, version))
            for _ in range(2):
                answer = await client.ask("POST", body=body)
                assert hashlib.sha256(answer.body).digest() == hashlib.sha256(body).digest()
            await client.close()

    async def test_a_slow_reader_stops_the_instance_and_not_the_gateways_memory(self, tmp_path: Path, version: ssl.TLSVersion) -> None:
        sent = 0

        async def endless(request: Received, reader: Reader, writer: Writer) -> bytes | None:
            nonlocal sent
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            while sent < 1_000_000_000:
                writer.write(b"x" * 65536)
                await writer.drain()
                sent += 65536
            return None

        async with upstream(endless) as instance, secure(tmp_path) as web:
            web.gw.cluster.instance(instance.port)
            client = await web.client(context=self._context(web, version))
            await client.send(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            chain = web.gw.gateway.chain
            assert chain is not None
            await web.gw.until(lambda: any(not getattr(one, "writable", True) for one in chain.connections))
            before = -1
            while sent != before:  # until nobody takes any more
                before = sent
                await anyio.sleep(0.3)
            assert 0 < sent < 60_000_000
            await client.reader.readexactly(sent + 20_000_000)  # and it goes on
            client.writer.transport.abort()
            await web.gw.until(lambda: web.gw.line().meter.concurrency == 0)

    async def test_a_refused_upload_gets_its_answer_before_the_connection_ends(self, tmp_path: Path, version: ssl.TLSVersion) -> None:
        async with secure(tmp_path, max_body=1000, linger=0.2) as web:
            client = await web.client(context=self._context(web, version))
            await client.send(f"POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 9000000\r\n\r\n".encode() + b"x" * 2000)
            assert (await client.answer()).status == 413
            with anyio.fail_after(30):
                assert await client.reader.read() == b""
            await client.close()
            await web.gw.until(lambda: not web.connections)

    async def test_requests_in_one_record_and_records_in_pieces(self, tmp_path: Path, version: ssl.TLSVersion) -> None:
        async with upstream(_echo) as instance, secure(tmp_path) as web:
            web.gw.cluster.instance(instance.port)
            client = await web.client(context=self._context(web, version))
            one = f"POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 2\r\n\r\nok".encode()
            await client.send(one * 20)
            for _ in range(20):
                assert (await client.answer()).body == b"ok"
            for byte in one:
                await client.send(bytes([byte]))
            assert (await client.answer()).body == b"ok"
            await client.close()

    async def test_a_drain_finishes_what_is_under_way_and_says_goodbye(self, tmp_path: Path, version: ssl.TLSVersion) -> None:
        go = anyio.Event()

        async def slow(request: Received, reader: Reader, writer: Writer) -> bytes | None:
            await go.wait()
            return ok(b"late")

        async with upstream(slow) as instance, secure(tmp_path, drain=20) as web, anyio.create_task_group() as tasks:
            web.gw.cluster.instance(instance.port)
            context = self._context(web, version)
            busy, idle = await web.client(context=context), await web.client(context=context)
            await busy.send(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            await web.gw.until(lambda: bool(instance.received))
            web.gw.gateway.stop()
            assert await idle.reader.read() == b""  # a close without goodbye would be an error here
            go.set()
            assert (await busy.answer()).headers["connection"] == "close"
            assert await busy.reader.read() == b""
            await idle.close()
            await busy.close()
            tasks.cancel_scope.cancel()

    async def test_a_tunnel_carries_both_ways_and_ends_with_the_instance(self, tmp_path: Path, version: ssl.TLSVersion) -> None:
        async def switch(request: Received, reader: Reader, writer: Writer) -> bytes | None:
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nwelcome ")
            for _ in range(2):
                writer.write((await reader.readexactly(4)).upper())
            return None

        async with upstream(switch) as instance, secure(tmp_path) as web:
            web.gw.cluster.instance(instance.port)
            client = await web.client(context=self._context(web, version))
            await client.send(f"GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nmore".encode())
            assert (await client.answer()).status == 101
            assert await client.reader.readexactly(12) == b"welcome MORE"
            await client.send(b"data")
            assert await client.reader.read() == b"DATA"
            await client.close()
            await web.gw.until(lambda: web.gw.line().meter.concurrency == 0)


async def test_websockets_over_tls_survive_a_change_of_the_certificate(tmp_path: Path) -> None:
    async def echo(socket: ServerConnection) -> None:
        async for message in socket:
            await socket.send(message)

    async with serve(echo, "127.0.0.1", 0) as server, secure(tmp_path) as web:
        web.gw.cluster.instance(server.sockets[0].getsockname()[1])
        uri = f"wss://{HOST}:{web.port}/"
        async with connect(uri, ssl=web.authority.trusting(), host="127.0.0.1", server_hostname=HOST, proxy=None) as socket:
            for size in (1, 100, 70_000, 900_000):
                await socket.send("x" * size)
                assert len(await socket.recv()) == size
            web.authority.issue("*.default.localhost").write(web.folder)
            web.certificates.check()
            await socket.send("still here")
            assert await socket.recv() == "still here"
        await web.gw.until(lambda: web.gw.line().meter.concurrency == 0)


class TestRedirect:
    async def test_plain_requests_are_sent_to_https_with_method_and_path(self, tmp_path: Path) -> None:
        async with upstream(_echo) as instance, secure(tmp_path, redirect=443) as web:
            web.gw.cluster.instance(instance.port)
            client = await web.gw.client()
            answer = await client.ask("POST", "/a?b=c%20d", body=b"abc")
            assert (answer.status, answer.headers["location"]) == (308, f"https://{HOST}/a?b=c%20d")
            assert (await client.ask("GET", "/", X_Forwarded_Proto="https")).status == 200
            assert (await client.ask("GET", "/", "unknown.test")).status == 404
            for inside in ("hello.default", "hello.default.svc.cluster.local"):
                assert (await client.ask("GET", "/", inside)).status == 200
            await client.close()
            over = await web.client()
            assert (await over.ask("POST", body=b"abc")).body == b"abc"
            await over.close()

    async def test_curl_follows_and_repeats_the_body(self, tmp_path: Path) -> None:
        async with upstream(_echo) as instance, secure(tmp_path) as web:
            port = web.port
        async with upstream(_echo) as instance, secure(tmp_path, redirect=port, tls_port=port) as web:
            web.gw.cluster.instance(instance.port)
            plain = f"{HOST}:{web.gw.gateway.port}"
            said = await web.curl("--http1.1", "-L", "--resolve", f"{plain}:127.0.0.1", "-d", "a body", f"http://{plain}/x")
            assert said == "a body"


async def test_the_numbers_tell_of_certificates_and_handshakes(tmp_path: Path) -> None:
    async with secure(tmp_path, Cluster()) as web:
        client = await web.raw()
        await client.send(b"GET / HTTP/1.1\r\n\r\n")
        await client.answer()
        await client.close()
        (web.folder / "tls.crt").write_bytes(b"")
        web.certificates.check()
        text = "".join([piece async for piece in metrics.page(web.gw.gateway)])
    (line,) = [line for line in text.splitlines() if line.startswith("kfn_gateway_certificate_expiry_seconds{")]
    assert 'server_name="*.default.localhost"' in line
    assert 6 * 86400 < float(line.split()[-1]) < 8 * 86400
    assert "kfn_gateway_certificate_reload_failures_total{" in text
    assert 'kfn_gateway_tls_handshake_failures_total{reason="plain"} 1' in text
