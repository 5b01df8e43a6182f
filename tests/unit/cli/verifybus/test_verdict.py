"""The verdict of kfn verify-bus on losses made by hand: it must find each kind, and must not cry wolf."""

from collections import Counter
from collections.abc import Iterable

import pytest

from cli.verifybus.verdict import Finding, Flow, Id, Order, Verdict, in_order, judge, parse, stored


def ids(writer: int, *numbers: int) -> set[Id]:
    return {Id(writer, n) for n in numbers}


def all_of(writer: int, count: int = 10) -> set[Id]:
    return ids(writer, *range(count))


def verdict(acknowledged: set[Id], flow: Flow, published: Iterable[Id] = ()) -> tuple[Verdict, Finding]:
    found = judge(acknowledged | set(published), acknowledged, [flow])
    return found, found.findings[0]


@pytest.mark.parametrize(
    ("lost", "kind"),
    [((0, 1, 2), "prefix"), ((4,), "middle"), ((3, 6, 7), "middle"), ((8, 9), "postfix"), (tuple(range(10)), "prefix")],
    ids=["the beginning", "one in the middle", "several in the middle", "the end", "everything"],
)
def test_a_loss_is_found_and_named(lost: tuple[int, ...], kind: str) -> None:
    whole, found = verdict(all_of(0) | all_of(1), Flow("t", Counter(all_of(0) | all_of(1) - ids(1, *lost))))
    assert found.missing == {kind: tuple(Id(1, n) for n in lost)}
    assert (whole.ok, whole.lost, found.delivered) == (False, len(lost), 20 - len(lost))


def test_losses_of_all_kinds_are_told_apart_by_their_own_writer() -> None:
    acknowledged = all_of(0) | all_of(1)
    seen = acknowledged - ids(0, 0, 5, 9) - ids(1, 3)
    _, found = verdict(acknowledged, Flow("t", Counter(seen)))
    assert found.missing == {"prefix": (Id(0, 0),), "middle": (Id(0, 5), Id(1, 3)), "postfix": (Id(0, 9),)}


class TestNoLoss:
    def test_is_said_when_everything_came(self) -> None:
        whole, found = verdict(all_of(0), Flow("t", Counter(all_of(0))))
        assert (whole.ok, found.lost, found.delivered, found.duplicates) == (True, 0, 10, 0)

    def test_is_an_event_that_was_never_acknowledged_and_did_not_come(self) -> None:
        whole, _ = verdict(all_of(0), Flow("t", Counter(all_of(0))), published=ids(0, 10))
        assert whole.ok

    def test_is_an_event_that_came_though_its_acknowledgement_did_not(self) -> None:
        whole, found = verdict(all_of(0), Flow("t", Counter(all_of(0) | ids(0, 10))), published=ids(0, 10))
        assert whole.ok
        assert found.delivered == 10

    def test_is_a_duplicate_but_it_is_counted(self) -> None:
        whole, found = verdict(all_of(0), Flow("t", {**Counter(all_of(0)), Id(0, 3): 3}))
        assert (whole.ok, found.duplicates) == (True, 2)

    def test_is_a_dead_letter_but_one_not_asked_for_is_counted(self) -> None:
        whole, found = verdict(all_of(0), Flow("t", Counter(all_of(0) - ids(0, 3)), dead={Id(0, 3): 1}))
        assert (whole.ok, found.dead, found.given_up) == (True, 1, 1)


class TestDeadLetters:
    marked = ids(0, 3, 6)

    def test_and_delivered_together_are_all_that_was_published(self) -> None:
        whole, found = verdict(all_of(0), Flow("t", Counter(all_of(0) - self.marked), Counter(self.marked), self.marked))
        assert (whole.ok, found.delivered, found.dead, found.given_up) == (True, 8, 2, 0)
        assert found.delivered + found.dead == found.wanted

    def test_that_are_missing_are_a_loss(self) -> None:
        whole, found = verdict(all_of(0), Flow("t", Counter(all_of(0) - self.marked), Counter(ids(0, 3)), self.marked))
        assert (whole.ok, found.missing) == (False, {"middle": (Id(0, 6),)})

    def test_that_were_delivered_instead_are_wrong(self) -> None:
        whole, found = verdict(all_of(0), Flow("t", Counter(all_of(0) - ids(0, 3)), Counter(self.marked), self.marked))
        assert (whole.ok, found.spared, found.lost) == (False, (Id(0, 6),), 0)

    def test_of_events_that_were_seen_too_are_counted(self) -> None:
        whole, found = verdict(all_of(0), Flow("t", Counter(all_of(0)), Counter(ids(0, 5))))
        assert (whole.ok, found.both) == (True, 1)


