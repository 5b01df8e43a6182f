"""What anybody who can connect may send to a port of the platform, and what a client with the token may put into an answer's head."""

import asyncio
import json

import anyio
import pytest
import yaml

from kfn.observe import web
from tests.integration.embedded_api.served import TOKEN, served
from tests.integration.embedded_api.test_http import client

MAPS = "/api/v1/namespaces/default/configmaps"
SECRETS = "/api/v1/namespaces/default/secrets"
WITHOUT = [
    MAPS, f"/{MAPS}", f"{MAPS}/", "/api", "/apis", "/openapi/v3", "/openapi/v2", "/version", "/metrics", "/", "/api/v1/../v1/secrets",
    "/healthz/../api/v1/secrets", "/%68ealthz/../api/v1/secrets", "/healthz%2f..%2fapi/v1/secrets", "/healthz/", "//healthz", "/healthz%00",
    "/api/v1/namespaces/default/pods/p/log", f"{MAPS}?watch=1", "/livez/x", "/api/v1/secrets;/healthz",
]  # fmt: skip


async def raw(port: int, data: bytes, timeout: float = 30) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        with anyio.fail_after(timeout):
            return await reader.read()
    finally:
        writer.close()
        with anyio.move_on_after(1):
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)


class TestWithoutToken:
    async def test_no_path_and_no_method_answers_anything(self, tmp_path):
        async with served(tmp_path) as s, client(s, None) as http:
            await s.client.transport.request("POST", SECRETS, body={"metadata": {"name": "s"}, "stringData": {"k": "hunter2"}})
            for path in WITHOUT:
                for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
                    request = http.build_request(method, s.url)
                    request.url = request.url.copy_with(raw_path=path.encode())
                    answer = await http.send(request)
                    assert answer.status_code in (400, 401, 404, 405), (method, path, answer.text)
                    assert "hunter2" not in answer.text

    async def test_a_header_given_twice_or_odd_opens_nothing(self, tmp_path):
        async with served(tmp_path) as s, client(s, None) as http:
            for values in (["Bearer x", f"Bearer {TOKEN}x"], [f"Basic {TOKEN}"], [f"Bearer\t{TOKEN}x"], ["Bearer é"], [TOKEN]):
                headers = [(b"Authorization", v.encode()) for v in values]
                assert (await http.get(MAPS, headers=headers)).status_code == 401


class TestAnswers:
    async def test_a_warning_cannot_end_the_head(self, tmp_path):
        async with served(tmp_path) as s, client(s) as http:
            for field in ("a\r\nX-Injected: 1", "ключ", 'q"\\', "\ud83d\ude00", "x" * 10_000):
                body = {"metadata": {"generateName": "m-"}, field: 1}
                answer = await http.post(MAPS, content=json.dumps(body), headers={"Content-Type": "application/json"})
                assert answer.status_code == 201 and "x-injected" not in answer.headers
                assert answer.headers["warning"].startswith("299")


class TestHeads:
    @pytest.mark.parametrize(
        "line", [b"X-Long: " + b"a" * 200_000, b"".join(b"X-%d: a\r\n" % i for i in range(20_000)), b"GET /" + b"a" * 200_000]
    )
    async def test_a_head_without_end_is_refused(self, line):
        async def app(scope, receive, send):
            raise AssertionError("not to be called")

        head = line if line.startswith(b"GET") else b"GET / HTTP/1.1\r\nHost: x\r\n" + line
        async with web.serving(app, drain=0) as port:
            try:
                answer = await raw(port, head)
            except ConnectionError:
                return  # closed while we were still sending
            assert answer.startswith(b"HTTP/1.1 400")

    @pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n", b"GET / HT"])
    async def test_a_head_that_does_not_come_is_not_waited_for(self, monkeypatch, sent):
        monkeypatch.setattr(web, "HEAD_SECONDS", 0.2)

        async def app(scope, receive, send):
            raise AssertionError("not to be called")

        async with web.serving(app, drain=0) as port:
            assert await raw(port, sent) == b""

    async def test_a_slow_body_and_the_next_request_are_not_disturbed(self, monkeypatch):
        monkeypatch.setattr(web, "HEAD_SECONDS", 0.2)

        async def app(scope, receive, send):
            message = await receive()
            while message.get("more_body"):
                message = await receive()
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})

        async with web.serving(app, drain=0) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for _ in range(2):
                writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na")
                await asyncio.sleep(0.4)
                writer.write(b"b")
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
            writer.close()
            await writer.wait_closed()


class TestYaml:
    async def test_json_sent_as_yaml_is_read_at_once_and_much_yaml_is_refused(self, tmp_path, monkeypatch):
        async with served(tmp_path) as s, client(s) as http:
            data = {f"k{i}": "v" for i in range(40_000)}
            body = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data})
            headers = {"Content-Type": "application/apply-patch+yaml"}
            slow = []
            monkeypatch.setattr(yaml, "load", lambda *given, **options: slow.append(given))
            assert (await http.patch(f"{MAPS}/m?fieldManager=x", content=body, headers=headers)).status_code == 201
            assert not slow, "JSON is read as JSON"
            text = "data:\n" + "".join(f"  k{i}: v\n" for i in range(60_000))
            assert (await http.patch(f"{MAPS}/m?fieldManager=x", content=text, headers=headers)).status_code == 413
