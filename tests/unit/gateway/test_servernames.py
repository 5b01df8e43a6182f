"""Which certificate a client is shown for the name that it asks for."""

import pytest

from gateway.tls import servernames

ENTRIES = [
    (("hello.example.com",), "exact"),
    (("*.example.com", "example.com"), "wildcard"),
    (("*.EXAMPLE.com", "*.deep.example.com"), "second"),
]


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        pytest.param("hello.example.com", "exact", id="the-exact-name-goes-before-a-wildcard"),
        pytest.param("HELLO.example.COM", "exact", id="letters-case-does-not-matter"),
        pytest.param("hello.example.com.", "exact", id="nor-a-dot-at-the-end"),
        pytest.param("other.example.com", "wildcard", id="a-star-stands-for-one-label-and-the-first-entry-counts"),
        pytest.param("example.com", "wildcard", id="a-name-of-its-own-beside-the-wildcard"),
        pytest.param("a.deep.example.com", "second", id="a-deeper-wildcard"),
        pytest.param("a.b.example.com", "default", id="a-star-never-stands-for-two-labels"),
        pytest.param(".example.com", "default", id="nor-for-none"),
        pytest.param("elsewhere.test", "default", id="an-unknown-name-gets-the-default"),
        pytest.param("", "default", id="an-empty-name-gets-the-default"),
        pytest.param(None, "default", id="no-name-gets-the-default"),
    ],
)
def test_a_client_is_shown_the_best_certificate(asked: str | None, shown: str) -> None:
    assert servernames.build(ENTRIES, "default").find(asked) == shown


def test_without_a_default_unknown_names_get_nothing() -> None:
    names = servernames.build(ENTRIES, None)
    assert (names.find("elsewhere.test"), names.find(None)) == (None, None)
