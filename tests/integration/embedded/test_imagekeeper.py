"""Images that nothing names go, on a real store and a real API server; those that anything names stay."""

import os
from pathlib import Path

from builder.store import ImageStore
from embedded import imagekeeper
from embedded.api.app import open_server
from embedded.api.local import LocalTransport
from kfn.api import kinds
from kfn.kube.client import Client
from kfn.kube.errors import KubeError
from tests.integration.builder.test_store import add


def pod(image: str) -> dict[str, object]:
    return {"containers": [{"name": "c", "image": image}]}


async def test_whatever_kind_names_an_image_it_stays(tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "images")
    images = {
        name: add(store, name.encode() * 100, f"kfn.local/default/{name}").reference for name in ("ksvc", "deployment", "pod", "nobody")
    }
    for reference in images.values():
        os.utime(store.blob_path(reference.partition("@")[2]), (1, 1))
    async with open_server(tmp_path / "state.db") as server:
        client = Client(LocalTransport(server))
        await client.create(
            kinds.SERVICE,
            {"metadata": {"name": "s"}, "spec": {"template": {"spec": {"containers": [{"image": images["ksvc"]}]}}}},
            "default",
        )
        await client.create(
            kinds.DEPLOYMENT, {"metadata": {"name": "d"}, "spec": {"template": {"spec": pod(images["deployment"])}}}, "default"
        )
        await client.create(kinds.POD, {"metadata": {"name": "p"}, "spec": pod(images["pod"])}, "default")
        assert await imagekeeper.once(client, store) == (images["nobody"],)
        assert set(store.references()) == set(images.values()) - {images["nobody"]}


async def test_when_the_objects_cannot_be_read_every_image_stays(tmp_path: Path) -> None:
    class Deaf:
        async def list(self, kind: object) -> None:
            raise KubeError("no answer")

    store = ImageStore(tmp_path / "images")
    os.utime(store.blob_path(add(store, b"one").digest), (1, 1))
    assert await imagekeeper.once(Deaf(), store) == ()  # type: ignore[arg-type]
    assert len(store.references()) == 1


async def test_a_damaged_index_removes_nothing(tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "images")
    image = add(store, b"one")
    (tmp_path / "images/index.json").write_text("{")
    async with open_server(tmp_path / "state.db") as server:
        assert await imagekeeper.once(Client(LocalTransport(server)), store, 0) == ()
    assert store.has(image.digest)
