"""A Pipeline becomes a plan, or every field at fault is named with what to do."""

import copy
from typing import Any

import pytest
import yaml

from kfn.api import kinds
from kfn.api.admission import admit
from kfn.api.base import Json, decode
from kfn.api.errors import Invalid
from kfn.api.pipeline import Pipeline
from kfn.pipeline import EvaluationError, Need, Plan, Policy, delay, read

INVOICES = """
apiVersion: kfn.dev/v1alpha1
kind: Pipeline
metadata: {name: invoices, namespace: default}
spec:
  "on": {type: com.acme.scan.uploaded}
  timeout: 10m
  defaults: {retries: 5, backoff: {initial: 1s, factor: 2, max: 2m, jitter: true}, onError: dlq}
  steps:
    notify:   {emit: com.acme.invoice.done, needs: [join, "fraud?"], data: {total: join.total, risk: "fraud.?score.orValue(0)"}}
    split:    {fn: split-pages, timeout: 30s}
    ocr:      {fn: ocr-gpu, map: split.pages, maxInFlight: 64}
    layout:   {fn: layout-gpu, map: split.pages, input: {page: item, at: index, of: split.name}}
    join:     {fn: merge, needs: [ocr, layout], join: {mode: all, window: 2m, minSuccess: 0.95}}
    fraud:    {fn: fraud-gpu, needs: join, when: "join.total > 1000", retries: 0}
"""


def invoices(steps: Json | None = None, **spec: Any) -> Json:
    obj: Json = copy.deepcopy(yaml.safe_load(INVOICES))
    obj["spec"].update(spec)
    obj["spec"]["steps"].update(steps or {})
    return obj


def admitted(obj: Json) -> Pipeline:
    return decode(Pipeline, admit(kinds.PIPELINE, "CREATE", obj, None, "ann"))


def plan(obj: Json) -> Plan:
    return read(admitted(obj))


def refused(obj: Json) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        admitted(obj)
    return {error.path: error.message for error in caught.value.errors}


def nested(levels: int) -> Json:
    inner: Json = {}
    for _ in range(levels):
        inner = {"a": [inner]}
    return inner


