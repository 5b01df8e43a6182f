"""The keeper's ledger, word by word: who gets which slot, who must give back, and what counts when a session ends."""

from collections.abc import Sequence

import pytest

from gateway.slots.ledger import PATIENCE, SPREAD, Ledger, Refused
from gateway.slots.wire import Frame, Give, Grant, Have, Recall, See, Void, Want

REV = "default/hello-00001"
TTL = 2.0


class Book:
    """A ledger in which gateways 1, 2, ... are heard at `now`."""

    def __init__(self, *, limit: int = 1, instances: Sequence[str] = ("a:1",), gateways: int = 2, opens: float = 0.0) -> None:
        self.ledger = Ledger(TTL, opens)
        self.now = 0.0
        self.limit = limit
        self.instances = tuple(instances)
        self.seen = dict.fromkeys(range(1, gateways + 1), 0)
        for number in self.seen:
            self.joins(number)

    def joins(self, number: int, *held: Have, name: str = "") -> None:
        self.seen[number] = 0
        self.ledger.hello(number, name or f"g{number}", self.now)
        for have in held:
            self.ledger.have(number, have)
        self.ledger.ready(number)
        self.sees(number, *self.instances)

    def sees(self, number: int, *instances: str, limit: int = 0, longest: float = 300.0) -> None:
        self.ledger.see(number, See(REV, limit or self.limit, longest, instances))

    def wants(self, number: int, waiting: int, *, seen: int | None = None, served: int = 0) -> list[tuple[int, Frame]]:
        self.ledger.want(number, Want(REV, waiting, self.seen[number] if seen is None else seen, served), self.now)
        return self.told()

    def gives(self, number: int, slots: int = 1, instance: str = "a:1") -> list[tuple[int, Frame]]:
        self.ledger.give(number, Give(REV, instance, slots))
        return self.told()

    def told(self) -> list[tuple[int, Frame]]:
        """What is said, to gateways that hear it at once."""
        told = self.ledger.decide(self.now)
        for number, frame in told:
            if isinstance(frame, Grant):
                self.seen[number] += sum(frame.slots.values())
        return told

    def later(self, seconds: float, *, silent: Sequence[int] = ()) -> list[int]:
        self.now += seconds
        for number in list(self.ledger.sessions):
            if number not in silent and not self.ledger.sessions[number].gone:
                self.ledger.heard(number, self.now)
        return self.ledger.tick(self.now)

    @property
    def out(self) -> dict[str, int]:
        return self.ledger.books[REV].out if REV in self.ledger.books else {}


def grant(number: int, **slots: int) -> tuple[int, Frame]:
    return number, Grant(REV, {name.replace("_", ":"): n for name, n in slots.items()})


def recall(number: int, slots: int) -> tuple[int, Frame]:
    return number, Recall(REV, slots)


class TestGranting:
    def test_a_want_is_granted_at_once_where_there_is_a_slot(self) -> None:
        assert Book().wants(1, 1) == [grant(1, a_1=1)]

    def test_no_more_are_out_than_the_limit(self) -> None:
        assert Book(limit=3).wants(1, 7) == [grant(1, a_1=3)]

    def test_what_is_on_its_way_is_not_granted_twice(self) -> None:
        book = Book(limit=3)
        book.wants(1, 1)
        assert book.wants(1, 1, seen=0) == []

    def test_a_slot_that_comes_back_goes_to_who_waited_longest(self) -> None:
        book = Book(gateways=3)
        book.wants(1, 1)
        book.wants(3, 1)
        book.wants(2, 1)
        assert grant(3, a_1=1) in book.gives(1)

    def test_many_wants_spread_over_instances(self) -> None:
        assert Book(limit=10, gateways=20, instances=["a:1", "b:1"]).wants(1, 4) == [grant(1, a_1=2, b_1=2)]

    def test_for_small_limits_it_is_the_first_free(self) -> None:
        book = Book(limit=2, instances=["a:1", "b:1", "c:1"])
        told = [book.wants(number, 1) for number in (1, 2, 1)]
        assert told == [[grant(1, a_1=1)], [grant(2, a_1=1)], [grant(1, b_1=1)]]

    def test_nothing_is_granted_of_an_instance_that_the_gateway_does_not_see(self) -> None:
        book = Book(instances=["a:1", "b:1"])
        book.sees(1, "b:1")
        assert book.wants(1, 2) == [grant(1, b_1=1)]

    def test_who_sees_no_free_instance_holds_up_nobody(self) -> None:
        book = Book(gateways=3, instances=["a:1", "b:1"])
        book.sees(1, "a:1")
        book.sees(2, "a:1")
        book.wants(1, 1)
        book.wants(2, 1)
        assert grant(3, b_1=1) in book.wants(3, 1)

    def test_a_large_limit_comes_with_a_reserve_on_several_instances(self) -> None:
        assert Book(limit=100, instances=["a:1", "b:1"]).wants(1, 1) == [grant(1, a_1=12, b_1=12)]

    def test_a_reserve_is_bounded_in_instances(self) -> None:
        told = Book(limit=100, instances=[f"a:{port}" for port in range(1000)]).wants(1, 1)
        assert isinstance(told[0][1], Grant) and len(told[0][1].slots) <= SPREAD + 1

    def test_there_is_no_reserve_while_somebody_waits(self) -> None:
        book = Book(limit=100, gateways=3)
        book.wants(1, 60)
        book.wants(2, 60)
        assert book.gives(1, 10) == [grant(2, a_1=10)]

    def test_an_instance_that_comes_serves_who_waits(self) -> None:
        book = Book()
        book.wants(1, 2)
        book.sees(1, "a:1", "b:1")
        assert grant(1, b_1=1) in book.told()

    def test_an_instance_that_goes_is_given_to_nobody(self) -> None:
        book = Book()
        book.sees(1)
        book.sees(2)
        assert book.wants(1, 1) == []


