"""The one error that is told of several."""

from kfn import groups

ONE, OTHER = ValueError("one"), KeyError("other")


class TestTheFirstError:
    def test_of_a_group_is_the_one_that_was_there_first(self) -> None:
        assert groups.first(ExceptionGroup("both", [ONE, OTHER])) is ONE

    def test_lies_under_every_group(self) -> None:
        assert groups.first(BaseExceptionGroup("outer", [ExceptionGroup("inner", [ExceptionGroup("innermost", [ONE])]), OTHER])) is ONE

    def test_may_be_one_that_ends_a_process(self) -> None:
        stopped = KeyboardInterrupt()
        assert groups.first(BaseExceptionGroup("outer", [stopped])) is stopped

    def test_of_what_is_no_group_is_itself(self) -> None:
        assert groups.first(ONE) is ONE
