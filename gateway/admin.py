"""What an operator asks a gateway: is it alive, is it ready, its numbers, its last cold starts. Never on the invocation path.

Who serves this app, where, and to whom is the caller's affair (`cli` on a cluster, `embedded` on one machine).
"""

from collections.abc import AsyncIterator, Callable

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from gateway.app import Gateway
from gateway.observe import exposition, metrics
from kfn.load import RevisionKey

LONGEST_DRAIN = 3600  # seconds that one question may wait


def numbers_of(gateway: Gateway, *others: CollectorRegistry, more: Callable[[], str] = str) -> Response:
    """The page of metrics: the process's, the gateway's, and those of `others` in this process."""
    return StreamingResponse(pieces(gateway, *others, more=more), media_type=exposition.CONTENT_TYPE)


async def pieces(gateway: Gateway, *others: CollectorRegistry, more: Callable[[], str] = str) -> AsyncIterator[str]:
    """That page, in pieces between which requests go on."""
    process = CollectorRegistry()
    ProcessCollector(registry=process)
    for registry in (process, *others):
        yield generate_latest(registry).decode()
    yield more()
    async for part in metrics.page(gateway):
        yield part


def app(gateway: Gateway, more: Callable[[], str] = str) -> Starlette:
    """`more` is what else belongs on the page of metrics."""

    async def healthz(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(request: Request) -> Response:
        if gateway.ready:
            return PlainTextResponse("ok\n")
        return PlainTextResponse("not ready: routes are not known yet, or the gateway is stopping\n", status_code=503)

    async def numbers(request: Request) -> Response:
        return numbers_of(gateway, more=more)

    async def cold_starts(request: Request) -> Response:
        """`?revision=NAMESPACE/NAME`; without it, of every revision that had any."""
        asked = request.query_params.get("revision")
        if asked is not None:
            namespace, slash, name = asked.partition("/")
            if not slash:
                return JSONResponse({"error": f"revision={asked}: expected NAMESPACE/NAME"}, status_code=400)
            keys = [RevisionKey(namespace, name)]
        else:
            keys = list(gateway.chain.lines) if gateway.chain else []
        found = {str(key): [one.as_json() for one in gateway.cold_starts(key)] for key in keys}
        return JSONResponse({key: starts for key, starts in found.items() if starts or asked})

    async def drained(request: Request) -> Response:
        """`?namespace=N&pod=P&timeout=SECONDS`: answers when a pod is on its way out and nothing is under way on it. Who may ask this
        may only wait: it is the API that says that a pod goes."""
        asked = request.query_params
        namespace, pod, given = asked.get("namespace", ""), asked.get("pod", ""), asked.get("timeout", "30")
        if not namespace or not pod:
            return PlainTextResponse("drained: expected namespace=NAMESPACE and pod=NAME\n", status_code=400)
        if not given.isdecimal() or int(given) > LONGEST_DRAIN:
            return PlainTextResponse(f"timeout={given[:20]}: expected whole seconds, at most {LONGEST_DRAIN}\n", status_code=400)
        if await gateway.drained(namespace, pod, float(given), cordon=False):
            return PlainTextResponse("drained\n")
        return PlainTextResponse(f"after {given} seconds requests still go to {namespace}/{pod}, or are under way on it\n", status_code=503)

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", numbers),
            Route("/cold-starts", cold_starts),
            Route("/drained", drained),
        ]
    )
