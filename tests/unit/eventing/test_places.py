"""Where Brokers and Channels are, on the bus and at the ingress."""

import pytest

from eventing import subjects

URL = "http://ingress:80"
IN_MEMORY = subjects.channel("pipe", "InMemoryChannel")
PLACES = ["default", "events", "channels", "inmemorychannels", subjects.channel("pipe"), subjects.channel("events"), IN_MEMORY]


@pytest.mark.parametrize("place", [*PLACES, "a.b"])
def test_an_address_leads_back_to_its_place(place: str) -> None:
    assert subjects.place_at(URL, subjects.address(URL, "ns", place)) == ("ns", place)


@pytest.mark.parametrize("url", ["http://ingress:8080/ns/b", f"{URL}/ns", f"{URL}/ns/b/events", f"{URL}/ns/b?x=1", f"{URL}/ns/other/b", ""])
def test_no_other_address_leads_to_one(url: str) -> None:
    assert subjects.place_at(URL, url) is None
    assert subjects.place_at("", url) is None


def test_a_channel_shares_no_name_with_any_broker() -> None:
    brokers = [(ns, name) for ns in ("ch", "dlq", "a", "CH") for name in ("a", "channels", "ch", "a-b", "channels-a")]
    channels = [(ns, subjects.channel(name, kind)) for ns, name in brokers for kind in subjects.CHANNELS]
    for name in (subjects.stream, subjects.dead_stream, subjects.events):
        assert not {name(*one) for one in brokers} & {name(*one) for one in channels}
        assert len({name(*one) for one in channels}) == len(channels)
    assert not {subjects.stream(*one) for one in channels} & {subjects.dead_stream(*one) for one in brokers}
