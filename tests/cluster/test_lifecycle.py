"""A test cluster comes, is repaired after kills, and goes without a trace. With a cluster of its own, beside the others."""

import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import cgroups, lifecycle, processes, programs
from tests.cluster.conftest import GIVEN
from tests.cluster.layout import folder_of

pytestmark = pytest.mark.timeout(600)


def call(name: str, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    env = {**GIVEN, "KFN_CLUSTER": name}
    command = [sys.executable, "-m", "tests.cluster", *args]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done


def seen(words: list[str]) -> list[str]:
    asked = {"link": ["ip", "-o", "link"], "route": ["ip", "route"], "netns": ["ip", "netns"], "nat": ["iptables", "-w", "-t", "nat", "-S"]}
    lines = [f"{key}: {line}" for key, command in asked.items() for line in output(command)]
    lines += [f"mount: {line}" for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    lines += [f"process {pid}: {command}" for pid, command in processes_of_this_machine()]
    lines += [f"cgroup: {folder}" for hierarchy in cgroups.hierarchies() for folder in hierarchy.iterdir() if folder.is_dir()]
    lines += [f"file: {file}" for file in folder_of("x").parent.iterdir()]
    pattern = re.compile("|".join(rf"{re.escape(word)}(?!\d)" if word[-1].isdigit() else re.escape(word) for word in words))
    return [line for line in lines if pattern.search(line)]


def output(command: list[str]) -> list[str]:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def processes_of_this_machine() -> list[tuple[int, str]]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                found.append((int(folder.name), (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()))
            except OSError:
                continue
    return found


@pytest.fixture
def name() -> Iterator[str]:
    if why := lifecycle.unfit():
        pytest.skip(why)
    chosen = f"t{secrets.token_hex(3)}"
    yield chosen
    call(chosen, "down")


class TestALifecycle:
    def test_a_cluster_is_repaired_after_kills_and_goes_without_a_trace(self, name: str) -> None:
        call(name, "up")
        cluster = lifecycle.existing(name)
        assert cluster
        words = [f"kfn-{name}", f".{name}.lock", str(cluster.folder), f"10.{cluster.number}.", cluster.bridge]
        kinds = {line.split(":")[0].split()[0] for line in seen(words)}
        assert kinds == {"link", "route", "netns", "nat", "mount", "process", "cgroup", "file"}, "the search does not find what is there"

        pids = {one.name: processes.pid(one) for one in programs.every(cluster)}
        for victim in ("etcd", "containerd", "kube-proxy", "kubelet"):
            os.kill(pids[victim], signal.SIGKILL)
        assert call(name, "status", check=False).returncode == 1
        call(name, "up")
        again = {one.name: processes.pid(one) for one in programs.every(cluster)}
        assert {one for one in pids if again[one] != pids[one]} == {"etcd", "containerd", "kube-proxy", "kubelet"}
        assert call(name, "status").returncode == 0

        os.kill(again["kube-apiserver"], signal.SIGKILL)
        call(name, "down")
        assert seen(words) == []
        call(name, "down")  # of nothing is no error
