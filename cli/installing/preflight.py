"""Asks the cluster what `decide.py` needs to know, before anything is changed."""

from collections.abc import Sequence

import anyio

from cli.failures import CliError
from cli.installing import decide
from cli.installing.cluster import Cluster, Json
from cli.installing.decide import Found, Right
from kfn.kube import errors

_RBAC = "rbac.authorization.k8s.io/v1"
_CRD = "apiextensions.k8s.io/v1"


async def check(cluster: Cluster, namespace: str, definitions: Sequence[Json]) -> Found | None:
    """The kfn that is there, if any. Raises CliError for what stands against an installation, Unreachable."""
    if old := decide.too_old(await cluster.call("GET", "/version")):
        raise CliError(old)
    lacking: list[Right] = []

    async def ask(right: Right) -> None:
        if not await _may(cluster, right, namespace):
            lacking.append(right)

    async with anyio.create_task_group() as tasks:
        for right in decide.RIGHTS:
            tasks.start_soon(ask, right)
    # Who may grant everything need not be asked about `escalate`, and who may not escalate may still hold all that is granted.
    missing = [right for right in decide.RIGHTS if right in lacking and right.verb != "escalate"]
    if words := decide.denied(missing, namespace):
        raise CliError(words, 4)
    there = [one for crd in definitions if (one := await cluster.get(crd))]
    if strangers := decide.foreign(there):
        raise CliError(decide.foreign_words(strangers))
    space = await cluster.get({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    if space and space["metadata"].get("deletionTimestamp"):
        look = f"kubectl get namespace {namespace} -o yaml"
        raise CliError(f"namespace {namespace} is being deleted; wait until it is gone. What holds it: {look}")
    return await installed(cluster)


async def installed(cluster: Cluster) -> Found | None:
    return decide.found(await cluster.get({"apiVersion": _RBAC, "kind": "ClusterRoleBinding", "metadata": {"name": "kfn-controller"}}))


async def _may(cluster: Cluster, right: Right, namespace: str) -> bool:
    attributes = {"verb": right.verb, "group": right.group, "resource": right.resource}
    if right.namespaced:
        attributes["namespace"] = namespace
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": attributes}}
    try:
        answer = await cluster.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=review)
    except errors.Forbidden as error:
        raise CliError(
            f"the API server lets these credentials in for nothing: {error}. Is this the right context (--context)?", 4
        ) from error
    return bool(answer["status"]["allowed"])
