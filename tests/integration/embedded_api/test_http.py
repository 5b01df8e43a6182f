"""The HTTP side: who may ask, what a body may be, how streams begin and end."""

import asyncio
import json
import ssl
import stat

import httpx
import pytest

from embedded import tls
from kfn.api import kinds
from kfn.kube import errors
from kfn.kube.client import Client
from kfn.kube.config import load
from kfn.kube.http import HttpTransport
from tests.integration.embedded_api.served import TOKEN, served

PATH = "/api/v1/namespaces/default/configmaps"


def client(s, token: str | None = TOKEN) -> httpx.AsyncClient:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return httpx.AsyncClient(base_url=s.url, verify=ssl.create_default_context(cadata=s.ca_pem), headers=headers, trust_env=False)


class TestToken:
    @pytest.mark.parametrize("token", [None, "wrong", TOKEN[:-1], TOKEN + "x"])
    async def test_without_the_right_token_only_health_answers(self, tmp_path, token):
        async with served(tmp_path) as s, client(s, token) as http:
            for path in (PATH, "/version", "/apis", "/openapi/v3", "/api/v1/namespaces/default/pods/p/log", f"{PATH}?watch=true", "/nope"):
                answer = await http.get(path)
                assert (answer.status_code, answer.json()["reason"]) == (401, "Unauthorized")
            for path in ("/healthz", "/livez", "/readyz"):
                assert (await http.get(path)).text == "ok"

    async def test_the_token_goes_by_the_name_of_bearer_only(self, tmp_path):
        async with served(tmp_path) as s, client(s, None) as http:
            assert (await http.get("/version", headers={"Authorization": f"Basic {TOKEN}"})).status_code == 401


class TestBodies:
    @pytest.mark.parametrize(
        ("content", "content_type", "code", "told"),
        [
            (b"{", "application/json", 400, "the object provided is unrecognized"),
            (b"[]", "application/json", 400, "the request's body must be a JSON object"),
            (b"", "application/json", 400, "the request's body must be a JSON object"),
            (b"a: [", "application/yaml", 400, "the object provided is unrecognized"),
            (b"a: &x [1]\nb: *x", "application/yaml", 400, "YAML aliases are not accepted"),
            (b"<a/>", "text/xml", 415, "accepted media types include: application/json"),
            (b"k8s\x00\xff", "application/vnd.kubernetes.protobuf", 400, "broken protobuf"),
            (b'{"metadata":{"name":"A_b"}}', "application/json", 422, 'metadata.name: Invalid value: "A_b"'),
            (b'{"metadata":{}}', "application/json", 422, "metadata.name: Required value"),
            (b'{"metadata":{"name":"a","namespace":"b"}}', "application/json", 400, "does not match the namespace sent on the request"),
            (b'{"kind":"Pod","metadata":{"name":"a"}}', "application/json", 400, "the kind in the data (Pod) does not match"),
            (b'{"metadata":{"name":"a"},"data":{"k":1}}', "application/json", 400, "Expected `str`, got `int` - at `$.data[...]`"),
            (b'{"metadata":[1]}', "application/json", 400, "metadata must be an object"),
            (b'{"a":' * 5000 + b"1" + b"}" * 5000, "application/json", 400, "nested too deeply"),
            (b'{"metadata":{"name":"a"},"spec":' + b'{"a":' * 700 + b"1" + b"}" * 701, "application/json", 400, "nested too deeply"),
            (b"x" * (3 * 1024 * 1024 + 1), "application/json", 413, "limit is 3145728"),
        ],
    )  # fmt: skip
    async def test_a_bad_body_is_refused_with_a_status_that_says_why(self, tmp_path, content, content_type, code, told):
        async with served(tmp_path) as s, client(s) as http:
            answer = await http.post(PATH, content=content, headers={"Content-Type": content_type})
            assert answer.status_code == code, answer.text
            assert told in answer.json()["message"]
            assert answer.json()["kind"] == "Status" and answer.json()["code"] == code
            assert (await http.get(PATH)).json()["items"] == []

    async def test_yaml_is_taken_as_json_would_be(self, tmp_path):
        async with served(tmp_path) as s, client(s) as http:
            text = "metadata: {name: y}\ndata: {day: 2020-01-01, k: v}\n"
            answer = await http.post(PATH, content=text, headers={"Content-Type": "application/yaml"})
            assert answer.json()["data"] == {"day": "2020-01-01", "k": "v"}

    async def test_unknown_fields_are_warned_of_refused_or_ignored(self, tmp_path):
        body = {"metadata": {"name": "a"}, "datta": {}}
        async with served(tmp_path) as s, client(s) as http:
            warned = await http.post(f"{PATH}?dryRun=All", json=body)
            assert warned.headers["Warning"] == '299 - "unknown field \\"datta\\""'
            assert (await http.post(f"{PATH}?fieldValidation=Strict", json=body)).status_code == 400
            assert "Warning" not in (await http.post(f"{PATH}?fieldValidation=Ignore", json=body)).headers


