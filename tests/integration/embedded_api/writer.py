"""A process that writes as fast as it can and prints what was acknowledged, until it is killed: `writer.py STATE_FILE ROUND`."""

import sys
from pathlib import Path

import anyio

from embedded.api.app import open_server
from embedded.api.local import LocalTransport
from kfn.api import kinds
from kfn.kube.client import Client


async def main(path: Path, turn: str) -> None:
    async with open_server(path) as server, anyio.create_task_group() as tasks:
        client = Client(LocalTransport(server))
        for lane in range(4):
            tasks.start_soon(write, client, f"{turn}-{lane}")


async def write(client: Client, lane: str) -> None:
    for i in range(1_000_000):
        name = f"o-{lane}-{i // 10}"
        if i % 10 == 0:
            made = await client.create(kinds.CONFIG_MAP, {"metadata": {"name": name}, "data": {"n": "0"}}, "default")
        else:
            made = await client.patch(kinds.CONFIG_MAP, name, "default", {"data": {"n": str(i % 10)}})
        pod = await client.create(kinds.POD, {"metadata": {"generateName": "p-"}}, "default")
        print(name, made.data["n"], made.metadata.resource_version, pod.metadata.resource_version, flush=True)


anyio.run(main, Path(sys.argv[1]), sys.argv[2])
