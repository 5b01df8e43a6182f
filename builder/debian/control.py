"""Debian's control format: stanzas of `Field: value` with continued lines, as Release files, indices and packages have them. Pure."""

from collections.abc import Iterator


def stanzas(text: str) -> Iterator[dict[str, str]]:
    """Field names as they are written, the last one of a name wins. A continued line keeps its text behind a line break.

    Lines that are neither a field nor a continuation are passed over, as are comments.
    """
    fields: dict[str, str] = {}
    name = ""
    for line in text.split("\n"):
        line = line.rstrip("\r")
        if not line.strip():
            if fields:
                yield fields
            fields, name = {}, ""
        elif line.startswith("#"):
            continue
        elif line[0] in " \t":
            if name:
                fields[name] += "\n" + line.strip()
        else:
            name, colon, value = line.partition(":")
            name = name.strip() if colon else ""
            if name:
                fields[name] = value.strip()
    if fields:
        yield fields
