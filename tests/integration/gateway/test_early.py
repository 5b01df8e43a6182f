"""Pods that the autoscaler names before their slice does: they are probed and used at once, and nothing stays of those that end."""

from gateway.early import BELIEVED
from kfn.load import RevisionKey
from tests.fakes.routed import routed
from tests.fakes.upstream import upstream

KEY = RevisionKey("default", "hello-00001")


def pod(port: int) -> str:
    return f"hello-00001-pod-{port}"


class TestEarlyAddresses:
    async def test_a_held_request_goes_there_and_the_slice_that_follows_changes_nothing(self) -> None:
        async with upstream() as instance, routed() as gw:
            gw.sink.on_poke = lambda key, waiting: gw.gateway.starting(key, pod(instance.port), "127.0.0.1", instance.port)
            assert (await gw.get()).status == 200
            before = gw.line().instances["127.0.0.1", instance.port]
            gw.cluster.instance(instance.port, ready=False)
            gw.cluster.instance(instance.port)
            await gw.until(lambda: bool(before.ready))
            assert list(gw.line().instances.values()) == [before]
            assert (await gw.get()).status == 200
            gw.cluster.remove_instance(instance.port)
            await gw.until(lambda: not gw.line().instances)

    async def test_one_that_a_slice_has_called_terminating_does_not_come_back(self) -> None:
        async with upstream() as instance, routed() as gw:
            gw.cluster.instance(instance.port, ready=False, terminating=True)
            await gw.until(lambda: bool(gw.line().instances))
            gw.gateway.starting(KEY, pod(instance.port), "127.0.0.1", instance.port)
            assert [i.terminating for i in gw.line().instances.values()] == [True]
            gw.cluster.remove_instance(instance.port)
            await gw.until(lambda: not gw.line().instances)

    async def test_one_that_ends_is_forgotten(self) -> None:
        async with routed() as gw:
            gw.gateway.starting(KEY, "a", "127.0.0.1", 9)
            gw.gateway.starting(KEY, "b", "127.0.0.2", 9)
            gw.gateway.gone(KEY, "a")
            assert [i.name for i in gw.line().instances.values()] == ["b"]
            gw.gateway.gone(KEY, "b")
            gw.gateway.gone(KEY, "never-heard-of")
            assert not gw.line().instances and gw.gateway.chain and not gw.gateway.chain._slices

    async def test_one_that_no_slice_ever_names_is_not_believed_for_ever(self) -> None:
        async with routed() as gw:
            gw.gateway.starting(KEY, "a", "127.0.0.1", 9)
            chain = gw.gateway.chain
            assert chain is not None and chain.lines[KEY].instances
            now = chain.clock()
            chain._early._clock = lambda: now + BELIEVED + 1
            chain.sweep()
            assert not chain.lines[KEY].instances
