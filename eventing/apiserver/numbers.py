"""What adapters count, for Prometheus: in eventing's registry where they run in its process, in their own in a pod."""

from prometheus_client import CollectorRegistry, Counter, Gauge

_SOURCE = ["namespace", "source"]


class Numbers:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        text = "Changes that ApiServerSources were told: sent, refused, given_up, or folded into a newer one of the same object."
        self._changes = Counter("kfn_source_changes", text, [*_SOURCE, "outcome"], registry=registry)
        self._retried = Counter(
            "kfn_source_retries", "Attempts to send that failed and are followed by another.", _SOURCE, registry=registry
        )
        self._waiting = Gauge("kfn_source_changes_waiting", "Changes that are not sent yet.", _SOURCE, registry=registry)
        self._paused = Gauge(
            "kfn_source_paused", "1: too much waits, so the API server is not followed meanwhile.", _SOURCE, registry=registry
        )

    def counted(self, key: str, outcome: str, count: int = 1) -> None:
        self._changes.labels(*_split(key), outcome).inc(count)

    def retried(self, key: str) -> None:
        self._retried.labels(*_split(key)).inc()

    def waiting(self, key: str, count: int) -> None:
        self._waiting.labels(*_split(key)).set(count)

    def paused(self, key: str, paused: bool) -> None:
        self._paused.labels(*_split(key)).set(paused)

    def forget(self, key: str) -> None:
        labels = dict(zip(_SOURCE, _split(key), strict=True))
        for metric in (self._changes, self._retried, self._waiting, self._paused):
            metric.remove_by_labels(labels)


def _split(key: str) -> tuple[str, str]:
    namespace, _, name = key.partition("/")
    return namespace, name
