"""Which entries of the cache go."""

from pathlib import Path

import pytest

from builder.caching.evict import Entry, plan
from builder.errors import UsageError
from builder.options import parse_size

NOW = 10_000.0


def entry(name: str, size: int, ago: float) -> Entry:
    return Entry("layer", Path(name), size, NOW - ago)


@pytest.mark.parametrize(
    ("entries", "most", "gone"),
    [
        pytest.param([("a", 50, 9000), ("b", 50, 8000)], 100, "", id="nothing while all fits"),
        pytest.param([("new", 50, 2000), ("old", 50, 9000), ("mid", 50, 5000)], 120, "old", id="what was not used for longest first"),
        pytest.param([("a", 10, 9000), ("b", 10, 8000), ("c", 90, 7000)], 100, "a b", id="a tenth more than is needed"),
        pytest.param([("a", 500, 50), ("b", 500, 60)], 100, "", id="nothing that somebody may be using, whatever the size"),
        pytest.param([("a", 500, 5000), ("b", 500, 60)], 100, "a", id="only what nobody may be using"),
        pytest.param([("a", 500, 5000), ("b", 500, 2000)], 0, "a b", id="everything for nothing"),
    ],
)
def test_what_goes_is(entries: list[tuple[str, int, float]], most: int, gone: str) -> None:
    assert " ".join(one.path.name for one in plan([entry(*one) for one in entries], most, NOW, grace=600)) == gone


@pytest.mark.parametrize(("text", "size"), [("5GB", 5 * 10**9), ("500m", 5 * 10**8), ("12", 12), ("1 kb", 1000), ("2T", 2 * 10**12)])
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text, "x") == size


@pytest.mark.parametrize("text", ["", "GB", "-1", "1.5GB", "5 lots"])
def test_what_is_no_size_is_refused_by_name(text: str) -> None:
    with pytest.raises(UsageError, match="KFN_CACHE_BYTES"):
        parse_size(text, "KFN_CACHE_BYTES")
