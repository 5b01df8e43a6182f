"""`kfn describe sequence:NAME` and `kfn describe parallel:NAME`: what a flow is made of, and which of it is not ready."""

from collections.abc import Mapping
from typing import Any

import click

from cli import objects, output
from cli.session import Session
from kfn.api import flows, kinds, messaging
from kfn.api.kinds import Kind
from kfn.api.meta import Destination

KINDS: dict[str, Kind[Any]] = {"sequence": kinds.SEQUENCE, "parallel": kinds.PARALLEL}
Subscriptions = Mapping[str, messaging.Subscription]


def describe(session: Session, word: str, name: str, form: str) -> None:
    from cli.session import run

    kind = KINDS[word]

    async def work() -> tuple[Any, Subscriptions]:
        async with session.client() as client:
            flow = await objects.get(client, kind, name, session.namespace, word)
            found, _ = await client.list(kinds.SUBSCRIPTION, session.namespace)
            return flow, {one.metadata.name: one for one in found}

    flow, subscriptions = run(work)
    if form in ("json", "yaml"):
        output.objects(form, [flow], lambda one, wide: {}, empty="", single=True)
        return
    address = flow.status.address.url if flow.status.address else ""
    reply = [("Reply", told(flow.spec.reply))] if flow.spec.reply else []
    age = output.age(flow.metadata.creation_timestamp)
    output.fields([("Name", name), ("Namespace", session.namespace), ("Address", address), *reply, ("Age", age)])
    output.conditions(flow.status.conditions)
    rows = branches(flow, subscriptions) if word == "parallel" else steps(flow, subscriptions)
    if rows:
        click.echo("\nBranches:" if word == "parallel" else "\nSteps:")
        output.table(rows)


def steps(flow: flows.Sequence, subscriptions: Subscriptions) -> list[dict[str, str]]:
    """One row for each step, in their order."""
    states = flow.status.subscription_statuses
    return [
        {"  STEP": f"  {n}", "SUBSCRIBER": told(step), **_state(states[n].subscription.name if n < len(states) else "", subscriptions)}
        for n, step in enumerate(flow.spec.steps)
    ]


def branches(flow: flows.Parallel, subscriptions: Subscriptions) -> list[dict[str, str]]:
    """One row for each branch. One that has a filter is ready when that is, too."""
    states = flow.status.branch_statuses
    rows = []
    for n, branch in enumerate(flow.spec.branches):
        state = states[n] if n < len(states) else flows.BranchState()
        found = _state(state.subscription_status.subscription.name, subscriptions)
        if branch.filter is not None and found["READY"] == "True":
            found = _state(state.filter_subscription_status.subscription.name, subscriptions)
        rows.append(
            {
                "  BRANCH": f"  {n}",
                "FILTER": told(branch.filter) or "every event",
                "SUBSCRIBER": told(branch.subscriber),
                "REPLY": told(branch.reply),
                **found,
            }
        )
    return rows


def told(destination: Destination | None) -> str:
    """As it would be typed: `ksvc:NAME`, `channel:NAME`, or the address."""
    if destination is None or destination.ref is None:
        return destination.uri if destination is not None else ""
    ref = destination.ref
    core = "ksvc" if ref.api_version.startswith("serving.") else "svc"
    return f"{core if ref.kind == 'Service' else ref.kind.lower()}:{ref.name}"


def _state(name: str, subscriptions: Subscriptions) -> dict[str, str]:
    one = subscriptions.get(name)
    if one is None:
        return {"READY": "Unknown", "REASON": "its subscription is not there yet"}
    return {"READY": objects.ready(one.status.conditions), "REASON": objects.reason(one.status.conditions)}
