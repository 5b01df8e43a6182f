"""What a container gets before it starts: here, its port."""

import socket
from pathlib import Path
from typing import Any

from embedded.node.errors import NodeError
from embedded.node.ports import Ports
from embedded.node.prepare import Preparer, Supplies
from embedded.node.settings import Settings
from kfn.api.core import Container, Pod
from kfn.api.meta import ObjectMeta
from kfn.kube.client import Client
from tests.fakes.kube import FakeApi


class NoImages:
    def prepared(self, reference: str) -> None:
        raise NodeError(f"{reference} is not here")


class NoZygotes:
    marker: dict[str, str] = {}  # noqa: RUF012

    def get(self, warmth: object) -> None:
        return None


def preparer(tmp_path: Path) -> Preparer:
    settings = Settings(data=tmp_path, images=tmp_path / "images")
    parts: Any = (settings, Client(FakeApi()), NoImages(), NoZygotes(), Ports("127.0.0.1"), {}, None)
    return Preparer(Supplies(*parts), Pod(metadata=ObjectMeta(name="p", namespace="default", uid="u")), lambda: None)


CONTAINER = Container(name="c", image="none", command=["sleep", "1"])


async def test_a_restart_keeps_the_port(tmp_path: Path) -> None:
    prepare = preparer(tmp_path)
    first = await prepare.start(CONTAINER)
    assert first.launch.env["PORT"] == str(first.port)
    assert (await prepare.start(CONTAINER)).port == first.port


async def test_a_restart_takes_another_port_if_somebody_listens_on_the_first(tmp_path: Path) -> None:
    prepare = preparer(tmp_path)
    first = await prepare.start(CONTAINER)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", first.port))
        sock.listen()
        probe = await prepare.start(CONTAINER, running=True)
        assert probe.port == first.port, "an exec probe beside the running instance is told the instance's port"
        second = await prepare.start(CONTAINER)
    assert second.port != first.port
    assert second.launch.env["PORT"] == str(second.port)