class TestStreams:
    async def test_a_watch_streams_lines_and_ends_in_its_time(self, tmp_path):
        async with served(tmp_path) as s, client(s) as http:
            await s.client.create(kinds.CONFIG_MAP, {"metadata": {"name": "a"}}, "default")
            async with http.stream("GET", PATH, params={"watch": "1", "timeoutSeconds": "1"}) as answer:
                events = [json.loads(line) async for line in answer.aiter_lines()]
            assert [(e["type"], e["object"]["metadata"]["name"]) for e in events] == [("ADDED", "a")]

    async def test_a_client_that_goes_leaves_no_watch_behind(self, tmp_path):
        async with served(tmp_path) as s:
            watchers = s.server.store.shelves["configmaps"].watchers
            async with client(s) as http, http.stream("GET", PATH, params={"watch": "1"}):
                assert len(watchers) == 1
            async with asyncio.timeout(5):
                while watchers:
                    await asyncio.sleep(0.01)

    async def test_a_version_too_old_is_answered_410(self, tmp_path):
        async with served(tmp_path) as s, client(s) as http:
            await s.client.create(kinds.CONFIG_MAP, {"metadata": {"name": "a"}}, "default")
        async with served(tmp_path) as s, client(s) as http:
            answer = await http.get(PATH, params={"watch": "1", "resourceVersion": "1"})
            assert (answer.status_code, answer.json()["reason"]) == (410, "Expired")

    async def test_logs_of_a_pod_that_is_not_there_are_refused_before_the_stream(self, tmp_path):
        async with served(tmp_path) as s, client(s) as http:
            await s.client.create(kinds.POD, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}}, "default")
            missing = await http.get("/api/v1/namespaces/default/pods/q/log")
            assert (missing.status_code, missing.json()["message"]) == (404, 'pods "q" not found')

            async def logs(*_):
                raise LookupError("no previous run")
                yield b""

            s.server.logs = logs
            previous = await http.get("/api/v1/namespaces/default/pods/p/log?previous=true")
            assert (previous.status_code, previous.json()["reason"]) == (400, "BadRequest")
            unknown = await http.get("/api/v1/namespaces/default/pods/q/log")
            assert (unknown.status_code, unknown.json()["reason"]) == (404, "NotFound")

    async def test_a_pod_that_is_gone_still_has_the_log_that_the_node_keeps(self, tmp_path):
        asked = []

        async def logs(namespace, pod, container, *_):
            asked.append((namespace, pod, container))
            yield b"one\n"
            yield b"two\n"

        async with served(tmp_path) as s, client(s) as http:
            s.server.logs = logs
            gone = await http.get("/api/v1/namespaces/default/pods/gone/log")
            assert (gone.status_code, gone.text) == (200, "one\ntwo\n")
            for query in ("container=..", "container=a/../../b", "container=%2e%2e%2fb"):
                outside = await http.get(f"/api/v1/namespaces/default/pods/gone/log?{query}")
                assert outside.status_code == 404
            assert asked == [("default", "gone", "user-container")]


