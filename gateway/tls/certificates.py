"""The certificates that clients are shown: from files and from Secrets, watched, and swapped whole when one changes.

A new one is for new connections; what is open goes on under the one that it began with. What cannot be used changes nothing: the one
before stays, and log and metrics say why. Checking one pair is `pair`'s, choosing by name `servernames`'; handshakes are `connection`'s.
"""

import base64
import binascii
import hashlib
import logging
import os
import ssl
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from gateway.tls import pair, servernames
from gateway.tls.pair import BadPair, Pair
from kfn.api.core import Secret
from kfn.clock import utcnow

log = logging.getLogger(__name__)

LABEL = "kfn.dev/gateway-certificate"
SECRET_TYPE = "kubernetes.io/tls"  # noqa: S105 - a name
RACY = 10.0  # seconds since a file was written in which another write may leave the same time on it


class CertificateError(Exception):
    """A certificate that was named cannot be used; the message names the file and the fix."""


@dataclass(slots=True)
class Source:
    """Where one certificate comes from, and the last good one from there."""

    what: str  # for people
    pair: Pair | None = None
    seen: bytes = b""  # a digest of what was read last, good or not
    complaint: str = ""
    following: Pair | None = None  # good, but not valid yet


@dataclass(slots=True)
class Files(Source):
    cert: str = ""
    key: str = ""
    looked: tuple[object, ...] = ()  # what `stat` said before the last reading


