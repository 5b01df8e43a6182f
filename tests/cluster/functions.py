"""Functions of tests that scale: one that says who served and how many were inside at once, and what is asked of it and of its pods."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio

from tests.cluster.platform import Platform, a_service

WORKER = """
import asyncio, os
inside = peak = 0

async def handle(request):
    global inside, peak
    inside += 1
    peak = max(peak, inside)
    try:
        await asyncio.sleep(float(request.query.get("s", "0")))
    finally:
        inside -= 1
    return {"pod": os.environ["HOSTNAME"], "peak": peak}
"""
PATIENCE = 120.0  # seconds for what takes one to ten


@dataclass
class Answer:
    status: int
    said: dict[str, Any]


@dataclass
class Function:
    """One function of a test, and the gateway's address."""

    platform: Platform
    name: str
    host: str
    address: tuple[str, int]

    async def ask(self, seconds: float = 0.0, *, method: str = "GET", at: tuple[str, int] | None = None) -> Answer:
        """A request on a connection of its own, at one gateway or at any; everything but a whole answer raises."""
        with anyio.fail_after(PATIENCE):
            reader, writer = await asyncio.open_connection(*(at or self.address))
            try:
                head = f"{method} /?s={seconds:g} HTTP/1.1\r\nHost: {self.host}\r\nConnection: close\r\n"
                writer.write(
                    f"{head}{'Content-Length: 2' if method == 'POST' else 'X: y'}\r\n\r\n{'hi' if method == 'POST' else ''}".encode()
                )
                whole = await reader.read()
            finally:
                writer.close()
        head_, _, body = whole.partition(b"\r\n\r\n")
        assert head_.startswith(b"HTTP/1.1 "), f"{len(whole)} bytes, no answer: {whole[:200]!r}"
        status = int(head_[9:12])
        assert status == 200, f"{status}: {body[:500].decode(errors='replace')}"
        return Answer(status, json.loads(body))

    async def pods(self) -> dict[str, dict[str, Any]]:
        """By name; without those on their way out."""
        text = await anyio.to_thread.run_sync(
            lambda: self.platform.kubectl("get", "pods", "-l", f"serving.knative.dev/service={self.name}", "-o", "json")
        )
        return {pod["metadata"]["name"]: pod for pod in json.loads(text)["items"] if "deletionTimestamp" not in pod["metadata"]}

    async def until(self, holds: Callable[[dict[str, dict[str, Any]]], object], what: str) -> dict[str, dict[str, Any]]:
        pods: dict[str, dict[str, Any]] = {}
        try:
            with anyio.fail_after(PATIENCE):
                while not holds(pods := await self.pods()):
                    await anyio.sleep(0.2)
        except TimeoutError:
            raise AssertionError(f"{what}: not in {PATIENCE:g} s; the pods are {sorted(pods)}") from None
        return pods


def are_ready(count: int) -> Callable[[dict[str, dict[str, Any]]], bool]:
    def holds(pods: dict[str, dict[str, Any]]) -> bool:
        conditions = (condition for pod in pods.values() for condition in pod["status"].get("conditions", []))
        return len(pods) == count == sum(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    return holds


@asynccontextmanager
async def function(
    platform: Platform, name: str, *, concurrency: int = 0, window: str = "6s", **annotations: str
) -> AsyncIterator[Function]:
    """It is there and has been ready."""
    notes = {"window": window, **{key.replace("_", "-"): value for key, value in annotations.items()}}
    image = await anyio.to_thread.run_sync(lambda: platform.image(WORKER, "worker"))
    manifest = a_service(name, image, annotations={f"autoscaling.knative.dev/{key}": value for key, value in notes.items()})
    manifest["spec"]["template"]["spec"] |= {"containerConcurrency": concurrency, "timeoutSeconds": 60}
    await anyio.to_thread.run_sync(lambda: platform.apply(manifest))
    try:
        ready = await anyio.to_thread.run_sync(lambda: platform.ready(name))
        yield Function(platform, name, ready["status"]["url"].partition("://")[2], platform.gateway)
    finally:
        platform.delete("ksvc", name)
