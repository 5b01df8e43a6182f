"""Leased slots by properties: random loads, delays and failures; the real ledger, leases and lines on a clock of their own.

Each row is a seed, and a failing one can be run again alone.
"""

import random

import pytest

from tests.fakes.leased import TTL, Gateway, Request, World


def a_world(seed: int) -> tuple[random.Random, World, list[Gateway]]:
    choose = random.Random(seed)
    world = World(seed, limit=choose.choice([1, 1, 2, 3, 10, 100]), ports=list(range(1, choose.choice([2, 3, 5]))))
    gateways = [world.gateway() for _ in range(choose.choice([1, 2, 3, 5]))]
    world.run(0.05)
    return choose, world, gateways


def arrive(choose: random.Random, world: World, gateway: Gateway, lasts: float) -> None:
    """One request, whose client may leave before its end."""
    request = gateway.arrive(choose.random() * 2 * lasts)
    if request is not None and choose.random() < 0.1:
        world.at(world.now + choose.random() * lasts, lambda: _leave(gateway, request))


def _leave(gateway: Gateway, request: Request) -> None:
    if request.ended is None and not gateway.dead:
        gateway.leave(request)


def check(world: World) -> None:
    """After the load, and some quiet."""
    assert not [r for r in world.requests if r.ended is None and not r.left], "every request is served in the end"
    assert max(world.most.values(), default=0) <= world.limit, "never more inside than the limit"
    assert world.ledger is not None
    assert not any(book.out for book in world.ledger.books.values()), "every slot comes back"
    assert not any(book.queue for book in world.ledger.books.values())


class TestWithoutFailures:
    @pytest.mark.parametrize("seed", range(20))
    def test_the_limit_holds_all_are_served_nearly_in_order_and_all_slots_come_back(self, seed: int) -> None:
        choose, world, gateways = a_world(seed)
        lasts = choose.choice([0.001, 0.01, 0.1])
        places = world.limit * len(world.ports)
        rate = min(5000.0, choose.choice([0.3, 0.9, 2.0]) * places / lasts)
        for _ in range(400):
            arrive(choose, world, choose.choice(gateways), lasts)
            world.run(choose.expovariate(rate))
        world.run(3 + 800 * lasts / places)
        check(world)
        began = sorted((r for r in world.requests if r.began is not None), key=lambda r: r.began or 0.0)
        newest = overtaken = 0.0
        for request in began:
            overtaken = max(overtaken, newest - request.arrived)
            newest = max(newest, request.arrived)
        assert overtaken < 0.1 + 4 * lasts, "a request waits for those before it, and hardly for those behind it"

    def test_a_request_on_a_used_gateway_asks_nobody(self) -> None:
        world = World(1, limit=1, ports=[1])
        gateway = world.gateway()
        world.run(0.05)
        for _ in range(50):
            request = gateway.arrive(0.002)
            world.run(0.01)
            assert request is not None and request.ended is not None
        assert gateway.slots.trips == 1

    def test_a_hundred_slots_cost_few_round_trips(self) -> None:
        world = World(1, limit=100, ports=[1, 2])
        gateways = [world.gateway(), world.gateway()]
        world.run(0.05)
        for turn in range(2000):
            gateways[turn % 2].arrive(0.01)
            world.run(0.0005)
        assert sum(g.slots.trips for g in gateways) < 100

    def test_an_idle_gateway_gives_back_what_it_holds_within_two_sweeps(self) -> None:
        world = World(1, limit=1, ports=[1])
        gateway = world.gateway()
        world.run(0.05)
        gateway.arrive(0.001)
        world.run(0.01)
        assert world.ledger is not None and world.ledger.books["default/hello-00001"].out == {"a:1": 1}
        world.run(0.25)
        assert not any(book.out for book in world.ledger.books.values())

    def test_a_slot_that_idles_elsewhere_comes_at_once(self) -> None:
        world = World(1, limit=1, ports=[1])
        one, two = world.gateway(), world.gateway()
        world.run(0.05)
        one.arrive(0.001)
        world.run(0.01)
        request = two.arrive(0.001)
        world.run(4.5 * world.slow)
        assert request is not None and request.began is not None

    def test_a_gateway_whose_own_requests_are_long_gets_the_next_short_one_of_another(self) -> None:
        world = World(1, limit=1, ports=[1, 2])
        long, short = world.gateway(), world.gateway()
        world.run(0.05)
        long.arrive(60.0)
        world.run(0.01)
        for _ in range(200):
            short.arrive(0.01)
        world.run(0.02)
        request = long.arrive(0.01)
        for _ in range(200):
            short.arrive(0.01)
        world.run(2.5)
        assert request is not None and request.began is not None