class TestRecalling:
    def test_who_holds_a_slot_that_another_wants_gives_it_back(self) -> None:
        book = Book()
        book.wants(1, 1)
        assert book.wants(2, 1) == [recall(1, 1)]

    def test_it_is_asked_for_once(self) -> None:
        book = Book()
        book.wants(1, 1)
        book.wants(2, 1)
        assert book.wants(2, 2) == []

    def test_a_client_that_leaves_settles_it(self) -> None:
        book = Book()
        book.wants(1, 1)
        book.wants(2, 1)
        assert book.wants(2, 0) == [recall(1, 0)]

    def test_nobody_gives_back_while_each_waits_for_as_many_as_it_holds(self) -> None:
        book = Book(limit=2, instances=["a:1", "b:1"])
        book.wants(1, 2)
        book.wants(2, 2)
        assert book.wants(1, 2) == [recall(2, 2)], "2 has no use for them"
        assert book.wants(2, 2) == [recall(2, 0)], "now it has"

    def test_older_wants_keep_the_slots_where_they_are(self) -> None:
        book = Book()
        book.wants(1, 1)
        book.wants(1, 5)
        assert book.wants(2, 1) == []
        book.wants(1, 1, served=4)
        assert book.wants(1, 0, served=5) == [recall(1, 1)]

    def test_wants_served_where_they_wait_were_the_oldest_and_those_that_left_the_newest(self) -> None:
        book = Book(gateways=3)
        book.wants(3, 1)
        book.wants(1, 1)
        book.wants(2, 1)
        book.wants(1, 2)
        book.wants(1, 1)  # the newer one left
        assert grant(1, a_1=1) in book.gives(3)

    def test_who_makes_no_progress_gets_the_next_slot_of_anybody(self) -> None:
        book = Book(instances=["a:1", "b:1"])
        book.wants(1, 1)
        book.wants(2, 1)
        book.wants(1, 1)
        assert book.wants(2, 4) == [recall(2, 0)], "each holds one, and the first two wants are one of each"
        book.later(PATIENCE)
        assert book.told() == [recall(2, 1)], "what 1 holds may take for ever"

    def test_who_sees_nothing_takes_nothing(self) -> None:
        book = Book()
        book.wants(1, 1)
        book.sees(2)
        assert book.wants(2, 1) == []


