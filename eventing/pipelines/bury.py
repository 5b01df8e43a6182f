"""The dead letter of a run that failed where `onError: dlq` is said: what started it, in the dead letters of the Broker that it came from.

It names the run and the step, and `kfn dlq replay` brings it to the Pipeline again, which takes the run up where it failed.
"""

import base64

from eventing import subjects
from eventing.bus import Bus
from eventing.pipelines.names import dead_letters
from eventing.pipelines.state import FAILED, Run
from eventing.settle import until_stored
from eventing.stored import Stored
from kfn.cloudevents import Event
from kfn.cloudevents import nats as binding
from kfn.pipeline import Plan


def is_due(plan: Plan, run: Run) -> bool:
    if run.status != FAILED or run.buried or plan.start is None:
        return False
    at = next((step for step in plan.steps if step.name == run.at), plan.steps[0])
    return at.policy.on_error == "dlq"


class Bury:
    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def __call__(self, plan: Plan, run: Run, uid: str, start: Stored) -> None:
        """Returns once it is stored; twice stores it once."""
        assert plan.start is not None
        place = plan.namespace, plan.start.broker or "default"
        dead = binding.parse(start.headers, start.data).with_attributes(
            knativeerrordest=f"pipelines/{plan.name}/runs/{run.id}",
            knativeerrorcode="500",
            knativeerrordata=base64.b64encode(run.error.encode()[:1024]).decode() or None,
            kfnrun=run.id,
            kfnstep=run.at or None,
        )
        name = dead_letters(plan.name)
        told = binding.headers(Event({"error": f"run {run.id}, step {run.at or '-'}: {run.error}"[:512]}))
        headers = {
            **binding.headers(dead),
            "Kfn-Error": told["ce-error"],
            "Kfn-Trigger": uid,
            "Kfn-Trigger-Name": name,
            "Kfn-Attempts": str(run.steps[run.at].attempts if run.at in run.steps else 1),
            "Kfn-Sequence": str(run.cause.sequence),
        }
        subject, id = subjects.dead_letter(*place, name, "failed"), f"dlq:{uid}:{run.id}:{run.retries}"
        stream = subjects.dead_stream(*place)
        await until_stored(lambda: self._bus.publish(stream, subject, headers, dead.data or b"", id=id), f"dead letter of run {run.id}")
