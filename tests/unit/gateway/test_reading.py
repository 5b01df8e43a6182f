"""The reader of requests, in reads of a size that no test over a socket can choose."""

import anyio
import pytest

from tests.fakes.routed import HOST
from tests.fakes.wired import Wired

POST = b"POST / HTTP/1.1\r\nHost: " + HOST.encode() + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
FIELD = b"X-A: b\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


class TestTrailersThatAreTooLong:
    @pytest.mark.parametrize("first", [1, 5_000, 8_000])
    async def test_are_told_so_also_when_what_the_parser_refuses_stands_behind_them_in_one_read(self, first: int) -> None:
        async with anyio.create_task_group() as tasks:
            pair = Wired(tasks, anyio.current_time)
            for piece in (POST, b"0\r\n" + FIELD * first, FIELD * (40_000 - first) + SMUGGLED):
                pair.near.data_received(piece)
            assert pair.client.took[0].startswith(b"HTTP/1.1 431"), pair.client.took
            tasks.cancel_scope.cancel()
