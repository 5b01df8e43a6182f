"""The doors of a Pipeline: run it and wait, or ask later; runs listed, shown, taken up again, cancelled.

`POST /<namespace>/pipelines/<name>` is open as a Broker's address is; the rest asks for the platform's token. Every answer is JSON.
"""

import re
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from eventing import errors
from eventing.courier import TRACE
from eventing.doors import authorize
from eventing.gate import Gate, Shut
from eventing.ingress import Refusal, read_body
from eventing.pipelines.engine import Engine, NotPossible
from eventing.pipelines.names import dead_letters, run_of
from eventing.pipelines.shown import details, summary
from eventing.pipelines.state import CANCELLED, FAILED, RUNNING, SUCCEEDED, Run
from eventing.pipelines.values import TooMuch
from eventing.settings import Settings
from kfn.cloudevents import Event, InvalidEvent
from kfn.cloudevents import http as binding
from kfn.pipeline import EvaluationError

LARGEST = 500  # runs of one page
PATIENCE = 10.0  # seconds to write something
_LATER = {"Retry-After": "5"}
_WAIT = re.compile(r"\bwait\s*=\s*(\d{1,6})\b")
_RUN = re.compile(r"[a-z0-9]{1,64}")
Endpoint = Callable[[Engine, Request], Awaitable[Response]]
Find = Callable[[str, str], Engine | None]


