"""What a process looks for at its start: an API server that answers, lets it in, and has kfn's resources installed.

One that is away is waited for, however long: on a cluster that starts, everything starts at once. What will not mend itself ends the
process with what to do.
"""

import logging
import random
from collections.abc import Sequence
from typing import Any

import anyio

from cli.process.health import Health
from kfn.api.kinds import Kind
from kfn.kube import errors
from kfn.kube.client import Client

log = logging.getLogger(__name__)

PATIENCE = 15.0  # seconds for refusals and missing resources: roles and definitions may be applied in the same moment
MOST = 5.0  # seconds between two tries


class StartFailed(Exception):
    """The process cannot do its work here; the message says why and what to do."""


async def met(client: Client, kinds: Sequence[Kind[Any]], health: Health) -> None:
    """Return when all is there. Raises StartFailed."""
    pause, refused, said = 0.1, 0.0, ""
    while True:
        health.waiting = why = await _lacks(client, kinds)
        if not why:
            health.waiting = "it is starting"
            return
        if why != said:
            log.warning("waiting: %s", why)
            said = why
        if isinstance(why, _Lasting):
            refused = refused or anyio.current_time()
            if anyio.current_time() - refused >= why.patience:
                raise StartFailed(str(why))
        else:
            refused = 0.0
        await anyio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - so that replicas do not all come at once
        pause = min(pause * 2, MOST)


class _Lasting(str):
    """A reason that time alone seldom mends."""

    patience = PATIENCE


class _Final(_Lasting):
    patience = 0.0


async def _lacks(client: Client, kinds: Sequence[Kind[Any]]) -> str:
    missing: list[str] = []
    try:
        for group_version in dict.fromkeys(kind.api_version for kind in kinds):
            there = await _resources(client, group_version)
            missing += [kind.qualified for kind in kinds if kind.api_version == group_version and kind.plural not in there]
    except errors.Unreachable as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return _Final(f"{error}. The certificate authority of the kubeconfig (--kubeconfig, $KUBECONFIG) is another cluster's")
        return str(error)
    except errors.Forbidden as error:
        return _Lasting(f"the API server does not let this process in: {error}. Are the credentials still good, and is its role bound?")
    except errors.ApiError as error:
        return f"the API server answers {error.code}: {error}"
    if missing:
        return _Lasting(f"this cluster has no {', '.join(missing)}: `kfn install` installs kfn's resources")
    return ""


async def _resources(client: Client, group_version: str) -> set[str]:
    path = f"/apis/{group_version}" if "/" in group_version else f"/api/{group_version}"
    answer = await client.transport.request("GET", path)
    if answer.status == 404:
        return set()
    if answer.status >= 400:
        raise errors.from_status(answer.status, answer.body)
    return {str(one.get("name")) for one in (answer.body or {}).get("resources") or []}
