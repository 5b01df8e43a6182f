"""What Knative Eventing's conformance tests find on the cluster beside kfn: the settings that Knative would have, and how they wait for
a service of theirs."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.cluster.conformance.world import Kubectl

CONFIGS = "eventing-conformance"  # the namespace where the tests look for Knative's settings of logs and traces
CHECK = "-readiness-check-"
_POLICY = "admissionregistration.k8s.io/v1"
# As `sh -c SCRIPT` it is given a script that calls curl with one URL again and again.
_WAITS = """
import re, sys, time, urllib.request
url = re.search(r"http://[^ ]+", sys.argv[2])[0]
for _ in range(60):
    try:
        urllib.request.urlopen(url, timeout=2).read()
        break
    except OSError as error:
        print(url, error)
        time.sleep(1)
else:
    sys.exit(1)
"""


def objects(python: str) -> list[dict[str, Any]]:
    """`python` is an image of the cluster's registry that has /usr/bin/python3."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": CONFIGS}}
    both = ({"name": name, "namespace": CONFIGS} for name in ("config-logging", "config-observability"))
    return [namespace, *({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata} for metadata in both), *_policy(python)]


def _policy(python: str) -> list[dict[str, Any]]:
    """The tests wait for a service of theirs by a pod with a shell and curl, of an image on the internet: another program does it here."""
    replaced = {"image": python, "imagePullPolicy": "IfNotPresent", "command": ["/usr/bin/python3", "-c", _WAITS]}
    patches = ", ".join(
        f'JSONPatch{{op: "add", path: "/spec/containers/0/{name}", value: {json.dumps(to)}}}' for name, to in replaced.items()
    )
    spec = {
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "matchConstraints": {
            "namespaceSelector": {"matchLabels": {"app.kubernetes.io/name": "reconciler-test"}},
            "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        },
        "matchConditions": [{"name": "waits", "expression": f"object.spec.containers[0].name.contains('{CHECK}')"}],
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": f"[{patches}]"}}],
    }
    bound = {"policyName": CONFIGS}
    return [
        {"apiVersion": _POLICY, "kind": "MutatingAdmissionPolicy", "metadata": {"name": CONFIGS}, "spec": spec},
        {"apiVersion": _POLICY, "kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": CONFIGS}, "spec": bound},
    ]


@contextmanager
def prepared(kubectl: Kubectl, python: str) -> Iterator[None]:
    kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects(python)}))
    try:
        yield
    finally:
        kubectl("delete", "mutatingadmissionpolicybinding,mutatingadmissionpolicy", CONFIGS, "--ignore-not-found")
        kubectl("delete", "namespace", "-l", "app.kubernetes.io/name=reconciler-test", "--wait=false")
        kubectl("delete", "namespace", CONFIGS, "--ignore-not-found", "--timeout=90s")
