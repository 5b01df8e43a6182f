"""The webhook's pages over HTTP. What is answered is `review`'s; certificates are the keeper's."""

import logging
import time
from collections.abc import Callable
from functools import partial

import anyio
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from controller.webhook import configuration, review
from controller.webhook.settings import Settings
from kfn.api.sinkbinding import SinkBinding

log = logging.getLogger(__name__)

Judge = Callable[[bytes], review.Verdict]
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0)


class TooLarge(Exception):
    """The body is larger than a review can be."""


class Metrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.reviews = Counter(
            "kfn_webhook_reviews", "Reviews answered.", ("path", "kind", "operation", "allowed"), registry=registry
        )  # fmt: skip
        self.refused = Counter("kfn_webhook_bad_requests", "Requests that were no reviews.", ("why",), registry=registry)
        self.seconds = Histogram("kfn_webhook_review_seconds", "From the whole request to the answer.", buckets=_SECONDS, registry=registry)


def app(settings: Settings, metrics: Metrics, bindings: Callable[[str], list[SinkBinding]] = lambda namespace: []) -> Starlette:
    """`bindings` has the SinkBindings of a namespace."""
    turns = anyio.Semaphore(settings.at_once)

    def page(path: str, judge: Judge) -> Route:
        async def asked(request: Request) -> Response:
            async with turns:
                return await _answered(request, settings, metrics, path, judge)

        return Route(path, asked, methods=["POST"])

    return Starlette(
        routes=[
            page(configuration.DEFAULT, partial(review.answer, patch=True)),
            page(configuration.VALIDATE, partial(review.answer, patch=False)),
            page(configuration.BIND, partial(review.bound, bindings=bindings)),
        ]
    )


async def _answered(request: Request, settings: Settings, metrics: Metrics, path: str, judge: Judge) -> Response:
    if not request.headers.get("content-type", "").startswith("application/json"):
        return _no(metrics, 415, "type", "an AdmissionReview comes as application/json")
    try:
        with anyio.fail_after(settings.read_timeout):
            body = await _body(request, settings.body_limit)
    except TooLarge:
        return _no(metrics, 413, "size", f"the review is larger than {settings.body_limit} bytes")
    except TimeoutError:
        return _no(metrics, 408, "slow", f"the review did not come within {settings.read_timeout:g} s")
    except ClientDisconnect:
        return _no(metrics, 400, "gone", "the client went away")
    began = time.perf_counter()
    try:
        verdict = judge(body)
    except review.BadReview as error:
        return _no(metrics, 400, "form", str(error))
    content = verdict.encode()
    metrics.seconds.observe(time.perf_counter() - began)
    metrics.reviews.labels(path, verdict.kind, verdict.operation, str(verdict.allowed).lower()).inc()
    if not verdict.allowed:
        log.info("refused %s: %s", verdict.operation, verdict.response["status"]["message"][:2000])
    return Response(content, media_type="application/json")


async def _body(request: Request, limit: int) -> bytes:
    if int(request.headers.get("content-length") or 0) > limit:
        raise TooLarge
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise TooLarge
        parts.append(part)
    return b"".join(parts)


def _no(metrics: Metrics, code: int, why: str, said: str) -> Response:
    metrics.refused.labels(why).inc()
    return PlainTextResponse(f"{said}\n", code)
