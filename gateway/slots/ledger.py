"""Who holds which slots of which instances, who waits for one, and who must give one back. Pure: the keeper's half of leased slots.

A session is one connection of one gateway. What it says comes in by methods named like its frames; `decide` returns what to tell whom.
The promise is kept in `_grant`, the only place that gives out: of no instance more slots are out than its limit, and slots of a gateway
that is gone or silent are out until nothing of it can run any more. Wants are served in the order in which they came, whoever's they are.
"""

from collections import deque
from math import ceil

from gateway.pick import SMALL
from gateway.slots.books import Book, Session, Stake
from gateway.slots.wire import Frame, Give, Grant, Have, Recall, See, Void, Want

LOOKAHEAD = 256  # wants that are looked at to see who must give back: with more, the shares are the same
PATIENCE = 0.025  # seconds without progress after which a gateway gets the next slot that anybody has
SPREAD = 32  # instances of which slots are given in reserve at once
SLACK = 8  # who has this part more of the slots than of the wants keeps them: nearly as fair, for a fraction of the words
SHARE = 4  # a reserve is this part of what each gateway could have of an instance if they shared it evenly


class Refused(ValueError):
    """The session says what cannot be. It is to be closed, and tells how things are when it comes again."""


class Ledger:
    """`ttl`: see `Welcome`. Until `opens` nothing is granted: gateways of a keeper before this one may still use what it gave them."""

    def __init__(self, ttl: float, opens: float) -> None:
        self.ttl = ttl
        self.opens = opens
        self.sessions: dict[int, Session] = {}
        self.books: dict[str, Book] = {}
        self._dirty: dict[Book, None] = {}

    # What sessions say.

    def hello(self, number: int, gateway: str, now: float) -> list[int]:
        """A gateway has connected. Returns its earlier sessions, which are to be closed."""
        old = [s for s in self.sessions.values() if s.gateway == gateway and not s.gone]
        for session in old:
            self.lost(session.number, now)
        self.sessions[number] = Session(number, gateway, now)
        return [session.number for session in old]

    def heard(self, number: int, now: float) -> None:
        session = self.sessions[number]
        if now - session.heard > self.ttl:  # it was silent, and is served again
            self._dirty.update((self.books[name], None) for name in session.stakes)
        session.heard = now

    def have(self, number: int, said: Have) -> None:
        """It holds this, granted or not: a fact, even if it is more than there should be."""
        if said.slots < 1:
            raise Refused(f"it has {said.slots} slots of {said.instance}")
        book, stake = self._stake(number, said.revision)
        book.move(stake, said.instance, said.slots)

    def ready(self, number: int) -> None:
        """That is all it holds. What its earlier sessions held is no more."""
        session = self.sessions[number]
        session.ready = True
        for other in [s for s in self.sessions.values() if s.gateway == session.gateway and s is not session]:
            self._forget(other)
        self._dirty.update((self.books[name], None) for name in session.stakes)

    def see(self, number: int, said: See) -> None:
        if said.limit < 1 or said.longest < 0:
            raise Refused(f"a limit of {said.limit} and requests of {said.longest} s")
        book, stake = self._stake(number, said.revision)
        stake.limit, stake.longest = said.limit, said.longest
        stake.sees = {instance: place for place, instance in enumerate(said.instances)}
        self._look(book)
        self._tidy(book, stake)

    def want(self, number: int, said: Want, now: float) -> None:
        book, stake = self._stake(number, said.revision)
        under_way = stake.granted - said.seen
        if min(said.waiting, said.seen, said.served, under_way, said.served - stake.served) < 0:
            raise Refused(f"{said}, and {stake.granted} granted, {stake.served} served before")
        level = max(0, said.waiting - under_way)  # what is granted and has not arrived yet will serve as many
        served, stake.served = said.served - stake.served, said.served
        if served or not stake.queued:
            stake.moved = now
        book.leave(stake, min(served, stake.queued), oldest=True)
        if level > stake.queued:
            book.join(stake, level - stake.queued)
        else:
            book.leave(stake, stake.queued - level, oldest=False)
        self._tidy(book, stake)

    def give(self, number: int, said: Give) -> None:
        book, stake = self._stake(number, said.revision)
        if not 0 < said.slots <= stake.held.get(said.instance, 0):
            raise Refused(f"it gives {said.slots} of {stake.held.get(said.instance, 0)} slots of {said.instance} that it holds")
        book.move(stake, said.instance, -said.slots)
        stake.recalled = max(0, stake.recalled - said.slots)
        if said.instance in stake.voided:
            stake.voided[said.instance] -= said.slots
            if stake.voided[said.instance] <= 0:
                del stake.voided[said.instance]
        self._tidy(book, stake)

    def lost(self, number: int, now: float, *, silent: bool = False) -> None:
        """Its connection is closed. By its end: the process has ended, or will connect again, and after `ttl` nothing of it goes anywhere.

        `silent`: by us. It may live where we cannot see it; its requests last as long as they may.
        """
        session = self.sessions.get(number)
        if session is None or session.gone:
            return
        session.gone = True
        for name, stake in list(session.stakes.items()):
            book = self.books[name]
            book.leave(stake, stake.queued, oldest=False)
            stake.until = session.heard + max(self.ttl, stake.longest) if silent else now + self.ttl
            if stake.total:
                self._look(book)
            else:
                self._drop(book, stake)
        if not session.stakes:
            del self.sessions[number]

    def tick(self, now: float) -> list[int]:
        """Time has passed. Returns sessions that were silent for so long that nothing of theirs counts any more: they are to be closed."""
        closing = []
        for session in list(self.sessions.values()):
            if session.gone:
                for name, stake in list(session.stakes.items()):
                    if now >= stake.until:
                        self._drop(self.books[name], stake)
                if not session.stakes:
                    del self.sessions[session.number]
            elif now - session.heard > self.ttl:
                longest = min((s.longest for s in session.stakes.values() if s.total), default=0.0)
                if now - session.heard >= longest:
                    closing.append(session.number)
                    self.lost(session.number, now, silent=True)
        for book in self.books.values():
            if book.queue:
                self._dirty[book] = None
        return closing

    @property
    def waiting(self) -> bool:
        """Somebody waits, so `tick` must come soon."""
        return any(book.queue for book in self.books.values())

    # What to tell them.

    def decide(self, now: float) -> list[tuple[int, Frame]]:
        """Grants, and what is to come back; to which session. Each is counted as said."""
        if now < self.opens:
            return []  # and what is dirty stays so
        told: list[tuple[int, Frame]] = []
        dirty, self._dirty = self._dirty, {}
        for book in dirty:
            if book.limit:
                self._void(book, told)
                self._serve(book, now, told)
                self._recall(book, now, told)
        return told

    def _serve(self, book: Book, now: float, told: list[tuple[int, Frame]]) -> None:
        served: dict[Stake, dict[str, int]] = {}
        for run in list(book.queue):
            if not book.room:
                break
            stake = run.stake
            if not self._listens(stake, now):
                continue
            while run.count and (open_to := [i for i in book.room if i in stake.sees]):
                instance = self._best(book, stake, open_to)
                part = run.count if book.limit <= SMALL else ceil(run.count / len(open_to))
                slots = min(part, book.limit - book.out.get(instance, 0))
                run.count -= slots
                stake.queued -= slots
                self._grant(book, stake, instance, slots, served)
            stake.moved = now
        if served:
            book.queue = deque(run for run in book.queue if run.count)
        if not book.queue and book.limit > SMALL:
            for stake in served:
                self._reserve(book, stake, served)
        told += ((stake.session.number, Grant(book.name, slots)) for stake, slots in served.items())

    def _reserve(self, book: Book, stake: Stake, served: dict[Stake, dict[str, int]]) -> None:
        """Nobody else waits: some more, so that the next requests need not ask, of several instances, so that load spreads."""
        share = book.limit // (SHARE * max(1, sum(not s.session.gone for s in book.stakes.values())))
        open_to = sorted((i for i in book.room if i in stake.sees), key=lambda i: (book.out.get(i, 0), stake.sees[i]))
        for instance in open_to[:SPREAD]:
            slots = min(share - stake.held.get(instance, 0), book.limit - book.out.get(instance, 0))
            if slots > 0:
                self._grant(book, stake, instance, slots, served)

    def _grant(self, book: Book, stake: Stake, instance: str, slots: int, served: dict[Stake, dict[str, int]]) -> None:
        assert book.out.get(instance, 0) + slots <= book.limit
        book.move(stake, instance, slots)
        stake.granted += slots
        granted = served.setdefault(stake, {})
        granted[instance] = granted.get(instance, 0) + slots

    def _recall(self, book: Book, now: float, told: list[tuple[int, Frame]]) -> None:
        """As many slots as are out will be free next, and belong to as many of the oldest wants: who holds more than it has of these gives
        back. That keeps slots where they are while all wait alike.

        It is no order yet where one gateway's requests are long and another's short, so who has none, or made no progress for PATIENCE,
        gets the next slot that anybody has.
        """
        due: dict[Stake, int] = {}
        stuck: Stake | None = None
        left = min(LOOKAHEAD, sum(stake.total for stake in book.stakes.values()))
        for run in book.queue:
            if left <= 0:
                break
            if run.stake.sees and self._listens(run.stake, now):
                due[run.stake] = due.get(run.stake, 0) + min(run.count, left)
                left -= run.count
                if stuck is None and (not run.stake.total or now - run.stake.moved >= PATIENCE):
                    stuck = run.stake
        wanted = sum(due.values())
        over = {s: s.total - s.total // SLACK - due.get(s, 0) for s in book.stakes.values() if not s.session.gone}
        over = {stake: slots for stake, slots in over.items() if slots > 0}
        all_over = sum(over.values())
        for stake in book.stakes.values():
            if stake.session.gone:
                continue
            back = min(over[stake], ceil((wanted - due.get(stake, 0)) * over[stake] / all_over)) if stake in over else 0
            if stuck is not None and stuck is not stake and any(instance in stuck.sees for instance in stake.held):
                back = max(back, 1)
            if back != stake.recalled:
                stake.recalled = back
                told.append((stake.session.number, Recall(book.name, back)))

    def _void(self, book: Book, told: list[tuple[int, Frame]]) -> None:
        """More may be out than the limit: it became smaller, or gateways of the keeper before told of more."""
        if any(not stake.session.ready and not stake.session.gone for stake in book.stakes.values()):
            return  # what it holds is counted twice until it has told all
        for instance, out in book.out.items():
            excess = out - book.limit - sum(stake.voided.get(instance, 0) for stake in book.stakes.values())
            for stake in reversed(book.stakes.values()) if excess > 0 else ():  # who came last may have come too late
                slots = min(excess, stake.held.get(instance, 0) - stake.voided.get(instance, 0))
                if slots > 0 and not stake.session.gone:
                    excess -= slots
                    stake.voided[instance] = stake.voided.get(instance, 0) + slots
                    told.append((stake.session.number, Void(book.name, instance, stake.voided[instance])))

    @staticmethod
    def _best(book: Book, stake: Stake, among: list[str]) -> str:
        """As `pick` chooses, but with all gateways' load: first free for small limits, else the one with the fewest slots out."""
        if book.limit <= SMALL:
            return min(among, key=stake.sees.__getitem__)
        return min(among, key=lambda i: (book.out.get(i, 0), stake.sees[i]))

    def _listens(self, stake: Stake, now: float) -> bool:
        return stake.session.ready and now - stake.session.heard <= self.ttl

    # The books.

    def _stake(self, number: int, revision: str) -> tuple[Book, Stake]:
        session = self.sessions[number]
        book = self.books.get(revision)
        if book is None:
            book = self.books[revision] = Book(revision)
        stake = session.stakes.get(revision)
        if stake is None:
            stake = session.stakes[revision] = book.stakes[number] = Stake(session)
            stake.granted, stake.served = session.past.pop(revision, (0, 0))
        self._dirty[book] = None
        return book, stake

    def _look(self, book: Book) -> None:
        book.look()
        self._dirty[book] = None

    def _tidy(self, book: Book, stake: Stake) -> None:
        """A session that sees, holds and wants nothing of a revision is forgotten there."""
        if not stake.sees and not stake.total and not stake.queued:
            if stake.granted or stake.served:
                stake.session.past[book.name] = (stake.granted, stake.served)
            self._drop(book, stake)

    def _drop(self, book: Book, stake: Stake) -> None:
        book.leave(stake, stake.queued, oldest=False)
        for instance, slots in list(stake.held.items()):
            book.move(stake, instance, -slots)
        del stake.session.stakes[book.name], book.stakes[stake.session.number]
        if book.stakes:
            self._look(book)
        else:
            del self.books[book.name]
            self._dirty.pop(book, None)

    def _forget(self, session: Session) -> None:
        for name, stake in list(session.stakes.items()):
            self._drop(self.books[name], stake)
        del self.sessions[session.number]
