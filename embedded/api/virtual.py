"""What this server answers without storing it: discovery, OpenAPI, health, access reviews, and CRDs that follow from the types."""

from embedded.api import discovery, openapi, selectors, status
from embedded.api.request import Answer, Request
from kfn.api import crd
from kfn.api.base import Json

HEALTH = frozenset({"/healthz", "/livez", "/readyz"})
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_AUTHORIZATION = "/apis/authorization.k8s.io/v1/"
_ESTABLISHED = [
    {"type": t, "status": "True", "reason": "BuiltIn", "message": "kfn has this kind built in"} for t in ("NamesAccepted", "Established")
]


def answer(request: Request) -> Answer | None:
    """The answer, or None when the path is nothing of this file's."""
    path = request.path.rstrip("/")
    document = discovery.documents().get(path)
    if document is None and path == openapi.PREFIX:
        document = openapi.index()
    if document is None and path in openapi.documents():
        document = openapi.document(openapi.documents()[path])
    if document is not None:
        return _read_only(request, document)
    if path == _CRDS or path.startswith(f"{_CRDS}/"):
        return _read_only(request, _crds(request, path.removeprefix(_CRDS).removeprefix("/")))
    return _review(request, path)


def _read_only(request: Request, document: Json) -> Answer:
    if request.method != "GET":
        raise status.method_not_allowed()
    return Answer(200, document)


def _crds(request: Request, name: str) -> Json:
    """kn reads these for `source list-types`; nobody can write them, for the kinds are compiled in."""
    selector = selectors.parse(request.query.get("labelSelector", ""), request.query.get("fieldSelector", ""), "customresourcedefinitions")
    found = [_crd(crd.crd(kind), kind.plural) for kind in crd.own()]
    if name:
        one = next((c for c in found if c["metadata"]["name"] == name), None)
        if one is None:
            message = f'customresourcedefinitions.apiextensions.k8s.io "{name}" not found'
            raise status.StatusError(
                404, "NotFound", message, {"name": name, "group": "apiextensions.k8s.io", "kind": "customresourcedefinitions"}
            )
        return one
    items = [c for c in found if selector.matches(c)]
    return {
        "kind": "CustomResourceDefinitionList",
        "apiVersion": "apiextensions.k8s.io/v1",
        "metadata": {"resourceVersion": "1"},
        "items": items,
    }


def _crd(made: Json, plural: str) -> Json:
    names = made["spec"]["names"]
    state = {"conditions": _ESTABLISHED, "acceptedNames": names, "storedVersions": [v["name"] for v in made["spec"]["versions"]]}
    meta = {**made["metadata"], "uid": f"kfn-{plural}", "resourceVersion": "1"}
    return {**made, "metadata": meta, "status": state}


def _review(request: Request, path: str) -> Answer | None:
    """Whoever has the token may do everything, so every question is answered with yes."""
    outcome: Json
    if path == f"{_AUTHORIZATION}selfsubjectaccessreviews":
        kind, outcome = "SelfSubjectAccessReview", {"allowed": True, "reason": "kfn's token allows everything"}
    elif path == f"{_AUTHORIZATION}subjectaccessreviews":
        kind, outcome = "SubjectAccessReview", {"allowed": True, "reason": "kfn up tells no rights apart"}
    elif path == f"{_AUTHORIZATION}selfsubjectrulesreviews":
        every = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
        kind, outcome = (
            "SelfSubjectRulesReview",
            {"resourceRules": [every], "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}], "incomplete": False},
        )
    elif path == "/apis/authentication.k8s.io/v1/selfsubjectreviews":
        kind, outcome = "SelfSubjectReview", {"userInfo": {"username": request.user, "groups": ["system:authenticated"]}}
    else:
        return None
    if request.method != "POST":
        raise status.method_not_allowed()
    given = request.body if isinstance(request.body, dict) else {}
    group = path.rsplit("/", 1)[0].removeprefix("/apis/")
    return Answer(201, {"metadata": {}, "spec": {}, **given, "apiVersion": group, "kind": kind, "status": outcome})
