"""Ports for instances."""

import socket

from embedded.node.ports import FIRST, LAST, Ports


def test_ports_are_outside_the_ephemeral_range_and_never_given_twice() -> None:
    ports = Ports("127.0.0.1")
    taken = [ports.take() for _ in range(50)]
    assert len(set(taken)) == 50
    assert all(FIRST <= port <= LAST for port in taken)


def test_a_port_somebody_listens_on_is_left_out() -> None:
    ports = Ports("127.0.0.1")
    first = ports.take()
    ports.give_back(first)
    step = FIRST + (first + 1 - FIRST) % (LAST - FIRST + 1)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", step))
        sock.listen()
        assert ports.take() != step
