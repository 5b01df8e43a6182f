"""Ports that stay the same from start to start."""

import socket
from pathlib import Path

import pytest

from embedded import addresses


def test_the_second_start_has_the_ports_of_the_first(tmp_path: Path) -> None:
    first = addresses.remembered(tmp_path)
    assert len(set(first.values())) == len(addresses.NAMES)
    assert addresses.remembered(tmp_path) == first


def test_a_port_that_was_taken_meanwhile_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    first = addresses.remembered(tmp_path)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", first["events"]))
        sock.listen()
        second = addresses.remembered(tmp_path)
    assert second["events"] != first["events"]
    assert {**second, "events": 0} == {**first, "events": 0}
    assert addresses.remembered(tmp_path) == second


@pytest.mark.parametrize("text", ["", "{", "[]", '{"api": "x"}', '{"api": 99999999}'])
def test_a_damaged_file_is_made_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "ports.json").write_text(text)
    assert set(addresses.remembered(tmp_path)) == set(addresses.NAMES)
