"""Which keys may sign a Debian archive: those of Debian 12 and 13, shipped here, and those that the machine's configuration names.

The shipped files are exports of Debian's package debian-archive-keyring, without the signatures of others.
"""

from collections.abc import Iterable
from importlib import resources
from pathlib import Path

from builder.debian.openpgp import Certificate, Malformed, certificates
from builder.errors import UsageError

SHIPPED = ("trixie.asc", "bookworm.asc")


def trusted(keyrings: Iterable[Path]) -> list[Certificate]:
    """The shipped keys and those of `keyrings`. Raises UsageError for a file that cannot be read."""
    folder = resources.files("builder.debian") / "keys"
    found = [one for name in SHIPPED for one in certificates((folder / name).read_bytes())]
    for path in keyrings:
        try:
            found += certificates(path.read_bytes())
        except OSError as error:
            raise UsageError(f"the keyring {path} cannot be read: {error.strerror}") from None
        except Malformed as error:
            raise UsageError(f"the keyring {path} is no file of OpenPGP keys: {error}") from None
    return found
