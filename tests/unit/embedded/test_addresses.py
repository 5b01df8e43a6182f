"""Ports that stay the same from start to start, and that nobody can take in between."""

import socket
from pathlib import Path

import pytest

from embedded import addresses
from embedded.node.ports import is_free


def claimed(data: Path) -> dict[str, int]:
    with addresses.claimed(data) as sockets:
        return {name: addresses.port(sock) for name, sock in sockets.items()}


def test_the_second_start_has_the_ports_of_the_first(tmp_path: Path) -> None:
    first = claimed(tmp_path)
    assert len(set(first.values())) == len(addresses.NAMES)
    assert claimed(tmp_path) == first


def test_a_port_is_taken_as_soon_as_it_is_chosen(tmp_path: Path) -> None:
    with addresses.claimed(tmp_path) as sockets:
        assert not any(is_free("127.0.0.1", addresses.port(sock)) for sock in sockets.values())
        with socket.create_connection(("127.0.0.1", addresses.port(sockets["api"])), timeout=5):
            pass


def test_a_port_that_was_taken_meanwhile_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    first = claimed(tmp_path)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", first["events"]))
        sock.listen()
        second = claimed(tmp_path)
    assert second["events"] != first["events"]
    assert {**second, "events": 0} == {**first, "events": 0}
    assert claimed(tmp_path) == second


@pytest.mark.parametrize("text", ["", "{", "[]", '{"api": "x"}', '{"api": 99999999}', '{"api": -1}'])
def test_a_damaged_file_is_made_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "ports.json").write_text(text)
    assert set(claimed(tmp_path)) == set(addresses.NAMES)