class TestAPlan:
    def test_has_every_step_after_the_ones_that_it_needs_and_otherwise_as_the_author_wrote_them(self) -> None:
        assert [step.name for step in plan(invoices()).steps] == ["split", "ocr", "layout", "join", "fraud", "notify"]

    def test_takes_edges_from_expressions_and_from_needs(self) -> None:
        needs = {step.name: step.needs for step in plan(invoices()).steps}
        assert needs["layout"] == (Need("split"),)
        assert needs["join"] == (Need("ocr"), Need("layout"))
        assert needs["notify"] == (Need("join"), Need("fraud", optional=True))

    def test_merges_what_a_step_says_of_retries_and_times_with_the_defaults(self) -> None:
        made = plan(invoices())
        assert made.step("ocr").policy == Policy(5, 1.0, 2.0, 120.0, True, 300.0, "dlq")
        assert made.step("fraud").policy.retries == 0
        assert made.step("split").policy.timeout == 30.0
        assert (made.step("ocr").max_in_flight, made.step("layout").max_in_flight) == (64, 16)
        assert (made.step("join").join.window, made.step("join").join.min_success) == (120.0, 0.95)
        assert made.timeout == 600.0
        assert made.start is not None and made.start.broker == "default"

    def test_gives_a_step_without_input_what_comes_before_it(self) -> None:
        made = plan(invoices({"left": {"fn": "f"}, "right": {"fn": "f", "needs": "left"}, "both": {"fn": "f", "needs": ["left", "right"]}}))
        scope = made.scope({"type": "t", "data": {"tenant": "a"}}, {}, {"left": 1, "right": [2]})
        assert made.step("left").input.evaluate(scope) == {"tenant": "a"}
        assert made.step("right").input.evaluate(scope) == 1
        assert made.step("both").input.evaluate(scope) == {"left": 1, "right": [2]}
        assert made.step("ocr").input.evaluate({**scope, "item": "page", "index": 0}) == "page"
        assert made.step("layout").input.evaluate({**scope, "split": {"name": "n"}, "item": "p", "index": 3}) == {
            "page": "p", "at": 3, "of": "n",
        }  # fmt: skip

    def test_evaluates_conditions_maps_and_data_of_a_run(self) -> None:
        made = plan(invoices())
        scope = made.scope({"data": {"tenant": "acme"}}, {}, {"split": {"pages": [1, 2]}, "join": {"total": 1001}})
        fraud, ocr, notify = made.step("fraud"), made.step("ocr"), made.step("notify")
        assert fraud.when is not None and fraud.when.truth(scope)
        assert ocr.map is not None and ocr.map.evaluate(scope) == [1, 2]
        assert notify.input.evaluate(scope) == {"total": 1001, "risk": 0}, "a step that was skipped is an empty object"
        assert notify.input.evaluate({**scope, "fraud": {"score": 0.5}}) == {"total": 1001, "risk": 0.5}

    def test_answers_with_what_the_last_steps_answered_unless_it_says_otherwise(self) -> None:
        scope = {"notify": 1, "other": 2, "join": {"total": 3}}
        assert plan(invoices()).output.evaluate(scope) == 1
        two = plan(invoices({"other": {"fn": "f"}}))
        assert two.finals == ("notify", "other")
        assert two.output.evaluate(scope) == {"notify": 1, "other": 2}
        assert plan(invoices(output="join.total")).output.evaluate(scope) == 3

    def test_is_started_by_http_where_nothing_is_said_of_events(self) -> None:
        assert not plan(invoices()).http
        assert plan(invoices(http=True)).http
        obj = invoices()
        del obj["spec"]["on"]
        assert plan(obj).http

    def test_calls_an_address_or_an_object_as_well_as_a_function(self) -> None:
        broker = {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": "b"}
        made = plan(invoices({"a": {"uri": "http://x.example/a"}, "b": {"ref": broker}}))
        one, other, fn = made.step("a").target, made.step("b").target, made.step("split").target
        assert one is not None and one.uri == "http://x.example/a"
        assert other is not None and other.ref is not None and other.ref.namespace == "default"
        assert fn is not None and fn.ref is not None and (fn.ref.kind, fn.ref.name) == ("Service", "split-pages")
        assert made.step("notify").target is None

    def test_waits_longer_each_time_up_to_the_longest_and_spreads_waits(self) -> None:
        policy = Policy(initial=1, factor=2, max=5, jitter=False)
        assert [delay(policy, n, 0.3) for n in (1, 2, 3, 4, 5000)] == [1, 2, 4, 5, 5]
        spread = Policy(initial=1, factor=2, max=5)
        assert (delay(spread, 2, 0.0), delay(spread, 2, 1.0)) == (1.0, 2.0)


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("steps", "path", "said"),
        [
            (
                {"split": {"fn": "f", "needs": "notify"}},
                "spec.steps.notify",
                "circle: notify needs join needs ocr needs split needs notify",
            ),
            ({"a": {"fn": "f", "needs": "a"}}, "spec.steps.a.needs", "is the step itself"),
            ({"a": {"fn": "f", "input": "a.x"}}, "spec.steps.a.input", "a step cannot need itself"),
            ({"a": {"fn": "f", "needs": ["join", "frau"]}}, "spec.steps.a.needs[1]", "no step 'frau'; did you mean 'fraud'?"),
            ({"a": {"fn": "f", "needs": ["join", "join?"]}}, "spec.steps.a.needs[1]", "twice"),
            ({"a": {"fn": "f", "when": "jion.x > 1"}}, "spec.steps.a.when", "no such step; did you mean 'join'?"),
            ({"a": {"fn": "f", "input": {"x": {"y": ["nope"]}}}}, "spec.steps.a.input", "reads 'nope'"),
            ({"a": {"fn": "f", "input": {"x": {"y": ["1 +"]}}}}, "spec.steps.a.input.x.y[0]", "Syntax error"),
            ({"a": {"fn": "f", "input": "item"}}, "spec.steps.a.input", "only in the input of a step with a map"),
            ({"a": {"fn": "f", "map": "ocr.pages"}}, "spec.steps.a.map", "'list(dyn)' cannot be the operand of a select"),
            ({"a": {"fn": "f", "map": "1 + 1"}}, "spec.steps.a.map", "of the type int and no list"),
            ({"a": {"fn": "f", "map": "event"}}, "spec.steps.a.map", "of the type map and no list"),
            ({"a": {"fn": "f", "when": "size(ocr)"}}, "spec.steps.a.when", "of the type int and not true or false"),
            ({"a": {"fn": "f", "when": "1 > 2"}}, "spec.steps.a.when", "never true"),
            ({"a": {"fn": "f", "when": "join.x ?? 1"}}, "spec.steps.a.when", "write a.?b.orValue(c)"),
            ({"a": {"fn": "f", "when": "foo(join)"}}, "spec.steps.a.when", "there is no function 'foo'"),
            ({"a": {"fn": "f", "when": "x" * 5000}}, "spec.steps.a.when", "at most 4096"),
            ({"a": {"fn": "f", "emit": "x"}}, "spec.steps.a", "has fn and emit"),
            ({"a": {}}, "spec.steps.a", "does nothing; set exactly one"),
            ({"a": {"fn": "f", "data": "1"}}, "spec.steps.a.data", "rename it to input"),
            ({"a": {"emit": "x", "input": "1"}}, "spec.steps.a.input", "rename it to data"),
            ({"a": {"emit": "x", "map": "ocr"}}, "spec.steps.a.map", "has no map"),
            ({"a": {"fn": "f", "broker": "b"}}, "spec.steps.a.broker", "set emit"),
            ({"a": {"fn": "f", "maxInFlight": 3}}, "spec.steps.a.maxInFlight", "step with a map"),
            ({"a": {"fn": "f", "map": "ocr", "maxInFlight": 0}}, "spec.steps.a.maxInFlight", "between 1 and 1000"),
            ({"a": {"fn": "f", "timeout": "5"}}, "spec.steps.a.timeout", "not a duration; write a number with a unit"),
            ({"a": {"fn": "f", "timeout": "-5s"}}, "spec.steps.a.timeout", "between 0 and 30 days"),
            ({"a": {"fn": "f", "retries": -1}}, "spec.steps.a.retries", "between 0 and 100"),
            ({"a": {"fn": "f", "onError": "x"}}, "spec.steps.a.onError", "use fail, dlq, continue"),
            ({"a": {"fn": "f", "backoff": {"factor": 0.5}}}, "spec.steps.a.backoff.factor", "between 1 and 100"),
            ({"a": {"fn": "f", "join": {"mode": "x"}}}, "spec.steps.a.join.mode", "use all or any"),
            ({"a": {"fn": "f", "join": {"minSuccess": 95}}}, "spec.steps.a.join.minSuccess", "such as 0.95"),
            ({"a": {"uri": "x"}}, "spec.steps.a.uri", "not an absolute URL"),
            ({"a": {"fn": "F_"}}, "spec.steps.a.fn", "lower-case"),
            ({"split-pages": {"fn": "f"}}, "spec.steps.split-pages", "such as 'split_pages'"),
            ({"item": {"fn": "f"}}, "spec.steps.item", "choose another name, such as 'item_step'"),
            ({"a": {"fn": "f", "retrys": 3}}, "spec.steps.a.retrys", 'did you mean "retries"?'),
            ({f"s{i}": {"fn": "f"} for i in range(60)}, "spec.steps", "at most 64"),
        ],
    )
    def test_a_step_by_its_field_and_with_the_fix(self, steps: Json, path: str, said: str) -> None:
        errors = refused(invoices(steps))
        assert said in errors.get(path, ""), errors

    @pytest.mark.parametrize(
        ("spec", "path", "said"),
        [
            ({"steps": {}}, "spec.steps", "at least one step"),
            ({"timeout": "10"}, "spec.timeout", "not a duration"),
            ({"defaults": {"retries": 1000}}, "spec.defaults.retries", "between 0 and 100"),
            ({"key": "data.tenant"}, "spec.key", "not taken yet"),
            ({"output": "jion.total"}, "spec.output", "did you mean 'join'?"),
            ({"on": {}}, "spec.on.type", "missing"),
            ({"on": {"type": "t", "filters": [{"exakt": {}}]}}, "spec.on.filters[0]", "set exactly one of"),
            ({"true": {"type": "t"}}, "spec.true", 'did you mean "on"? Quote it'),
        ],
    )
    def test_a_field_of_the_whole_by_its_path(self, spec: Json, path: str, said: str) -> None:
        obj = invoices()
        obj["spec"].update(spec)
        errors = refused(obj)
        assert said in errors.get(path, ""), errors

    @pytest.mark.parametrize(
        ("given", "path", "said"),
        [
            ({f"k{i}": "1 + 1" for i in range(600)}, "spec.steps", "at most 500"),
            ({f"k{i}": "a" * 4000 for i in range(10)}, "spec.steps", "with 32768"),
            (nested(30), "spec.steps.a.input", "more than 32 deep"),
        ],
    )
    def test_what_would_take_long_to_read_before_it_is_read(self, given: Json, path: str, said: str) -> None:
        assert said in refused(invoices({"a": {"fn": "f", "input": given}}))[path]

    def test_what_nothing_could_start(self) -> None:
        obj = invoices(http=False)
        del obj["spec"]["on"]
        assert "nothing could start it" in refused(obj)["spec.http"]

    def test_data_that_is_nested_so_deeply_that_the_library_would_end_the_process(self) -> None:
        made, deep = plan(invoices()), nested(300)
        with pytest.raises(EvaluationError, match="event: is nested more than 500 levels"):
            made.scope({"data": deep}, {}, {})
        with pytest.raises(EvaluationError, match="split: is nested more than 500 levels"):
            made.scope({}, {}, {"split": deep})
        assert made.scope({"data": nested(200)}, {}, {"split": [1, {"a": [{}]}]})

    def test_at_run_time_by_the_field_that_holds_the_expression(self) -> None:
        made = plan(invoices())
        ocr = made.step("ocr")
        assert ocr.map is not None
        with pytest.raises(EvaluationError, match=r"^spec\.steps\.ocr\.map: split\.pages: there is no 'pages'"):
            ocr.map.evaluate(made.scope({}, {}, {"split": {}}))
