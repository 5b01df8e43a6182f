"""NATS's keys and tokens as its own tools spell them, and a store that changes its account."""

import base64
import logging
from pathlib import Path

import pytest

from kfn.busauth import claims, platform, server
from kfn.busauth.claims import Account, Permissions
from kfn.busauth.keys import Keys, SecretTooShort
from kfn.busauth.nkey import Key

KEYS = Keys(b"0123456789abcdef0123456789abcdef")
# The pair that the documentation of NATS shows.
SEED, PUBLIC = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY", "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"


class TestKeys:
    def test_they_are_spelled_as_nats_spells_them(self) -> None:
        key = Key("user", base64.b32decode(SEED + "=" * (-len(SEED) % 8))[2:34])
        assert (key.seed, key.public) == (SEED, PUBLIC)
        assert (KEYS.operator.public[0], KEYS.system.public[0], KEYS.operator.seed[:2], KEYS.platform.seed[:2]) == ("O", "A", "SO", "SA")

    def test_each_has_its_own_and_the_same_again(self) -> None:
        found = [
            KEYS.operator, KEYS.system, KEYS.platform, KEYS.namespace("system"), KEYS.namespace("a"), KEYS.role("a", "bc"),
            KEYS.role("ab", "c"), KEYS.user("a", "bc"), KEYS.user("ab", "c"), KEYS.user("a"),
        ]  # fmt: skip
        assert len({key.secret for key in found}) == len(found)
        assert Keys(KEYS.secret).namespace("a") == KEYS.namespace("a")
        assert Keys(KEYS.secret + b"x").namespace("a") != KEYS.namespace("a")

    def test_a_short_secret_is_refused_and_none_is_shown(self) -> None:
        with pytest.raises(SecretTooShort, match="31 bytes"):
            Keys(b"x" * 31)
        assert "0123" not in repr(KEYS) + repr(KEYS.operator)


class TestTokens:
    def test_a_token_says_who_may_do_what_until_when(self) -> None:
        text = claims.member(KEYS.role("a", "f"), KEYS.namespace("a").public, "f", KEYS.user("f").public, 1000, lasts=60)
        found = claims.read(text)
        assert (found["iss"], found["sub"], found["iat"], found["exp"]) == (KEYS.role("a", "f").public, KEYS.user("f").public, 1000, 1060)
        assert found["nats"] == {
            "type": "user", "version": 2, "issuer_account": KEYS.namespace("a").public, "pub": {}, "sub": {},
        }, "the role says what it may do"  # fmt: skip
        assert claims.read(platform.eventing(KEYS, 0))["nats"]["pub"] == {"allow": ["$JS.API.>", "$JS.ACK.>", "kfn.>", "kfn-ended.>"]}
        assert "exp" not in claims.read(platform.eventing(KEYS, 0))
        with pytest.raises(ValueError, match="not a NATS token"):
            claims.read("what")

    def test_one_that_says_something_else_has_another_id(self) -> None:
        """A server that finds the id of what it has keeps that."""
        one, other = (Account("a", "A", roles=[("f", "A", Permissions((subject,)))]) for subject in ("x", "y"))
        ids = [claims.read(claims.account(KEYS.operator, account, 1))["jti"] for account in (one, other, one)]
        assert ids[0] == ids[2] != ids[1]

    def test_a_credentials_file_holds_the_token_and_the_seed(self) -> None:
        text = claims.credentials("the.token.x", Key("user", b"k" * 32))
        assert claims.token_of(text) == "the.token.x"
        assert Key("user", b"k" * 32).seed in text
        assert claims.token_of("nothing") == ""


class TestStore:
    def made(self, store: Path, account: str, *streams: str) -> None:
        for name in streams:
            (store / "jetstream" / account / "streams" / name / "msgs").mkdir(parents=True)
            (store / "jetstream" / account / "streams" / name / "msgs" / "1.blk").write_text(account)

    def test_streams_become_the_platforms_one_by_one_and_none_is_written_over(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        own = KEYS.platform.public
        self.made(tmp_path, "$G", "KFN_a", "KFN_b")
        self.made(tmp_path, own, "KFN_b")  # as after a start of an older kfn in between
        (tmp_path / "accounts").mkdir()
        with caplog.at_level(logging.INFO):
            assert server.adopt(tmp_path, KEYS) == server.Adopted(("KFN_a",), ("KFN_b",))
        assert "KFN_b" in caplog.text
        there = {path.parent.parent.name: path.read_text() for path in (tmp_path / "jetstream" / own).rglob("1.blk")}
        assert there == {"KFN_a": "$G", "KFN_b": own}
        assert server.adopt(tmp_path, KEYS) == server.Adopted((), ("KFN_b",))
        assert set(server.adopt(tmp_path, Keys(b"x" * 32)).moved) == {"KFN_a", "KFN_b"}, "and where the secret was lost"
        assert server.adopt(tmp_path / "nothing", KEYS) == server.Adopted()

    def test_what_several_servers_keep_is_not_touched(self, tmp_path: Path) -> None:
        self.made(tmp_path, "$G", "KFN_a")
        (tmp_path / "jetstream" / "$SYS" / "_js_" / "_meta_").mkdir(parents=True)
        with pytest.raises(server.ClusteredStore):
            server.adopt(tmp_path, KEYS)
        assert (tmp_path / "jetstream" / "$G" / "streams" / "KFN_a").is_dir()
