"""The licences of a package out of its copyright file, for the SBOM. Pure."""

import re

from builder.debian import control

_FORMAT = "copyright-format/1"  # in the address that a machine-readable file begins with
_SEPARATORS = re.compile(r",?\s+(?:and/or|and|or)\s+|\s*[,|]\s*")


def licences(copyright_text: str) -> tuple[str, ...]:
    """Names as a machine-readable (DEP-5) copyright file has them, sorted, each once; none for one in free text."""
    found: set[str] = set()
    stanzas = control.stanzas(copyright_text.lstrip("\ufeff\n"))
    head = {name.lower(): value for name, value in next(stanzas, {}).items()}
    if _FORMAT not in head.get("format", ""):
        return ()
    for fields in (head, *({name.lower(): value for name, value in stanza.items()} for stanza in stanzas)):
        name = fields.get("license", "").partition("\n")[0].strip()
        if "files" in fields or fields is head or not found:
            found |= {part.strip() for part in _SEPARATORS.split(name) if part.strip()}
    return tuple(sorted(found))
