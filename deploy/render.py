"""Write deploy/manifests/: what the chart becomes without helm, for `kfn install` and for `kubectl apply`.

    python -m deploy.render          (make manifests)

Sorted and without what only helm needs, so that it changes only when the chart does. Definitions (CRDs) are not in it: they are in
deploy/chart/kfn/files/crds/. tests/unit/cli/test_install_manifests.py fails where the files differ from the chart.
"""

import shutil
import subprocess
from pathlib import Path
from typing import Any

from cli.installing.customise import DOMAIN, FILES, NATS_SECRET, REGISTRY, TOKENS_SECRET, order
from kfn.api.names import SYSTEM_NAMESPACE

ROOT = Path(__file__).parents[1]
CHART = ROOT / "deploy" / "chart" / "kfn"
HEAD = "# Written by `make manifests` from deploy/chart/kfn. `kfn install` fills in namespace, domain, images and secrets.\n"


def main() -> None:
    helm = shutil.which("helm")
    if not helm:
        raise SystemExit("helm is not on PATH, and it renders the chart: python -m tests.cluster tools helm")
    for replicas, name in FILES.items():
        text = rendered(helm, replicas)
        (ROOT / "deploy" / "manifests" / name).write_text(text)
        print(f"{name}: {text.count(chr(10) + '---')} objects")


def rendered(helm: str, nats_replicas: int) -> str:
    import yaml

    values = {
        "image.registry": REGISTRY, "domain": DOMAIN, "nats.replicas": nats_replicas,
        "tokens.existingSecret": TOKENS_SECRET, "nats.auth.existingSecret": NATS_SECRET,
        "nats.accounts": "on" if nats_replicas == 1 else "off",  # three that were installed without could not take their streams along
    }  # fmt: skip
    argv = [helm, "template", "kfn", str(CHART), "--namespace", SYSTEM_NAMESPACE, "--skip-tests", "--skip-schema-validation"]
    argv += [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
    made = subprocess.run(argv, capture_output=True, text=True, check=False)
    if made.returncode:
        raise SystemExit(made.stderr.strip())
    found = [_plain(one) for one in yaml.safe_load_all(made.stdout) if one and one["kind"] != "CustomResourceDefinition"]
    found.sort(key=order)
    return HEAD + "".join(f"---\n{yaml.safe_dump(one, sort_keys=True, width=140)}" for one in found)


def _plain(thing: dict[str, Any]) -> dict[str, Any]:
    """Without helm's own labels, here and in pod templates."""
    for meta in (thing["metadata"], thing.get("spec", {}).get("template", {}).get("metadata", {})):
        labels = meta.get("labels", {})
        labels.pop("helm.sh/chart", None)
        if "app.kubernetes.io/managed-by" in labels:
            labels["app.kubernetes.io/managed-by"] = "kfn"
    return thing


if __name__ == "__main__":
    main()
