"""Whether a source's service account may do what the source is to do: one SubjectAccessReview for each verb, resource and namespace."""

from collections.abc import Sequence

from eventing.apiserver.config import Config
from eventing.conditions import false, true, unknown
from kfn.api.kinds import Kind
from kfn.api.meta import Condition
from kfn.api.raw import Raw
from kfn.kube import errors
from kfn.kube.client import Client
from kfn.kube.discover import NoSuchKind, discover

VERBS = ("get", "list", "watch")
_PATH = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
_SHOWN = 5  # of what is missing, in the condition
CONDITION = "SufficientPermissions"


async def check(client: Client, config: Config, account: str, value: str) -> Condition:
    """`value` is the chart's, without which eventing may not ask."""
    try:
        kinds = [await discover(client, one.api_version, one.kind) for one in config.resources]
        lacking = await _lacking(client, config, kinds, account)
    except NoSuchKind as error:
        return false(CONDITION, "NoSuchKind", f"spec.resources: {error}")
    except errors.Forbidden:
        return unknown(CONDITION, "Forbidden", f"eventing may not ask what {account} may do; set the chart's value {value}=true")
    if not lacking:
        return true(CONDITION)
    more = f" and {len(lacking) - _SHOWN} more" if len(lacking) > _SHOWN else ""
    fix = "bind a Role or ClusterRole with get, list and watch to it, for example: " + _fix(config, kinds, account)
    return false(CONDITION, "Forbidden", f"service account {account} may not {'; '.join(lacking[:_SHOWN])}{more}; {fix}")


async def _lacking(client: Client, config: Config, kinds: Sequence[Kind[Raw]], account: str) -> list[str]:
    """What is not allowed, in words."""
    user = f"system:serviceaccount:{config.namespace}:{account}"
    lacking = []
    for kind in kinds:
        for namespace in _places(config) if kind.namespaced else ("",):
            missing = [verb for verb in VERBS if not await _may(client, user, verb, kind, namespace)]
            if missing:
                where = f"namespace {namespace}" if namespace else "the whole cluster"
                lacking.append(f"{', '.join(missing)} {kind.qualified} in {where}")
    return lacking


def _places(config: Config) -> tuple[str, ...]:
    return ("",) if config.namespaces is None else config.namespaces


async def _may(client: Client, user: str, verb: str, kind: Kind[Raw], namespace: str) -> bool:
    what = {"verb": verb, "group": kind.group, "version": kind.version, "resource": kind.plural}
    if namespace:
        what["namespace"] = namespace
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{user.split(':')[2]}", "system:authenticated"]
    answer = await client.transport.request("POST", _PATH, body={
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {"user": user, "groups": groups, "resourceAttributes": what},
    })  # fmt: skip
    if answer.status >= 400:
        raise errors.from_status(answer.status, answer.body)
    return bool((answer.body.get("status") or {}).get("allowed"))


def _fix(config: Config, kinds: Sequence[Kind[Raw]], account: str) -> str:
    """Two commands that give the rights where the source itself is."""
    resources = ",".join(dict.fromkeys(kind.qualified for kind in kinds))
    name = f"{config.name}-watcher"
    wide = config.namespaces != (config.namespace,) or not all(kind.namespaced for kind in kinds)
    role, where = ("clusterrole", "") if wide else ("role", f" -n {config.namespace}")
    return (
        f"kubectl create {role} {name} --verb=get,list,watch --resource={resources}{where} && kubectl create {role}binding {name} "
        f"--{role}={name} --serviceaccount={config.namespace}:{account}{where}"
    )
