"""Where Debian's packages come from: a flag or the environment, else the machine's own apt configuration. No address is known here.

Only the address of a mirror of Debian's archive (and of its security archive) is taken from the machine, whatever release it runs
itself; which suites are read is up to who asks. Sources of others are ignored: by their suites, and what is left by their signatures.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from builder.debian import aptconf, control
from builder.errors import MirrorUnknown

MIRROR = "KFN_DEBIAN_MIRROR"
SECURITY_MIRROR = "KFN_DEBIAN_SECURITY_MIRROR"
KEYRING = "KFN_DEBIAN_KEYRING"
ALLOW_STALE = "KFN_DEBIAN_ALLOW_STALE"
NONE = "none"  # as the security mirror: the archive has no security suite

# What Debian calls its suites. Others use the same names for their own packages, but not with Debian's component `main` and keys.
_CODENAMES = "buster|bullseye|bookworm|trixie|forky|duke|sid|oldoldstable|oldstable|stable|testing|unstable|experimental"
_SUITE = re.compile(rf"(?:{_CODENAMES})(-updates|-security|-proposed-updates|-backports(?:-sloppy)?|/updates)?")
_ONE_LINE = re.compile(r"deb(?:\s+\[([^\]]*)\])?\s+(\S+)\s+(\S+)((?:\s+\S+)*)")


@dataclass(frozen=True, slots=True)
class Mirrors:
    """Addresses without a slash at the end, the one to ask first first. `keyrings` are trusted beside the keys that kfn ships."""

    archive: tuple[str, ...]
    security: tuple[str, ...]  # empty: there is none
    keyrings: tuple[Path, ...] = ()
    proxies: Mapping[str, str] = field(default_factory=dict)  # scheme:// or scheme://host -> proxy; empty text: none
    allow_stale: bool = False  # of a mirror of some day in the past
    security_guessed: bool = False  # the archive's address with `-security`, for want of another

    def bases(self, origin: str) -> tuple[str, ...]:
        return self.security if origin == "security" else self.archive


@dataclass(frozen=True, slots=True)
class Source:
    """One entry of apt's lists."""

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str = ""


def find(environ: Mapping[str, str], etc: Path = Path("/etc/apt"), *, mirror: str = "", security: str = "") -> Mirrors:
    """`mirror` and `security` are flags. Raises MirrorUnknown if neither they nor the environment nor the machine name one."""
    mirror, security = mirror or environ.get(MIRROR, ""), security or environ.get(SECURITY_MIRROR, "")
    debian = [source for source in read(etc) if _is_debian(source)]
    archive: tuple[str, ...] = (_address(mirror, MIRROR),) if mirror else ()
    secure: tuple[str, ...] = ()
    if not mirror:
        archive = _addresses(source for source in debian if not _is_security(source))
        secure = _addresses(source for source in debian if _is_security(source))
    if not archive:
        raise MirrorUnknown(
            f"set {MIRROR} to the address of a Debian mirror, the folder that has dists/ and pool/ (and {SECURITY_MIRROR} if its security "
            f"archive is elsewhere than at that address with -security). {etc} names none"
        )
    if security:
        secure = () if security == NONE else (_address(security, SECURITY_MIRROR),)
    guessed = not secure and security != NONE
    keyrings = [Path(environ[KEYRING])] if environ.get(KEYRING) else []
    if not mirror:
        named = {Path(part) for source in debian for part in source.signed_by.split() if part.startswith("/")}
        keyrings += sorted(path for path in named if path.is_file())
    return Mirrors(
        archive=archive,
        security=tuple(f"{base}-security" for base in archive) if guessed else secure,
        keyrings=tuple(keyrings),
        proxies=aptconf.proxies(etc, environ),
        allow_stale=environ.get(ALLOW_STALE, "") not in ("", "0", "no", "false"),
        security_guessed=guessed,
    )


def read(etc: Path) -> Iterator[Source]:
    """All entries of the machine's lists, in apt's order. A list that cannot be read or understood is passed over: it is apt's to tell."""
    parts = sorted(path for path in (etc / "sources.list.d").glob("*") if path.suffix in (".list", ".sources"))
    for path in (etc / "sources.list", *parts):
        try:
            text = path.read_text(errors="replace")
        except OSError:
            continue
        yield from deb822(text) if path.suffix == ".sources" else one_line(text)


def deb822(text: str) -> Iterator[Source]:
    for stanza in control.stanzas(text):
        fields = {name.lower(): value for name, value in stanza.items()}
        if "deb" in fields.get("types", "").split() and fields.get("enabled", "yes").lower() not in ("no", "false", "0"):
            for uri in fields.get("uris", "").split():
                for suite in fields.get("suites", "").split():
                    yield Source(uri, suite, tuple(fields.get("components", "").split()), fields.get("signed-by", ""))


def one_line(text: str) -> Iterator[Source]:
    for line in text.split("\n"):
        if match := _ONE_LINE.fullmatch(line.partition("#")[0].strip()):
            options = dict(option.partition("=")[::2] for option in (match[1] or "").split())
            yield Source(match[2], match[3], tuple(match[4].split()), options.get("signed-by", "").replace(",", " "))


def _is_debian(source: Source) -> bool:
    return _SUITE.fullmatch(source.suite.rstrip("/")) is not None and "main" in source.components


def _is_security(source: Source) -> bool:
    return source.suite.rstrip("/").endswith(("-security", "/updates"))


def _addresses(sources: Iterator[Source]) -> tuple[str, ...]:
    """Each once. Those with Debian's own keyring come first: somebody else may well have a `bookworm main`."""
    listed = sorted(sources, key=lambda source: "debian-archive" not in source.signed_by)
    found = [uri.rstrip("/") for source in listed for uri in _expanded(source.uri) if urlsplit(uri).scheme in ("http", "https")]
    return tuple(dict.fromkeys(found))


def _expanded(uri: str) -> list[str]:
    """A list of mirrors in a file, as images for clouds have it."""
    if not uri.startswith("mirror+file:"):
        return [uri]
    try:
        lines = Path(urlsplit(uri.removeprefix("mirror+")).path).read_text().splitlines()
    except OSError:
        return []
    return [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]


def _address(text: str, variable: str) -> str:
    parts = urlsplit(text.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise MirrorUnknown(f"{variable} should be an http or https address such as https://HOST/debian")
    return text.strip().rstrip("/")
