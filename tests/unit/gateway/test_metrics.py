"""The page of metrics: its form, what is said of whom, and that making it lets requests go on."""

import anyio
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.app import Gateway
from gateway.chain import Chain
from gateway.errors import LineFull
from gateway.observe import exposition, metrics
from gateway.settings import Settings
from kfn.api.meta import ObjectMeta
from kfn.api.serving import Revision
from kfn.kube.client import Client
from kfn.load import RevisionKey
from tests.fakes.kube import FakeApi
from tests.fakes.routed import Sink


async def _page(gateway: Gateway) -> list[str]:
    return [part async for part in metrics.page(gateway)]


def _revision(name: str, service: str = "hello") -> Revision:
    labels = {"serving.knative.dev/service": service, "serving.knative.dev/configuration": service}
    return Revision(metadata=ObjectMeta(name=name, namespace="default", labels=labels))


def _gateway(tasks: anyio.abc.TaskGroup, revisions: int = 1) -> Gateway:
    gateway = Gateway(Client(FakeApi()), Sink(), Settings())
    gateway.chain = Chain(tasks, Sink(), gateway.settings, anyio.current_time)
    for i in range(revisions):
        gateway.chain.revision_changed(None, _revision(f"hello-{i:05}"))
    return gateway


def _call(gateway: Gateway, name: str, status: int = 200) -> None:
    assert gateway.chain is not None
    meter = gateway.chain.lines[RevisionKey("default", name)].meter
    meter.arrive(anyio.current_time())
    meter.leave(anyio.current_time() + 0.003, anyio.current_time(), status)


async def test_of_a_revision_that_was_never_called_nothing_is_said() -> None:
    async with anyio.create_task_group() as tasks:
        gateway = _gateway(tasks, revisions=2)
        _call(gateway, "hello-00001")
        text = "".join(await _page(gateway))
        assert "hello-00000" not in text
        assert 'kfn_gateway_requests_total{namespace_name="default",revision_name="hello-00001",code="200"} 1\n' in text
        assert 'service_name="hello",configuration_name="hello"} 1\n' in text
        assert "kfn_gateway_revisions 2\n" in text


async def test_a_deleted_revisions_series_go_away() -> None:
    async with anyio.create_task_group() as tasks:
        gateway = _gateway(tasks)
        assert gateway.chain is not None
        _call(gateway, "hello-00000")
        gateway.chain.revision_changed(_revision("hello-00000"), None)
        assert "hello-00000" not in "".join(await _page(gateway))


async def test_a_revision_deleted_under_its_last_request_is_forgotten_some_time_after_it() -> None:
    async with anyio.create_task_group() as tasks:
        gateway = _gateway(tasks)
        chain = gateway.chain
        assert chain is not None
        meter = chain.lines[RevisionKey("default", "hello-00000")].meter
        meter.arrive(anyio.current_time())
        chain.revision_changed(_revision("hello-00000"), None)
        chain.sweep()
        assert chain.lines
        meter.leave(anyio.current_time(), anyio.current_time(), 200)
        chain.sweep()
        assert chain.lines, "a scrape must see how it ended"
        await anyio.sleep(301)
        chain.sweep()
        assert not chain.lines


async def test_others_go_on_while_a_page_of_a_thousand_revisions_is_made() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.sleep(0)

    async with anyio.create_task_group() as tasks:
        gateway = _gateway(tasks, revisions=1000)
        for i in range(1000):
            _call(gateway, f"hello-{i:05}")
        tasks.start_soon(other)
        parts = await _page(gateway)
        assert turns >= 100
        assert max(part.count("\n") for part in parts) <= 20 * metrics.PIECE
        tasks.cancel_scope.cancel()


async def test_the_page_keeps_prometheus_rules() -> None:
    async with anyio.create_task_group() as tasks:
        gateway = _gateway(tasks)
        chain = gateway.chain
        assert chain is not None
        _call(gateway, "hello-00000")
        line = chain.lines[RevisionKey("default", "hello-00000")]
        line.meter.failed("reset")
        chain.count(LineFull("x"), line)
        gateway.lag.seconds.add(0.003)
        follows_the_rules("".join(await _page(gateway)))


def follows_the_rules(text: str) -> set[str]:
    """What promtool checks, and that histograms add up. Gives the families' names."""
    seen: set[str] = set()
    for family in text_string_to_metric_families(text):
        assert family.name not in seen, f"{family.name} comes twice"
        seen.add(family.name)
        assert family.documentation and family.type != "unknown", f"{family.name} has no HELP or TYPE"
        series = [(sample.name, tuple(sorted(sample.labels.items()))) for sample in family.samples]
        assert len(series) == len(set(series)), f"{family.name} has a series twice"
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples)
        if family.type == "histogram":
            _adds_up(family)
    return seen


def _adds_up(family) -> None:
    by_labels: dict[tuple[tuple[str, str], ...], dict[str, float]] = {}
    for sample in family.samples:
        bound = sample.labels.pop("le", "")
        suffix = sample.name.removeprefix(family.name)
        by_labels.setdefault(tuple(sorted(sample.labels.items())), {})[suffix + bound] = sample.value
    for found in by_labels.values():
        buckets = [value for name, value in found.items() if name.startswith("_bucket")]
        assert buckets == sorted(buckets)
        assert found["_bucket+Inf"] == found["_count"]
        assert "_sum" in found


@pytest.mark.parametrize("value", ['a"b', "a\\b", "a\nb"])
def test_what_would_end_a_label_is_escaped(value: str) -> None:
    text = exposition.family("x_total", "counter", 'it\'s "help"\nand \\')
    text += exposition.sample("x_total", exposition.labels([("n", value)]), 1)
    (family,) = text_string_to_metric_families(text)
    assert family.samples[0].labels == {"n": value}
