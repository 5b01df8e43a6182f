"""The gateway's numbers in Prometheus' form, with Knative's labels. They are read from plain counters when somebody asks."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.account import BUCKETS, Meter

if TYPE_CHECKING:
    from gateway.app import Gateway

REVISION = ["namespace_name", "revision_name"]


class GatewayCollector(Collector):
    def __init__(self, gateway: "Gateway") -> None:
        self._gateway = gateway

    def collect(self) -> Iterable[Metric]:
        chain = self._gateway.chain
        requests = CounterMetricFamily(
            "kfn_gateway_requests", "Requests answered; code 0: the client left before.", labels=[*REVISION, "code"]
        )
        seconds = HistogramMetricFamily("kfn_gateway_request_seconds", "Time in the gateway, waiting included.", labels=REVISION)
        active = GaugeMetricFamily("kfn_gateway_active_requests", "Requests inside now, waiting ones included.", labels=REVISION)
        waiting = GaugeMetricFamily("kfn_gateway_waiting_requests", "Requests with no place on an instance.", labels=REVISION)
        instances = GaugeMetricFamily("kfn_gateway_instances", "Instances that take requests.", labels=REVISION)
        cold = CounterMetricFamily("kfn_gateway_cold_starts", "Requests that had to wait for an instance to start.", labels=REVISION)
        phases = CounterMetricFamily("kfn_gateway_cold_start_seconds", "Time of cold starts by phase.", labels=[*REVISION, "phase"])
        failed = CounterMetricFamily("kfn_gateway_upstream_errors", "Failed connections and broken answers.", labels=REVISION)
        refused = CounterMetricFamily("kfn_gateway_refused_requests", "Answered here, for no revision.", labels=["code"])
        connections = GaugeMetricFamily("kfn_gateway_connections", "Clients' open connections.")
        if chain is not None:
            for key, line in chain.lines.items():
                names = [key.namespace, key.name]
                for code, times in line.meter.codes.items():
                    requests.add_metric([*names, str(code)], times)
                seconds.add_metric(names, _buckets(line.meter), line.meter.duration_sum)
                active.add_metric(names, line.meter.concurrency)
                waiting.add_metric(names, len(line.waiting))
                instances.add_metric(names, len(line.usable))
                cold.add_metric(names, line.cold_count)
                failed.add_metric(names, line.meter.unreachable)
                for phase, spent in line.cold_seconds.items():
                    phases.add_metric([*names, phase], spent)
            for status, times in chain.refused.items():
                refused.add_metric([str(status)], times)
            connections.add_metric([], len(chain.connections))
        return [requests, seconds, active, waiting, instances, cold, phases, failed, refused, connections]


def registry(gateway: "Gateway") -> CollectorRegistry:
    """A registry of this gateway's own, so that several can live in one process."""
    found = CollectorRegistry()
    found.register(GatewayCollector(gateway))
    return found


def _buckets(meter: Meter) -> list[tuple[str, float]]:
    total = 0
    buckets: list[tuple[str, float]] = []
    for bound, times in zip([*(str(b) for b in BUCKETS), "+Inf"], meter.durations, strict=True):
        total += times
        buckets.append((bound, total))
    return buckets