class Certificates:
    def __init__(
        self, files: Sequence[tuple[str, str]] = (), *, named: Sequence[str] = (), protocols: Sequence[str] = ("http/1.1",)
    ) -> None:
        """`files` are pairs of certificate and key; `named` are Secrets, NAMESPACE/NAME. The first of all is the default."""
        self.context: ssl.SSLContext | None = None  # what a new connection begins with; None: there is no certificate yet
        self.failures: defaultdict[str, int] = defaultdict(int)  # by source
        self.reloads = 0
        self.handshake_failures: defaultdict[str, int] = defaultdict(int)  # by reason
        self._protocols = tuple(protocols)
        self._files = [Files(f"{cert} and {key}", cert=cert, key=key) for cert, key in files]
        self._named = {name: Source(f"Secret {name}") for name in named}
        self._labelled: dict[str, Source] = {}

    # Files.

    def start(self) -> None:
        """Read every file for the first time. Raises CertificateError."""
        for files in self._files:
            self._look(files)
            if files.pair is None:
                raise CertificateError(f"{files.what}: {files.complaint}")
        self._swap()

    def check(self, *, closely: bool = False) -> None:
        """See whether a file has changed: by `stat`, or by reading it all if `closely`."""
        changed: list[Source] = [files for files in self._files if self._look(files, closely=closely)]
        now = utcnow()
        for source in self._sources():
            if source.following is not None and source.following.not_before <= now:
                self._use(source, source.following)
                changed.append(source)
        if changed:
            self._swap()

    def _look(self, files: Files, *, closely: bool = True) -> bool:
        """Whether there is a new pair. `stat` comes first: a write that it does not show yet is seen at the next look."""
        looked = _stat(files)
        if not closely and looked == files.looked:
            return False
        files.looked = () if _racy(looked) else looked
        try:
            with open(files.cert, "rb") as cert, open(files.key, "rb") as key:
                return self._take(files, cert.read(), key.read())
        except OSError as error:
            self._complain(files, f"cannot read {error.filename}: {error.strerror}", repr(looked).encode())
            return False

    # Secrets.

    def named_changed(self, old: Secret | None, new: Secret | None) -> None:
        meta = (new or old).metadata  # type: ignore[union-attr]  # an informer never calls with neither
        source = self._named.get(f"{meta.namespace}/{meta.name}")
        if source is not None:
            self._secret(source, new)

    def labelled_changed(self, old: Secret | None, new: Secret | None) -> None:
        meta = (new or old).metadata  # type: ignore[union-attr]
        name = f"{meta.namespace}/{meta.name}"
        if name in self._named:
            return
        if new is None:
            if self._labelled.pop(name, None) is not None:
                log.info("Secret %s is gone; its certificate is shown no more", name)
                self._swap()
        else:
            self._secret(self._labelled.setdefault(name, Source(f"Secret {name}")), new)

    def _secret(self, source: Source, secret: Secret | None) -> None:
        if secret is None:
            self._complain(source, "it is gone; the certificate that it had is still in use", b"")
            return
        if secret.type != SECRET_TYPE:
            self._complain(source, f"its type is {secret.type or 'Opaque'}; make it with: kubectl create secret tls", b"")
            return
        try:
            cert, key = (base64.b64decode(secret.data[name], validate=True) for name in ("tls.crt", "tls.key"))
        except (KeyError, binascii.Error) as error:
            self._complain(source, f"no base64 in its data under {error}" if isinstance(error, KeyError) else f"its data: {error}", b"")
            return
        if self._take(source, cert, key):
            self._swap()

    # All of them.

    def handshake_failed(self, reason: str) -> None:
        self.handshake_failures[reason] += 1

    def pairs(self) -> list[Pair]:
        """Those in use, the default first."""
        found = [source.pair for source in self._sources()]
        return [one for one in found if one is not None]

    def expiries(self) -> dict[str, datetime]:
        """When the certificate that is shown for each name ends."""
        found: dict[str, datetime] = {}
        for one in self.pairs():
            for name in one.names or ("",):
                found.setdefault(name, one.not_after)
        return found

    def _sources(self) -> list[Source]:
        return [*self._files, *self._named.values(), *(self._labelled[name] for name in sorted(self._labelled))]

    def _take(self, source: Source, cert: bytes, key: bytes) -> bool:
        """Use what was read, if it can be used and is not what is in use."""
        seen = hashlib.sha256(b"%d:%b%b" % (len(cert), cert, key)).digest()
        if seen == source.seen:
            return False
        now, old = utcnow(), source.pair
        try:
            new = pair.load(cert, key, self._protocols)
            if old is not None and new.not_after <= min(now, old.not_after):
                raise BadPair(f"the certificate has expired at {new.not_after}")
        except BadPair as why:
            self._complain(source, str(why), seen)
            return False
        source.seen, source.complaint = seen, ""
        if old is not None and new.not_before > now < old.not_after:
            source.following = new
            log.warning(
                "%s: the certificate is not valid before %s; the one before it stays in use until then", source.what, new.not_before
            )
            return False
        self._use(source, new)
        if not new.not_before <= now < new.not_after:  # better than a gateway that does not start
            log.error("%s: the certificate is valid from %s to %s; now is not then", source.what, new.not_before, new.not_after)
        return True

    def _use(self, source: Source, new: Pair) -> None:
        self.reloads += source.pair is not None
        source.pair, source.following = new, None
        log.info("%s: certificate for %s, serial %x, until %s", source.what, ", ".join(new.names) or "no name", new.serial, new.not_after)

    def _complain(self, source: Source, why: str, seen: bytes) -> None:
        """Once for each thing that was found."""
        if seen and seen == source.seen:
            return
        source.seen, source.complaint = seen, why
        self.failures[source.what] += 1
        log.error("%s: %s. %s", source.what, why, "The certificate before it stays in use" if source.pair else "There is none from there")

    def _swap(self) -> None:
        """A new table. With it go the tickets of the one before, so that nobody resumes a session under a certificate that was replaced."""
        default = next((one.pair.context for one in (*self._files, *self._named.values()) if one.pair is not None), None)
        names = servernames.build([(one.names, one.context) for one in self.pairs()], default)
        self.context = pair.choosing(self._protocols, _chooser(names)) if self.pairs() else None


def _chooser(names: servernames.ServerNames[ssl.SSLContext]) -> pair.Chooser:
    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> int | None:
        context = names.find(name)
        if context is None:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        connection.context = context
        return None

    return choose


def _stat(files: Files) -> tuple[object, ...]:
    """What changes when a file is written or a link to it is turned: Kubernetes turns a link to a folder."""
    found: list[object] = []
    for path in (files.cert, files.key):
        try:
            stat = os.stat(path)
            found.append((stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size))
        except OSError as error:
            found.append(error.errno)
    return tuple(found)


def _racy(looked: tuple[object, ...]) -> bool:
    """Written so lately that the next write might not show in its time, which is as coarse as the kernel's tick."""
    now = utcnow().timestamp()
    return any(isinstance(one, tuple) and now - one[2] / 1e9 < RACY for one in looked)
