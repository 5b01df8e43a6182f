"""What a runner tells while it works: one JSON object a line on stdout, and at its end the result, also where the kubelet looks for it."""

import json
import os
import sys
from pathlib import Path

from builder.cluster import wire
from builder.options import Step
from kfn.api.build import BuildPhase
from kfn.clock import micro_timestamp

MESSAGE = Path("/dev/termination-log")
_TEXT = 2000


class Told:
    """`line` and `step` while it runs, `end` once. A reader that went away is no reason to fail."""

    def __init__(self, message: Path | None = None) -> None:
        self._message = message or Path(os.environ.get(wire.TERMINATION_LOG) or MESSAGE)
        self.phases: list[BuildPhase] = []
        self.hits = 0

    def line(self, phase: str, text: str, **more: object) -> None:
        self._write({"t": micro_timestamp(), "phase": phase, "msg": text[:_TEXT], **more})

    def step(self, step: Step) -> None:
        """One finished phase of a build."""
        self.phases.append(BuildPhase(step.name, step.detail, step.cached, step.seconds))
        self.hits += step.cached
        self.line(step.name, step.detail, cache="hit" if step.cached else "miss", seconds=round(step.seconds, 3))

    def end(self, result: wire.Result) -> None:
        text = wire.write_result(result)
        self._write({"t": micro_timestamp(), "result": json.loads(text)})
        try:
            self._message.write_text(text)
        except OSError as error:
            print(f"the result is in the log only: {self._message}: {error.strerror}", file=sys.stderr)

    def _write(self, line: dict[str, object]) -> None:
        try:
            print(json.dumps(line, ensure_ascii=False), flush=True)
        except (OSError, ValueError):
            return
