"""Cgroups, on plain folders that stand for the kernel's."""

import os
from pathlib import Path

import pytest

from embedded.node import cgroups
from embedded.node.limits import Limits


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A delegated group that holds this process only; `/proc/self` beside it."""
    group = tmp_path / "fs" / "user"
    group.mkdir(parents=True)
    (group / "cgroup.controllers").write_text("cpu memory pids\n")
    (group / "cgroup.subtree_control").write_text("\n")
    (group / "cgroup.procs").write_text(f"{os.getpid()}\n")
    proc = tmp_path / "self"
    proc.mkdir()
    (proc / "cgroup").write_text("4:memory:/x\n0::/user\n")
    (proc / "mountinfo").write_text(f"30 20 0:26 / {tmp_path / 'fs'} rw,nosuid - cgroup2 cgroup2 rw\n")
    return group


def test_the_platform_moves_into_a_leaf_and_opens_the_controllers(own: Path, tmp_path: Path) -> None:
    found = cgroups.find("n1", tmp_path / "self")
    assert found and found.folder == own / "kfn-n1"
    assert (own / "kfn-n1-platform" / "cgroup.procs").read_text() == str(os.getpid())
    assert (own / "cgroup.subtree_control").read_text() == "+memory +cpu"


def test_a_group_shared_with_others_is_left_alone(own: Path, tmp_path: Path) -> None:
    (own / "cgroup.procs").write_text(f"{os.getpid()}\n1\n")
    assert cgroups.find("n1", tmp_path / "self") is None
    assert not (own / "kfn-n1-platform").exists()


def test_without_the_memory_controller_there_are_none(own: Path, tmp_path: Path) -> None:
    (own / "cgroup.controllers").write_text("pids\n")
    assert cgroups.find("n1", tmp_path / "self") is None


def test_limits_and_kills(own: Path, tmp_path: Path) -> None:
    found = cgroups.find("n1", tmp_path / "self")
    assert found
    group = found.make("pod-c", Limits(memory=1000, cpu=0.5))
    assert (group / "memory.max").read_text() == "1000"
    assert (group / "cpu.max").read_text() == "50000 100000"
    assert found.oom_kills(group) == 0
    (group / "memory.events").write_text("low 0\nhigh 0\nmax 3\noom 1\noom_kill 2\noom_group_kill 1\n")
    assert found.oom_kills(group) == 2
