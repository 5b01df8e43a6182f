"""Each part of kfn and of Kubernetes dies in turn under load: functions that run serve on, nothing accepted is lost, all is well after.

The load never stops; each test breaks one thing, waits until everything works again, and judges what was counted meanwhile. The table is
printed at the end. KFN_TEST_AWAY: seconds for which the API server is away (30). KFN_TEST_FAULTS=all: those of RARE as well.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.cluster import containers, faults, stage
from tests.cluster.burden import Account
from tests.cluster.layout import Layout
from tests.cluster.platform import Platform
from tests.cluster.shell import say
from tests.cluster.stage import Stage

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

AWAY = float(os.environ.get("KFN_TEST_AWAY", "30"))  # seconds
KUBELET_AWAY = 10.0
ETCD_AWAY = 5.0
HEAD = [
    "what died",
    "requests",
    "broken",
    "refused",
    "slowest",
    "events",
    "declined",
    "twice",
    "create",
    "ready",
    "wake",
    "deliver",
    "parts",
]


def sleep(seconds: float) -> None:
    threading.Event().wait(seconds)


def gateway(on: Stage) -> str:
    name, pod = next(iter(on.pods("gateway").items()))
    containers.kill(on.cluster, pod)
    return name


def leader(part: str) -> Callable[[Stage], str]:
    def kill(on: Stage) -> str:
        name = on.leader(part)
        containers.kill(on.cluster, on.pods(part)[name])
        return name

    return kill


def eventing_that_follows(on: Stage) -> str:
    name = next(name for name in on.pods("eventing") if name != on.leader("eventing"))
    containers.kill(on.cluster, on.pods("eventing")[name])
    return name


def nats(on: Stage) -> str:
    containers.kill(on.cluster, on.pods("nats")["kfn-nats-0"])
    return "kfn-nats-0"


def without(program: str, seconds: float) -> Callable[[Stage], str]:
    def away(on: Stage) -> str:
        with faults.without(on.cluster, program):
            sleep(seconds)
        return program

    return away


def frozen(on: Stage) -> str:
    with faults.frozen(on.cluster, "kube-apiserver"):
        sleep(AWAY)
    return "kube-apiserver"


FAULTS: dict[str, Callable[[Stage], str]] = {
    "a gateway": gateway,
    "the controller that leads": leader("controller"),
    "the autoscaler that leads": leader("autoscaler"),
    "eventing that leads": leader("eventing"),
    "eventing that follows": eventing_that_follows,
    "NATS": nats,
    f"the kubelet, {KUBELET_AWAY:g} s": without("kubelet", KUBELET_AWAY),
    f"etcd, {ETCD_AWAY:g} s": without("etcd", ETCD_AWAY),
}
RARE: dict[str, Callable[[Stage], str]] = {f"the API server is silent, {AWAY:g} s": frozen}
if os.environ.get("KFN_TEST_FAULTS") == "all":
    FAULTS |= RARE
# The last: kube-controller-manager follows again up to a minute after, and until then EndpointSlices name pods that are gone.
FAULTS[f"the API server, {AWAY:g} s"] = without("kube-apiserver", AWAY)


@pytest.fixture(scope="module")
def on(platform: Platform, own_cluster: Layout, request: pytest.FixtureRequest) -> Iterator[Stage]:
    with stage.ready(platform, own_cluster) as made:
        try:
            yield made
        finally:
            widths = [max(map(len, column)) for column in zip(HEAD, *made.rows, strict=True)]
            lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [HEAD, *made.rows]]
            with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
                print("", *lines, sep="\n")


def between(before: Account, after: Account) -> Account:
    refused = {name: count - before.refused.get(name, 0) for name, count in after.refused.items()}
    return Account(
        after.good - before.good,
        {name: count for name, count in refused.items() if count},
        after.failures[len(before.failures) :],
        after.slowest,
    )


class TestItDies:
    @pytest.mark.parametrize("what", FAULTS)
    def test_and_functions_serve_on_nothing_is_lost_and_all_is_well_after(self, on: Stage, what: str) -> None:
        before, events, declined, serving = on.burden.account(), len(on.burden.accepted), len(on.burden.declined), on.serving()
        began = time.monotonic()
        victim = FAULTS[what](on)
        over = time.monotonic()
        on.burden.wait_for(100)
        took = on.recovered(over)
        came = between(before, on.burden.account())
        seen = on.recorded()
        accepted = len(on.burden.accepted) - events
        on.rows.append([
            what, str(came.good), str(len(came.failures)), str(sum(came.refused.values())), f"{came.slowest:.1f}", str(accepted),
            str(len(on.burden.declined) - declined), str(sum(seen.values()) - len(seen)), *(f"{took[key]:.1f}" for key in HEAD[8:]),
        ])  # fmt: skip
        say("  ".join(on.rows[-1]))
        told = "\n".join([f"{what} ({victim}) was broken for {over - began:.1f} s", *map(str, came.failures), str(came.refused)])
        if victim in on.burden.gateways:
            survivors = set(on.burden.gateways) - {victim}
            assert not any(one.status for one in came.failures), told  # a client of a dead process loses its connection, and that is all
            each = [one.client for one in came.failures]
            assert len(each) == len(set(each)), told  # no connection breaks twice: there was one with the dead process at most
            assert not survivors & {*each, *came.refused}, told
        else:
            assert not came.failures and not came.refused, told
        assert serving <= on.serving(), f"an instance that served was taken away: {serving}, now {on.serving()}"
