"""What a start costs: the interpreter's report read, told in a sentence, held against a budget."""

import pytest

from builder.profile import report
from builder.profile.importtime import Import, parse
from builder.profile.report import Profile, budget, decode, encode, over, profile, sentence

PRINTED = """
import time: self [us] | cumulative | imported package
import time:       100 |        100 |     numpy.core
import time:       300 |        400 |   numpy
something the function printed
import time:      2000 |       2400 | pandas
import time:        50 |         50 |     json
import time:        70 |        120 |   helper
import time:        10 |        130 | func
"""
STANDARD = frozenset({"json", "asyncio"})


class TestTheInterpretersReport:
    def test_is_a_tree_with_the_outermost_imports_in_order(self) -> None:
        tree = parse(PRINTED)
        assert [one.name for one in tree] == ["pandas", "func"]
        assert tree[0].children == (Import("numpy", 300, 400, (Import("numpy.core", 100, 100),)),)
        assert [one.name for one in tree[1].walk()] == ["func", "helper", "json"]

    def test_without_its_end_keeps_what_there_is(self) -> None:
        assert [one.name for one in parse("import time:  5 |  5 |     deep\nimport time:  9 |")] == ["deep"]

    def test_of_nothing_is_nothing(self) -> None:
        assert parse("Traceback (most recent call last):\n") == ()


class TestAProfile:
    def made(self) -> Profile:
        tree = (
            Import(
                "func", 1000, 450_000, (Import("pandas", 300_000, 412_000, (Import("numpy", 90_000, 90_000),)), Import("json", 5000, 5000))
            ),
        )
        return profile(80_000, 20_000, tree, frozenset({"func"}), STANDARD)

    def test_counts_a_package_with_all_that_it_imports(self) -> None:
        assert self.made().packages == (("pandas", 412_000), ("json", 5000))
        assert self.made().total == 550_000

    def test_says_which_package_costs_what(self) -> None:
        assert sentence(self.made()) == "pandas is 412 ms of your 550 ms start"

    def test_preloads_what_is_neither_the_sources_own_nor_the_standard_librarys(self) -> None:
        assert self.made().preload == ("pandas",)

    def test_looks_through_the_sources_own_modules(self) -> None:
        tree = (Import("func", 1, 9, (Import("helper", 1, 8, (Import("yaml.nodes", 7, 7),)),)),)
        assert profile(0, 0, tree, frozenset({"func", "helper"}), STANDARD).preload == ("yaml.nodes",)

    def test_over_its_budget_names_the_import_at_fault(self) -> None:
        said = over(self.made(), budget("150ms"))
        assert "takes 550 ms, kfn.coldStart allows 150 ms" in said
        assert "import pandas where it is needed" in said
        assert over(self.made(), budget("1s")) == ""

    def test_with_a_slow_interpreter_blames_no_import(self) -> None:
        assert "the interpreter's own start" in over(Profile(200_000, 1, 1, (("json", 1),), (), ()), 100_000)

    def test_survives_being_written_and_read_but_for_the_smallest_imports(self) -> None:
        made = self.made()
        assert decode(encode(made)).packages == made.packages
        assert decode(encode(made)).preload == made.preload
        small = Profile(0, 0, 1000, (), (), (Import("a", 900, 1000, (Import("b", 100, 100),)),))
        assert decode(encode(small)).tree == (Import("a", 900, 1000),)

    @pytest.mark.parametrize("text", ["", "150", "ms", "-1s", "0ms", "1h", "1e9s"])
    def test_a_budget_that_is_no_time_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="such as 150ms"):
            budget(text)

    def test_of_another_format_is_not_read(self) -> None:
        with pytest.raises(ValueError, match="format"):
            decode({**encode(self.made()), "format": report.FORMAT + 1})
