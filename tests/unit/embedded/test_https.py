"""The platform's own certificate covers the names that functions have."""

from pathlib import Path

import anyio
from cryptography import x509

from embedded.https import OwnCertificate
from kfn.api import kinds
from kfn.api.meta import ObjectMeta
from kfn.api.serving import Route, RouteStatus
from kfn.kube.client import Client
from tests.fakes.kube import FakeApi


def _names(files: tuple[str, str]) -> set[str]:
    certificate = x509.load_pem_x509_certificate(Path(files[0]).read_bytes())
    return set(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName))


async def test_a_namespace_or_a_host_that_is_new_makes_a_new_certificate_once(tmp_path: Path) -> None:
    api = FakeApi()
    own = OwnCertificate(tmp_path, "0.0.0.0", Client(api))
    assert _names(own.files()) == {"localhost", "*.default.localhost"}
    changes: list[set[str]] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(own.run, lambda: changes.append(_names(own.files())))
        await anyio.sleep(1)
        api.put(kinds.ROUTE, Route(metadata=ObjectMeta(name="a", namespace="default")))
        await anyio.sleep(1)
        assert changes == []
        for _ in range(2):
            api.put(kinds.ROUTE, Route(metadata=ObjectMeta(name="b", namespace="team")))
            await anyio.sleep(1)
        status = RouteStatus(annotations={"kfn.dev/hosts": "shop.example.com,*.shop.example.com"})
        api.put(kinds.ROUTE, Route(metadata=ObjectMeta(name="c", namespace="default"), status=status))
        await anyio.sleep(1)
        tasks.cancel_scope.cancel()
    default = {"localhost", "*.default.localhost", "*.team.localhost"}
    assert changes == [default, default | {"shop.example.com", "*.shop.example.com"}]


async def test_a_restart_keeps_the_authority_and_a_certificate_that_is_good(tmp_path: Path) -> None:
    first = OwnCertificate(tmp_path, "127.0.0.1", Client(FakeApi())).files()
    before = (tmp_path / "ca.crt").read_bytes(), Path(first[0]).read_bytes()
    assert OwnCertificate(tmp_path, "127.0.0.1", Client(FakeApi())).files() == first
    assert ((tmp_path / "ca.crt").read_bytes(), Path(first[0]).read_bytes()) == before
    OwnCertificate(tmp_path, "gateway.test", Client(FakeApi())).files()
    assert "gateway.test" in _names(first)
    assert (tmp_path / "ca.crt").read_bytes() == before[0]
