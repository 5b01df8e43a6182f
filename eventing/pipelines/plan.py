"""A Pipeline's plan (`kfn.pipeline`) as the runtime needs it: the graph that advance.py decides by, and what expressions may see. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from eventing.pipelines.graph import Graph, Join, Need, Node
from eventing.pipelines.state import Run
from kfn.clock import timestamp
from kfn.pipeline import Plan, Step
from kfn.pipeline.template import names


def graph_of(plan: Plan) -> Graph:
    return Graph(tuple(_node(step) for step in plan.steps), plan.timeout)


def reads(step: Step) -> frozenset[str]:
    """The names that its expressions use."""
    used = names(step.input)
    if step.map is not None:
        used |= names(step.map)
    return used | step.when.names if step.when is not None else used


def function(plan: Plan, step: Step) -> str:
    """The Service that it calls, of the Pipeline's namespace; empty if it calls something else."""
    ref = step.target.ref if step.target else None
    if ref is None or ref.kind != "Service" or not ref.api_version.startswith("serving.knative.dev/"):
        return ""
    return ref.name if (ref.namespace or plan.namespace) == plan.namespace else ""


def about(plan: Plan, run: Run) -> Mapping[str, Any]:
    """What expressions see as `run`."""
    started = timestamp(datetime.fromtimestamp(run.started, UTC))
    return {"id": run.id, "pipeline": plan.name, "namespace": plan.namespace, "generation": run.generation, "started": started}


def _node(step: Step) -> Node:
    return Node(
        step.name,
        tuple(Need(need.name, need.optional) for need in step.needs),
        step.map is not None,
        step.max_in_flight,
        Join(step.join.mode == "any", step.join.window, step.join.min_success),
        step.policy.on_error == "continue",
    )
