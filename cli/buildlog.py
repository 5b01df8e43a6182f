"""What a build in a cluster tells while it runs, line by line, until it is over; and what its end means for a command."""

import json
from collections.abc import Callable
from typing import Any

import anyio

from cli.failures import CliError
from kfn.api import build as builds
from kfn.api import conditions, core, kinds
from kfn.api.meta import Condition
from kfn.kube import errors
from kfn.kube.client import Client

LABEL = "kfn.dev/build"
LOOK_AGAIN = 1.0  # seconds, where nothing tells
LAST_LINES = 3.0  # seconds for the rest of the log of a build that is over
OVER_CODES = {"Cancelled": 130, "Timeout": 124, "Superseded": 75, "QueueFull": 75, "NodeLost": 75, "Killed": 75}
Tell = Callable[[dict[str, Any]], None]


def condition(build: builds.Build) -> Condition:
    return conditions.find(build.status.conditions, "Succeeded") or Condition("Succeeded", "Unknown", reason="New")


def over(build: builds.Build) -> bool:
    return condition(build).status != "Unknown"


def failure(build: builds.Build) -> CliError:
    """Why it failed, with the exit code that `kfn build` has for it."""
    found = condition(build)
    code = build.status.exit_code or OVER_CODES.get(found.reason, 1)
    tail = "".join(f"\n  {text}" for text in said(build.status.log_tail)[-5:]) if not found.message else ""
    return CliError(f"build {build.metadata.name}: {found.reason}: {found.message}{tail}", code)


def said(lines: list[str]) -> list[str]:
    """The texts of log lines."""
    found = []
    for line in lines:
        parsed = parse(line)
        if text := parsed.get("msg", ""):
            found.append(f"{parsed.get('phase', '')}: {text}".removeprefix(": "))
    return found


def parse(line: str) -> dict[str, Any]:
    """A line of the runner; what something else wrote is text."""
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"phase": "", "msg": line}


async def follow(client: Client, name: str, namespace: str, tell: Tell, say: Callable[[str], None]) -> builds.Build:
    """Tell every line of the log of every attempt, until the build is over; gives it then."""
    followed: set[str] = set()
    while True:
        build = await client.get(kinds.BUILD, name, namespace)
        if not over(build):
            say(f"{condition(build).reason.lower()}: {condition(build).message}")
        for pod in await pods(client, name, namespace):
            if pod.metadata.uid not in followed and pod.status.phase in ("Running", "Succeeded", "Failed"):
                followed.add(pod.metadata.uid)
                await _pod(client, build, pod, tell)
                break
        else:
            if over(build):
                return build
            await changed(client, build)


async def pods(client: Client, name: str, namespace: str) -> list[core.Pod]:
    """The pods of its attempts, the first first."""
    found = (await client.list(kinds.POD, namespace, labels=f"{LABEL}={name}"))[0]
    return sorted((p for p in found if not _sweeps(p)), key=lambda p: (p.metadata.creation_timestamp, p.metadata.name))


def _sweeps(pod: core.Pod) -> bool:
    return any(ref.kind == "Job" and ref.name.endswith("-sweep") for ref in pod.metadata.owner_references)


async def changed(client: Client, build: builds.Build) -> None:
    """Return at the next change of the build, or soon."""
    meta = build.metadata
    with anyio.move_on_after(LOOK_AGAIN):
        try:
            watch = client.watch(kinds.BUILD, meta.namespace, resource_version=meta.resource_version, fields=f"metadata.name={meta.name}")
            async with watch as events:
                async for event in events:
                    if event.type != "BOOKMARK":
                        return
        except errors.KubeError:
            await anyio.sleep(LOOK_AGAIN)


async def _pod(client: Client, build: builds.Build, pod: core.Pod, tell: Tell) -> None:
    """The log of one pod to its end. A stream that goes on after the build is over is left."""

    async def leave(scope: anyio.CancelScope) -> None:
        there = build
        while not over(there):
            await changed(client, there)
            there = await client.get(kinds.BUILD, build.metadata.name, build.metadata.namespace)
        await anyio.sleep(LAST_LINES)
        scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(leave, tasks.cancel_scope)
        try:
            await printed(client, pod, tell, follow=True)
        except errors.KubeError:
            pass  # it went away while it was read; its build tells how it ended
        tasks.cancel_scope.cancel()


async def printed(client: Client, pod: core.Pod, tell: Tell, *, follow: bool, tail: int | None = None) -> None:
    """Tell the lines of a pod's log."""
    async with client.logs(pod.metadata.name, pod.metadata.namespace, follow=follow, tail=tail) as chunks:
        rest = b""
        async for chunk in chunks:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                tell(parse(line.decode("utf-8", "replace")))
        if rest:
            tell(parse(rest.decode("utf-8", "replace")))