class TestClient:
    async def test_the_clusters_transport_works_as_the_direct_one_does(self, tmp_path):
        async with served(tmp_path) as s:
            remote = Client(HttpTransport(load(str(s.kubeconfig))))
            try:
                made = await remote.create(kinds.CONFIG_MAP, {"metadata": {"name": "a"}, "data": {"k": "1"}}, "default")
                assert await s.client.get(kinds.CONFIG_MAP, "a", "default") == made
                version = made.metadata.resource_version
                async with remote.watch(kinds.CONFIG_MAP, "default", resource_version=version) as events:
                    await s.client.patch(kinds.CONFIG_MAP, "a", "default", {"data": {"k": "2"}})
                    event = await anext(events)
                assert (event.type, event.object.data) == ("MODIFIED", {"k": "2"})
                with pytest.raises(errors.Gone):
                    async with remote.watch(kinds.CONFIG_MAP, "default", resource_version="99999999") as events:
                        await anext(events)
                await remote.delete(kinds.CONFIG_MAP, "a", "default", uid=made.metadata.uid)
                with pytest.raises(errors.NotFound):
                    await s.client.get(kinds.CONFIG_MAP, "a", "default")
            finally:
                await remote.transport.aclose()


class TestMethods:
    async def test_what_a_path_cannot_do_is_405_and_what_is_no_path_404(self, tmp_path):
        async with served(tmp_path) as s, client(s) as http:
            assert (await http.put(PATH)).json()["reason"] == "MethodNotAllowed"
            assert (await http.post("/version")).json()["reason"] == "MethodNotAllowed"
            for path in ("/", "/apis/nope/v1/things", "/api/v1/namespaces/default/pods/p/exec", "/api/v1/configmaps/a", "/api/v2/pods"):
                answer = await http.get(path)
                assert (answer.status_code, answer.text) == (404, "404 page not found\n"), "kn takes a Status for an object that is missing"


class TestCertificates:
    def test_they_are_kept_and_the_keys_are_the_owners_alone(self, tmp_path):
        first, second = tls.ensure(tmp_path, ["127.0.0.1"]), tls.ensure(tmp_path, ["127.0.0.1"])
        assert first == second
        assert {stat.S_IMODE(f.stat().st_mode) for f in tmp_path.iterdir()} == {0o600}
        assert first.cert_path.read_bytes() == second.cert_path.read_bytes()

    def test_a_new_host_gets_a_new_certificate_from_the_same_authority(self, tmp_path):
        first = tls.ensure(tmp_path, ["127.0.0.1"])
        before = first.cert_path.read_bytes()
        second = tls.ensure(tmp_path, ["127.0.0.1", "box.example"])
        assert second.ca_pem == first.ca_pem and second.cert_path.read_bytes() != before

    @pytest.mark.parametrize("days", [340, 5000])
    def test_they_are_renewed_near_their_end(self, tmp_path, monkeypatch, days):
        from datetime import timedelta

        first = tls.ensure(tmp_path, ["127.0.0.1"])
        before = first.cert_path.read_bytes()
        later = tls.utcnow() + timedelta(days=days)
        monkeypatch.setattr(tls, "utcnow", lambda: later)
        second = tls.ensure(tmp_path, ["127.0.0.1"])
        assert second.cert_path.read_bytes() != before
        assert (second.ca_pem == first.ca_pem) is (days < 3600)

    def test_a_damaged_key_is_made_anew(self, tmp_path):
        tls.ensure(tmp_path, ["127.0.0.1"])
        (tmp_path / "server.key").write_text("damaged")
        tls.ensure(tmp_path, ["127.0.0.1"])
        assert "PRIVATE KEY" in (tmp_path / "server.key").read_text()
