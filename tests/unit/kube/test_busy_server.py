"""What a real API server says when it has too much to do, was restored, or has an object that cannot be read. In virtual time."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from kfn.api import kinds
from kfn.api.core import ConfigMap
from kfn.api.meta import ObjectMeta
from kfn.kube import config, errors
from kfn.kube.client import Client
from kfn.kube.fence import Fenced
from kfn.kube.informer import Informer
from kfn.kube.transport import Response
from tests.fakes.kube import FakeApi

Answer = Callable[[str, str, Mapping[str, str]], Response | None]


class Answers(Fenced):
    """An API server of which some answers are the test's. `asked`: time, method and query of each request."""

    def __init__(self, api: FakeApi, answer: Answer) -> None:
        super().__init__(api, lambda: True)
        self.asked: list[tuple[float, str, Mapping[str, str]]] = []
        self._answer = answer

    async def request(self, method: str, path: str, *, query: Mapping[str, str] | None = None, **more: Any) -> Response:
        self.asked.append((anyio.current_time(), method, query or {}))
        return self._answer(method, path, query or {}) or await super().request(method, path, query=query, **more)


def one(name: str, **data: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace="default"), data=data)


def failure(code: int, message: str = "", retry_after: float | None = None) -> Response:
    return Response(code, {"kind": "Status", "code": code, "message": message}, retry_after)


class TestTooManyRequests:
    async def test_a_request_that_was_sent_away_is_sent_again_when_the_server_says(self) -> None:
        left = [failure(429, retry_after=2), failure(429, retry_after=2)]
        server = Answers(FakeApi(), lambda *_: left.pop() if left else None)
        began = anyio.current_time()
        await Client(server).create(kinds.CONFIG_MAP, one("a"), "default")
        assert len(server.asked) == 3
        assert 4 <= anyio.current_time() - began <= 6

    async def test_and_given_up_after_a_bound(self) -> None:
        server = Answers(FakeApi(), lambda *_: failure(429, retry_after=900))
        began = anyio.current_time()
        with pytest.raises(errors.ApiError):
            await Client(server).get(kinds.CONFIG_MAP, "a", "default")
        assert anyio.current_time() - began <= 30

    async def test_an_informer_keeps_its_place_and_lists_nothing_again(self) -> None:
        api = FakeApi()
        api.put(kinds.CONFIG_MAP, one("a"))
        busy = True

        class Busy(Answers):
            def watch(self, path: str, *, query: Mapping[str, str]) -> Any:
                if busy:
                    raise errors.from_status(429, {"message": "too many requests"})
                return super().watch(path, query=query)

        server = Busy(api, lambda *_: None)
        informer = Informer(Client(server), kinds.CONFIG_MAP)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(informer.run)
            await informer.synced()
            await anyio.sleep(20)
            assert 19 < informer.stale <= 20
            api.put(kinds.CONFIG_MAP, one("b"))
            busy = False
            await anyio.sleep(6)
            assert informer.stale == 0
            assert informer.get("default", "b") is not None
            tasks.cancel_scope.cancel()
        assert len(server.asked) == 1


class TestLists:
    async def test_a_list_whose_rest_has_expired_is_asked_for_whole(self) -> None:
        api = FakeApi()
        api.put(kinds.CONFIG_MAP, one("a"))
        first = Response(200, {"metadata": {"continue": "more", "resourceVersion": "1"}, "items": [{"metadata": {"name": "old"}}]})

        def answer(method: str, path: str, query: Mapping[str, str]) -> Response | None:
            return failure(410) if "continue" in query else first if "limit" in query else None

        server = Answers(api, answer)
        items, _ = await Client(server).list(kinds.CONFIG_MAP)
        assert [item.metadata.name for item in items] == ["a"]
        assert [set(query) for _, _, query in server.asked] == [{"limit"}, {"limit", "continue"}, set()]

    async def test_an_object_that_cannot_be_read_does_not_keep_a_controller_from_the_others(self) -> None:
        bad = {"metadata": {"name": "bad", "namespace": "default", "resourceVersion": "2"}, "data": "not a map"}
        good = {"metadata": {"name": "good", "namespace": "default", "resourceVersion": "1", "managedFields": [{"manager": "me"}]}}
        server = Answers(FakeApi(), lambda *_: Response(200, {"metadata": {"resourceVersion": "3"}, "items": [bad, good]}))
        informer = Informer(Client(server), kinds.CONFIG_MAP)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(informer.run)
            await informer.synced()
            tasks.cancel_scope.cancel()
        assert [(obj.metadata.name, obj.metadata.managed_fields) for obj in informer.list()] == [("good", [])]
        assert good["metadata"]["managedFields"], "the server's own object is not touched"

    async def test_what_a_restored_server_lists_is_believed_though_its_versions_are_older(self) -> None:
        said = [("100", "new"), ("50", "restored")]

        def answer(method: str, path: str, query: Mapping[str, str]) -> Response | None:
            version, value = said.pop(0) if len(said) > 1 else said[0]
            item = {"metadata": {"name": "a", "namespace": "default", "uid": "u", "resourceVersion": version}, "data": {"is": value}}
            return Response(200, {"metadata": {"resourceVersion": version}, "items": [item]})

        class Restored(Answers):
            def watch(self, path: str, *, query: Mapping[str, str]) -> Any:
                if query["resourceVersion"] == "100":
                    raise errors.from_status(504, {"message": "Too large resource version: 100, current: 50"})
                return super().watch(path, query={**query, "resourceVersion": "0"})

        informer = Informer(Client(Restored(FakeApi(), answer)), kinds.CONFIG_MAP)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(informer.run)
            await anyio.sleep(5)
            found = informer.get("default", "a")
            assert found is not None
            assert found.data == {"is": "restored"}
            tasks.cancel_scope.cancel()


class TestTokens:
    async def test_a_token_file_is_read_again_before_kubernetes_ends_the_old_token_and_not_at_each_request(self, tmp_path: Path) -> None:
        file = tmp_path / "token"
        file.write_text("one\n")
        ask = config._from_file(file)
        assert await ask() == "one"
        file.write_text("two\n")
        assert await ask() == "one"
        await anyio.sleep(config.TOKEN_AGE)
        assert await ask() == "two"

    async def test_one_that_is_being_replaced_leaves_the_old_one_in_use(self, tmp_path: Path) -> None:
        file = tmp_path / "token"
        file.write_text("one\n")
        ask = config._from_file(file)
        await ask()
        file.unlink()
        await anyio.sleep(config.TOKEN_AGE)
        assert await ask() == "one"

    async def test_one_that_was_never_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(config.ConfigError, match="no-such-file"):
            await config._from_file(tmp_path / "no-such-file")()
