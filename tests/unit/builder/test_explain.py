"""Why a layer was made anew."""

import pytest

from builder.caching.explain import compare

BEFORE = {
    "source": {"handler": "", "files": {"a.py": "1" * 64, "b.py": "2" * 64}},
    "deps": {"python": "3.13.5", "packages": {"idna": "3.10", "requests": "2.31"}},
}


@pytest.mark.parametrize(
    ("now", "said"),
    [
        pytest.param(BEFORE, ["nothing that a layer depends on changed since the last build"], id="nothing"),
        pytest.param(
            {**BEFORE, "source": {"handler": "", "files": {"a.py": "9" * 64, "c.py": "3" * 64}}},
            ["source: files: a.py changed, c.py new, b.py gone"],
            id="files by name and not by hash",
        ),
        pytest.param(
            {**BEFORE, "deps": {"python": "3.13.5", "packages": {"idna": "3.10", "requests": "2.32"}}},
            ["deps: packages: requests (2.31 to 2.32) changed"],
            id="packages by name and version",
        ),
        pytest.param({**BEFORE, "deps": {**BEFORE["deps"], "python": "3.13.6"}}, ["deps: python was 3.13.5, is 3.13.6"], id="a value"),
        pytest.param({"source": BEFORE["source"]}, ["deps: it is not needed any more"], id="a layer that went"),
        pytest.param({**BEFORE, "runtime": {}}, ["runtime: the last build had none"], id="a layer that came"),
    ],
)
def test_it_is_told_by(now: dict[str, dict[str, object]], said: list[str]) -> None:
    assert list(compare(BEFORE, now)) == said


def test_many_names_are_counted() -> None:
    now = {"source": {"handler": "", "files": {f"{n:02}.py": "x" for n in range(12)}}}
    assert "00.py, 01.py, 02.py, 03.py, 04.py and 7 more new" in compare(BEFORE, now)[0]


def test_a_first_build_says_so() -> None:
    assert "no earlier build" in compare(None, BEFORE)[0]
