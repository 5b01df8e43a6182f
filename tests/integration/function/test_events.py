"""CloudEvents into a real function and out of it."""

import json
from pathlib import Path

from tests.fakes.function_process import FunctionProcess, Reply, function

SOURCE = """
import kfn
def handle(event):
    if event.type == "quiet": return None
    if event.type == "boom": raise ValueError("boom")
    return event.reply("seen", {"data": event.data if not isinstance(event.data, bytes) else event.data.decode(), **event.attributes})
"""
HEAD = (
    "ce-specversion: 1.0",
    "ce-id: 7 %25",
    "ce-source: /s?x",
    "ce-type: t",
    "ce-subject: %C3%BC",
    "ce-myext: 1",
    "content-type: application/json",
)


def post(f: FunctionProcess, *headers: str, body: bytes = b"") -> Reply:
    return f.get("/", *headers, method="POST", body=body)


class TestEventHandler:
    def test_a_binary_event_arrives_whole_and_the_reply_is_binary(self, tmp_path: Path) -> None:
        with function(tmp_path, SOURCE, K_SERVICE="seer", KFN_NAMESPACE="n") as f:
            reply = post(f, *HEAD, body=b'{"a": 1}')
            assert reply.json() == {
                "data": {"a": 1},
                "specversion": "1.0",
                "id": "7 %",
                "source": "/s?x",
                "type": "t",
                "subject": "ü",
                "myext": "1",
                "datacontenttype": "application/json",
            }
            assert reply.headers["ce-type"] == "seen"
            assert reply.headers["ce-source"] == "/apis/serving.knative.dev/v1/namespaces/n/services/seer"

    def test_a_structured_event_arrives_whole(self, tmp_path: Path) -> None:
        event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "flag": True, "data": {"a": 1}}
        with function(tmp_path, SOURCE) as f:
            reply = post(f, "content-type: application/cloudevents+json; charset=utf-8", body=json.dumps(event).encode())
            assert reply.json()["data"] == {"a": 1}
            assert reply.json()["flag"] == "true"
            event = {**event, "data_base64": "aGk=", "datacontenttype": "image/x"}
            del event["data"]
            reply = post(f, "content-type: application/cloudevents+json", body=json.dumps(event).encode())
            assert reply.json()["data"] == "hi"

    def test_the_same_event_delivered_again_has_the_same_reply_id(self, tmp_path: Path) -> None:
        with function(tmp_path, SOURCE) as f:
            ids = {post(f, *HEAD, body=b"1").headers["ce-id"] for _ in range(2)}
            assert len(ids) == 1

    def test_no_reply_is_204_and_a_failure_is_500(self, tmp_path: Path) -> None:
        with function(tmp_path, SOURCE) as f:
            base = ("ce-specversion: 1.0", "ce-id: 1", "ce-source: /s")
            assert post(f, *base, "ce-type: quiet").status == 204
            assert post(f, *base, "ce-type: boom").status == 500

    def test_a_malformed_event_is_400_and_names_the_attribute(self, tmp_path: Path) -> None:
        with function(tmp_path, SOURCE) as f:
            for head, named in (
                (("ce-specversion: 1.0", "ce-id: 1", "ce-type: t"), "`source`"),
                (("ce-specversion: 1.0", "ce-source: 1", "ce-type: t"), "`id`"),
                (("ce-specversion: 0.2", "ce-id: 1", "ce-source: 1", "ce-type: t"), "`specversion`"),
                (("ce-id: 1", "ce-source: 1", "ce-type: t"), "`specversion`"),
                (("ce-specversion: 1.0", "ce-id: 1", "ce-source: /", "ce-type: t", "ce-time: noon"), "`time`"),
                (("ce-specversion: 1.0", "ce-id: 1", "ce-source: /", "ce-type: t", "ce-a_b: 1"), "`a_b`"),
                ((), "`specversion`"),
            ):
                reply = post(f, *head)
                assert reply.status == 400
                assert named in reply.json()["detail"]
            reply = post(f, *HEAD, body=b"{")
            assert reply.status == 400
            assert "`data`" in reply.json()["detail"]

    def test_a_batch_is_its_events_and_its_replies_a_batch(self, tmp_path: Path) -> None:
        events = [{"specversion": "1.0", "id": str(n), "source": "/s", "type": t, "data": n} for n, t in enumerate(("t", "quiet", "t"))]
        with function(tmp_path, SOURCE) as f:
            reply = post(f, "content-type: application/cloudevents-batch+json", body=json.dumps(events).encode())
            assert [event["data"]["data"] for event in reply.json()] == [0, 2]


class TestBoth:
    def test_a_handler_may_take_requests_and_events(self, tmp_path: Path) -> None:
        source = """
import kfn
class Both:
    def handle(self, message: kfn.Request | kfn.Event):
        return type(message).__name__
"""
        with function(tmp_path, source) as f:
            assert post(f, *HEAD, body=b"1").body == b"Event"
            assert post(f, body=b"1").body == b"Request"

    def test_a_marked_handler_takes_events_whatever_its_parameter_is_called(self, tmp_path: Path) -> None:
        with function(tmp_path, "import kfn\n@kfn.cloudevent\ndef handle(it):\n    return it.type\n") as f:
            assert post(f, *HEAD, body=b"1").body == b"t"
