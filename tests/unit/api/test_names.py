"""Derived names: Knative's, whole or shortened with a hash."""

import pytest

from kfn.api import names

LONG = "a-service-whose-name-is-exactly-as-long-as-a-dns-label-may-be-x"


@pytest.mark.parametrize(
    ("derived", "expected"),
    [
        pytest.param(names.revision("hello", 1), "hello-00001", id="a-short-name-stays-whole"),
        pytest.param(names.revision("a" * 57, 7), "a" * 57 + "-00007", id="a-name-that-just-fits-stays-whole"),
        pytest.param(names.deployment("a" * 53), "a" * 20 + "HASH-deployment", id="one-character-more-is-hashed"),
        pytest.param(names.private_service("a" * 56), "a" * 23 + "HASH-private", id="each-suffix-keeps-its-place"),
    ],
)
def test_a_derived_name_is_the_parents_with_a_suffix(derived: str, expected: str) -> None:
    head, _, tail = expected.partition("HASH")
    assert derived == expected or (derived.startswith(head) and derived.endswith(tail) and len(derived) == names.LABEL_MAX)


def test_the_hash_is_knatives() -> None:
    assert len(LONG) == names.LABEL_MAX
    revision = names.revision(LONG, 1)
    assert revision == "a-service-whose-name-is-e8f184311a9fa6b08c9508ef2b1e0495e-00001"


def test_two_long_names_that_begin_alike_differ() -> None:
    assert names.revision(LONG, 1) != names.revision(LONG[:-1] + "y", 1)
    assert names.deployment(names.revision(LONG, 1)) != names.deployment(names.revision(LONG, 2))
