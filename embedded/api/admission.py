"""The gate in front of every write: the kind's own defaults and rules (`kfn.api.admission`), then unknown fields."""

from typing import Any

from embedded.api import status, workloads
from embedded.api.request import Request
from kfn.api.admission import admit
from kfn.api.base import Json
from kfn.api.errors import Invalid
from kfn.api.kinds import Kind
from kfn.api.unknown import unknown_fields
from kfn.api.warnings import warnings


def admitted(kind: Kind[Any], operation: str, new: Json, old: Json | None, user: str) -> Json:
    """`new` with its defaults. Raises 422 with a cause for each field that is wrong."""
    if not new["metadata"].get("deletionTimestamp") and (wrong := workloads.faults(kind, new)):
        raise status.invalid(kind, new["metadata"].get("name", ""), wrong)
    try:
        return admit(kind, operation, new, old, user)
    except Invalid as error:
        causes = [(c["field"], c["reason"], c["message"]) for c in error.causes()]
        raise status.invalid(kind, new["metadata"].get("name", ""), causes) from error


def told(kind: Kind[Any], body: Any, new: Json, request: Request) -> tuple[str, ...]:
    """Warnings about what is stored as `new`. Raises 400 for unknown fields, if that is asked for."""
    return (*unknown(kind, body, request), *(() if request.path.endswith("/status") else warnings(kind, new)))


def unknown(kind: Kind[Any], body: Any, request: Request) -> tuple[str, ...]:
    """Warnings about fields the kind does not have, as `fieldValidation` asks. Raises 400 for Strict."""
    mode = request.query.get("fieldValidation", "") or "Warn"
    if mode not in ("Ignore", "Warn", "Strict"):
        raise status.bad_request(f'invalid fieldValidation "{mode}": must be Ignore, Warn or Strict')
    if mode == "Ignore" or not isinstance(body, dict):
        return ()
    texts = [f'unknown field "{path}"' for path in unknown_fields(kind.type, body)]
    if texts and mode == "Strict":
        what = f"{kind.kind} in version {kind.version!r} cannot be handled as a {kind.kind}"
        raise status.bad_request(f"{what}: strict decoding error: {', '.join(texts)}")
    return tuple(texts)
