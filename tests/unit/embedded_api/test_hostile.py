"""Requests that nobody sends by accident: each gets an answer, at once, and the server is as it was."""

import pytest

from tests.unit.embedded_api.memory import MAPS, MERGE, PODS, SECRETS, Memory

JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
STRATEGIC = "application/strategic-merge-patch+json"
KSVC = "/apis/serving.knative.dev/v1/namespaces/default/services"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
SCALE = f"{DEPLOYMENTS}/d/scale"
ODD = [5, True, 1e308, "", "../..", "a\0b", "é" * 300, [], [1], {}, {"a": {"b": []}}]


class TestTypes:
    @pytest.mark.parametrize(
        "field", ["name", "generateName", "namespace", "labels", "annotations", "ownerReferences", "finalizers", "uid"]
    )
    async def test_metadata_of_any_type_is_taken_or_refused(self, field):
        m = await Memory.open()
        for value in ODD:
            for path in (MAPS, KSVC):
                code, body = await m.call("POST", path, {"metadata": {"generateName": "f-", field: value}})
                assert code < 500, body

    @pytest.mark.parametrize("media", [JSON_PATCH, MERGE, APPLY, STRATEGIC])
    async def test_a_patch_of_any_type_is_taken_or_refused(self, media):
        m = await Memory.open()
        await m.config_map("cm")
        for value in (*ODD, None):
            for body in (
                value,
                {"metadata": value},
                {"metadata": {"labels": value}},
                {"data": value},
                [{"op": "copy", "from": value, "path": value}],
            ):
                code, answer = await m.call("PATCH", f"{MAPS}/cm", body, media, fieldManager="x")
                assert code < 500, answer
        assert (await m.call("GET", f"{MAPS}/cm"))[0] == 200

    async def test_a_deployment_without_a_spec_has_a_scale(self):
        m = await Memory.open()
        await m.call("POST", DEPLOYMENTS, {"metadata": {"name": "d"}})
        assert (await m.call("GET", SCALE))[0] == 200
        for value in ODD[:6]:
            assert (await m.call("PATCH", SCALE, {"spec": value, "metadata": value}, MERGE))[0] < 500

    async def test_a_secret_whose_values_are_no_object_is_refused(self):
        m = await Memory.open()
        for field in ("data", "stringData"):
            assert (await m.call("POST", SECRETS, {"metadata": {"name": "s"}, field: [1]}))[0] == 400

    @pytest.mark.parametrize("name", ["limit", "resourceVersion", "timeoutSeconds", "gracePeriodSeconds", "continue"])
    async def test_a_number_that_is_none_is_refused(self, name):
        m = await Memory.open()
        await m.config_map("cm")
        for value in ("²", "9" * 5000, "-1e", "NaN", "\0"):
            method, path = ("DELETE", f"{MAPS}/cm") if name == "gracePeriodSeconds" else ("GET", MAPS)
            code, body = await m.call(method, path, **{name: value})
            assert code < 500 and len(body.get("message", "")) < 300
            if method == "GET" and name != "timeoutSeconds":
                assert code in (400, 410), value


class TestBombs:
    async def test_copies_cannot_double_an_object_without_end(self):
        m = await Memory.open()
        await m.config_map("cm")
        copies = [{"op": "copy", "from": "/data", "path": f"/data/k{i}"} for i in range(100)]
        code, body = await m.call("PATCH", f"{MAPS}/cm", copies, JSON_PATCH)
        assert code == 413 and "copies" in body["message"]

    async def test_text_counts_in_copies(self):
        m = await Memory.open()
        await m.call("POST", MAPS, {"metadata": {"name": "big"}, "data": {"k": "x" * (1 << 20)}})
        copies = [{"op": "copy", "from": "/data/k", "path": f"/data/k{i}"} for i in range(200)]
        assert (await m.call("PATCH", f"{MAPS}/big", copies, JSON_PATCH))[0] == 413

    async def test_a_json_patch_has_a_bounded_number_of_operations(self):
        m = await Memory.open()
        await m.config_map("cm")
        assert (await m.call("PATCH", f"{MAPS}/cm", [{"op": "test", "path": ""}] * 10_001, JSON_PATCH))[0] == 413

    async def test_a_selector_is_read_in_one_pass(self):
        m = await Memory.open()
        for text in ("," * 16_000, "(" * 16_000, "a in (" + "," * 15_000, " " * 16_000, "!" * 16_000, "a=b," * 4_000):
            assert (await m.call("GET", MAPS, labelSelector=text))[0] in (200, 400)

    async def test_a_selector_has_a_bounded_length(self):
        m = await Memory.open()
        code, body = await m.call("GET", MAPS, labelSelector="a" * 100_000)
        assert code == 400 and len(body["message"]) < 200

    async def test_a_document_nested_too_deeply_is_refused(self):
        m = await Memory.open()
        await m.config_map("cm")
        deep: object = {}
        for _ in range(5_000):
            deep = {"a": deep}
        for media in (MERGE, STRATEGIC, APPLY):
            assert (await m.call("PATCH", f"{MAPS}/cm", deep, media, fieldManager="x"))[0] == 400


class TestNamesThatBecomePaths:
    @pytest.mark.parametrize("name", ["../../../x", "a/b", "..", "", "A", "a\n", "x" * 64, None])
    async def test_a_container_or_volume_is_named_by_a_label(self, name):
        m = await Memory.open()
        for spec in (
            {"containers": [{"name": name, "image": "i"}]},
            {"containers": [{"name": "c"}], "volumes": [{"name": name, "emptyDir": {}}]},
        ):
            code, body = await m.call("POST", PODS, {"metadata": {"name": "p"}, "spec": spec})
            assert code in (400, 422), body
            template = {"metadata": {"labels": {"a": "b"}}, "spec": spec}
            code, body = await m.call("POST", DEPLOYMENTS, {"metadata": {"name": "d"}, "spec": {"template": template}})
            assert code in (400, 422), body

    @pytest.mark.parametrize("key", ["../x", "..", ".", "a/b", "", "x" * 254])
    async def test_a_key_of_a_secret_or_config_map_is_no_path(self, key):
        m = await Memory.open()
        for path in (MAPS, SECRETS):
            assert (await m.call("POST", path, {"metadata": {"name": "a"}, "data": {key: "eA=="}}))[0] == 422

    async def test_a_secrets_data_is_base64(self):
        m = await Memory.open()
        code, body = await m.call("POST", SECRETS, {"metadata": {"name": "a"}, "data": {"k": "no base64!"}})
        assert code == 422 and "data[k]" in body["message"] and "no base64" not in body["message"]
        assert (await m.call("POST", SECRETS, {"metadata": {"name": "a"}, "data": {"k": "ZGF0\nYQ=="}}))[0] == 201
