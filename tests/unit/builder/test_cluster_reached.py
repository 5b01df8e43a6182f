"""What is told of a peer that a build could not reach, and what is to be done about it on a platform."""

import pytest

from builder.cluster import reached
from builder.errors import (
    BuildError,
    IndexRefused,
    IndexUntrusted,
    MirrorUnknown,
    RegistryError,
    RegistryRefused,
    RegistryUntrusted,
    ToolMissing,
)


class TestThePlace:
    @pytest.mark.parametrize(
        ("text", "registry", "place"),
        [
            ("error: Failed to fetch: `https://index.example/simple/a/`\n", "r.example", ("index.example", 443)),
            ("for url (http://index.example:8080/simple/a/)", "r.example", ("index.example", 8080)),
            ("r.example:5000: timed out", "r.example:5000", ("r.example", 5000)),
            ("r.example: timed out", "r.example", ("r.example", 443)),
            ("[::1]:5000: timed out", "[::1]:5000", ("::1", 5000)),
            ("it is late", "r.example", None),
            ("see http://[broken/", "r.example", None),
        ],
    )
    def test_is_in_the_message(self, text: str, registry: str, place: tuple[str, int] | None) -> None:
        assert reached.place(text, registry) == place


class TestAdvice:
    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (RegistryUntrusted("the certificate of r.example is not trusted"), "ca.crt of the --index-secret, or into builds.ca"),
            (IndexUntrusted("invalid peer certificate: UnknownIssuer"), "ca.crt of the --index-secret, or into builds.ca"),
            (RegistryRefused("no"), "--push-secret"),
            (IndexRefused("401"), "username and password"),
            (MirrorUnknown("set KFN_DEBIAN_MIRROR"), "builds.env"),
            (ToolMissing("git was not found"), "`git clone URL && kfn build --remote FOLDER`"),
            (ToolMissing("npm was not found"), ""),
            (RegistryError("no"), ""),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, BuildError) else "",
    )
    def test_is_for_who_builds_on_a_platform(self, error: BuildError, words: str) -> None:
        told = reached.advice(error)
        assert words in told
        assert bool(words) == bool(told)
