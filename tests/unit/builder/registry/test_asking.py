"""What registries ask for, who answers, how long is waited, and which hosts are spoken to without TLS."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from builder.errors import UsageError
from builder.registry.answers import Answer, shown
from builder.registry.challenge import Challenge, challenges, wanted
from builder.registry.dockerconfig import answer, helper, helper_key, login, read
from builder.registry.retry import pause, retry_after
from builder.registry.settings import RegistrySettings


def auth(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class TestAChallenge:
    @pytest.mark.parametrize(
        ("header", "found"),
        [
            (
                'Bearer realm="https://auth.example/token",service="reg",scope="repository:a/b:pull,push"',
                (Challenge("bearer", {"realm": "https://auth.example/token", "service": "reg", "scope": "repository:a/b:pull,push"}),),
            ),
            ('Basic realm="a \\"quoted\\", one"', (Challenge("basic", {"realm": 'a "quoted", one'}),)),
            (
                'Basic realm="x", Bearer realm="https://y",service=z',
                (Challenge("basic", {"realm": "x"}), Challenge("bearer", {"realm": "https://y", "service": "z"})),
            ),
            ("BASIC", (Challenge("basic"),)),
            ("Negotiate, Basic realm=x", (Challenge("negotiate"), Challenge("basic", {"realm": "x"}))),
            ("", ()),
            ('realm="without a scheme"', ()),
            ('Bearer realm="never closed, service=x', (Challenge("bearer", {}),)),
        ],
        ids=["bearer", "a quoted comma", "two in one", "bare", "another first", "nothing", "no scheme", "not closed"],
    )
    def test_is_read(self, header: str, found: tuple[Challenge, ...]) -> None:
        assert [one.scheme for one in challenges([header])] == [one.scheme for one in found]
        for one, other in zip(challenges([header]), found, strict=True):
            assert other.parameters.items() <= one.parameters.items()

    def test_is_read_in_bounded_time_however_long_it_is(self) -> None:
        challenges(["Bearer " + 'a="\\' * 100_000, "," * 1_000_000, "x=" * 100_000])

    def test_adds_only_what_we_do_not_ask_for_anyway(self) -> None:
        ours = ("repository:app:pull,push",)
        assert wanted(ours, "repository:app:pull repository:app:push,pull") == ours
        assert wanted(ours, "repository:proxy/app:pull") == (*ours, "repository:proxy/app:pull")


class TestALogin:
    @pytest.mark.parametrize(
        ("key", "registry", "fits"),
        [
            ("registry.example", "registry.example", True),
            ("https://registry.example/v2/", "registry.example", True),
            ("registry.example:5000", "registry.example", False),
            ("https://index.docker.io/v1/", "docker.io", True),
            ("REGISTRY.example", "registry.example", True),
            ("*.example", "registry.example", True),
            ("*.example", "a.registry.example", False),
            ("registry.example/team", "registry.example", True),
            ("registry.example/te", "registry.example", False),
            ("registry.example.evil", "registry.example", False),
            ("evil/registry.example", "registry.example", False),
        ],
    )
    def test_is_for_the_registry_that_its_key_names(self, key: str, registry: str, fits: bool) -> None:
        config = read(json.dumps({"auths": {key: {"auth": auth("me:pass:word")}}}).encode(), "file")
        found = login(config, registry, "team/app")
        assert (found is not None) is fits
        if found:
            assert (found.user, found.password) == ("me", "pass:word")
            assert found.source == f"file ({key})"
            assert "pass" not in repr(found)

    def test_may_be_an_identity_token(self) -> None:
        config = read(json.dumps({"auths": {"r.example": {"auth": auth("00000000:"), "identitytoken": "t"}}}).encode(), "file")
        found = login(config, "r.example", "app")
        assert found and found.identity_token == "t"
        found = answer(b'{"Username": "<token>", "Secret": "t"}', "helper")
        assert found and (found.user, found.identity_token) == ("", "t")

    def test_an_empty_entry_is_none(self) -> None:
        assert login(read(b'{"auths": {"r.example": {}}}', "file"), "r.example", "app") is None

    @pytest.mark.parametrize(
        "data",
        [b"", b"[]", b"{", b'{"auths": [1]}', b'{"auths": {}, "credHelpers": 3}', b"[" * 100_000],
        ids=["empty", "a list", "cut", "auths a list", "helpers a number", "deep"],
    )
    def test_file_that_is_broken_is_named_and_not_shown(self, data: bytes) -> None:
        with pytest.raises(UsageError, match="the file"):
            read(data, "the file")

    @pytest.mark.parametrize("value", ["%%%", auth("no colon"), base64.b64encode(b"\xff\xfe:x").decode()])
    def test_that_cannot_be_read_is_named_and_not_shown(self, value: str) -> None:
        config = read(json.dumps({"auths": {"r.example": {"auth": value}}}).encode(), "the file")
        with pytest.raises(UsageError, match="the file") as wrong:
            login(config, "r.example", "app")
        assert value not in str(wrong.value)

    @pytest.mark.parametrize("name", ["../../bin/sh", "a b", "", "-x", "a/b"])
    def test_helper_is_the_name_of_a_program_and_no_path(self, name: str) -> None:
        config = read(json.dumps({"credHelpers": {"r.example": name}}).encode(), "file")
        if not name:
            assert helper(config, "r.example") == ""
        else:
            with pytest.raises(UsageError, match="not the name of a credential helper"):
                helper(config, "r.example")

    def test_helper_for_one_registry_goes_before_the_store_of_all(self) -> None:
        config = read(b'{"credsStore": "all", "credHelpers": {"r.example": "one"}}', "file")
        assert helper(config, "r.example") == "one"
        assert helper(config, "other.example") == "all"
        assert helper_key("docker.io") == "https://index.docker.io/v1/"


class TestPlainHttp:
    @pytest.mark.parametrize(
        ("registry", "plain"),
        [
            ("localhost", True),
            ("localhost:5000", True),
            ("127.0.0.1:5000", True),
            ("127.9.9.9", True),
            ("[::1]:5000", True),
            ("listed.example", True),
            ("listed.example:5000", True),
            ("port.example:5000", True),
            ("port.example", False),
            ("registry.example", False),
            ("localhost.example", False),
            ("127.0.0.1.example", False),
            ("10.0.0.1", False),
            ("docker.io", False),
        ],
    )
    def test_is_spoken_to_loopback_and_to_listed_hosts(self, registry: str, plain: bool) -> None:
        settings = RegistrySettings(plain_http=("listed.example", "port.example:5000"))
        assert settings.is_plain(registry) is plain


class TestSettings:
    def test_are_read_from_the_environment(self, tmp_path: Path) -> None:
        (tmp_path / "ca.pem").touch()
        (tmp_path / "mount").mkdir()
        (tmp_path / "mount/.dockerconfigjson").touch()
        env = {
            "KFN_REGISTRY_PLAIN_HTTP": "a.example, b.example:80",
            "KFN_REGISTRY_CA": str(tmp_path / "ca.pem"),
            "KFN_REGISTRY_AUTH": str(tmp_path / "mount"),
            "KFN_REGISTRY_TIMEOUT": "5",
        }
        settings = RegistrySettings.from_environment(env, plain_http=("c.example",))
        assert settings.plain_http == ("c.example", "a.example", "b.example:80")
        assert settings.ca_file == tmp_path / "ca.pem"
        assert settings.auth_files == (tmp_path / "mount/.dockerconfigjson",)
        assert settings.read_timeout == 5

    @pytest.mark.parametrize(
        "env",
        [
            {"KFN_REGISTRY_CA": "nosuch"},
            {"KFN_REGISTRY_AUTH": "nosuch"},
            {"KFN_REGISTRY_TIMEOUT": "soon"},
            {"KFN_REGISTRY_TIMEOUT": "nan"},
            {"KFN_REGISTRY_PLAIN_HTTP": "http://x"},
            {"KFN_REGISTRY_USER": "me", "KFN_REGISTRY_PASSWORD": "geheim"},
        ],
        ids=lambda env: next(iter(env)),
    )
    def test_that_are_wrong_name_their_variable_and_no_secret(self, env: dict[str, str]) -> None:
        with pytest.raises(UsageError, match=next(iter(env))) as wrong:
            RegistrySettings.from_environment(env)
        assert "geheim" not in str(wrong.value)

    def test_show_no_password(self) -> None:
        env = {"KFN_REGISTRY_HOST": "r.example", "KFN_REGISTRY_USER": "me", "KFN_REGISTRY_PASSWORD": "geheim"}
        assert "geheim" not in repr(RegistrySettings.from_environment(env))


class TestAPause:
    SETTINGS = RegistrySettings(retries=3, backoff=1.0, longest_pause=10.0)

    @pytest.mark.parametrize(
        ("failures", "chance", "asked", "seconds"),
        [
            (1, 1.0, None, 1.0),
            (2, 1.0, None, 2.0),
            (3, 0.5, None, 2.0),
            (4, 1.0, None, None),
            (1, 0.0, 5.0, 5.0),
            (3, 1.0, 9.0, 10.0),
            (1, 1.0, 11.0, None),
        ],
    )
    def test_grows_and_ends(self, failures: int, chance: float, asked: float | None, seconds: float | None) -> None:
        assert pause(self.SETTINGS, failures, chance, asked) == seconds

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("7", 7.0),
            ("", None),
            ("soon", None),
            ("-3", None),
            ("Sat, 21 Nov 2026 12:00:30 GMT", 30.0),
            ("Sat, 21 Nov 2026 11:00:00 GMT", 0.0),
            ("9" * 400, 999999999.0),
            ("²", None),
        ],
    )
    def test_may_be_asked_for_as_seconds_or_date(self, value: str, seconds: float | None) -> None:
        assert retry_after(value, datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)) == seconds


class TestAnAnswer:
    def test_tells_which_blobs_a_manifest_lacks(self) -> None:
        digest = "sha256:" + "b" * 64
        body = json.dumps({"errors": [{"code": "MANIFEST_BLOB_UNKNOWN", "message": "blob unknown", "detail": {"Digest": digest}}]})
        assert Answer(400, {}, body.encode()).blobs == (digest,)
        assert Answer(400, {}, body.encode()).words == "400 Bad Request: MANIFEST_BLOB_UNKNOWN blob unknown"

    @pytest.mark.parametrize(
        "body", [b"", b"[]", b"null", b'{"errors": 3}', b'{"errors": [3]}', b'{"errors": ["x"]}', b"{" * 99_999, b"\xff"]
    )
    def test_that_makes_no_sense_is_told_by_its_status(self, body: bytes) -> None:
        assert Answer(500, {}, body).errors == ()
        assert Answer(500, {}, body).words.startswith("500 Internal Server Error")

    def test_cannot_write_to_the_terminal(self) -> None:
        assert shown("a\x1b[2Jb\r\nc" + "x" * 1000).startswith("a [2Jb c")
        assert len(shown("x" * 1000)) < 400


class TestAnAddressThatARegistryGives:
    @pytest.mark.parametrize(
        ("registry", "url", "good"),
        [
            ("registry.example", "https://storage.example/x", True),
            ("registry.example", "http://storage.example/x", False),
            ("registry.example", "http://127.0.0.1:6379/x", False),
            ("127.0.0.1:5000", "http://127.0.0.1:6000/x", True),
            ("plain.example:5000", "http://127.0.0.1:6000/x", True),
            ("127.0.0.1:5000", "http://127.0.0.1:x@evil.example/x", False),
            ("127.0.0.1:5000", "http://plain.example@evil.example/x", False),
            ("127.0.0.1:5000", "ftp://127.0.0.1/x", False),
            ("127.0.0.1:5000", "http://evil.example/x", False),
        ],
    )
    def test_is_asked_over_tls_or_from_one_plain_host_to_another(self, registry: str, url: str, good: bool) -> None:
        assert RegistrySettings(plain_http=("plain.example",)).allows(urlsplit(url), registry) == good
