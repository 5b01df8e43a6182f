"""Time and commit are in an image only if asked for, and never with a user, a password or a path of the machine."""

from datetime import UTC, datetime

import pytest

from builder.errors import UsageError
from builder.options import BuildOptions
from builder.sources.origin import UNKNOWN, Origin, committed
from builder.supply.stamp import Stamp, public_url, stamped

NOW = datetime(2026, 11, 21, 12, 0, 1, tzinfo=UTC)
CLEAN = Origin("https://git.example/a.git", "c" * 40, "main", "", "2026-01-02T03:04:05Z")
DIRTY = Origin("https://git.example/a.git", "c" * 40, "main", "", "2026-01-02T03:04:05Z", dirty=True)


def options(**given: object) -> BuildOptions:
    return BuildOptions(None, **given)  # type: ignore[arg-type]


class TestAnImage:
    @pytest.mark.parametrize("origin", [CLEAN, DIRTY, UNKNOWN], ids=["clean", "changed", "no checkout"])
    def test_says_the_epoch_and_no_commit_by_default(self, origin: Origin) -> None:
        assert stamped(options(), origin, NOW) == Stamp("1970-01-01T00:00:00Z", {})

    def test_says_when_its_commit_was_made_if_asked(self) -> None:
        assert stamped(options(timestamp="commit"), CLEAN, NOW).created == "2026-01-02T03:04:05Z"

    def test_says_the_present_if_asked(self) -> None:
        assert stamped(options(timestamp="now"), UNKNOWN, NOW).created == "2026-11-21T12:00:01Z"

    def test_names_repository_and_commit_if_asked(self) -> None:
        found = stamped(options(git_annotations=True), CLEAN, NOW).annotations
        assert found == {
            "org.opencontainers.image.revision": "c" * 40,
            "org.opencontainers.image.source": "https://git.example/a.git",
        }

    @pytest.mark.parametrize("given", [{"timestamp": "commit"}, {"git_annotations": True}], ids=["timestamp", "annotations"])
    def test_does_not_claim_a_commit_that_it_is_not(self, given: dict[str, object]) -> None:
        with pytest.raises(UsageError, match="changes that are not committed"):
            stamped(options(**given), DIRTY, NOW)
        with pytest.raises(UsageError, match="is no git checkout"):
            stamped(options(**given), UNKNOWN, NOW)


class TestAPublicUrl:
    @pytest.mark.parametrize(
        ("url", "public"),
        [
            ("https://user:token@git.example/a/b.git", "https://git.example/a/b.git"),
            ("https://git.example:8443/a.git?token=x#y", "https://git.example:8443/a.git"),
            ("ssh://alice@git.example/a.git", "ssh://git.example/a.git"),
            ("git@git.example:team/a.git", "ssh://git.example/team/a.git"),
            ("alice@git.example:/srv/a.git", "ssh://git.example/srv/a.git"),
            ("https://[::1]:80/a.git", "https://[::1]:80/a.git"),
            ("/home/alice/a.git", ""),
            ("../a.git", ""),
            ("file:///home/alice/a.git", ""),
            ("https://git.example:port/a", ""),
            ("ext::sh -c id", ""),
            ("", ""),
        ],
        ids=lambda text: text or "nothing",
    )
    def test_has_no_user_and_no_path_of_this_machine(self, url: str, public: str) -> None:
        assert public_url(url) == public


class TestACommit:
    @pytest.mark.parametrize(
        ("body", "when"),
        [
            (b"tree x\nauthor A <a> 1 +0000\ncommitter C > D <c> 1767323045 +0100\n\ntext", "2026-01-02T03:04:05Z"),
            (b"tree x\n\ncommitter C <c> 1767323045 +0100\n", ""),
            (b"tree x\ncommitter C <c> 999999999999 +0000\n\n", ""),
            (b"", ""),
        ],
        ids=["as git writes it", "only in the message", "beyond all years", "nothing"],
    )
    def test_says_when_it_was_made(self, body: bytes, when: str) -> None:
        assert committed(body) == when
