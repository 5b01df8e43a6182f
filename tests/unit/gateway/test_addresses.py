"""Instances out of EndpointSlices as a cluster's controller writes them: several a Service, in any order, and pods seen earlier."""

from gateway import addresses
from gateway.addresses import Address
from gateway.early import BELIEVED, Early
from kfn.api.core import Endpoint, EndpointPort, EndpointSlice, ObjectReference
from kfn.load import RevisionKey

KEY = RevisionKey("default", "hello-00001")
PORTS = [EndpointPort("http", 8080, "TCP")]


def at(host: str, pod: str, *, ready: bool = True, terminating: bool = False) -> Address:
    return Address(host, 8080, ready=ready, terminating=terminating, pod=pod)


def both_ways(*slices: tuple[Address, ...]) -> dict[tuple[str, int], Address]:
    """In any order it means the same."""
    found = addresses.merged(slices)
    assert addresses.merged(reversed(slices)) == found
    return found


class TestSlices:
    def test_what_is_in_several_slices_is_one_instance(self) -> None:
        assert len(both_ways((at("10.0.0.1", "a"), at("10.0.0.2", "b")), (at("10.0.0.2", "b"), at("10.0.0.3", "c")))) == 3

    def test_a_pod_that_one_slice_calls_terminating_is_so(self) -> None:
        old, new = at("10.0.0.1", "a"), at("10.0.0.1", "a", ready=False, terminating=True)
        assert both_ways((old,), (new,))["10.0.0.1", 8080].terminating

    def test_a_pod_is_ready_as_soon_as_one_slice_says_so(self) -> None:
        assert both_ways((at("10.0.0.1", "a", ready=False),), (at("10.0.0.1", "a"),))["10.0.0.1", 8080].ready

    def test_an_address_that_was_a_pods_on_its_way_out_is_the_next_pods(self) -> None:
        old, new = at("10.0.0.1", "a", ready=False, terminating=True), at("10.0.0.1", "b", ready=False)
        assert both_ways((old,), (new,))["10.0.0.1", 8080].pod == "b"

    def test_a_pod_with_addresses_of_both_families_is_one_instance(self) -> None:
        found = both_ways((at("10.0.0.1", "a"),), (at("fd00::1", "a"), at("fd00::2", "b")))
        assert sorted(found) == [("10.0.0.1", 8080), ("fd00::2", 8080)]

    def test_names_are_no_addresses(self) -> None:
        endpoint = Endpoint(addresses=["pod.example.com"], target_ref=ObjectReference(name="a"))
        assert addresses.of(EndpointSlice(address_type="FQDN", endpoints=[endpoint], ports=PORTS)) == ()

    def test_a_cordoned_pod_gets_nothing_new_whichever_slice_names_it(self) -> None:
        found = addresses.merged([(at("10.0.0.1", "a"),), (at("10.0.0.1", "a"), at("10.0.0.2", "b"))], ["a"])
        assert [address.terminating for address in found.values()] == [True, False]


class TestEarly:
    def setup_method(self) -> None:
        self.now = 0.0
        self.early = Early(lambda: self.now)
        self.early.add(KEY, at("10.0.0.1", "a", ready=False))

    def test_it_is_believed_until_a_slice_names_the_pod(self) -> None:
        self.early.confirm(KEY, (at("10.0.0.2", "b"),))
        assert [address.pod for address in self.early.of(KEY)] == ["a"]
        self.early.confirm(KEY, (at("10.0.0.2", "b"), at("10.0.0.1", "a", ready=False)))
        assert not self.early.of(KEY)

    def test_it_is_taken_back_once(self) -> None:
        assert [self.early.drop(KEY, "a"), self.early.drop(KEY, "a"), self.early.drop(KEY, "b")] == [True, False, False]

    def test_it_is_not_believed_for_ever(self) -> None:
        self.now = BELIEVED - 1
        assert self.early.expired() == []
        self.now = BELIEVED
        assert self.early.expired() == [KEY] and not self.early.of(KEY)
