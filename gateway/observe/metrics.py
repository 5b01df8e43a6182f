"""The gateway's numbers as a Prometheus page, with Knative's labels: read from plain counters when somebody asks.

docs/metrics.md explains each. A page is made in pieces of about a millisecond, between which requests go on: ten thousand revisions
take a fifth of a second.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import anyio
import anyio.lowlevel

from gateway.line import Line
from gateway.observe.accesslog import AccessLog
from gateway.observe.account import BUCKETS
from gateway.observe.exposition import family, histogram, labels, sample
from gateway.slots import metrics as slotmetrics
from gateway.tls import metrics as httpsmetrics
from gateway.waiting import EVENTS, NONE
from kfn.load import RevisionKey

if TYPE_CHECKING:
    from gateway.app import Gateway
    from gateway.chain import Chain

_Row = tuple[dict[str, str], float]

PIECE = 100  # revisions at a time: a millisecond for the largest family, 180 KB


class Family(NamedTuple):
    """One metric, for each revision. `rows` gives the samples of one, without the metric's name in front."""

    name: str
    kind: str
    help: str
    rows: Callable[[str, str, Line], str]


def _codes(name: str, of: str, line: Line) -> str:
    return "".join(f'{name}{{{of},code="{code}"}} {times}\n' for code, times in line.meter.codes.items())


def _seconds(name: str, of: str, line: Line) -> str:
    return histogram(name, of, BUCKETS, line.meter.durations, line.meter.duration_sum)


def _phases(name: str, of: str, line: Line) -> str:
    return "".join(f'{name}{{{of},phase="{phase}"}} {seconds}\n' for phase, seconds in line.cold_seconds.items())


def _failures(name: str, of: str, line: Line) -> str:
    return "".join(f'{name}{{{of},kind="{kind}"}} {times}\n' for kind, times in (line.meter.failures or {}).items())


def _waited(name: str, of: str, line: Line) -> str:
    return "".join(f'{name}{{{of},class="{kind}"}} {times}\n' for kind, times in (line.waiting.went or NONE).items())


def _waited_for(name: str, of: str, line: Line) -> str:
    return "".join(f'{name}{{{of},class="{kind}"}} {seconds}\n' for kind, seconds in (line.waiting.seconds or NONE).items())


def _info(name: str, of: str, line: Line) -> str:
    more = labels([("service_name", line.policy.service), ("configuration_name", line.policy.configuration)])
    return f"{name}{{{of},{more}}} 1\n"


def _one(value: Callable[[Line], float]) -> Callable[[str, str, Line], str]:
    return lambda name, of, line: f"{name}{{{of}}} {value(line)}\n"


REVISIONS = (
    Family("kfn_gateway_requests_total", "counter", "Requests ended, by status; code 0: the client left before.", _codes),
    Family("kfn_gateway_request_seconds", "histogram", "Time of a request in the gateway, waiting included.", _seconds),
    Family("kfn_gateway_active_requests", "gauge", "Requests inside now, waiting ones included.", _one(lambda li: li.meter.concurrency)),
    Family("kfn_gateway_waiting_requests", "gauge", "Requests that have no place on an instance.", _one(lambda li: len(li.waiting))),
    Family("kfn_gateway_waiting_events", "gauge", "Of these, deliveries of events.", _one(lambda li: li.waiting.count(EVENTS))),
    Family("kfn_gateway_waited_requests_total", "counter", "Requests that got a place after they waited, by class.", _waited),
    Family("kfn_gateway_waited_seconds_total", "counter", "How long they waited, all together, by class.", _waited_for),
    Family("kfn_gateway_instances", "gauge", "Instances that take requests.", _one(lambda li: len(li.usable))),
    Family("kfn_gateway_cold_starts_total", "counter", "Requests that waited for an instance to start.", _one(lambda li: li.cold_count)),
    Family("kfn_gateway_cold_start_seconds_total", "counter", "Time of cold starts, by phase.", _phases),
    Family("kfn_gateway_upstream_errors_total", "counter", "Failed connections and broken answers, by kind.", _failures),
    Family("kfn_gateway_retries_total", "counter", "Requests sent elsewhere: nobody had seen them.", _one(lambda li: li.meter.retries)),
    Family("kfn_gateway_request_body_bytes_total", "counter", "Bytes of requests' bodies.", _one(lambda li: li.meter.received)),
    Family("kfn_gateway_response_body_bytes_total", "counter", "Bytes of answers' bodies.", _one(lambda li: li.meter.answered)),
    Family("kfn_gateway_slot_waits_total", "counter", "Requests that found no unused slot on any instance.", slotmetrics.waits),
    Family("kfn_gateway_slot_wait_seconds_total", "counter", "Time that they waited, all together.", slotmetrics.waited),
    Family("kfn_gateway_revision_info", "gauge", "Whose revision it is. Always 1.", _info),
)


async def page(gateway: "Gateway") -> AsyncIterator[str]:
    """The whole page, in pieces."""
    chain = gateway.chain
    if chain is None:
        return
    yield _process(gateway, chain, await _clients(chain))
    awake: list[tuple[str, Line]] = []
    lines = iter(list(chain.lines.items()))
    while piece := list(islice(lines, 4 * PIECE)):
        awake += [(_names(key), line) for key, line in piece if touched(line)]
        await anyio.lowlevel.checkpoint()
    for one in REVISIONS:
        yield family(one.name, one.kind, one.help)
        for begin in range(0, len(awake), PIECE):
            yield "".join(one.rows(one.name, names, line) for names, line in awake[begin : begin + PIECE])
            await anyio.lowlevel.checkpoint()
    yield family("kfn_gateway_refused_requests_total", "counter", "Answered by the gateway itself, by reason.")
    yield _refused("", "", chain.refused.items())
    for _, line in awake:
        if line.meter.refusals:
            yield _refused(line.key.namespace, line.key.name, line.meter.refusals.items())


