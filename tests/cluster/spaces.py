"""What the tests of Revisions on a cluster share: a namespace of their own, and to wait until a Service says something."""

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.cluster.installing import program
from tests.cluster.platform import Platform, a_service
from tests.cluster.shell import until

SAID_WITHIN = 60.0  # seconds; a free machine needs one to five


@dataclass(frozen=True)
class Said:
    """A condition in a few words."""

    status: str
    reason: str
    message: str


@dataclass(frozen=True)
class Space:
    """A namespace on the platform."""

    platform: Platform
    name: str

    def apply(self, manifest: Mapping[str, Any]) -> None:
        self.platform.apply(manifest, self.name)

    def function(self, name: str, image: str, *, pod: Mapping[str, Any] | None = None, **container: Any) -> None:
        """Make or change a function. `pod` has fields beside its container."""
        service = a_service(name, image, **container)
        service["spec"]["template"]["spec"] |= pod or {}
        self.apply(service)

    def get(self, kind: str, name: str) -> dict[str, Any]:
        return self.platform.get(kind, name, self.name)

    def items(self, kind: str, labels: str = "") -> list[dict[str, Any]]:
        selected = ("-l", labels) if labels else ()
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", kind, *selected, "-o", "json"))["items"]
        return found

    def kubectl(self, *args: str, **more: Any) -> str:
        return self.platform.kubectl("-n", self.name, *args, **more)

    def tries(self, *args: str) -> str:
        """What kubectl says where it may fail."""
        done = self.platform.run(program("kubectl"), "-n", self.name, *args, check=False)
        return done.stdout + done.stderr

    def ready(self, name: str) -> dict[str, Any]:
        return self.platform.ready(name, self.name)

    def says(self, name: str, status: str, reason: str, message: str, *, kind: str = "ksvc", within: float = SAID_WITHIN) -> Said:
        """Wait until Ready has this status and a reason and message that match, at the present generation."""
        seen = Said("", "", "nothing yet")

        def told() -> bool:
            nonlocal seen
            seen = self.said(name, kind=kind)
            return seen.status == status and bool(re.search(reason, seen.reason)) and bool(re.search(message, seen.message, re.DOTALL))

        until(told, lambda: f"{kind} {name} does not say {status} {reason}: {message}, but {seen}", within)
        return seen

    def said(self, name: str, kind: str = "ksvc", type: str = "Ready") -> Said:
        thing = self.get(kind, name)
        status = thing.get("status", {})
        found = next((c for c in status.get("conditions", []) if c["type"] == type), {})
        if status.get("observedGeneration") != thing["metadata"]["generation"]:
            return Said("", "", "of another generation")
        return Said(found.get("status", ""), found.get("reason", ""), found.get("message", ""))


@contextmanager
def space(platform: Platform, labels: Mapping[str, str] | None = None) -> Iterator[Space]:
    """A namespace that goes with the block; what is left in it goes with it."""
    name = f"rev-{uuid.uuid4().hex[:8]}"
    platform.kubectl("create", "namespace", name)
    try:
        for key, value in (labels or {}).items():
            platform.kubectl("label", "namespace", name, f"{key}={value}")
        yield Space(platform, name)
    finally:
        platform.kubectl("delete", "namespace", name, "--wait=false", check=False)
