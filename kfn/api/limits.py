"""The greatest values and the reserved names of a Revision, said once for validation and for the CRDs' schemas."""

from collections.abc import Sized

from kfn.api.errors import FieldError

CONCURRENCY_MAX = 1000
TIMEOUT_MAX_SECONDS = 600
RESERVED_ENV = ("PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION")
RESERVED_PORTS = (8008, 8012, 8013, 8022, 9090, 9091)  # Knative's own; kept, so that what runs here runs there
ID_MAX = 2**31 - 1  # what Kubernetes takes for a user's or a group's id
PORT_NAMES = ("", "http1", "h2c")
RESERVED_PATHS = ("/", "/dev", "/dev/log")

# Kubernetes has no such limits; here they are what bounds the cost of a rule. Far above what anybody has.
CONTAINERS_MAX = 32
ENV_MAX = 1024
VOLUMES_MAX = 256
TRAFFIC_MAX = 256
NAME_MAX = 1024
PATH_MAX = 4096


def too_many(path: str, items: Sized, most: int) -> list[FieldError]:
    return [] if len(items) <= most else [FieldError(path, f"has {len(items)} entries, at most {most} are possible; remove some")]


STEPS_MAX = 64  # of a Sequence, and branches of a Parallel: each is a stream with room of its own
