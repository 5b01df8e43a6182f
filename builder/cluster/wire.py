"""What a controller and a runner say to each other: the request in one environment variable, the result in the pod's termination
message. Pure.

A runner may have run foreign code, so a result is believed only as far as the Build allows: its image is in the repository that the Build
names, its texts are bounded and printable.
"""

import json
import re

import msgspec

from kfn.api.base import Base, decode, encode
from kfn.api.build import Build, BuildPhase, BuildSpec

REQUEST = "KFN_BUILD"  # the environment variable
TERMINATION_LOG = "KFN_TERMINATION_LOG"  # another place for the message than the kubelet's
SECRETS = "KFN_BUILD_SECRETS"  # another folder for the secrets
CA = "KFN_BUILD_CA"  # the platform's authorities, as PEM
CA_BYTES = 65536  # of it: one variable of a process may have 128 KiB
MESSAGE_BYTES = 4096  # the kubelet keeps no more of a termination message
TEXT = 1500
PHASES = 24
WARNINGS = 8
OK, FAILED, CANCELLED, TIMEOUT, SWEPT = "ok", "failed", "cancelled", "timeout", "swept"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Request(Base, frozen=True):
    """What a Job is to do: build, or `sweep` the source artifact away that nothing uses any more."""

    namespace: str = ""
    build: str = ""
    uid: str = ""
    spec: BuildSpec = BuildSpec()
    sweep: bool = False
    own_cache: bool = False  # layers are kept in the image's own repository


class Result(Base, frozen=True):
    """How a runner ended. `reason` is a word for a condition, `message` is for people."""

    result: str = ""
    code: int = 0
    reason: str = ""
    message: str = ""
    image: str = ""
    digest: str = ""
    commit: str = ""
    cache_hits: int = 0
    phases: tuple[BuildPhase, ...] = ()
    warnings: tuple[str, ...] = ()


def request_of(build: Build, *, sweep: bool = False, own_cache: bool = False) -> Request:
    meta = build.metadata
    return Request(meta.namespace, meta.name, meta.uid, build.spec, sweep, own_cache)


def write_request(request: Request) -> str:
    return json.dumps(encode(request), separators=(",", ":"), ensure_ascii=False)


def read_request(text: str) -> Request:
    """Raises ValueError with what is wrong."""
    try:
        return decode(Request, json.loads(text))
    except (ValueError, msgspec.ValidationError) as error:
        raise ValueError(f"{REQUEST} is not a build's request: {error}") from None


def write_result(result: Result) -> str:
    """As JSON of at most 4 KiB: what matters least goes first."""
    result = _bounded(result)
    for shorter in (
        result,
        msgspec.structs.replace(result, warnings=result.warnings[:2]),
        msgspec.structs.replace(result, warnings=(), phases=tuple(msgspec.structs.replace(p, detail=p.detail[:40]) for p in result.phases)),
        msgspec.structs.replace(result, warnings=(), phases=()),
    ):
        text = json.dumps(encode(shorter), separators=(",", ":"))
        if len(text) <= MESSAGE_BYTES:
            return text
    return json.dumps(encode(msgspec.structs.replace(result, warnings=(), phases=(), message=result.message[:300])), separators=(",", ":"))


def read_result(text: str, build: Build) -> Result | None:
    """The result in a termination message or in the last line of a log; None if that is no result of this Build."""
    try:
        found = json.loads(text)
        result = _bounded(decode(Result, found.get("result") if isinstance(found.get("result"), dict) else found))
    except (ValueError, AttributeError, msgspec.ValidationError, RecursionError):
        return None
    if result.result not in (OK, FAILED, CANCELLED, TIMEOUT) or not 0 <= result.code <= 255:
        return None
    if result.result == OK and (not _DIGEST.fullmatch(result.digest) or result.image != f"{build.spec.image.repository}@{result.digest}"):
        return None
    return result


def _bounded(result: Result) -> Result:
    phases = tuple(
        BuildPhase(_clean(p.name, 20), _clean(p.detail, 160), p.cached, round(min(max(p.seconds, 0.0), 1e6), 3))
        for p in result.phases[-PHASES:]
    )
    return msgspec.structs.replace(
        result,
        reason=re.sub(r"[^A-Za-z0-9]", "", result.reason)[:60],
        message=_ends(_clean(result.message, 1 << 20), TEXT),
        image=_clean(result.image, 400),
        commit=_clean(result.commit, 80),
        cache_hits=min(max(result.cache_hits, 0), 1000),
        phases=phases,
        warnings=tuple(_clean(w, 300) for w in result.warnings[:WARNINGS]),
    )


def _ends(text: str, most: int) -> str:
    """Both ends of a text that is too long: it begins with what happened and ends with what to do."""
    return text if len(text) <= most else f"{text[: most // 2 - 5]}\n...\n{text[-(most // 2) :]}"


def _clean(text: str, most: int) -> str:
    """No control characters but line ends; the end of a text that is too long goes."""
    cleaned = "".join(c if c.isprintable() or c == "\n" else "?" for c in text[: most + 1])
    return cleaned if len(cleaned) <= most else cleaned[: most - 3] + "..."
