"""The one admin port of a gateway of several workers: the same pages as one process has, put together from all of them."""

from collections.abc import Callable
from urllib.parse import urlencode

import anyio
import anyio.to_thread
from msgspec import json
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from gateway.fleet import sums
from gateway.fleet.channel import Answer, Gone
from gateway.fleet.crew import Fleet, Worker
from gateway.observe import exposition

PATIENCE = 10.0  # seconds for a page; a worker that takes longer is told of as it was last
LONGEST = 3600.0  # seconds that a question which waits may take


def app(fleet: Fleet, cold_starts: int) -> Starlette:
    async def healthz(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(request: Request) -> Response:
        if fleet.ready:
            return PlainTextResponse("ok\n")
        return PlainTextResponse("not ready: a worker is not there, or the gateway is stopping\n", status_code=503)

    async def numbers(request: Request) -> Response:
        workers = list(fleet.workers)
        answers = await _all(fleet, "/metrics", PATIENCE)
        for worker, answer in answers.items():
            if not worker.complete:
                worker.page = answer.body
        pages = [worker.page for worker in workers if worker in fleet.workers]  # one that has ended meanwhile is in `ended`
        text = await anyio.to_thread.run_sync(_sum, [*pages, _own(fleet)], fleet.ended)
        return Response(text, media_type=exposition.CONTENT_TYPE)

    async def cold(request: Request) -> Response:
        answers = list((await _all(fleet, _with_query(request), PATIENCE)).values())
        wrong = next((one for one in answers if one.status != 200), None)
        if wrong is not None:
            return Response(wrong.body, wrong.status, media_type="application/json")
        return JSONResponse(sums.cold_starts((json.decode(one.body) for one in answers), cold_starts))

    async def drained(request: Request) -> Response:
        answers = list((await _all(fleet, _with_query(request), LONGEST)).values())
        worst = max(answers, key=lambda one: one.status, default=Answer(0, 503, "there is no worker\n"))
        return PlainTextResponse(worst.body, worst.status)

    pages: dict[str, Callable[[Request], object]] = {
        "/healthz": healthz,
        "/readyz": readyz,
        "/metrics": numbers,
        "/cold-starts": cold,
        "/drained": drained,
    }
    return Starlette(routes=[Route(path, page) for path, page in pages.items()])


async def _all(fleet: Fleet, path: str, seconds: float) -> dict[Worker, Answer]:
    """What every worker answers. One that is gone answers nothing."""
    found: dict[Worker, Answer] = {}

    async def one(worker: Worker) -> None:
        try:
            found[worker] = await worker.channel.ask(seconds, get=path)
        except Gone:
            pass

    async with anyio.create_task_group() as tasks:
        for worker in list(fleet.workers):
            if worker.ready.is_set():
                tasks.start_soon(one, worker)
    return found


def _with_query(request: Request) -> str:
    return f"{request.url.path}?{urlencode(request.query_params.multi_items())}"


def _sum(pages: list[str], ended: sums.Page) -> str:
    total = sums.Page()
    for page in pages:
        total.add(page)
    total.join(ended)
    return total.text()


def _own(fleet: Fleet) -> str:
    """The supervisor's part of the page."""
    process = CollectorRegistry()
    ProcessCollector(registry=process)
    workers, restarts = "kfn_gateway_workers", "kfn_gateway_worker_restarts_total"
    states = {"ready": sum(worker is not None and worker.ready.is_set() for worker in fleet.slots)}
    states["away"] = len(fleet.slots) - states["ready"]
    states["leaving"] = len(fleet.workers - set(fleet.slots))
    return "".join([
        generate_latest(process).decode(),
        exposition.family(workers, "gauge", "Worker processes; leaving: replaced, with requests to finish."),
        *(exposition.sample(workers, f'state="{state}"', count) for state, count in states.items()),
        exposition.family(restarts, "counter", "Workers that ended by themselves and were started again."),
        exposition.sample(restarts, "", fleet.restarts),
    ])  # fmt: skip
