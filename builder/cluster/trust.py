"""Whom a build trusts, and how it is known to a package index: the system's certificates with the platform's and the Secret's beside them
in one file that every client reads, and an index's address with its login. What is wrong with either is said before the build begins.
"""

import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

from builder.cluster.wire import CA, CA_BYTES
from builder.errors import UsageError

SECRET_BYTES = 1 << 20  # a Secret holds no more
FILES = ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO")  # by which Python, uv and Go; node; git are told of a file
INDEX = "UV_DEFAULT_INDEX"
_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")


def checked(pem: str, name: str, most: int = SECRET_BYTES) -> str:
    """The certificates of a text that holds some. Raises UsageError that begins with `name`."""
    if len(pem) > most:
        raise UsageError(f"{name} has {len(pem)} bytes, {most} are possible; give your own authorities only, the public ones are known")
    blocks = _BLOCK.findall(pem)  # a comment may be in any language, and what else is in the file is nobody's business
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata="\n".join(blocks))
    except (ssl.SSLError, ValueError):
        raise UsageError(f"{name} holds no certificate in PEM form, which begins with -----BEGIN CERTIFICATE-----") from None
    return "".join(f"{block}\n" for block in blocks)


class Platform:
    """The platform's own authorities, in a file that may be replaced at any time. What is there first has to be good."""

    def __init__(self, file: Path) -> None:
        self._file, self._read = file, ""
        self.text = ""
        if wrong := self.look():
            raise UsageError(wrong)

    def look(self) -> str:
        """Read it again; what is wrong with it now. What was good stays in use then."""
        try:
            found = _text(self._file)
            if found != self._read:
                self._read = found
                self.text = checked(found, f"{self._file}, the authorities of builds,", CA_BYTES)
        except OSError as error:
            return f"{self._file}, the authorities of builds: {error.strerror}"
        except UsageError as error:
            return str(error)
        return ""


def authorities(secrets: Path, environ: Mapping[str, str]) -> str:
    """What is to be trusted beside the system's: the platform's and the index Secret's."""
    found = [checked(environ[CA], f"{CA}, the platform's builds.ca,", CA_BYTES)] if environ.get(CA) else []
    own = secrets / "index" / "ca.crt"
    if own.is_file():
        found.append(checked(_text(own), "ca.crt of the index Secret"))
    return "".join(found)


def bundle(own: str, folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Write the system's certificates and `own` into one file; the variables that name it."""
    if not own:
        return {}
    system = environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile or ""
    try:
        text = Path(system).read_text("utf-8", "replace") if system else ""
    except OSError as error:
        raise UsageError(f"SSL_CERT_FILE={system}, which builds were given: {error.strerror}") from None
    file = folder / "authorities.pem"
    file.write_text(f"{text.rstrip()}\n{own}".lstrip())
    return dict.fromkeys(FILES, str(file))


def index(secrets: Path) -> dict[str, str]:
    """The variable with the address of the package index, its login in it: never an argument, which others could read."""
    url, user, password = (
        _text(path).strip() if (path := secrets / "index" / key).is_file() else "" for key in ("url", "username", "password")
    )
    if not url:
        if user or password:
            raise UsageError("the index Secret has a login but no url; add the index's address, such as https://index.example/simple/")
        return {}
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname or any(c.isspace() for c in url):
        raise UsageError("url of the index Secret is no address of an index, such as https://index.example/simple/")
    if user or password:
        if parts.username is not None:
            raise UsageError("the index Secret has a login in its url and another beside it; keep one of them")
        login = f"{quote(user, safe='')}:{quote(password, safe='')}" if password else quote(user, safe="")
        url = parts._replace(netloc=f"{login}@{parts.netloc}").geturl()
    return {INDEX: url}


def _text(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(SECRET_BYTES + 1).decode("utf-8", "replace")