class TestSessionsThatEnd:
    def test_slots_of_a_connection_that_broke_are_out_for_the_ttl(self) -> None:
        book = Book()
        book.wants(1, 1)
        book.ledger.lost(1, book.now)
        assert book.wants(2, 1) == []
        book.later(TTL - 0.1)
        assert book.told() == []
        book.later(0.1)
        assert book.told() == [grant(2, a_1=1)]

    def test_a_gateway_that_connects_again_has_what_it_says(self) -> None:
        book = Book(limit=2)
        book.wants(1, 2)
        book.ledger.lost(1, book.now)
        book.joins(3, Have(REV, "a:1", 1), name="g1")
        assert book.wants(2, 2) == [grant(2, a_1=1), recall(3, 1)]

    def test_a_gateway_that_connects_before_its_old_connection_broke_counts_once(self) -> None:
        book = Book()
        book.wants(1, 1)
        assert book.ledger.hello(3, "g1", book.now) == [1]
        book.ledger.have(3, Have(REV, "a:1", 1))
        assert book.wants(2, 1) == [recall(3, 1)], "and nothing is void: the old session's is not counted out yet"
        book.ledger.ready(3)
        assert book.told() == []
        assert book.out == {"a:1": 1}

    def test_wants_of_a_session_that_ended_are_gone(self) -> None:
        book = Book(gateways=3)
        book.wants(3, 1)
        book.wants(1, 1)
        book.wants(2, 1)
        book.ledger.lost(1, book.now)
        assert book.gives(3) == [grant(2, a_1=1)]

    def test_a_silent_gateway_gets_nothing(self) -> None:
        book = Book(gateways=3)
        book.wants(3, 1)
        book.wants(1, 1)
        book.wants(2, 1)
        book.later(TTL + 0.1, silent=[1])
        assert book.gives(3) == [grant(2, a_1=1)]

    def test_and_is_served_again_when_it_speaks(self) -> None:
        book = Book(gateways=2)
        book.sees(1, "a:1", "b:1")
        book.wants(1, 2)
        book.wants(2, 1)
        book.wants(1, 1)
        book.later(TTL + 0.1, silent=[1])
        book.ledger.lost(2, book.now)
        book.sees(1, "a:1", "b:1", "c:1")
        assert not any(isinstance(frame, Grant) for _, frame in book.told())
        book.ledger.heard(1, book.now)
        assert book.told() == [grant(1, c_1=1)]

    def test_a_silent_gateways_slots_are_out_for_as_long_as_a_request_may_last(self) -> None:
        book = Book()
        book.sees(1, "a:1", longest=60)
        book.sees(2, "a:1", longest=60)
        book.wants(1, 1)
        book.wants(2, 1)
        assert book.later(59.0, silent=[1]) == []
        assert book.told() == []
        assert book.later(1.0, silent=[1]) == [1], "to be closed"
        book.later(0.0)
        assert book.told() == [grant(2, a_1=1)]

    def test_a_silent_gateway_that_holds_nothing_is_closed_after_the_ttl(self) -> None:
        book = Book()
        assert book.later(TTL + 0.1, silent=[1]) == [1]

    def test_nothing_is_left_of_sessions_and_revisions_that_are_over(self) -> None:
        book = Book()
        book.wants(1, 1)
        book.gives(1)
        for number in (1, 2):
            book.ledger.lost(number, book.now)
        assert not book.ledger.sessions and not book.ledger.books

    def test_a_revision_that_nobody_sees_any_more_is_forgotten_but_not_its_counts(self) -> None:
        book = Book(gateways=1)
        book.wants(1, 1)
        book.sees(1)
        book.gives(1)
        assert not book.ledger.books
        book.sees(1, "a:1")
        assert book.wants(1, 1) == [grant(1, a_1=1)], "it has seen one grant before, and says so"


class TestANewKeeper:
    def test_it_grants_nothing_before_it_opens_and_all_that_is_free_then(self) -> None:
        book = Book(opens=TTL)
        book.wants(1, 1)
        assert book.told() == []
        book.later(TTL)
        assert book.told() == [grant(1, a_1=1)]

    def test_what_gateways_have_is_out(self) -> None:
        book = Book(gateways=1, opens=TTL)
        book.joins(2, Have(REV, "a:1", 1))
        book.wants(1, 1)
        book.later(TTL)
        assert book.told() == [recall(2, 1)]

    def test_what_is_more_than_the_limit_is_taken_back(self) -> None:
        book = Book(limit=2, gateways=0)
        book.joins(1, Have(REV, "a:1", 2))
        book.joins(2, Have(REV, "a:1", 2))
        assert book.told() == [(2, Void(REV, "a:1", 2))]
        assert book.told() == []
        assert book.gives(2, 2) == []
        assert book.out == {"a:1": 2}

    def test_a_limit_that_became_smaller_takes_back_too(self) -> None:
        book = Book(limit=3, gateways=1)
        book.wants(1, 3)
        book.sees(1, "a:1", limit=1)
        assert book.told() == [(1, Void(REV, "a:1", 2))]
        book.gives(1, 1)
        assert book.wants(1, 1) == [], "two are out, one may be"

    def test_while_gateways_tell_of_different_limits_the_smaller_one_holds(self) -> None:
        book = Book(limit=3)
        book.sees(2, "a:1", limit=1)
        assert book.wants(1, 3) == [grant(1, a_1=1)]


class TestWhatCannotBe:
    @pytest.mark.parametrize(
        "said",
        [
            Give(REV, "a:1", 1),
            Give(REV, "a:1", 0),
            Give(REV, "a:1", -1),
            Have(REV, "a:1", 0),
            See(REV, 0, 300.0, ()),
            See(REV, 1, -1.0, ()),
            Want(REV, -1, 0, 0),
            Want(REV, 1, 1, 0),
            Want(REV, 1, 0, -1),
        ],
        ids=str,
    )
    def test_it_is_refused_and_nothing_has_changed(self, said: Frame) -> None:
        book = Book()
        say = {Give: book.ledger.give, Have: book.ledger.have, See: book.ledger.see}
        with pytest.raises(Refused):
            if isinstance(said, Want):
                book.ledger.want(1, said, book.now)
            else:
                say[type(said)](1, said)  # type: ignore[operator]
        assert not book.out
        assert book.wants(2, 1) == [grant(2, a_1=1)]