class TestFailures:
    @pytest.mark.parametrize("seed", range(40))
    def test_the_limit_holds_and_nothing_is_lost_whatever_breaks(self, seed: int) -> None:
        """Keepers are killed, gateways die, pause and lose their connection, instances come and go, each one at a time."""
        choose, world, gateways = a_world(seed)
        lasts = choose.choice([0.005, 0.05, 0.3])
        rate = min(500.0, choose.choice([0.5, 1.2]) * world.limit * len(world.ports) / lasts)
        end, failure, recovered = world.now + 12, world.now + 1, 0.0
        while world.now < end:
            arrive(choose, world, choose.choice(gateways), lasts)
            if world.now > failure:
                failure = world.now + choose.random() * 2
                recovered = _fail(choose, world, gateways, recovered)
            world.run(choose.expovariate(rate))
        for gateway in world.gateways:
            gateway.later(0.06, lambda gateway=gateway: gateway.see(world.ports))
        world.run(320)
        check(world)

    def test_what_a_dead_gateway_held_is_free_after_the_ttl_and_not_before(self) -> None:
        world = World(1, limit=1, ports=[1])
        one, two = world.gateway(), world.gateway()
        world.run(0.05)
        one.arrive(60.0)
        world.run(0.01)
        one.die()
        request = two.arrive(0.01)
        world.run(TTL - 0.05)
        assert request is not None and request.began is None
        world.run(0.15)
        assert request.began is not None

    def test_a_gateway_that_is_cut_off_stops_using_slots_before_anybody_else_may(self) -> None:
        world = World(1, limit=1, ports=[1])
        gateway = world.gateway()
        world.run(0.05)
        gateway.arrive(0.001)
        world.run(0.01)
        assert gateway.link is not None
        gateway.link.cut, world.partitioned = True, gateway
        world.run(TTL - 0.01)
        request = gateway.arrive(0.001)
        world.run(5)
        assert request is not None and request.began is None
        world.partitioned = None
        world.run(1)
        assert request.began is not None

    def test_requests_of_a_gateway_that_is_silent_count_for_as_long_as_they_may_last(self) -> None:
        world = World(1, limit=1, ports=[1])
        one, two = world.gateway(), world.gateway()
        world.run(0.05)
        one.arrive(250.0)
        world.run(0.01)
        assert one.link is not None
        one.link.cut, world.partitioned = True, one
        request = two.arrive(0.001)
        world.run(240)
        assert request is not None and request.began is None
        world.run(70)
        assert request.began is not None

    def test_a_new_keeper_gives_out_nothing_before_the_old_ones_slots_are_over(self) -> None:
        world = World(1, limit=1, ports=[1])
        one, two = world.gateway(), world.gateway()
        world.run(0.05)
        one.arrive(10.0)
        world.run(0.01)
        world.kill_keeper(back=0.1)
        request = two.arrive(0.001)
        world.run(9)
        assert request is not None and request.began is None, "the one that runs was told to the new keeper"
        world.run(2)
        assert request.began is not None

    def test_a_gateway_that_slept_while_the_keeper_was_replaced_neither_uses_nor_claims_what_is_anothers_now(self) -> None:
        world = World(1, limit=1, ports=[1])
        one, two = world.gateway(), world.gateway()
        world.run(0.05)
        one.arrive(0.001)
        world.run(0.01)
        one.paused_until = world.now + 6
        world.kill_keeper(back=0.1)
        other = two.arrive(20.0)
        world.run(5)
        assert other is not None and other.began is not None, "what slept has lost its unused slot"
        one.paused_until = 0.0
        request = one.arrive(0.001)
        for _ in range(5000):
            world.run(0.0005)  # a claim would be taken back within a few ms
            assert world.ledger is not None
            assert sum(world.ledger.books["default/hello-00001"].out.values()) <= 1, "it claims nothing"
        assert request is not None and request.began is None
        world.run(20)
        assert request.began is not None and world.most[1] == 1

    def test_gateways_go_on_with_what_they_hold_while_the_keeper_is_away_for_a_moment(self) -> None:
        world = World(1, limit=1, ports=[1])
        gateway = world.gateway()
        world.run(0.05)
        gateway.arrive(0.001)
        world.run(0.01)
        world.kill_keeper(back=0.5)
        world.run(0.1)
        request = gateway.arrive(0.001)
        assert request is not None and request.began is not None

    def test_and_not_for_longer_than_another_must_wait(self) -> None:
        world = World(1, limit=1, ports=[1])
        gateway = world.gateway()
        world.run(0.05)
        gateway.arrive(0.001)
        world.run(0.01)
        world.kill_keeper(back=60.0)
        world.run(TTL)
        request = gateway.arrive(0.001)
        world.run(50)
        assert request is not None and request.began is None, "it still has the slot, and may not use it"
        world.run(20)
        assert request.began is not None


def _fail(choose: random.Random, world: World, gateways: list[Gateway], recovered: float) -> float:
    """Something breaks. Returns when the next may that would make two failures of one."""
    which = choose.choice(["keeper", "die", "pause", "instances", "break"])
    one = choose.choice(gateways)
    awake = one.paused_until <= world.now
    if which == "keeper" and world.now > recovered and all(g.paused_until <= world.now for g in gateways):
        world.kill_keeper(back=choose.random() * 3)
        return world.now + 8
    if which == "die" and len(gateways) > 1:
        one.die()
        gateways.remove(one)
        gateways.append(world.gateway())
    elif which == "pause" and world.now > recovered:
        one.paused_until = world.now + choose.choice([0.05, 1, 3, 6])
    elif which == "instances":
        world.ports = sorted(choose.sample(range(1, 6), choose.randint(1, 5)))
        for gateway in gateways:
            gateway.later(choose.random() * 0.05, lambda gateway=gateway, ports=list(world.ports): gateway.see(ports))
    elif which == "break" and awake and one.link is not None:
        one.link.close("gateway")
        one.link.close("keeper")
    return recovered
