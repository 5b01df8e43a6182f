"""Pure: what is answered to an AdmissionReview. The rules are `kfn.api.admission`'s, the same that the embedded API server has.

Nothing here writes or remembers anything, so a dry run is answered like any other. A status, another subresource, a kind that is not
kfn's, a deletion: such a review is not asked for by the configuration, and is let through if it comes all the same.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from controller.webhook.jsonpatch import difference
from kfn import binding
from kfn.api import kinds
from kfn.api.admission import admit
from kfn.api.base import Json
from kfn.api.errors import Invalid
from kfn.api.kinds import Kind
from kfn.api.sinkbinding import SinkBinding
from kfn.api.warnings import warnings

API_VERSION = "admission.k8s.io/v1"
_TOLD = 20  # causes in an answer; the message has them all


class BadReview(Exception):
    """What came is no AdmissionReview that this webhook understands; the message says what is missing."""


class GroupVersionKind(msgspec.Struct, frozen=True):
    kind: str
    version: str
    group: str = ""


class UserInfo(msgspec.Struct, frozen=True):
    username: str = ""


class Asked(msgspec.Struct, frozen=True, rename="camel"):
    """The part of an AdmissionRequest that decides."""

    uid: str
    kind: GroupVersionKind
    operation: str
    name: str = ""
    namespace: str = ""
    sub_resource: str = ""
    user_info: UserInfo = UserInfo()
    object: Json | None = None
    old_object: Json | None = None


class Review(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str
    kind: str
    request: Asked


@dataclass(frozen=True, slots=True)
class Verdict:
    """`kind` and `operation` are for the metrics."""

    response: Json
    kind: str
    operation: str

    @property
    def allowed(self) -> bool:
        return bool(self.response["allowed"])

    def encode(self) -> bytes:
        return msgspec.json.encode({"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": self.response})


_decoder = msgspec.json.Decoder(Review)


def answer(body: bytes, *, patch: bool) -> Verdict:
    """The verdict on a review as it came. With `patch` its answer fills in the defaults; without, it only says yes or no."""
    asked, kind = read(body)
    return Verdict(_response(asked, kind, patch=patch), kind.qualified if kind else "", asked.operation)


def bound(body: bytes, bindings: Callable[[str], list[SinkBinding]]) -> Verdict:
    """The verdict on a workload that a SinkBinding may be for: yes, with what the binding says. `bindings` has those of a namespace."""
    asked, kind = read(body)
    response: Json = {"uid": asked.uid, "allowed": True}
    if asked.object is not None and not asked.sub_resource and asked.operation in ("CREATE", "UPDATE"):
        try:
            wanted = binding.on_the_way(bindings(asked.namespace), asked.operation, asked.object)
            response |= _patch(asked.object, wanted)
        except RecursionError:
            pass  # the API server itself refuses what is nested so deeply
    return Verdict(response, kind.qualified if kind else asked.kind.kind, asked.operation)


def read(body: bytes) -> tuple[Asked, Kind[Any] | None]:
    """What is asked, and the kind that it is about, if it is one of kfn's registry. Raises `BadReview`."""
    try:
        review = _decoder.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadReview(f"not an AdmissionReview: {error}") from None
    if review.api_version != API_VERSION or review.kind != "AdmissionReview":
        raise BadReview(f"a {review.kind} of {review.api_version}; this webhook understands an AdmissionReview of {API_VERSION}")
    asked = review.request
    gvk = asked.kind
    return asked, kinds.find(f"{gvk.group}/{gvk.version}" if gvk.group else gvk.version, gvk.kind)


def _response(asked: Asked, kind: Kind[Any] | None, *, patch: bool) -> Json:
    yes: Json = {"uid": asked.uid, "allowed": True}
    if kind is None or asked.object is None or asked.sub_resource or asked.operation not in ("CREATE", "UPDATE"):
        return yes
    try:
        wanted = admit(kind, asked.operation, asked.object, asked.old_object, asked.user_info.username)
    except Invalid as error:
        return {"uid": asked.uid, "allowed": False, "status": _status(kind, asked, error)}
    except RecursionError:
        said = {"code": 400, "reason": "BadRequest", "message": "the object is nested too deeply", "status": "Failure"}
        return {"uid": asked.uid, "allowed": False, "status": said}
    if patch:
        yes |= _patch(asked.object, wanted)
    if not patch and (told := warnings(kind, wanted)):
        yes["warnings"] = told
    return yes


def _patch(old: Json, new: Json) -> Json:
    steps = difference(old, new)
    return {"patchType": "JSONPatch", "patch": base64.b64encode(msgspec.json.encode(steps)).decode()} if steps else {}


def _status(kind: Kind[Any], asked: Asked, error: Invalid) -> Json:
    """As Kubernetes says that an object is invalid: kubectl then prints a line for each field."""
    details = {"name": asked.name, "group": kind.group, "kind": kind.kind, "causes": error.causes()[:_TOLD]}
    return {"status": "Failure", "code": 422, "reason": "Invalid", "message": str(error), "details": details}
