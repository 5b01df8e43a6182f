"""Whether a client that is refused gets problem+json or a line of text: read from its Accept only then. Pure.

Programs that name JSON get JSON. `*/*` alone, which curl and most libraries send, and what browsers send, is a person's more often than
not: a line of text.
"""

PROBLEM, JSON, TEXT = "application/problem+json", "application/json", "text/plain"


def wants_json(accept: bytes) -> bool:
    """RFC 9110 12.5.1: of the ranges that match a type the most specific counts, and q=0 means: not this."""
    if not accept or accept == b"*/*":
        return False
    ranges = _ranges(accept.decode("latin-1").lower())
    json = max(_quality(ranges, PROBLEM), _quality(ranges, JSON) if ranges.get(PROBLEM) != 0 else 0)
    return json > 0 and json >= _quality(ranges, TEXT)


def _ranges(accept: str) -> dict[str, float]:
    """Each media range with its quality. Parameters of a type narrow it, and are not looked at; what cannot be read is left out."""
    found: dict[str, float] = {}
    for one in accept.split(","):
        media, *parameters = (part.strip() for part in one.split(";"))
        quality = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                try:
                    quality = min(max(float(value), 0.0), 1.0)
                except ValueError:
                    quality = 0.0
        if media and quality == quality:
            found[media] = max(quality, found.get(media, 0.0))
    return found


def _quality(ranges: dict[str, float], media: str) -> float:
    """Of a type that is named, or whose family is. `*/*` names none."""
    family = f"{media.partition('/')[0]}/*"
    return ranges.get(media, ranges.get(family, 0.0))
