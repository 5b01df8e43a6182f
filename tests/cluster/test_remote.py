"""`kfn build --remote` and `kfn deploy --remote` to their end: built in a pod with packages of the environment's own index, pushed to the
cluster's registry, answered by a function; and what is told where something is in the way."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import outside, shell
from tests.cluster.conftest import GIVEN
from tests.cluster.enforce import Enforcing
from tests.cluster.layout import Layout, cluster_name
from tests.cluster.platform import Platform
from tests.fakes.authority import Authority
from tests.peers.registry import PASSWORD, USER, registry

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

NAMESPACE = "remote"
INDEX = "index"  # the Secret
WITHIN = 240.0  # seconds for a build on a full machine
HANDLER = "import idna\n\n\ndef handle(request):\n    return idna.encode({word!r}).decode()\n"


@dataclass
class Remote:
    platform: Platform
    world: outside.Outside
    folder: Path

    def source(self, word: str, requirements: str = "idna\n", name: str = "greet") -> str:
        made = self.folder / name
        made.mkdir(exist_ok=True)
        (made / "func.py").write_text(HANDLER.format(word=word))
        (made / "requirements.txt").write_text(requirements)
        return str(made)

    def image(self, name: str = "greet") -> str:
        return f"{self.platform.registry}/remote/{name}"

    def command(self, verb: str, source: str, *more: str, secret: str = INDEX, name: str = "greet") -> list[str]:
        chosen = ["--index-secret", secret] if secret else []
        return [verb, "--remote", "-n", NAMESPACE, "-t", self.image(name), *chosen, *more, source]

    def kfn(self, verb: str, source: str, *more: str, secret: str = INDEX, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.platform.kfn(*self.command(verb, source, *more, secret=secret), check=check, timeout=WITHIN)

    def secret(self, name: str, **keys: str) -> str:
        data = {key.replace("_", "."): value for key, value in keys.items()}
        self.platform.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}, NAMESPACE)
        return name

    def build(self, name: str) -> dict[str, Any]:
        return self.platform.get("builds.kfn.dev", name, NAMESPACE)

    def reason(self, name: str) -> str:
        (found,) = self.build(name)["status"].get("conditions") or [{}]
        return str(found.get("reason", ""))

    def jobs(self, build: str) -> str:
        return self.platform.kubectl("-n", NAMESPACE, "get", "jobs,pods", "-l", f"kfn.dev/build={build}", "-o", "name")


@pytest.fixture(scope="module")
def remote(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    world, missing = outside.find(GIVEN)
    if world is None:
        pytest.skip(missing)
    # A namespace that refuses every pod which is not restricted: those of builds, and functions as securePodDefaults makes them.
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    platform.kubectl("apply", "-f", "-", stdin=json.dumps(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
    ))  # fmt: skip
    made = Remote(platform, world, tmp_path_factory.mktemp("remote"))
    made.secret(INDEX, **{key.replace(".", "_"): value for key, value in world.secret.items()} or {"unused": "x"})
    platform.upgrade(**_values(made))
    yield made
    platform.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
    platform.upgrade()


def _values(remote: Remote, **more: Any) -> dict[str, Any]:
    return {"builds.env": remote.world.variables, "config.securePodDefaults": "Enabled", **more}


def _name(said: str) -> str:
    (found,) = re.findall(r"^build\s+(\S+) in namespace", said, re.MULTILINE)
    return str(found)


class TestADeploy:
    def test_ends_with_a_function_that_answers_with_its_package(self, remote: Remote) -> None:
        ran = remote.kfn("deploy", remote.source("grün.example"))
        assert remote.platform.request(ran.stdout.strip().splitlines()[-1]).text == "xn--grn-ioa.example"
        name = _name(ran.stderr)
        status = remote.build(name)["status"]
        assert re.fullmatch(r"sha256:[0-9a-f]{64}", status["digest"])
        assert status["image"] == f"{remote.image()}@{status['digest']}"
        assert {"base", "deps", "push"} <= {phase["name"] for phase in status["phases"]}
        described = remote.platform.kfn("builds", "describe", name, "-n", NAMESPACE).stdout
        assert status["image"] in described
        logged = remote.platform.kfn("builds", "logs", name, "-n", NAMESPACE).stdout
        assert re.search(r"deps +1 package", logged)
        (pod,) = json.loads(remote.platform.kubectl("-n", NAMESPACE, "get", "pods", "-l", f"kfn.dev/build={name}", "-o", "json"))["items"]
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        for secret in filter(None, (*remote.world.login, remote.world.authorities[-200:].strip())):
            assert secret not in json.dumps(pod) + logged + described + ran.stderr

    def test_again_with_another_source_makes_only_the_source_anew(self, remote: Remote) -> None:
        remote.kfn("deploy", remote.source("grün.example"))
        again = remote.kfn("deploy", remote.source("blau.example"))
        assert remote.platform.request(again.stdout.strip().splitlines()[-1]).text == "blau.example"
        phases = {phase["name"]: phase for phase in remote.build(_name(again.stderr))["status"]["phases"]}
        assert [phases[name].get("cached", False) for name in ("deps", "runtime", "source")] == [True, True, False]

    def test_of_a_requirement_that_nobody_has_fails_with_uvs_words(self, remote: Remote) -> None:
        ran = remote.kfn("deploy", remote.source("x", "idna==99999\n"), check=False)
        assert ran.returncode == 3
        assert re.search(r"there is no version of\s+idna==99999", ran.stderr), ran.stderr
        assert "requirements.txt" in ran.stderr
        assert remote.reason(_name(ran.stderr)) == "DependencyError"

    def test_beside_another_of_the_same_function_waits_for_it(self, remote: Remote) -> None:
        sources = [remote.source("grün.example", name=f"twin{n}") for n in range(2)]
        with ThreadPoolExecutor(2) as threads:
            ran = list(threads.map(lambda source: remote.kfn("deploy", source, "--name", "twin"), sources))
        assert [one.returncode for one in ran] == [0, 0]
        times = sorted((s["startTime"], s["completionTime"]) for s in (remote.build(_name(one.stderr))["status"] for one in ran))
        assert times[0][1] <= times[1][0]


class TestCancelling:
    def test_by_ctrl_c_ends_the_job(self, remote: Remote) -> None:
        argv = [sys.executable, "-m", "cli.main", *remote.command("build", remote.source("x"), "--no-cache")]
        said = remote.folder / "said"
        with said.open("w") as errors:
            process = subprocess.Popen(argv, env=remote.platform.env, stdout=subprocess.PIPE, stderr=errors)
        try:
            shell.wait_for("the build", lambda: remote.reason(_name(said.read_text())) == "Building", WITHIN)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
        finally:
            process.kill()
        assert process.returncode == 130
        assert "cancelled" in said.read_text()
        name = _name(said.read_text())
        shell.wait_for("its end", lambda: remote.reason(name) == "Cancelled", 60)
        shell.wait_for("that its Job and its pod are gone", lambda: remote.jobs(name) == "", 60)

    def test_by_another_command_is_told_to_who_follows(self, remote: Remote) -> None:
        name = remote.kfn("build", remote.source("x"), "--no-cache", "--detach").stdout.strip()
        shell.wait_for("the build", lambda: remote.reason(name) == "Building", WITHIN)
        remote.platform.kfn("builds", "cancel", name, "-n", NAMESPACE)
        followed = remote.platform.kfn("builds", "logs", "-f", name, "-n", NAMESPACE, check=False)
        assert followed.returncode == 130
        shell.wait_for("that its Job and its pod are gone", lambda: remote.jobs(name) == "", 60)


class TestWhatIsInTheWay:
    def test_an_authority_that_nobody_named_is_told_with_where_to_put_it(self, remote: Remote) -> None:
        if not remote.world.authority():
            pytest.skip("the environment names no authority of its own for the index (SSL_CERT_FILE, PIP_CERT)")
        other = Authority().pem.decode()
        keys = {key: value for key, value in remote.world.secret.items() if key != "ca.crt"}
        ran = remote.kfn("build", remote.source("x"), secret=remote.secret("wrong", ca_crt=other, **keys), check=False)
        assert ran.returncode == 5
        assert "IndexUntrusted" in ran.stderr
        assert "ca.crt of the --index-secret, or into builds.ca" in ran.stderr

    def test_a_secret_without_a_certificate_is_told_before_anything_is_asked(self, remote: Remote) -> None:
        ran = remote.kfn("build", remote.source("x"), secret=remote.secret("nonsense", ca_crt="nonsense"), check=False)
        assert ran.returncode == 2
        assert "ca.crt of the index Secret holds no certificate in PEM form" in ran.stderr

    def test_an_index_that_is_down_is_told_by_its_address_after_a_second_try(self, remote: Remote) -> None:
        address = remote.platform.registry.partition(":")[0]
        secret = remote.secret("down", url=f"http://{address}:9/simple/", username="team", password="geheim")
        ran = remote.kfn("build", remote.source("x"), secret=secret, check=False)
        assert ran.returncode == 75
        assert f"A connection from this build to {address}:9 fails: Connection refused" in ran.stderr
        build = remote.build(_name(ran.stderr))
        assert build["status"]["attempts"] == 2
        assert "geheim" not in ran.stderr + json.dumps(build)

    def test_a_repository_of_git_is_told_to_be_cloned_here(self, remote: Remote) -> None:
        ran = remote.kfn("build", "https://git.example/team/hello.git", check=False)
        assert ran.returncode == 1
        assert "`git clone URL && kfn build --remote FOLDER`" in ran.stderr
        ran = remote.kfn("deploy", "https://git.example/team/hello.git", check=False)
        assert ran.returncode == 2
        assert "git clone URL" in ran.stderr

    def test_a_secret_that_is_not_there_is_told_by_its_name(self, remote: Remote) -> None:
        ran = remote.kfn("build", remote.source("x"), secret="nowhere", check=False)
        assert ran.returncode == 2
        assert f"--index-secret nowhere: there is no Secret of that name in namespace {NAMESPACE}" in ran.stderr


class TestThePlatformsOwnAuthority:
    def test_is_trusted_by_every_build(self, remote: Remote) -> None:
        authority = remote.world.authority()
        if not authority:
            pytest.skip("the environment names no authority of its own for the index (SSL_CERT_FILE, PIP_CERT)")
        keys = {key: value for key, value in remote.world.secret.items() if key != "ca.crt"}
        secret = remote.secret("bare", **keys) if keys else ""
        remote.platform.upgrade(**_values(remote, **{"builds.ca.pem": authority}))
        try:
            remote.kfn("build", remote.source("grün.example"), "--no-cache", secret=secret)
        finally:
            remote.platform.upgrade(**_values(remote))


@pytest.fixture
def netns(remote: Remote) -> str:
    name = cluster_name()
    nodes = json.loads(remote.platform.kubectl("get", "nodes", "-o", "json"))["items"]
    if f"/clusters/{name}/" not in remote.platform.kubeconfig or len(nodes) != 1:
        pytest.skip("it enforces policies in a test cluster of one node (make cluster-up); yours has to do that by itself")
    return f"kfn-{name}-1"


class TestANetworkPolicy:
    def test_lets_a_build_reach_registry_index_and_names_and_is_named_where_it_does_not(self, remote: Remote, netns: str) -> None:
        node, _, port = remote.platform.registry.partition(":")
        base = {"builds.networkPolicyNamespaces": [NAMESPACE], "networkPolicy.dns.cidrs": [f"{node}/32"]}
        mirror = [one for one in remote.world.ports if one != remote.world.port]
        try:
            remote.platform.upgrade(**_values(remote, **base, **{"builds.egress.ports": [*remote.world.ports, int(port)]}))
            with Enforcing(remote.platform, netns).running():
                remote.kfn("build", remote.source("grün.example"), "--no-cache")
                remote.platform.upgrade(**_values(remote, **base, **{"builds.egress.ports": [*mirror, int(port)]}))
                ran = remote.kfn("build", remote.source("grün.example"), "--no-cache", "--timeout", "200", check=False)
            assert ran.returncode == 75
            assert re.search(rf"Nothing answers this build at \S+:{remote.world.port} .*NetworkPolicy.*builds\.egress", ran.stderr), (
                ran.stderr
            )
        finally:
            remote.platform.upgrade(**_values(remote))


class TestAPrivateRegistry:
    async def test_with_an_authority_and_a_login_of_its_own_takes_an_image_with_both(
        self, remote: Remote, own_cluster: Layout, tmp_path: Path
    ) -> None:
        authority, source = Authority(), remote.folder / "plain"
        source.mkdir()
        (source / "func.py").write_text("def handle(request):\n    return 'hello'\n")
        async with registry(tmp_path, "basic", tls=authority.issue(own_cluster.gateway), address=own_cluster.gateway) as reg:

            def build(index: str, push: str) -> subprocess.CompletedProcess[str]:
                chosen = [*(["--index-secret", index] if index else []), *(["--push-secret", push] if push else [])]
                place = ("-n", NAMESPACE, "-t", f"{reg.host}/team/hello", "--base", "none")
                return remote.platform.kfn("build", "--remote", *place, *chosen, str(source), check=False, timeout=WITHIN)

            trusted = remote.secret("trusted", ca_crt=authority.pem.decode())
            untrusted = build("", "")
            assert untrusted.returncode == 5
            assert f"the certificate of {reg.host} is not trusted" in untrusted.stderr
            assert "ca.crt of the --index-secret, or into builds.ca" in untrusted.stderr
            unknown = build(trusted, "")
            assert unknown.returncode == 4
            assert "--push-secret" in unknown.stderr
            wrong = build(trusted, self.login(remote, "wrong-login", reg.host, "geheim"))
            assert wrong.returncode == 4
            assert "geheim" not in wrong.stderr
            done = build(trusted, self.login(remote, "login", reg.host, PASSWORD))
            assert done.returncode == 0, done.stderr
            assert done.stdout.strip().startswith(f"{reg.host}/team/hello@sha256:")
            for said in (untrusted, unknown, wrong):
                print(said.stderr)

    def login(self, remote: Remote, name: str, host: str, password: str) -> str:
        data = {".dockerconfigjson": json.dumps({"auths": {host: {"username": USER, "password": password}}})}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "kubernetes.io/dockerconfigjson"}
        remote.platform.apply({**secret, "stringData": data}, NAMESPACE)
        return name
