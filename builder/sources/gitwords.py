"""What git says when it fails, as one of the builder's errors with what to do about it. Pure. No user, password or token gets through."""

import difflib
import re
from collections.abc import Sequence

from builder.errors import BuildError, GitError, GitRefused, GitUnreachable
from builder.sources.giturl import GitUrl, hidden

_NO_REF = ("couldn't find remote ref", "not our ref", "no such remote ref", "unadvertised object", "not a valid object name")
_REFUSED = (
    "could not read username",
    "could not read password", "authentication failed", "permission denied", "access denied", "error: 401", "error: 403",
    "terminal prompts disabled", "invalid username or", "host key verification failed", "no supported authentication",
)  # fmt: skip
_GONE = (
    "not found",
    "does not exist",
    "error: 404",
    "does not appear to be a git repository",
    "not exported",
    "no such file",
    "access denied or",
)
_AWAY = (
    "could not resolve", "connection refused", "connection timed out", "connection reset", "couldn't connect", "failed to connect",
    "network is unreachable",
    "no route to host", "timed out", "early eof", "hung up", "rpc failed", "unable to connect", "unexpected disconnect",
    "error: 5", "operation too slow",
)  # fmt: skip
_TLS = ("certificate", "ssl", "tls")
_SHOWN = 2000


def clean(said: str, url: GitUrl) -> str:
    """git's words without secrets and without the prefix that says nothing."""
    text = hidden(said)
    for secret in (url.password.text if url.password else "", url.user if url.scheme in ("http", "https") else ""):
        if secret:
            text = text.replace(secret, "***")
    return re.sub(r"(?m)^(fatal|error|remote): *", "", text).strip()[:_SHOWN]


def no_ref(said: str) -> bool:
    return any(words in said.lower() for words in _NO_REF)


def slow(url: GitUrl, seconds: float) -> BuildError:
    return GitUnreachable(f"{url} was not fetched within {seconds:g} s")


def explain(said: str, url: GitUrl, refs: Sequence[str] = ()) -> BuildError:
    """`said` went through `clean`. `refs` are the branches and tags that there are."""
    low = said.lower()
    if no_ref(said):
        return GitError(f"{url}: {_ref(url, refs)}")
    if any(words in low for words in _TLS) and "refused" not in low:
        return GitUnreachable(f"{url}: {said}. If a company's own authority signed it, name its file with GIT_SSL_CAINFO or http.sslCAInfo")
    if any(words in low for words in _REFUSED):
        if "host key" in low:
            return GitRefused(f"{url}: the host's key is not known; connect once with ssh, and compare the key: {said}")
        how = (
            "load a key with ssh-add, or give the key of this machine access"
            if url.scheme == "ssh"
            else "give access by a git credential helper or GIT_ASKPASS"
        )
        return GitRefused(f"{url} is private, or is not there, or this user may not read it; {how}. git said: {said}")
    if any(words in low for words in _GONE):
        return GitError(f"{url}: there is no such repository, or it is private. git said: {said}")
    if any(words in low for words in _AWAY):
        return GitUnreachable(f"{url}: {said}")
    return GitError(f"{url}: {said}")


def _ref(url: GitUrl, refs: Sequence[str]) -> str:
    if not url.ref:
        return "the repository has no commit yet, or its HEAD names a branch that is not there; name one with #REF"
    near = difflib.get_close_matches(url.ref, refs, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(sorted(refs)[:10]) or 'no branches and tags'}"
    if re.fullmatch(r"[0-9a-f]{4,39}", url.ref):
        hint += "; a commit must be given with all its 40 digits"
    return f"there is no branch, tag or commit {url.ref!r}; {hint}"
