"""Surroundings for uv when it may build source distributions, which runs their code: bounds, a home of its own, no secrets.

The environment has what finding packages needs and nothing else. Passwords of indexes stand in a netrc file instead, which is
gone afterwards. It is no sandbox: that code runs as the user who builds, and can read what he can.
"""

import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from builder.errors import DependencyError
from builder.platform import host
from builder.python.interpreter import running
from builder.python.picks import Pick
from builder.python.target import Target

MEMORY = 32 << 30  # bytes of data; a compiler takes gigabytes
EPOCH = "315532800"  # 1980, the earliest that a zip file can say
_KEPT = re.compile(
    r"PATH|LD_LIBRARY_PATH|SSL_CERT_(FILE|DIR)|(HTTPS?|ALL|NO)_PROXY|(https?|all|no)_proxy|UV_(DEFAULT_)?INDEX(_URL|_STRATEGY)?|UV_EXTRA_INDEX_URL|"
    r"UV_FIND_LINKS|UV_NO_INDEX|UV_INSECURE_HOST|UV_HTTP_\w+|UV_NO_CACHE|UV_NO_PROGRESS|NO_COLOR|CC|CXX|CFLAGS|CXXFLAGS|LDFLAGS"
)
_USER = re.compile(r"(?P<scheme>\w+://)(?P<user>[^\s/:@]*)(?::(?P<password>[^\s/@]*))?@(?P<host>[^\s/:]+)")
_NAMED = re.compile(r"UV_INDEX_(\w+)_(USERNAME|PASSWORD)")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What to put before a command, and its whole environment."""

    argv: tuple[str, ...]
    env: Mapping[str, str]


@contextmanager
def surroundings(
    env: Mapping[str, str], indexes: Sequence[Mapping[str, Any]], given: Mapping[str, str], seconds: float
) -> Iterator[Surroundings]:
    """`env` is what uv would have had, `given` what func.yaml gives to builds."""
    with tempfile.TemporaryDirectory(prefix="kfn-sdist-") as name:
        home = Path(name)
        kept, logins = split(env, indexes)
        netrc = home / "netrc"
        netrc.touch(0o600)
        netrc.write_text(_netrc(env) + "".join(f"machine {h} login {u} password {p}\n" for h, u, p in logins), "utf-8")
        (home / "tmp").mkdir()
        own = {"HOME": name, "TMPDIR": str(home / "tmp"), "LANG": "C.UTF-8", "TZ": "UTC", "SOURCE_DATE_EPOCH": EPOCH, "NETRC": str(netrc)}
        own |= {"UV_CACHE_DIR": str(home / "cache"), "UV_PYTHON_DOWNLOADS": "never", "PYTHONHASHSEED": "0"}
        limited = (sys.executable, "-I", "-S", str(Path(__file__).with_name("limited.py")), str(int(seconds)), str(MEMORY), "--")
        yield Surroundings(limited, {**kept, **given, **own})


def split(env: Mapping[str, str], indexes: Sequence[Mapping[str, Any]]) -> tuple[dict[str, str], list[tuple[str, str, str]]]:
    """The variables that are handed on, without passwords, and those as host, user and password. Pure."""
    kept, logins = {}, []
    for name, value in env.items():
        if not _KEPT.fullmatch(name):
            continue
        kept[name] = value
        if not name.lower().endswith("_proxy"):  # without its password a proxy is none
            logins += [(m["host"], unquote(m["user"]), unquote(m["password"] or "")) for m in _USER.finditer(value)]
            kept[name] = _USER.sub(r"\g<scheme>\g<host>", value)
    places = {_shout(str(one.get("name", ""))): str(one.get("url", "")) for one in indexes}
    places |= {_shout(m[1]): m[2] for m in re.finditer(r"(?:^|\s)([\w.-]+)=(\S+)", env.get("UV_INDEX", ""))}
    for name in sorted({m[1] for variable in env if (m := _NAMED.fullmatch(variable))} & places.keys()):
        server = urlsplit(places[name]).hostname or ""
        logins.append((server, env.get(f"UV_INDEX_{name}_USERNAME", ""), env.get(f"UV_INDEX_{name}_PASSWORD", "")))
    return kept, logins


def interpreter(target: Target, picks: Sequence[Pick]) -> str:
    """The Python that builds for `target`: the base's own if it is a program, else one of that version on this machine."""
    names = ", ".join(pick.title for pick in picks)
    if target.platform != host():
        raise DependencyError(
            f"{names}: a source distribution can be built for this machine's platform only ({host()}), not for {target.platform}; "
            "use a version that has a wheel"
        )
    if len(target.python.command) == 1:
        return target.python.command[0]
    own = running()
    return own.command[0] if own.minor == target.python.minor else target.python.minor


def advice(said: str, target: Target) -> str:
    """What a failed build may have lacked."""
    if "Python.h" in said:
        return f"\nThe headers of Python {target.python.minor} are not here: install them (python3-dev), or take a version with a wheel"
    if re.search(r"(gcc|g\+\+|cc|clang|cargo|cmake)\W.{0,40}(not found|No such file)|command '\w+' failed: No such file", said):
        return "\nA compiler that the package needs is not on this machine: install it, or use a version with a wheel"
    if re.search(r"No interpreter found|not found in .*(search path|managed)", said):
        return f"\nBuilding it needs Python {target.python.minor} on this machine"
    return ""


def warning(picks: Sequence[Pick]) -> str:
    names = ", ".join(pick.title for pick in picks)
    return (
        f"--allow-sdists: the code of {names} was run on this machine to build {'it' if len(picks) == 1 else 'them'}; "
        "the digest is the same elsewhere only if that build gives the same files there"
    )


def _shout(name: str) -> str:
    return re.sub(r"[^A-Z0-9]", "_", name.upper())


def _netrc(env: Mapping[str, str]) -> str:
    """The user's own, which uv would have read."""
    try:
        return Path(env.get("NETRC") or os.path.expanduser("~/.netrc")).read_text("utf-8").rstrip("\n") + "\n"
    except (OSError, UnicodeDecodeError):
        return ""
