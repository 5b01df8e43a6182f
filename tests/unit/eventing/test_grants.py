"""What a grant becomes: subjects, and a namespace's account."""

from eventing.access import grants
from eventing.access.grants import Consumer, Grant
from kfn.api import names
from kfn.busauth import platform
from kfn.busauth.keys import Keys

KEYS = Keys(b"0123456789abcdef0123456789abcdef")


class TestPermissions:
    def test_a_function_that_asks_for_nothing_has_its_inbox_and_nothing_else(self) -> None:
        allowed = grants.permissions("a", (), (), "U" + "A" * 55)
        assert (allowed.publish, allowed.subscribe) == ((), ("_INBOX_" + "A" * 24 + ".>",))
        assert allowed.claim["pub"] == {"deny": [">"]}

    def test_names_cannot_become_wildcards_or_more_tokens(self) -> None:
        allowed = grants.permissions("a", ("x.>", "*", "channels/c"), (Consumer("b.*", "u.>"),), "U" * 56)
        assert all(part not in subject.removesuffix(".ev.>") for subject in allowed.publish[:3] for part in "*>")
        assert allowed.publish[3] == "$JS.API.CONSUMER.MSG.NEXT.KFN_a_b%2E%2A.kfn_t_u%2E%3E"
        assert [subject.count(".") for subject in allowed.publish] == [4, 4, 4, 6, 5, 8]

    def test_a_trigger_that_is_not_there_gives_nothing(self) -> None:
        asked = {names.NATS_PUBLISH: "default, other,default", names.NATS_PULL: "here, gone"}
        assert grants.asked(asked, {"here": Consumer("default", "1")}) == (("default", "other"), (Consumer("default", "1"),))


class TestAccount:
    def test_it_takes_of_the_platform_what_is_its_own(self) -> None:
        found = grants.account(
            KEYS, "a", [Grant("f/1", ("default",), (Consumer("default", "t1"),)), Grant("g/2", (), (Consumer("default", "t1"),))]
        )
        assert [one.subject for one in found.imports] == [
            "kfn.a.*.ev.>",
            "$JS.API.CONSUMER.MSG.NEXT.KFN_a_default.kfn_t_t1",
            "$JS.API.CONSUMER.INFO.KFN_a_default.kfn_t_t1",
            "$JS.ACK.KFN_a_default.kfn_t_t1.*.*.*.*.*",
        ]
        assert {one.account for one in found.imports} == {KEYS.platform.public}
        assert not found.streams
        assert [name for name, _, _ in found.roles] == ["f/1", "g/2"]
        assert len({key for _, key, _ in found.roles}) == 2

    def test_everything_it_takes_is_offered(self) -> None:
        found = grants.account(KEYS, "a", [Grant("f/1", (), (Consumer("channels/c", "t1"),))])
        for taken in found.imports:
            assert any(_covers(one.subject, taken.subject) and one.many == taken.many for one in platform.OFFERED), taken

    def test_the_order_in_which_functions_are_found_makes_no_other_account(self) -> None:
        one, two = Grant("f/1", ("x",), (Consumer("d", "2"),)), Grant("g/2", (), (Consumer("d", "1"),))
        assert grants.account(KEYS, "a", [one, two]) == grants.account(KEYS, "a", [two, one])


def _covers(pattern: str, subject: str) -> bool:
    """By NATS's rules: what the other lets through, this does too."""
    wide, narrow = pattern.split("."), subject.split(".")
    for at, token in enumerate(wide):
        if token == ">":
            return len(narrow) > at
        if at >= len(narrow) or (token != "*" and token != narrow[at]) or narrow[at] == ">":
            return False
    return len(wide) == len(narrow)
