"""Credentials that have to be fetched: an exec plugin of a kubeconfig, run by the `kubernetes` package."""

import sys
from pathlib import Path

import pytest
import yaml

from kfn.kube import config

PLUGIN = """#!{python}
import json
print(json.dumps({{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {{"token": "from-plugin"}}}}))
"""


def kubeconfig(folder: Path, script: str) -> str:
    plugin = folder / "plugin"
    plugin.write_text(script)
    plugin.chmod(0o755)
    run = {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin), "interactiveMode": "Never"}
    doc = {
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:6443"}}],
        "users": [{"name": "u", "user": {"exec": run}}],
        "contexts": [{"name": "m", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "m",
    }
    (folder / "k").write_text(yaml.safe_dump(doc))
    return str(folder / "k")


async def test_an_exec_plugin_is_asked_for_the_token(tmp_path: Path) -> None:
    assert await config.load(kubeconfig(tmp_path, PLUGIN.format(python=sys.executable))).token() == "from-plugin"


async def test_a_plugin_that_fails_is_told(tmp_path: Path) -> None:
    with pytest.raises(config.ConfigError, match="context 'm' gave no token"):
        await config.load(kubeconfig(tmp_path, "#!/bin/sh\nexit 1\n")).token()
