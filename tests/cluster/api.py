"""A client for a test cluster's API server while it starts: server-side apply and reads, as the administrator."""

import ssl
from typing import Any

import httpx

from tests.cluster.layout import Layout

_PLURALS = {"EndpointSlice": "endpointslices", "StorageClass": "storageclasses"}


def client(cluster: Layout) -> httpx.Client:
    context = ssl.create_default_context(cafile=str(cluster.pki / "ca.crt"))
    context.load_cert_chain(str(cluster.pki / "admin.crt"), str(cluster.pki / "admin.key"))
    return httpx.Client(base_url=cluster.api, verify=context, trust_env=False, timeout=10.0)


def path_of(thing: dict[str, Any]) -> str:
    group = "api/v1" if thing["apiVersion"] == "v1" else f"apis/{thing['apiVersion']}"
    space = f"/namespaces/{thing['metadata']['namespace']}" if "namespace" in thing["metadata"] else ""
    plural = _PLURALS.get(thing["kind"], thing["kind"].lower() + "s")
    return f"/{group}{space}/{plural}/{thing['metadata']['name']}"


def apply(api: httpx.Client, thing: dict[str, Any]) -> None:
    headers = {"Content-Type": "application/apply-patch+yaml"}
    answer = api.patch(path_of(thing), params={"fieldManager": "tests.cluster", "force": "true"}, headers=headers, json=thing)
    assert answer.is_success, f"{path_of(thing)}: {answer.status_code} {answer.text}"


def get(api: httpx.Client, path: str) -> dict[str, Any]:
    answer = api.get(path)
    assert answer.is_success, f"{path}: {answer.status_code} {answer.text}"
    found: dict[str, Any] = answer.json()
    return found


def is_ready(node: dict[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
