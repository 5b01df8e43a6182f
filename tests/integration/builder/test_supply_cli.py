"""`kfn key`, `kfn verify` and the flags of `kfn build` about what lies beside an image, as somebody types them."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.integration.builder.conftest import Workshop


def kfn(folder: Path, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    given = {"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_CACHE_HOME": str(folder / "xdg"), **env}
    argv = [sys.executable, "-m", "cli.main", *args]
    given["PYTHONPATH"] = str(Path(__file__).parents[3])
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=100, env=given, check=False)


class TestAUser:
    def test_makes_a_key_signs_with_it_and_checks(self, workshop: Workshop, tmp_path: Path) -> None:
        workshop.source()
        (tmp_path / "xdg").mkdir()
        (tmp_path / "cache").rename(tmp_path / "xdg/kfn")
        made = kfn(tmp_path, "key", "generate", "signing", KFN_SIGN_PASSWORD="geheim")
        assert (made.returncode, made.stdout) == (0, "signing.pub\n")
        assert (tmp_path / "signing.key").stat().st_mode & 0o777 == 0o600
        assert "ENCRYPTED" in (tmp_path / "signing.key").read_text()
        again = kfn(tmp_path, "key", "generate", "signing")
        assert (again.returncode, "is there already" in again.stderr) == (2, True)

        build = ("build", "hello", "--base", "none", "-o", "oci:out", "--sign", "signing.key", "--no-profile")
        refused = kfn(tmp_path, *build)
        assert refused.returncode == 2
        assert "its password comes from KFN_SIGN_PASSWORD" in refused.stderr
        done = kfn(tmp_path, *build, "--sbom", "bom.json", KFN_SIGN_PASSWORD="geheim")
        assert done.returncode == 0, done.stderr
        assert json.loads((tmp_path / "bom.json").read_text())["bomFormat"] == "CycloneDX"
        assert "geheim" not in done.stdout + done.stderr

        good = kfn(tmp_path, "verify", "oci:out", "--key", "signing.pub", "-o", "json")
        assert good.returncode == 0, good.stderr
        assert done.stdout.strip().endswith(json.loads(good.stdout)["digest"])
        kfn(tmp_path, "key", "generate", "other")
        bad = kfn(tmp_path, "verify", "oci:out", "--key", "other.pub")
        assert (bad.returncode, bad.stdout) == (1, "")
        assert "made with another key" in bad.stderr
        wrong = kfn(tmp_path, "verify", "oci:out", "--key", "signing.key", KFN_SIGN_PASSWORD="geheim")
        assert wrong.returncode == 2
        assert "a private key; give the public one" in wrong.stderr

    def test_compares_an_image_with_its_source(self, workshop: Workshop, tmp_path: Path) -> None:
        source = workshop.source()
        (tmp_path / "xdg").mkdir()
        (tmp_path / "cache").rename(tmp_path / "xdg/kfn")
        done = kfn(tmp_path, "build", "hello", "--base", "none", "-o", "oci:out", "--attest", "--no-profile")
        assert done.returncode == 0, done.stderr
        same = kfn(tmp_path, "build", "hello", "--verify", "oci:out")
        assert same.returncode == 0, same.stderr
        assert "the same as built here" in same.stdout
        (source / "func.py").write_text("def handle(request):\n    return 'other'\n")
        differs = kfn(tmp_path, "build", "hello", "--verify", "oci:out")
        assert differs.returncode == 1
        assert "func/func.py (content)" in differs.stdout
        assert "is not what hello makes here" in differs.stderr

    def test_gets_an_sbom_and_nothing_else_on_stdout(self, workshop: Workshop, tmp_path: Path) -> None:
        workshop.source()
        (tmp_path / "xdg").mkdir()
        (tmp_path / "cache").rename(tmp_path / "xdg/kfn")
        done = kfn(tmp_path, "build", "hello", "--sbom", "-", "--sbom-format", "spdx", "--no-profile")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["spdxVersion"] == "SPDX-2.3"
        assert "kfn.local/default/hello@sha256:" in done.stderr
