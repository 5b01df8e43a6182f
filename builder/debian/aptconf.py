"""apt's own configuration, as far as it names proxies."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

_TOKEN = re.compile(r'"([^"]*)"|([{};])|(//[^\n]*|/\*.*?\*/|#[^\n]*)|([^\s{};"]+)', re.DOTALL)
_PROXY = re.compile(r"acquire::(https?)::proxy(?:::(.+))?")
_PART = re.compile(r"[A-Za-z0-9_.-]+")


def proxies(etc: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """`http://` or `http://HOST` -> proxy, empty for DIRECT. What apt is told goes before `http_proxy`, as it does for apt."""
    parts = sorted(p for p in (etc / "apt.conf.d").glob("*") if _PART.fullmatch(p.name) and p.suffix in ("", ".conf"))
    found: dict[str, str] = {}
    for path in (*([Path(environ["APT_CONFIG"])] if environ.get("APT_CONFIG") else []), *parts, etc / "apt.conf"):
        try:
            text = path.read_text(errors="replace")
        except OSError:
            continue
        for name, value in settings(text):
            if match := _PROXY.fullmatch(name.lower()):
                proxy = "" if value.upper() in ("DIRECT", "FALSE") else value
                if not proxy or proxy.startswith(("http://", "https://")):
                    found[f"{match[1]}://{match[2] or ''}"] = proxy
    return found


def settings(text: str) -> Iterator[tuple[str, str]]:
    """`Acquire::http::Proxy "x";`, or the same in nested braces, as full names with values."""
    scopes: list[str] = []
    words: list[str] = []
    for quoted, mark, comment, word in _TOKEN.findall(text):
        if comment:
            continue
        if mark == "{":
            scopes.append("::".join(words))
        elif mark == ";":
            if len(words) == 2:
                yield "::".join([*(scope for scope in scopes if scope), words[0]]), words[1]
        elif mark == "}":
            del scopes[-1:]
        else:
            words.append(word or quoted)
            continue
        words = []
