"""What the cluster tests wait with, and what they do meanwhile."""

import threading

import pytest

from tests.cluster.shell import Dead, Failed, until, wait_for
from tests.cluster.threads import beside


class Tries:
    """One answer after the other; an error is raised, the last answer stays."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.asked = 0

    def __call__(self) -> object:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class TestUntil:
    def test_it_is_asked_until_it_is_so(self) -> None:
        tries = Tries("", 0, "now")
        until(tries, lambda: "never", every=0)
        assert tries.asked == 3

    def test_what_never_comes_true_is_said_as_it_is_at_the_end(self) -> None:
        tries = Tries(False)
        with pytest.raises(Failed, match=r"^asked [1-9]"):
            until(tries, lambda: f"asked {tries.asked} times", within=0, every=0)

    def test_an_error_ends_it(self) -> None:
        with pytest.raises(KeyError):
            until(Tries(False, KeyError("gone"), True), lambda: "never", every=0)


class TestWaitFor:
    def test_errors_at_first_are_waited_out(self) -> None:
        tries = Tries(OSError("refused"), False, True)
        wait_for("the server", tries, 60, every=0)
        assert tries.asked == 3

    def test_the_last_error_is_said_if_it_never_comes_true(self) -> None:
        with pytest.raises(Failed, match=r"^the server: not within 0 s: refused$"):
            wait_for("the server", Tries(OSError("refused")), 0, every=0)

    def test_what_has_ended_is_not_waited_for(self) -> None:
        with pytest.raises(Dead, match="exit code 1"):
            wait_for("the server", Tries(Dead("exit code 1"), True), 60, every=0)


class TestBeside:
    def test_all_go_on_while_the_block_runs_and_have_ended_after_it(self) -> None:
        over, going, ended = threading.Event(), threading.Barrier(3), []

        def work() -> None:
            going.wait(60)
            over.wait(60)
            ended.append(over.is_set())

        with beside(over, work, work):
            going.wait(60)
            assert not ended
        assert ended == [True, True]

    def test_they_end_with_a_block_that_fails(self) -> None:
        over, ended = threading.Event(), []
        with pytest.raises(OSError, match="the test"), beside(over, lambda: ended.append(over.wait(60))):
            raise OSError("the test")
        assert ended == [True]

    def test_one_that_does_not_end_is_waited_for_so_long_and_no_longer(self) -> None:
        last = threading.Event()
        with beside(threading.Event(), lambda: last.wait(60), within=0.01):
            pass
        last.set()
