"""`https://host/path.git#ref:folder`, as docker and Knative's func spell a git source, taken apart and judged. Pure.

Only https, ssh and git are allowed, http to this machine or a listed host. What could be read as an option, a local path or a program by
git or ssh is refused here, before either is started.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from builder.errors import UsageError

SCHEMES = ("https", "ssh", "git", "http")
_LOOPBACK = re.compile(r"localhost|127(\.\d{1,3}){3}|::1")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|[A-Za-z][A-Za-z0-9+.-]*::")
_SCP = re.compile(r"(?P<user>[A-Za-z0-9._-]+)@(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(?P<path>[^:].*)")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]+")
_USER = re.compile(r"[A-Za-z0-9._%+@=~-]*")
_REF = re.compile(r"[^\s\x00-\x20\x7f~^:?*\[\\-][^\s\x00-\x20\x7f~^:?*\[\\]*")  # git check-ref-format, without the rules on dots
_HINT = "give https://HOST/PATH.git, ssh://git@HOST/PATH.git or git@HOST:PATH, with #REF or #REF:FOLDER behind it if wanted"


@dataclass(frozen=True, slots=True)
class GitUrl:
    """`url` is what git gets: without a password, and without a user unless ssh needs one. `repr` shows no secret."""

    url: str
    host: str
    scheme: str
    ref: str = ""  # branch, tag or commit; empty: the repository's own HEAD
    folder: str = ""  # relative, with `/`
    user: str = field(default="", repr=False)  # a token, in some URLs
    password: "Password | None" = None

    def __str__(self) -> str:
        return self.url + (f"#{self.ref}{':' if self.folder else ''}{self.folder}" if self.ref or self.folder else "")

    @property
    def name(self) -> str:
        """What a folder of it would be called."""
        last = (self.folder or self.url.rstrip("/").removesuffix(".git")).rstrip("/")
        return re.split(r"[/:]", last)[-1] or "source"


@dataclass(frozen=True, slots=True, repr=False)
class Password:
    """Shows itself nowhere."""

    text: str


def is_git(text: str) -> bool:
    """Whether this names a repository rather than a folder."""
    return bool(_URL.match(text) or _SCP.fullmatch(text.partition("#")[0]) or text.startswith("-"))


def parse(text: str, http_hosts: tuple[str, ...] = ()) -> GitUrl:
    """Raises UsageError, which never shows a user or a password. `http_hosts` may be spoken to without TLS."""
    if text.startswith("-"):
        raise UsageError(f"{text.split('=')[0]!r} looks like an option, not like a repository; {_HINT}")
    if any(c.isspace() or ord(c) < 32 or ord(c) == 127 for c in text):
        raise UsageError(f"the git URL holds a space or a control character; {_HINT}")
    address, _, fragment = text.partition("#")
    ref, _, folder = fragment.partition(":")
    found = _SCP.fullmatch(address)
    made = _scp(found) if found and "://" not in address else _url(address, http_hosts)
    url, host, scheme, user, password = made
    return GitUrl(url, host, scheme, _ref(ref), _folder(folder), user, password)


def hidden(text: str) -> str:
    """The same text with the user and password of every URL in it taken out."""
    return re.sub(r"([A-Za-z][A-Za-z0-9+.-]*://)[^/\s@'\"]*@", r"\1", text)


def _scp(found: re.Match[str]) -> tuple[str, str, str, str, None]:
    host, path = found["host"], found["path"]
    if host.startswith("-") or path.startswith("-"):
        raise UsageError(f"a host or path that begins with - is refused; {_HINT}")
    return f"{found['user']}@{host}:{path}", host.strip("[]"), "ssh", found["user"], None


def _url(address: str, http_hosts: tuple[str, ...]) -> tuple[str, str, str, str, Password | None]:
    if "::" in address.partition("://")[0]:
        raise UsageError(f"{address.partition('::')[0]}:: starts a program, which kfn does not; {_HINT}")
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise UsageError(f"{hidden(address)} is not a URL; {_HINT}") from None
    scheme = parts.scheme.lower()
    if scheme not in SCHEMES:
        local = " reads this machine's own files; give the folder's path instead, or" if scheme == "file" else " is not supported;"
        raise UsageError(f"{scheme or 'a URL without a scheme'}://{local} {_HINT}")
    if not _HOST.fullmatch(host) or not parts.path.strip("/"):
        raise UsageError(f"{hidden(address)} names no {'host' if not host else 'repository on its host'}; {_HINT}")
    if scheme == "http" and not (_LOOPBACK.fullmatch(host) or host in http_hosts or f"{host}:{port}" in http_hosts):
        raise UsageError(
            f"http://{host} is not encrypted, so anybody on the way could change the source; use https, or allow it with --git-http {host}"
        )
    if parts.path.startswith("/-"):
        raise UsageError(f"a path that begins with - is refused; {_HINT}")
    user, password = _who(parts)
    place = f"[{host}]" if ":" in host else host
    place += f":{port}" if port else ""
    shown = f"{user}@{place}" if scheme == "ssh" and user else place
    query = f"?{parts.query}" if parts.query else ""
    return f"{scheme}://{shown}{parts.path}{query}", host, scheme, user, password


def _who(parts: SplitResult) -> tuple[str, Password | None]:
    user, password = parts.username or "", parts.password
    if not _USER.fullmatch(user) or user.startswith("-"):
        raise UsageError(f"the user in the git URL holds a sign that is refused; {_HINT}")
    return unquote(user), Password(unquote(password)) if password else None


def _ref(text: str) -> str:
    if text and (not _REF.fullmatch(text) or ".." in text or "@{" in text or text.endswith((".lock", "/", "."))):
        raise UsageError(f"{text!r} cannot be a branch, a tag or a commit; write URL#REF or URL#REF:FOLDER")
    return text


def _folder(text: str) -> str:
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if text.startswith("/") or ".." in parts or any(part.lower() == ".git" for part in parts):
        raise UsageError(f"{text!r} must be a folder within the repository, as in URL#main:services/hello")
    return "/".join(parts)
