"""A function's server run once for show, with a function that answers nothing: see `main.rehearse`."""

import asyncio

from kfn.function.kinds.hooks import Hooks
from kfn.function.kinds.plain import Plain
from kfn.function.server import Server, bind
from kfn.function.settings import Settings
from kfn.function.threads import Threads

ASKED = b"POST / HTTP/1.1\r\nHost: rehearsal\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"
LIMIT = 2.0  # seconds for all of it


async def perform() -> None:
    """One request over a real connection, the handler in a thread as for most functions, then the end of it all."""
    settings = Settings(host="127.0.0.1", port=0, request_log=False)
    threads = Threads(1)
    sock, stop = bind(settings), asyncio.Event()
    address = sock.getsockname()
    async with asyncio.timeout(LIMIT), asyncio.TaskGroup() as tasks:
        application = Plain(lambda request: request.text, "request", threads, settings.max_body, Hooks(None, threads))
        server = tasks.create_task(Server(settings, application, {}, tasks).run(sock, stop))
        reader, writer = await asyncio.open_connection(*address[:2])
        writer.write(ASKED)
        await reader.read(-1)
        writer.close()
        stop.set()
        await server
        threads.stop()
