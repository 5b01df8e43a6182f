"""What the bus counts, for Prometheus. One registry an instance, so that two can live in one process."""

from contextlib import AbstractContextManager
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from eventing.apiserver.numbers import Numbers

_TRIGGER = ["namespace", "broker", "trigger"]


class _Named(Protocol):
    @property
    def namespace(self) -> str: ...
    @property
    def broker(self) -> str: ...
    @property
    def name(self) -> str: ...


class _Source(Protocol):
    @property
    def kind(self) -> str: ...
    @property
    def key(self) -> str: ...


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        broker = ["namespace", "broker"]
        self._accepted = Counter("kfn_events_accepted", "Events stored after their publisher was told so.", broker, registry=self.registry)
        self._refused = Counter("kfn_events_refused", "Events refused, by HTTP status.", [*broker, "status"], registry=self.registry)
        self._delivered = self._counter("kfn_events_delivered", "Events that a subscriber took.")
        self._filtered = self._counter("kfn_events_filtered", "Events that the dispatcher dropped by the Trigger's filter.")
        self._unfiltered = Counter(
            "kfn_events_filter_errors",
            "Events that did not pass because a cesql filter failed.",
            [*_TRIGGER, "error"],
            registry=self.registry,
        )
        self._retried = self._counter("kfn_events_retried", "Attempts that failed and are followed by another.")
        self._replied = self._counter("kfn_events_replied", "Reply events published into the Broker.")
        self._looped = self._counter("kfn_events_looped", "Reply events dropped because they went around too often.")
        self._dead = Counter("kfn_events_dead_lettered", "Events given up, by where they went.", [*_TRIGGER, "to"], registry=self.registry)
        pings = ["namespace", "source", "outcome"]
        self._pings = Counter("kfn_source_pings", "Events of PingSources: delivered, or lost.", pings, registry=self.registry)
        self.adapters = Numbers(self.registry)
        jobs = ["namespace", "sink", "status"]
        self._jobs = Counter("kfn_events_jobs", "Requests to JobSinks, by status.", jobs, registry=self.registry)
        webhooks = ["namespace", "source", "status"]
        self._webhooks = Counter("kfn_source_webhooks", "Requests to WebhookSources, by status.", webhooks, registry=self.registry)
        source = ["kind", "namespace", "source"]
        text = "Events of NATS and Kafka sources: received, delivered, dead-lettered, dropped."
        self._sourced = Counter("kfn_source_events", text, [*source, "what"], registry=self.registry)
        self._source_lag = Gauge("kfn_source_lag", "Messages that a source has not settled.", source, registry=self.registry)
        self._seconds = Histogram("kfn_event_delivery_seconds", "Time of one attempt.", _TRIGGER, registry=self.registry)
        answers = [*_TRIGGER, "answer"]
        self._attempts = Counter("kfn_events_attempted", "Attempts to deliver, by the answer's class.", answers, registry=self.registry)
        self._lag = Gauge("kfn_trigger_lag", "Events stored and not yet settled.", _TRIGGER, registry=self.registry)
        self._oldest = Gauge("kfn_trigger_oldest_seconds", "Age of the oldest event not yet settled.", _TRIGGER, registry=self.registry)
        self._letters = Gauge("kfn_trigger_dead_letters", "Dead letters kept.", _TRIGGER, registry=self.registry)

    def accepted(self, namespace: str, broker: str, count: int = 1) -> None:
        self._accepted.labels(namespace, broker).inc(count)

    def refused(self, namespace: str, broker: str, status: int) -> None:
        self._refused.labels(namespace, broker, str(status)).inc()

    def delivered(self, sub: _Named) -> None:
        self._delivered.labels(sub.namespace, sub.broker, sub.name).inc()

    def filtered(self, sub: _Named) -> None:
        self._filtered.labels(sub.namespace, sub.broker, sub.name).inc()

    def filter_failed(self, sub: _Named, error: str) -> None:
        self._unfiltered.labels(sub.namespace, sub.broker, sub.name, error).inc()

    def retried(self, sub: _Named) -> None:
        self._retried.labels(sub.namespace, sub.broker, sub.name).inc()

    def replied(self, sub: _Named) -> None:
        self._replied.labels(sub.namespace, sub.broker, sub.name).inc()

    def looped(self, sub: _Named) -> None:
        self._looped.labels(sub.namespace, sub.broker, sub.name).inc()

    def dead_lettered(self, sub: _Named, to: str) -> None:
        self._dead.labels(sub.namespace, sub.broker, sub.name, to).inc()

    def pinged(self, source: str, delivered: bool) -> None:
        namespace, _, name = source.partition("/")
        self._pings.labels(namespace, name, "delivered" if delivered else "lost").inc()

    def webhook(self, source: str, status: str) -> None:
        namespace, _, name = source.partition("/")
        self._webhooks.labels(namespace, name, status).inc()

    def sourced(self, source: _Source, what: str) -> None:
        self._sourced.labels(source.kind, *source.key.split("/"), what).inc()

    def source_lag(self, source: _Source, messages: int) -> None:
        self._source_lag.labels(source.kind, *source.key.split("/")).set(messages)

    def forget_source(self, source: _Source) -> None:
        of = dict(zip(("kind", "namespace", "source"), (source.kind, *source.key.split("/")), strict=True))
        self._sourced.remove_by_labels(of)
        self._source_lag.remove_by_labels(of)

    def job(self, namespace: str, sink: str, status: int) -> None:
        self._jobs.labels(namespace, sink, str(status)).inc()

    def forget_webhook(self, source: str) -> None:
        namespace, _, name = source.partition("/")
        self._webhooks.remove_by_labels({"namespace": namespace, "source": name})

    def delivery(self, sub: _Named) -> AbstractContextManager[object]:
        return self._seconds.labels(sub.namespace, sub.broker, sub.name).time()

    def lag(self, sub: _Named, events: int) -> None:
        self._lag.labels(sub.namespace, sub.broker, sub.name).set(events)

    def attempted(self, sub: _Named, status: int) -> None:
        """`status` 0: there was no answer."""
        self._attempts.labels(sub.namespace, sub.broker, sub.name, f"{status // 100}xx" if status else "none").inc()

    def oldest(self, sub: _Named, seconds: float) -> None:
        self._oldest.labels(sub.namespace, sub.broker, sub.name).set(seconds)

    def dead(self, sub: _Named, letters: int) -> None:
        self._letters.labels(sub.namespace, sub.broker, sub.name).set(letters)

    def forget_lags(self) -> None:
        """They are measured elsewhere from now on."""
        for metric in self._measured:
            metric.clear()

    @property
    def _measured(self) -> tuple[Gauge, ...]:
        return self._lag, self._oldest, self._letters

    def forget(self, sub: _Named) -> None:
        for metric in (self._delivered, self._filtered, self._retried, self._replied, self._looped, self._seconds, *self._measured):
            try:
                metric.remove(sub.namespace, sub.broker, sub.name)
            except KeyError:
                continue
        for metric in (self._dead, self._unfiltered, self._attempts):
            metric.remove_by_labels(dict(zip(_TRIGGER, (sub.namespace, sub.broker, sub.name), strict=True)))

    def exposition(self) -> bytes:
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(name, text, _TRIGGER, registry=self.registry)
