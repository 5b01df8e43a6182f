"""Pure: which certificate is shown, which authorities are trusted, and what is to be done next so that no request fails meanwhile.

A new certificate comes with an authority of its own, whose key is thrown away once it has signed: nobody can sign with it later. It is
staged: first both authorities are trusted, everywhere; then the new certificate is shown; and when every replica shows it, the old
authority goes. The state is the Secret's. How long it has been so is told by whoever leads, who counts anew from when it began to lead.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from cryptography import x509

from controller.webhook.settings import Settings
from kfn import certificates

CERT, KEY = "tls.crt", "tls.key"
NEXT_CERT, NEXT_KEY = "next.crt", "next.key"
AUTHORITIES = "ca.crt"
_SKEW = timedelta(seconds=1)

Contents = dict[str, bytes]


class Step(Enum):
    """What is to be done."""

    CREATE = "create"  # there is no certificate that could be used
    STAGE = "stage"  # another certificate is needed soon: make it, and have its authority trusted
    PROMOTE = "promote"  # show the staged one
    RETIRE = "retire"  # trust the authority of what is shown only
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Plan:
    step: Step
    after: float = 0.0  # seconds until it is worth looking again
    why: str = ""


def usable(contents: Contents, now: datetime) -> bool:
    """Whether there is a certificate to be shown now, that the authorities vouch for."""
    pair = certificates.read(contents.get(CERT, b""), contents.get(KEY, b""))
    return pair is not None and pair[0].not_valid_after_utc > now and _issuer(pair[0], contents) is not None


def plan(contents: Contents, now: datetime, settings: Settings, *, trusted_for: float | None, unchanged_for: float) -> Plan:
    """`trusted_for` seconds every API server has been told all authorities that are here, None: not yet; `unchanged_for` seconds
    the Secret has been as it is."""
    if not usable(contents, now):
        return Plan(Step.CREATE, why="there is no certificate that is valid now")
    shown = x509.load_pem_x509_certificate(contents[CERT])
    staged = certificates.read(contents.get(NEXT_CERT, b""), contents.get(NEXT_KEY, b""))
    if staged is not None and _issuer(staged[0], contents) is not None and staged[0].not_valid_after_utc > now:
        if trusted_for is None or trusted_for < settings.overlap:
            return Plan(Step.WAIT, settings.overlap - (trusted_for or 0.0), "the next certificate's authority is being made known")
        return Plan(Step.PROMOTE, why="the next certificate's authority is known everywhere")
    left = (shown.not_valid_after_utc - now).total_seconds()
    missing = set(settings.hosts) - certificates.hosts(shown)
    if missing:
        return Plan(Step.STAGE, why=f"the certificate is not for {', '.join(sorted(missing))}")
    if left <= settings.renew_before:
        return Plan(Step.STAGE, why=f"the certificate ends at {shown.not_valid_after_utc}")
    if len(certificates.bundle(contents.get(AUTHORITIES, b""))) > 1:
        if unchanged_for < settings.retire_after:
            after = min(settings.retire_after - unchanged_for, left - settings.renew_before)
            return Plan(Step.WAIT, after, "an authority that was replaced is still trusted")
        return Plan(Step.RETIRE, why="every replica shows the new certificate")
    return Plan(Step.WAIT, min(settings.look, left - settings.renew_before), "the certificate is good")


def created(settings: Settings, now: datetime) -> Contents:
    cert, key, authority = _issue(settings, now)
    return {AUTHORITIES: authority, CERT: cert, KEY: key}


def staged(contents: Contents, settings: Settings, now: datetime) -> Contents:
    cert, key, authority = _issue(settings, now)
    kept = [one for one in certificates.bundle(contents[AUTHORITIES]) if one.not_valid_after_utc > now]
    return {**contents, AUTHORITIES: b"".join(map(certificates.pem, kept)) + authority, NEXT_CERT: cert, NEXT_KEY: key}


def promoted(contents: Contents) -> Contents:
    return {AUTHORITIES: contents[AUTHORITIES], CERT: contents[NEXT_CERT], KEY: contents[NEXT_KEY]}


def retired(contents: Contents) -> Contents:
    issuer = _issuer(x509.load_pem_x509_certificate(contents[CERT]), contents)
    assert issuer is not None  # the plan has seen it
    return {AUTHORITIES: certificates.pem(issuer), CERT: contents[CERT], KEY: contents[KEY]}


def perform(step: Step, contents: Contents, settings: Settings, now: datetime) -> Contents:
    """What the Secret has to hold after the step."""
    if step is Step.CREATE:
        return created(settings, now)
    if step is Step.STAGE:
        return staged(contents, settings, now)
    return promoted(contents) if step is Step.PROMOTE else retired(contents) if step is Step.RETIRE else contents


def ends(contents: Contents) -> datetime:
    """When the certificate that is shown ends."""
    return x509.load_pem_x509_certificate(contents[CERT]).not_valid_after_utc


def _issuer(cert: x509.Certificate, contents: Contents) -> x509.Certificate | None:
    return next((one for one in certificates.bundle(contents.get(AUTHORITIES, b"")) if certificates.issued(cert, one)), None)


def _issue(settings: Settings, now: datetime) -> tuple[bytes, bytes, bytes]:
    """A certificate, its key, and the authority that has signed it."""
    life = timedelta(seconds=settings.life)
    authority = certificates.make_authority(f"kfn webhook CA {now:%Y-%m-%dT%H:%M:%SZ}", life, now)
    cert, key = certificates.make_server(authority, settings.service, list(settings.hosts), life - _SKEW, now)
    return certificates.pem(cert), certificates.key_pem(key), certificates.pem(authority[0])
