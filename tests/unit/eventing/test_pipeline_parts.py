"""What a Pipeline's run consists of: its subjects, a function's answer as an output, and how a run is shown."""

import pytest

from eventing.pipelines import answers
from eventing.pipelines.advance import Task
from eventing.pipelines.names import Runs, consumer, dead_letters, ended, pipeline_at, plan, run_of, stream
from eventing.pipelines.shown import details
from eventing.pipelines.state import Cause, Run, Step
from kfn import http1


def answer(body: bytes, **headers: str) -> http1.Response:
    fields = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return http1.Response(200, fields, body)


class TestNames:
    def test_of_different_pipelines_runs_steps_and_items_never_meet(self) -> None:
        found = set()
        for namespace, name in (("a", "b-c"), ("a-b", "c"), ("a", "b")):
            runs = Runs(namespace, name)
            found |= {stream(namespace, name), plan(namespace, name, 1), plan(namespace, name, 11), ended(namespace, name, "r")}
            for run in ("r", "r1"):
                found |= {runs.record(run), runs.start(run), runs.again(run, "1"), runs.timer(run, "s", 1)}
                for task in (Task("s", 0), Task("s", 0, 0), Task("s", 1, 0), Task("s", 0, 10), Task("s_0", 0)):
                    found |= {runs.task(run, task), runs.output(run, task)}
        assert len(found) == 3 * (4 + 2 * (4 + 2 * 5))

    def test_say_whose_they_are(self) -> None:
        runs = Runs("ns", "p")
        assert runs.id_of(runs.task("r1", Task("s", 0, 3))) == runs.id_of(runs.start("r1")) == "r1"
        assert consumer("Step_1") != consumer("step_1")
        assert (pipeline_at(dead_letters("p")), pipeline_at("p")) == ("p", "")

    def test_of_a_run_follow_from_its_event_alone(self) -> None:
        assert run_of("/s", "1") == run_of("/s", "1") != run_of("/s1", "")


class TestAnAnswer:
    @pytest.mark.parametrize(
        ("given", "output"),
        [
            pytest.param(answer(b' {"a": 1}', content_type="application/json"), b' {"a": 1}', id="JSON is kept as it is"),
            pytest.param(answer(b"[1]"), b"[1]", id="without a type it may be JSON"),
            pytest.param(answer(b"it's"), b'"it\'s"', id="or text"),
            pytest.param(answer(b"5", content_type="text/plain"), b'"5"', id="text is text"),
            pytest.param(answer(b""), b"null", id="nothing is null"),
            pytest.param(
                answer(b"[2]", ce_specversion="1.0", ce_id="1", ce_source="/", ce_type="t", content_type="application/json"),
                b"[2]", id="of an event its data",
            ),
            pytest.param(
                answer(b'{"specversion":"1.0","id":"1","source":"/","type":"t","data":{"b":2}}', content_type="application/cloudevents"),
                b'{"b":2}', id="of a structured one too",
            ),
        ],
    )  # fmt: skip
    def test_is_json_in_the_end(self, given: http1.Response, output: bytes) -> None:
        assert answers.output(given, 1000) == output

    @pytest.mark.parametrize(
        ("given", "why"),
        [
            pytest.param(answer(b"x" * 1001), "1001 bytes, an output at most 1000", id="too large"),
            pytest.param(answer(b"{", content_type="application/json"), "application/json, and is not", id="a lie"),
            pytest.param(answer(b"\xff", content_type="image/png"), "neither JSON nor text", id="a picture"),
            pytest.param(answer(b"", ce_specversion="1.0"), "not a valid CloudEvent", id="half an event"),
        ],
    )
    def test_that_cannot_be_an_output_says_why(self, given: http1.Response, why: str) -> None:
        with pytest.raises(answers.Unusable, match=why):
            answers.output(given, 1000)


def test_a_run_is_shown_with_its_event_its_error_and_the_items_of_its_maps() -> None:
    steps = {
        "a": Step(status="succeeded", attempts=2, started=1.5, ended=2, version="a-1"),
        "m": Step(status="failed", total=4, done="5", failed="2"),
    }
    told = details(Run("r", 3, status="failed", started=1, ended=3, error="no", at="m", steps=steps, cause=Cause("/s", "1", "t")))
    assert (told["status"], told["step"], told["error"], told["generation"]) == ("failed", "m", "no", 3)
    assert told["event"] == {"source": "/s", "id": "1", "type": "t"}
    assert told["steps"]["m"]["items"] == {"total": 4, "done": 2, "failed": 1}
    assert (told["steps"]["a"]["started"], "items" in told["steps"]["a"]) == ("1970-01-01T00:00:01.500000Z", False)
