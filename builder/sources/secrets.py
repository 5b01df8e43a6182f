"""What in a file's content looks like a secret: private keys, an AWS key id, a service account, a token for a package index. Pure.

Only small texts are looked at. A test or a manual that merely names the markers is no secret: what belongs behind them must follow.
"""

import re

MAX_BYTES = 64 * 1024  # keys and tokens live in small files
_KEY = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?:\\[rn]|\s)+(?:[A-Za-z-]+: ?[^\n]*\n|\s)*[A-Za-z0-9+/=]{40}")
_AWS = re.compile(rb"(?<![A-Z0-9])(?:AKIA|ASIA)[A-Z2-7]{16}(?![A-Z0-9])")
_ACCOUNT = re.compile(rb'"type"\s*:\s*"service_account"')
_TOKEN = re.compile(rb"(?m)^[^#;\n]*:?_(?:authToken|auth|password)\s*=\s*(?!\$\{)\S+")


def kind(path: str, data: bytes) -> str:
    """What it looks like; empty: nothing."""
    if len(data) > MAX_BYTES:
        return ""
    if b"PRIVATE KEY" in data and _KEY.search(data):
        return "a private key"
    if b"service_account" in data and b"private_key" in data and _ACCOUNT.search(data):
        return "a service account's key"
    if (b"AKIA" in data or b"ASIA" in data) and any(not found[0].endswith(b"EXAMPLE") for found in _AWS.finditer(data)):
        return "an AWS access key"
    if path.rpartition("/")[2] == ".npmrc" and _TOKEN.search(data):
        return "a token for a package index"
    return ""