class Doors:
    """`find` gives the engine of a Pipeline that works here; `known` says whether there is such a Pipeline, `is_open` whether HTTP may
    start its runs: None while it is not ready."""

    def __init__(
        self, find: Find, settings: Settings, gate: Gate, *, known: Callable[[str, str], bool], is_open: Callable[[str, str], bool | None]
    ) -> None:
        self._find, self._settings, self._gate, self._known, self._is_open = find, settings, gate, known, is_open

    @property
    def routes(self) -> list[BaseRoute]:
        at = "/{namespace}/pipelines/{name}"
        return [
            Route(at, self._door(self._start, guarded=False), methods=["POST"]),
            Route(f"{at}/runs", self._door(self._list), methods=["GET"]),
            Route(f"{at}/runs/{{run}}", self._door(self._show), methods=["GET"]),
            Route(f"{at}/runs/{{run}}", self._door(self._cancel), methods=["DELETE"]),
            Route(f"{at}/runs/{{run}}/retry", self._door(self._retry), methods=["POST"]),
        ]

    def _door(self, endpoint: Endpoint, *, guarded: bool = True) -> Callable[[Request], Awaitable[Response]]:
        async def door(request: Request) -> Response:
            namespace, name = request.path_params["namespace"], request.path_params["name"]
            try:
                if guarded:
                    authorize(request, self._settings.token)
                else:
                    await self._gate.admit(namespace, dead_letters(name), request.headers.get("authorization", ""))
                if not _RUN.fullmatch(request.path_params.get("run", "x")):
                    raise Refusal(404, "there is no such run")
                if not self._known(namespace, name):
                    raise Refusal(404, f"there is no pipeline {name!r} in namespace {namespace!r}")
                engine = self._find(namespace, name)
                if engine is None:
                    raise Refusal(503, f"pipeline {name!r} is not ready yet; its conditions say why", _LATER)
                return await endpoint(engine, request)
            except (Refusal, Shut) as refusal:
                return _told(refusal.status, refusal.text, refusal.headers)
            except ClientDisconnect:
                return Response(status_code=400)
            except LookupError as error:
                return _told(404, str(error.args[0]))
            except NotPossible as error:
                return _told(409, str(error))
            except ValueError as error:
                return _told(400, str(error))
            except errors.TooLarge as error:
                return _told(413, str(error))
            except (errors.BusError, TimeoutError) as error:
                return _told(503, str(error) or "NATS does not answer", _LATER)

        return door

    async def _start(self, engine: Engine, request: Request) -> Response:
        is_open = self._is_open(engine.namespace, engine.name)
        if is_open is None:
            raise Refusal(503, f"pipeline {engine.name!r} is not ready; its conditions say why", _LATER)
        if not is_open:
            raise Refusal(405, "runs of this pipeline are started by events only; set spec.http: true", {"Allow": "GET"})
        id, event = await self._event(engine, request)
        trace = {name: value for name in TRACE if (value := request.headers.get(name))}
        with anyio.fail_after(PATIENCE):
            run = await engine.start(id, event, trace)
        prefer = request.headers.get("prefer", "").lower()
        asked = _WAIT.search(prefer)
        patience = 0.0 if "respond-async" in prefer and not asked else float(asked[1]) if asked else engine.plan.timeout + 5
        if not asked and re.search(r"\breply\b", prefer) and binding.is_event(request.headers.raw):
            return Response(
                status_code=202, headers=self._location(request, id)
            )  # a Trigger, which takes an event for an answer or nothing
        found = await engine.wait(id, min(patience, engine.plan.timeout + 5)) if patience else run
        if found is None or not found.is_over:
            return JSONResponse({"run": id}, 202, self._location(request, id))
        return await _answer(engine, found, self._location(request, id))

    async def _event(self, engine: Engine, request: Request) -> tuple[str, Event]:
        """What starts the run, and its id: an event's own, so that one sent again starts no other."""
        body = await read_body(request, self._settings.max_event)
        try:
            if binding.is_event(request.headers.raw):
                events = binding.parse(request.headers.raw, body)
                if len(events) != 1:
                    raise Refusal(400, "send one event; each starts a run")
                return run_of(events[0].source, events[0].id), events[0]
            msgspec.json.decode(body or b"null")
        except (InvalidEvent, msgspec.DecodeError, RecursionError) as error:
            raise Refusal(400, f"the body is neither JSON nor an event: {error}") from None
        id = f"h{secrets.token_hex(12)}"
        source = f"/apis/kfn.dev/v1alpha1/namespaces/{engine.namespace}/pipelines/{engine.name}"
        attributes = {"specversion": "1.0", "id": id, "source": source, "type": "dev.kfn.pipeline.run"}
        return id, Event({**attributes, "datacontenttype": "application/json"}, body or None)

    def _location(self, request: Request, id: str) -> dict[str, str]:
        return {"Location": f"{request.url.path.rstrip('/')}/runs/{id}", "Kfn-Run": id}

    async def _list(self, engine: Engine, request: Request) -> Response:
        given = request.query_params
        status, limit, after = given.get("status", ""), given.get("limit", "100"), given.get("after", "")
        if status and status not in (RUNNING, SUCCEEDED, FAILED, CANCELLED):
            raise ValueError(f"status: {status[:40]!r} is none of {RUNNING}, {SUCCEEDED}, {FAILED}, {CANCELLED}")
        if not re.fullmatch(r"\d{1,4}", limit) or not 0 < int(limit) <= LARGEST:
            raise ValueError(f"limit: from 1 to {LARGEST}; the answer's `after` asks for the rest")
        if after and not re.fullmatch(r"\d{1,18}", after):
            raise ValueError("after: give the `after` of the page before")
        runs, rest = await engine.store.newest(int(limit), int(after or 0), lambda run: not status or run.status == status)
        return JSONResponse({"runs": [summary(run) for run in runs], "after": str(rest) if rest else ""})

    async def _show(self, engine: Engine, request: Request) -> Response:
        return JSONResponse(await self._told(engine, await self._run(engine, request)))

    async def _retry(self, engine: Engine, request: Request) -> Response:
        with anyio.fail_after(PATIENCE):
            run = await engine.retry(request.path_params["run"], request.query_params.get("from", ""))
        return JSONResponse(await self._told(engine, run))

    async def _cancel(self, engine: Engine, request: Request) -> Response:
        await self._run(engine, request)
        with anyio.fail_after(PATIENCE):
            run = await engine.cancel(request.path_params["run"])
        assert run is not None
        return JSONResponse(await self._told(engine, run))

    async def _run(self, engine: Engine, request: Request) -> Run:
        id = request.path_params["run"]
        with anyio.fail_after(PATIENCE):
            run = await engine.ledger.read(id, fresh=True)
        if run is None:
            raise LookupError(f"there is no run {id}; it may have expired")
        return run

    async def _told(self, engine: Engine, run: Run) -> dict[str, Any]:
        told = details(run)
        if run.status == SUCCEEDED:
            try:
                told["output"] = await engine.output(run)
            except (EvaluationError, TooMuch, errors.NoMessage) as error:
                told["error"] = f"the output cannot be shown: {error}"
        return told


async def _answer(engine: Engine, run: Run, headers: dict[str, str]) -> Response:
    """To whoever has waited for the end."""
    if run.status != SUCCEEDED:
        return JSONResponse({"run": run.id, "step": run.at, "error": run.error or run.status}, 500, headers)
    try:
        return JSONResponse(await engine.output(run), 200, headers)
    except (EvaluationError, TooMuch) as error:
        return JSONResponse({"run": run.id, "step": "", "error": str(error)}, 500, headers)


def _told(status: int, error: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": error}, status, headers)
