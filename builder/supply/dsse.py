"""in-toto statements and the DSSE envelope that signs them: what is signed, and how the signed thing is read again. Pure.

Specifications: in-toto attestation v1 (statement), DSSE v1.0 (the pre-authentication encoding).
"""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from builder.oci import canonical

STATEMENT = "https://in-toto.io/Statement/v1"
STATEMENTS = (STATEMENT, "https://in-toto.io/Statement/v0.1")  # cosign still writes the older one for SBOMs
PAYLOAD_TYPE = "application/vnd.in-toto+json"


class Malformed(ValueError):
    """A signed document is not what it should be. The text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Statement:
    """`subjects` are the hex sha256 digests that it is about."""

    predicate_type: str
    subjects: tuple[str, ...]
    predicate: dict[str, Any]


def statement(subjects: Sequence[tuple[str, str]], predicate_type: str, predicate: Any) -> bytes:
    """`subjects` are pairs of a digest (`sha256:...`) and a name, which may be empty."""
    about = [{"digest": {"sha256": digest.removeprefix("sha256:")}, **({"name": name} if name else {})} for digest, name in subjects]
    return canonical({"_type": STATEMENT, "subject": about, "predicateType": predicate_type, "predicate": predicate})


def pae(payload_type: str, payload: bytes) -> bytes:
    """What the signature is over: type and payload, each with its length, so that neither can pass for the other."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def read(payload: bytes) -> Statement:
    """A statement's parts. Raises Malformed."""
    content = loads(payload, "the statement")
    if content.get("_type") not in STATEMENTS:
        raise Malformed(f"the statement is of type {content.get('_type')!r}, not in-toto's v1")
    about = content.get("subject")
    kind, predicate = content.get("predicateType"), content.get("predicate")
    if not isinstance(about, list) or not isinstance(kind, str):
        raise Malformed("the statement has no subject or no predicateType")
    digests = [one.get("digest") for one in about if isinstance(one, dict)]
    found = tuple(str(one["sha256"]) for one in digests if isinstance(one, dict) and "sha256" in one)
    return Statement(kind, found, predicate if isinstance(predicate, dict) else {})


def loads(data: bytes, what: str) -> dict[str, Any]:
    """A JSON object. Raises Malformed, naming `what`."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"{what} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise Malformed(f"{what} is not a JSON object")
    return content


def unbase64(value: Any, what: str) -> bytes:
    """Raises Malformed, naming `what`."""
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise Malformed(f"{what} is not base64") from None