class TestReplies:
    def test_that_are_missing_are_a_loss(self) -> None:
        whole, found = verdict(all_of(0), Flow("answers", Counter(all_of(0) - ids(0, 4))))
        assert (whole.ok, found.missing) == (False, {"middle": (Id(0, 4),)})

    def test_are_not_missed_where_the_event_itself_became_a_dead_letter(self) -> None:
        whole, found = verdict(all_of(0), Flow("answers", Counter(all_of(0) - ids(0, 4)), excused=ids(0, 4)))
        assert (whole.ok, found.excused) == (True, 1)


def test_an_event_that_nobody_published_is_found() -> None:
    whole, found = verdict(all_of(0), Flow("t", Counter(all_of(0) | ids(3, 1))))
    assert (whole.ok, found.phantoms) == (False, (Id(3, 1),))


def test_one_trigger_with_a_loss_among_several_fails_the_whole() -> None:
    good, bad = Flow("good", Counter(all_of(0))), Flow("bad", Counter(all_of(0) - ids(0, 2)))
    assert not judge(all_of(0), all_of(0), [good, bad]).ok
    assert judge(all_of(0), all_of(0), [good]).ok


class TestTheStream:
    def test_lacks_what_was_acknowledged_and_lost_before_any_delivery(self) -> None:
        missing, twice = stored(all_of(0), {one: [1.0] for one in all_of(0) - ids(0, 4)}, 120)
        assert (missing, twice) == (("w0-4",), ())

    def test_holds_an_event_twice_that_was_not_taken_for_a_duplicate(self) -> None:
        at = {**{one: [1.0] for one in all_of(0)}, Id(0, 4): [300.0, 1.0, 310.0]}
        assert stored(all_of(0), at, 120) == ((), ("w0-4",))

    def test_may_hold_an_event_twice_when_the_dedup_window_was_over(self) -> None:
        at = {**{one: [1.0] for one in all_of(0)}, Id(0, 4): [1.0, 122.0]}
        assert stored(all_of(0), at, 120) == ((), ())

    @pytest.mark.parametrize("which", ["unstored", "twice"])
    def test_fails_the_whole_when_it_is_wrong(self, which: str) -> None:
        assert not Verdict(1, 1, (), **{which: ("w0-4",)}).ok


class TestTheOrder:
    def attempts(self, *numbers: int) -> list[Id]:
        """Of one key."""
        return [Id(0, 3 * number) for number in numbers]

    def test_is_kept_when_only_the_newest_comes_again(self) -> None:
        found = in_order(self.attempts(0, 1, 1, 1, 2, 2, 3), 0)
        assert (found.ok, found.keys, found.repeats) == (True, 1, 3)

    def test_is_one_of_each_key_alone(self) -> None:
        assert in_order([Id(0, 4), Id(0, 3), Id(1, 0), Id(0, 7), Id(0, 6)], 0) == Order(3)

    def test_is_broken_by_one_that_comes_first_after_a_later_one(self) -> None:
        found = in_order(self.attempts(0, 2, 1, 3), 9)
        assert found.swapped == ("w0k0: 3 came after 6",)
        assert not judge(all_of(0), all_of(0), [], found).ok

    def test_is_broken_by_an_older_one_that_comes_again(self) -> None:
        assert in_order(self.attempts(0, 1, 2, 1), 0).stale == ("w0k0: 3 came again after 6",)

    def test_allows_a_crash_of_both_sides_to_bring_the_last_few_again_once(self) -> None:
        assert in_order(self.attempts(0, 1, 2, 1, 2, 3), 1).ok
        assert not in_order(self.attempts(0, 1, 2, 1, 2, 3, 2, 3), 1).ok


@pytest.mark.parametrize("text", ["", "w1", "w1-", "w-1", "x1-2", "1-2", "w1-2-3", "w1-²", "w+1-2"])
def test_an_id_that_is_not_ours_is_none(text: str) -> None:
    assert parse(text) is None


def test_an_id_is_written_as_it_is_read() -> None:
    assert parse(str(Id(3, 17))) == Id(3, 17)