def touched(line: Line) -> bool:
    """It has something to tell: instances, or requests, now or earlier. Of thousands that were never called nothing is said."""
    return bool(line.meter.codes or line.instances or line.meter.concurrency or line.meter.failures)


def _names(key: RevisionKey) -> str:
    return labels([("namespace_name", key.namespace), ("revision_name", key.name)])


def _refused(namespace: str, revision: str, counts: Iterable[tuple[tuple[int, str], int]]) -> str:
    found = []
    for (code, reason), times in counts:
        of = labels([("namespace_name", namespace), ("revision_name", revision), ("code", str(code)), ("reason", reason)])
        found.append(sample("kfn_gateway_refused_requests_total", of, times))
    return "".join(found)


def _process(gateway: "Gateway", chain: "Chain", clients: list[_Row]) -> str:
    """What is not of one revision."""
    shared = chain.shared
    out = [family("kfn_gateway_cold_start_phase_seconds", "histogram", "Time of one cold start in each phase, of all revisions.")]
    for phase, seconds in shared.cold_phases.items():
        out.append(seconds.samples("kfn_gateway_cold_start_phase_seconds", labels([("phase", phase)])))
    out.append(family("kfn_gateway_event_loop_lag_seconds", "histogram", "How late the event loop was, sampled ten times a second."))
    out.append(gateway.lag.seconds.samples("kfn_gateway_event_loop_lag_seconds"))
    out.append(family("kfn_gateway_client_connections", "gauge", "Clients' open connections."))
    out += [sample("kfn_gateway_client_connections", labels(of.items()), count) for of, count in clients]
    for name, kind, text, rows in _gauges(gateway, chain):
        out.append(family(name, kind, text))
        out += [sample(name, labels(of.items()), value) for of, value in rows]
    return "".join(out)


def _gauges(gateway: "Gateway", chain: "Chain") -> Iterator[tuple[str, str, str, list[_Row]]]:
    shared = chain.shared
    yield "kfn_gateway_ready", "gauge", "1: routes are known and requests are accepted.", [({}, int(gateway.ready))]
    yield "kfn_gateway_upstream_connections", "gauge", "Open connections to instances.", _upstreams(chain)
    yield "kfn_gateway_requests_in_line", "gauge", "Requests that wait, for all revisions.", [({}, shared.waiting)]
    yield "kfn_gateway_waiting_body_bytes", "gauge", "Memory that bodies of waiting requests hold.", [({}, shared.held)]
    limit = chain.settings.waiting_memory
    yield "kfn_gateway_waiting_body_limit_bytes", "gauge", "Memory that they may hold; more is refused.", [({}, limit)]
    yield "kfn_gateway_hosts", "gauge", "Hosts in the table of routes.", [({}, sum(map(len, chain.table.hosts)))]
    yield "kfn_gateway_revisions", "gauge", "Revisions that the gateway knows, sleeping ones included.", [({}, len(chain.lines))]
    dropped = sum(watcher.lines.dropped for watcher in chain.watchers if isinstance(watcher, AccessLog))
    yield "kfn_gateway_access_log_dropped_total", "counter", "Lines of the access log that could not be written.", [({}, dropped)]
    changed = chain.routes_changed_at
    yield "kfn_gateway_routes_changed_timestamp_seconds", "gauge", "When a Route last changed, as Unix time.", [({}, changed)]
    stale: list[_Row] = [({"kind": kind}, seconds) for kind, seconds in gateway.stale().items()]
    yield "kfn_gateway_api_stale_seconds", "gauge", "For how long the API server could not be followed; 0: it is.", stale
    if shared.slots is not None:
        yield from slotmetrics.numbers(shared.slots)
    if gateway.https is not None:
        yield from httpsmetrics.numbers(gateway.https.certificates)


async def _clients(chain: "Chain") -> list[_Row]:
    found: Counter[tuple[str, str]] = Counter()
    connections = iter(list(chain.connections))  # there may be twenty thousand
    while piece := list(islice(connections, 20 * PIECE)):
        found.update((one.version, "active" if one.busy else "idle") for one in piece)
        await anyio.lowlevel.checkpoint()
    for known in (("1.1", "active"), ("1.1", "idle")):
        found.setdefault(known, 0)
    return [({"protocol": version, "state": state}, count) for (version, state), count in sorted(found.items())]


def _upstreams(chain: "Chain") -> list[_Row]:
    active = sum(e.upstream is not None and e.instance is not None and e.instance.shared is None for e in chain.active)
    idle = shared = 0
    for line in chain.lines.values():
        for instance in line.instances.values():
            idle += len(instance.idle)
            shared += 0 if instance.shared is None else len(instance.shared)
    return [
        ({"protocol": "1.1", "state": "active"}, active),
        ({"protocol": "1.1", "state": "idle"}, idle),
        ({"protocol": "2", "state": "shared"}, shared),
    ]
