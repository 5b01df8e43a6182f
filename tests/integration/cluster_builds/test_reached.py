"""What a build finds out about a peer that it could not reach, on real sockets."""

import socket

import pytest

from builder.cluster import reached


class TestWhy:
    async def test_names_the_port_that_refuses(self) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            port = closed.getsockname()[1]
            told = await reached.why(f"127.0.0.1:{port}: broken", f"127.0.0.1:{port}")
        assert told == f"A connection from this build to 127.0.0.1:{port} fails: Connection refused."

    async def test_names_a_host_that_the_dns_does_not_know(self) -> None:
        assert "DNS that this build asks does not know nobody.invalid" in await reached.why("https://nobody.invalid/simple/", "")

    async def test_says_nothing_of_what_is_there_by_now(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as there:
            assert await reached.why(f"http://127.0.0.1:{there.getsockname()[1]}/", "") == ""

    async def test_says_nothing_where_a_proxy_stands_between(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
        assert await reached.why("https://nobody.invalid/simple/", "") == ""

    async def test_names_the_policy_where_nothing_answers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reached, "SECONDS", 0.2)
        with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.socket() as one, socket.socket() as two:
            for waiting in (one, two):  # its queue is full: a further SYN is not answered
                waiting.setblocking(False)
                waiting.connect_ex(full.getsockname())
            told = await reached.why(f"http://127.0.0.1:{full.getsockname()[1]}/", "")
        assert "NetworkPolicy" in told
        assert "builds.egress" in told
