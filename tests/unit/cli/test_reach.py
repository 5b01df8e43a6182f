"""Where a request for a function goes in, from this machine."""

from dataclasses import replace

import pytest

from cli import reach
from cli.failures import CliError
from cli.session import Session
from kfn.api import core
from kfn.kube.config import Config

EMBEDDED = Session(Config("https://127.0.0.1:1"), "default", {"gateway": "http://127.0.0.1:8080", "gateway_local": "http://127.0.0.1:9000"})
CLUSTER = replace(EMBEDDED, facts=None)
URL = "http://greet.default.example.com"


def published(**spec: object) -> core.Service:
    ports = [core.ServicePort(name="https", port=443, node_port=30443), core.ServicePort(name="http", port=80, node_port=30080)]
    return core.Service(spec=core.ServiceSpec(ports=ports), status=spec)


class TestAnEmbeddedPlatform:
    def test_takes_requests_at_its_gateway_whatever_the_name(self) -> None:
        there = reach.endpoint(EMBEDDED, "http://greet.default.localhost:8080")
        assert (there.address, there.port, there.host) == ("127.0.0.1", 8080, "greet.default.localhost:8080")

    def test_has_a_port_of_its_own_for_names_inside(self) -> None:
        assert reach.endpoint(EMBEDDED, "http://greet.default.svc.cluster.local").port == 9000


class TestTheGatewayThatIsGiven:
    @pytest.mark.parametrize(
        ("given", "url", "address", "port"),
        [
            ("10.0.0.1", URL, "10.0.0.1", 80),
            ("10.0.0.1:31080", URL, "10.0.0.1", 31080),
            ("[::1]:81", URL, "::1", 81),
            ("gate", URL.replace("http:", "https:"), "gate", 443),
        ],
    )
    def test_is_connected_to_and_the_name_goes_in_the_host_header(self, given: str, url: str, address: str, port: int) -> None:
        there = reach.endpoint(CLUSTER, url, given)
        assert (there.address, there.port, there.host) == (address, port, "greet.default.example.com")

    @pytest.mark.parametrize("given", [":80", "host:port", "http://host", "host/path", "user@host", "host:99999"])
    def test_is_refused_where_it_is_none(self, given: str) -> None:
        with pytest.raises(CliError, match="is not HOST or HOST:PORT"):
            reach.endpoint(CLUSTER, URL, given)


class TestWhatKubernetesPublishes:
    def test_a_load_balancer_is_its_address_and_the_services_port(self) -> None:
        assert reach.balanced(published(loadBalancer={"ingress": [{"ip": "192.0.2.7"}]})) == ("192.0.2.7", 80)
        assert reach.balanced(published(loadBalancer={"ingress": [{"hostname": "lb.test"}]})) == ("lb.test", 80)

    def test_one_that_is_still_pending_is_none(self) -> None:
        assert reach.balanced(published(loadBalancer={})) is None
        assert reach.balanced(published()) is None

    def test_a_node_port_is_that_of_plain_http(self) -> None:
        assert reach.node_port(published()) == 30080

    def test_https_goes_by_its_name_because_the_certificate_is_for_it(self) -> None:
        there = reach.endpoint(CLUSTER, "https://greet.default.example.com")
        assert (there.address, there.port, there.known) == ("greet.default.example.com", 443, False)
