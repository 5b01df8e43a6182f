"""Lists and watches: pages, selections, history, bookmarks and ends."""

import asyncio

import pytest

from embedded.api.request import Request
from embedded.api.settings import Settings
from embedded.api.status import StatusError
from tests.unit.embedded_api.memory import MAPS, MERGE, Memory


def watching(m: Memory, path: str = MAPS, **query: str):
    return m.server.watch(Request("GET", path, query))


def told(event) -> tuple[str, str]:
    return event["type"], event["object"]["metadata"].get("name", "")


class TestList:
    async def test_pages_hold_everything_once_and_promise_the_first_pages_version(self):
        m = await Memory.open()
        for name in "ebdac":
            await m.config_map(name)
        _, first = await m.call("GET", MAPS, limit="2")
        await m.config_map("aa")  # before the page's end: a watch from the first page's version will tell
        _, second = await m.call("GET", MAPS, limit="2", **{"continue": first["metadata"]["continue"]})
        _, third = await m.call("GET", MAPS, limit="2", **{"continue": second["metadata"]["continue"]})
        pages = [[i["metadata"]["name"] for i in page["items"]] for page in (first, second, third)]
        assert pages == [["a", "b"], ["c", "d"], ["e"]]
        assert first["metadata"]["remainingItemCount"] == 3 and "continue" not in third["metadata"]
        version = third["metadata"]["resourceVersion"]
        with watching(m, resourceVersion=version) as events:
            assert told(await anext(events)) == ("ADDED", "aa")

    @pytest.mark.parametrize("query", [{"continue": "x"}, {"limit": "-1"}, {"resourceVersion": "x"}, {"labelSelector": "a b c"}])
    async def test_a_query_that_cannot_be_read_is_400(self, query):
        m = await Memory.open()
        code, refusal = await m.call("GET", MAPS, **query)
        assert (code, refusal["reason"]) == (400, "BadRequest")

    async def test_a_list_over_all_namespaces(self):
        m = await Memory.open()
        await m.config_map("a")
        await m.call("POST", "/api/v1/namespaces/other/configmaps", {"metadata": {"name": "b"}})
        assert await m.names("/api/v1/configmaps") == ["a", "b"]
        assert await m.names("/api/v1/configmaps", fieldSelector="metadata.namespace=other") == ["b"]


class TestWatch:
    async def test_without_a_version_it_begins_with_what_is_there(self):
        m = await Memory.open()
        await m.config_map("a")
        with watching(m, sendInitialEvents="true", allowWatchBookmarks="true") as events:
            assert told(await anext(events)) == ("ADDED", "a")
            bookmark = await anext(events)
        assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}

    async def test_what_enters_and_leaves_a_selection_is_added_and_deleted(self):
        m = await Memory.open()
        _, listed = await m.call("GET", MAPS)
        with watching(m, resourceVersion=listed["metadata"]["resourceVersion"], labelSelector="on") as events:
            await m.config_map("a")
            for labels in ({"on": "1"}, {"on": "2"}, {"on": None}):
                await m.call("PATCH", f"{MAPS}/a", {"metadata": {"labels": labels}}, MERGE)
            seen = [told(await anext(events)) for _ in range(3)]
        assert seen == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]

    async def test_it_sees_its_namespace_only(self):
        m = await Memory.open()
        with watching(m, resourceVersion=str(m.store.version)) as events:
            await m.call("POST", "/api/v1/namespaces/other/configmaps", {"metadata": {"name": "b"}})
            await m.config_map("a")
            assert told(await anext(events)) == ("ADDED", "a")

    async def test_a_version_older_than_the_history_is_gone_unless_nothing_was_missed(self):
        m = await Memory.open(Settings(history=2))
        old = await m.config_map("a")
        for name in "bcde":
            await m.config_map(name)
        version = old["metadata"]["resourceVersion"]
        with pytest.raises(StatusError) as refused, watching(m, resourceVersion=version):
            pass
        assert refused.value.code == 410
        # kn waits on one object from the version it just read, which may be as old as it likes.
        with watching(m, resourceVersion=version, fieldSelector="metadata.name=a") as events:
            await m.call("PATCH", f"{MAPS}/a", {"data": {"k": "2"}}, MERGE)
            assert told(await anext(events)) == ("MODIFIED", "a")

    async def test_a_version_from_the_future_is_gone(self):
        m = await Memory.open()
        with pytest.raises(StatusError) as refused, watching(m, resourceVersion=str(m.store.version + 1)):
            pass
        assert refused.value.code == 410

    async def test_a_quiet_watch_gets_bookmarks_and_ends_in_its_time(self):
        m = await Memory.open()
        started = asyncio.get_running_loop().time()
        version = str(m.store.version)
        with watching(m, resourceVersion=version, allowWatchBookmarks="true", timeoutSeconds="150") as events:
            seen = [e["type"] async for e in events]
        assert seen == ["BOOKMARK", "BOOKMARK"]
        assert asyncio.get_running_loop().time() - started == 150

    async def test_a_watch_nobody_reads_is_ended_with_gone(self):
        m = await Memory.open(Settings(watch_backlog=3))
        with watching(m, resourceVersion=str(m.store.version)) as events:
            for name in "abcdef":
                await m.config_map(name)
            seen = [e async for e in events]
        assert [e["type"] for e in seen] == ["ADDED"] * 4 + ["ERROR"]
        assert seen[-1]["object"]["code"] == 410

    async def test_a_closed_watch_is_forgotten(self):
        m = await Memory.open()
        with watching(m):
            assert m.store.shelves["configmaps"].watchers
        assert not m.store.shelves["configmaps"].watchers

    async def test_ending_all_watches_lets_their_readers_go(self):
        m = await Memory.open()
        with watching(m, resourceVersion=str(m.store.version)) as events:
            asyncio.get_running_loop().call_soon(m.server.end_watches)
            assert [e async for e in events] == []
