"""Where a test cluster's things are."""

import os
from ipaddress import ip_address, ip_network
from itertools import combinations
from pathlib import Path

import pytest

from tests.cluster import processes, programs
from tests.cluster.layout import MAX_NODES, NUMBERS, Layout, Node, cluster_name, numbers_for

CLUSTER = Layout("some", 210, MAX_NODES, Path("/nowhere"))


class TestAddresses:
    def test_nodes_services_and_pods_share_one_network_and_nothing_else(self) -> None:
        parts = [ip_network(f"{CLUSTER.gateway}/24", strict=False), ip_network(CLUSTER.services), *(ip_network(n.pods) for n in nodes())]
        assert all(part.subnet_of(ip_network(CLUSTER.subnet)) for part in parts)
        assert not any(one.overlaps(other) for one, other in combinations(parts, 2))
        assert all(ip_network(node.pods).subnet_of(ip_network(CLUSTER.pods)) for node in nodes())
        assert {ip_address(CLUSTER.api_service), ip_address(CLUSTER.dns_service)} <= set(ip_network(CLUSTER.services))
        assert ip_address(CLUSTER.api_service) == ip_network(CLUSTER.services)[1], "the API server takes the first one, whatever we say"

    def test_a_name_keeps_its_place_and_tries_all_others(self) -> None:
        assert sorted(numbers_for("some")) == list(NUMBERS)
        assert numbers_for("some") == numbers_for("some") != numbers_for("others")


class TestNames:
    def test_no_interface_has_more_than_15_letters(self) -> None:
        assert all(len(node.veth) <= 15 for node in nodes())

    @pytest.mark.parametrize("name", ["Upper", "a_b", "-a", "a" * 21, "../up"])
    def test_a_name_that_cannot_be_one_is_refused(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KFN_CLUSTER", name)
        with pytest.raises(SystemExit, match="KFN_CLUSTER"):
            cluster_name()

    def test_no_two_programs_share_a_note_or_a_log(self) -> None:
        every = programs.every(CLUSTER)
        assert len({one.note for one in every}) == len({one.log for one in every}) == len(every) == 7 + 3 * MAX_NODES


class TestProcesses:
    def test_a_pid_that_somebody_else_has_by_now_is_not_taken_for_ours(self, tmp_path: Path) -> None:
        program = processes.Program("etcd", Layout("some", 210, 1, tmp_path).node(1), ())
        program.note.parent.mkdir(parents=True)
        began = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
        program.note.write_text(f'{{"pid": {os.getpid()}, "started": "{began}"}}')
        assert processes.pid(program) == os.getpid()
        program.note.write_text(f'{{"pid": {os.getpid()}, "started": "1"}}')
        assert processes.pid(program) == 0

    def test_a_log_is_cut_at_a_bound_and_keeps_its_past_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        cluster = Layout("some", 210, 1, tmp_path)
        cluster.logs.mkdir()
        log = cluster.logs / "etcd-1.log"
        monkeypatch.setattr(processes, "LOG_LIMIT", 10)
        with log.open("a") as writer:
            for text in ("first" * 10, "second" * 10, "end"):
                writer.write(text)
                writer.flush()
                processes.bound_logs(cluster)
        assert log.read_text() == "end"
        assert (cluster.logs / "etcd-1.log.1").read_text() == "second" * 10


def nodes() -> list[Node]:
    return list(CLUSTER.all_nodes())
