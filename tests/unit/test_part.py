"""A part in a process: its work while the block runs, and where it is reached."""

import gc

import anyio
import pytest

from kfn import part


class TestRunning:
    async def test_goes_on_while_the_block_runs_and_ends_with_it(self) -> None:
        seen: list[str] = []

        async def work() -> None:
            seen.append("began")
            try:
                await anyio.sleep_forever()
            finally:
                seen.append("ended")

        async with part.running("work", work):
            await anyio.sleep(3600)
            assert seen == ["began"]
        assert seen == ["began", "ended"]

    async def test_work_that_ends_by_itself_ends_the_block_and_is_named(self) -> None:
        with pytest.RaisesGroup(pytest.RaisesExc(RuntimeError, match="^the node ended by itself$")):
            async with part.running("the node", lambda: anyio.sleep(1)):
                await anyio.sleep_forever()

    async def test_work_that_fails_ends_the_block_with_its_error(self) -> None:
        async def work() -> None:
            raise OSError("no room")

        with pytest.RaisesGroup(pytest.RaisesExc(OSError, match="no room")):
            async with part.running("work", work):
                await anyio.sleep_forever()


class TestSettled:
    def test_what_is_there_is_looked_through_no_more(self) -> None:
        before = gc.get_freeze_count()
        part.settled()
        try:
            assert gc.get_freeze_count() > before
        finally:
            gc.unfreeze()


class TestWhereItIsReached:
    @pytest.mark.parametrize(
        ("host", "reached", "authority"),
        [
            pytest.param("127.0.0.1", "127.0.0.1", "127.0.0.1:80", id="an-address"),
            pytest.param("example.test", "example.test", "example.test:80", id="a-name"),
            pytest.param("fd00::1", "fd00::1", "[fd00::1]:80", id="ipv6-in-brackets-before-a-port"),
            pytest.param("0.0.0.0", "127.0.0.1", "127.0.0.1:80", id="every-address-by-loopback"),
            pytest.param("::", "::1", "[::1]:80", id="every-ipv6-address-by-loopback"),
        ],
    )
    def test_is_said_as_others_on_the_machine_need_it(self, host: str, reached: str, authority: str) -> None:
        assert (part.reachable(host), part.authority(host, 80)) == (reached, authority)
