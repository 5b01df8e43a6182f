"""Removes images that nothing names any more: at the start, and every hour. Every build leaves one; nobody else removes them.

An image added within the last hour stays, because its Service may be about to be written.
"""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import anyio

from builder.errors import BuildError
from builder.store import ImageStore
from kfn.api import kinds
from kfn.api.core import PodSpec
from kfn.kube.client import Client
from kfn.kube.errors import KubeError

log = logging.getLogger(__name__)

PERIOD = 3600.0
YOUNGEST = 3600.0  # seconds since an image was added in which it stays whatever names it
_TEMPLATED: tuple[kinds.Kind[Any], ...] = (kinds.SERVICE, kinds.CONFIGURATION, kinds.DEPLOYMENT)
_PLAIN: tuple[kinds.Kind[Any], ...] = (kinds.REVISION, kinds.POD)


async def run(client: Client, images: Path) -> None:
    """Until cancelled."""
    while True:
        await once(client, ImageStore(images))
        await anyio.sleep(PERIOD)


async def once(client: Client, store: ImageStore, youngest: float = YOUNGEST) -> tuple[str, ...]:
    """What was removed. When it cannot be known what is used, nothing is."""
    try:
        used = await in_use(client)
        gone = await anyio.to_thread.run_sync(store.prune, used, youngest)
    except (KubeError, BuildError, OSError, ValueError, KeyError) as error:
        log.warning("images that nothing uses stay for now: %s", error)
        return ()
    if gone:
        log.info("removed %d images that nothing uses any more", len(gone))
    return gone


async def in_use(client: Client) -> set[str]:
    """Every image that an object names, with or without a digest, as it is written there."""
    specs: list[PodSpec] = []
    for kind in _TEMPLATED:
        specs += [_template(item) for item in (await client.list(kind))[0]]
    for plain in _PLAIN:
        specs += [item.spec for item in (await client.list(plain))[0]]
    return set(_images(specs))


def _template(item: Any) -> PodSpec:
    spec: PodSpec = item.spec.template.spec
    return spec


def _images(specs: Iterable[PodSpec]) -> Iterable[str]:
    return (container.image for spec in specs for container in (*spec.containers, *spec.init_containers))
