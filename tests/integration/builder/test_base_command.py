"""kfn base as a user types it."""

import json
import os
import subprocess
import sys
from pathlib import Path

from builder.base.recipes import RECIPES
from tests.integration.builder.bases import base


def kfn(tmp_path: Path, *args: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path / "config")}
    return subprocess.run(
        [sys.executable, "-m", "cli.main", "base", *args], env=env, capture_output=True, text=True, timeout=100, check=False
    )


class TestKfnBase:
    def test_it_lists_what_there_is_and_shows_each_package(self, tmp_path: Path) -> None:
        listed = json.loads(kfn(tmp_path, "ls", "-o", "json").stdout)
        assert {row["name"] for row in listed} >= set(RECIPES)
        shown = json.loads(kfn(tmp_path, "show", "python3.13", "--platform", "arm64", "-o", "json").stdout)
        assert "python3.13" in {package["name"] for package in shown["packages"]}
        assert all(len(package["sha256"]) == 64 for package in shown["packages"])

    def test_a_name_that_does_not_exist_is_a_usage_error_with_those_that_do(self, tmp_path: Path) -> None:
        ran = kfn(tmp_path, "show", "pithon")
        assert ran.returncode == 2
        assert "python3.13, python3.11, static, node" in ran.stderr

    async def test_a_base_is_made_and_renewed(self, tmp_path: Path) -> None:
        await base("static", tmp_path)
        made = kfn(tmp_path, "build", "static", "-o", f"oci-archive:{tmp_path}/static.tar")
        assert made.returncode == 0, made.stderr
        assert made.stdout.startswith("sha256:")
        assert (tmp_path / "static.tar").is_file()
        renewed = kfn(tmp_path, "update", "static")
        assert renewed.returncode == 0, renewed.stderr
        assert (tmp_path / "config/kfn/base/static.lock").is_file()
        assert json.loads(kfn(tmp_path, "show", "static", "-o", "json").stdout)["lock"].endswith("config/kfn/base/static.lock")
