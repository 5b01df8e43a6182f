"""The page `/decisions` of an admin port: what was decided for a revision, and what that was based on. Who may read it is the server's."""

from collections.abc import Callable
from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from autoscaler.app import Autoscaler
from kfn.load import RevisionKey


def decisions(deciding: Callable[[], Autoscaler | None]) -> Route:
    """`?revision=NAMESPACE/NAME`: the last decisions, oldest first; equal ones in a row are one. `deciding` gives the autoscaler of now,
    None in a replica that stands by."""

    async def page(request: Request) -> Response:
        namespace, slash, name = request.query_params.get("revision", "").partition("/")
        if not slash:
            return JSONResponse({"error": "revision: expected NAMESPACE/NAME"}, status_code=400)
        scaler = deciding()
        if scaler is None:
            return JSONResponse({"error": "this replica stands by; ask the one that leads"}, status_code=503)
        records = scaler.decisions(RevisionKey(namespace, name))
        return JSONResponse([{**asdict(r), "first": r.first.isoformat(), "last": r.last.isoformat()} for r in records])

    return Route("/decisions", page)
