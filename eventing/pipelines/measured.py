"""What is counted of pipelines' runs, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from eventing.pipelines.state import Run

_PIPELINE = ["namespace", "pipeline"]
_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)


class Measured:
    """Each change of a record is counted by the replica that wrote it, so that the sum over all is right."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._began = Counter("kfn_pipeline_runs_started", "Runs that began.", _PIPELINE, registry=registry)
        self._runs = Counter("kfn_pipeline_runs", "Runs that ended, by how.", [*_PIPELINE, "status"], registry=registry)
        self._steps = Counter("kfn_pipeline_steps", "Steps that ended, by how.", [*_PIPELINE, "step", "status"], registry=registry)
        self._seconds = Histogram(
            "kfn_pipeline_step_seconds", "From the begin of a step to its end.", [*_PIPELINE, "step"], buckets=_BUCKETS, registry=registry
        )

    def began(self, namespace: str, name: str) -> None:
        self._began.labels(namespace, name).inc()

    def changed(self, namespace: str, name: str, before: Run, run: Run) -> None:
        for step, now in run.steps.items():
            if now.is_over and not before.steps[step].is_over:
                self._steps.labels(namespace, name, step, now.status).inc()
                if now.started:
                    self._seconds.labels(namespace, name, step).observe(now.ended - now.started)
        if run.is_over and not before.is_over:
            self._runs.labels(namespace, name, run.status).inc()

    def forget(self, namespace: str, name: str) -> None:
        labels = {"namespace": namespace, "pipeline": name}
        for metric in (self._began, self._runs, self._steps, self._seconds):
            metric.remove_by_labels(labels)
