"""The dashboard, the alerts and the page that explains the metrics say nothing of metrics that do not exist, and leave none out."""

import json
import re
from pathlib import Path
from typing import Any

import anyio
import yaml
from prometheus_client.parser import text_string_to_metric_families

from gateway.app import Gateway
from gateway.chain import Chain
from gateway.coldstart import ColdStart
from gateway.errors import LineFull, Refusal
from gateway.observe import metrics
from gateway.settings import Settings
from gateway.slots.lease import Slots
from kfn.api.meta import ObjectMeta
from kfn.api.serving import Revision, RevisionSpec
from kfn.kube.client import Client
from tests.fakes.authority import Authority, secret
from tests.fakes.kube import FakeApi
from tests.fakes.routed import Sink

ROOT = Path(__file__).resolve().parents[3]
DASHBOARD = ROOT / "deploy/observability/grafana-gateway.json"
ALERTS = ROOT / "deploy/observability/alerts.yaml"
EXPLAINED = ROOT / "docs/metrics.md"

NAME = re.compile(r"\bkfn_gateway_[a-z_]+\b")
SUFFIX = re.compile(r"_(bucket|sum|count)$")


async def _told() -> dict[str, set[str]]:
    """Every metric of a gateway to which everything has happened once, by the name in its TYPE line, with its labels."""
    async with anyio.create_task_group() as tasks:
        gateway = Gateway(Client(FakeApi()), Sink(), Settings(tls_port=0, tls_secrets=("front/web",)))
        assert gateway.https is not None
        gateway.https.certificates.named_changed(None, secret(Authority().issue("a.test")))
        gateway.https.certificates.named_changed(None, secret(Authority().issue("a.test"), kind="Opaque"))
        gateway.https.certificates.handshake_failed("timeout")
        chain = gateway.chain = Chain(tasks, Sink(), gateway.settings, anyio.current_time)
        gateway._informers = []
        chain.shared.slots = Slots(gateway.settings, anyio.current_time, chain.shared.later)
        limited = RevisionSpec(container_concurrency=1)
        chain.revision_changed(None, Revision(metadata=ObjectMeta(name="hello-00001", namespace="default"), spec=limited))
        (line,) = chain.lines.values()
        line.meter.arrive(0.0)
        line.meter.leave(1.0, 0.0, 200)
        line.meter.failed("reset")
        line.keep(ColdStart(0.0, "r", "pod", 200, {"queue": 1.0}, 1.0))
        chain.count(LineFull("x"), line)
        found: dict[str, set[str]] = {}
        text = "".join([part async for part in metrics.page(gateway)])
        for family in text_string_to_metric_families(text):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            found[name] = {label for sample in family.samples for label in sample.labels}
        return found


def _named(text: str) -> set[str]:
    return {SUFFIX.sub("", name) for name in NAME.findall(text)}


def _panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


async def test_every_metric_is_explained_and_none_that_does_not_exist() -> None:
    assert _named(EXPLAINED.read_text()) == set(await _told())


def test_every_reason_of_a_refusal_is_explained() -> None:
    text = EXPLAINED.read_text()
    missing = [name for name in _below(Refusal) if f"`{name}`" not in text]
    assert not missing, "docs/metrics.md does not say what they mean"


def _below(one: type) -> list[str]:
    return [name for sub in one.__subclasses__() for name in (sub.__name__, *_below(sub))]


async def test_the_alerts_are_rules_over_metrics_that_exist() -> None:
    told = set(await _told())
    alerts = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in alerts}) == len(alerts) >= 10
    for rule in alerts:
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
        assert _named(rule["expr"]) and _named(rule["expr"]) <= told, rule["alert"]
        assert rule["annotations"].keys() == {"summary", "description"}
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["alert"] in EXPLAINED.read_text(), f"docs/metrics.md does not say what to do when {rule['alert']} fires"


async def test_the_dashboard_shows_metrics_that_exist_and_leaves_few_out() -> None:
    told = set(await _told())
    dashboard = json.loads(DASHBOARD.read_text())
    panels = _panels(dashboard)
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    shown: set[str] = set()
    for panel in panels:
        for target in panel["targets"]:
            assert _named(target["expr"]) <= told, panel["title"]
            shown |= _named(target["expr"])
    not_shown = {"kfn_gateway_revision_info", "kfn_gateway_requests_in_line", "kfn_gateway_waiting_body_limit_bytes"}
    assert told - shown == not_shown


async def test_labels_that_are_grouped_by_exist() -> None:
    told = await _told()
    labels = {label for of in told.values() for label in of} | {"instance", "le", "kind"}
    rules = [rule["expr"] for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    rules += [target["expr"] for panel in _panels(json.loads(DASHBOARD.read_text())) for target in panel["targets"]]
    for rule in rules:
        for group in re.findall(r"(?:by|on|ignoring) \(([^)]*)\)", rule):
            assert {label.strip() for label in group.split(",")} <= labels, rule
        assert all(rule.count(a) == rule.count(b) for a, b in ("()", "{}", "[]")), rule
