"""A run as the doors show it. Pure."""

from datetime import UTC, datetime
from typing import Any

from eventing.pipelines.state import UNKNOWN, Run, Step
from kfn.clock import micro_timestamp


def summary(run: Run) -> dict[str, Any]:
    return {
        "id": run.id, "status": run.status, "started": _time(run.started), "ended": _time(run.ended), "generation": run.generation,
    }  # fmt: skip


def details(run: Run) -> dict[str, Any]:
    """All but its output."""
    told = summary(run) | {"steps": {name: _step(step) for name, step in run.steps.items()}, "retries": run.retries}
    if run.cause.id:
        told["event"] = {"source": run.cause.source, "id": run.cause.id, "type": run.cause.type}
    if run.error:
        told["error"], told["step"] = run.error, run.at
    return told


def _step(step: Step) -> dict[str, Any]:
    told: dict[str, Any] = {
        "status": step.status, "attempts": step.attempts, "started": _time(step.started), "ended": _time(step.ended), "error": step.error,
        "version": step.version,
    }  # fmt: skip
    if step.total != UNKNOWN:
        told["items"] = {"total": step.total, "done": step.done_count, "failed": step.failed_count}
    return told


def _time(at: float) -> str:
    return micro_timestamp(datetime.fromtimestamp(at, UTC)) if at else ""
