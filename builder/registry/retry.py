"""How long to wait before a request is tried again, or to give up: full jitter, and what the registry asks for. Pure."""

from datetime import UTC, datetime

from builder.registry.settings import RegistrySettings

AGAIN = (429, 502, 503, 504)


def pause(settings: RegistrySettings, failures: int, chance: float, asked: float | None) -> float | None:
    """Seconds after the `failures`th failure in a row; None to give up. `chance` is from 0 to 1, `asked` the registry's Retry-After."""
    if failures > settings.retries:
        return None
    if asked is not None and asked > settings.longest_pause:
        return None
    most = min(settings.longest_pause, settings.backoff * 2.0 ** (failures - 1))
    own = chance * most
    return own if asked is None else min(settings.longest_pause, asked + own)


def retry_after(value: str, now: datetime) -> float | None:
    """Retry-After in seconds: a number or a date."""
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    import email.utils  # only for the date that hardly any registry sends

    try:
        when = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - now).total_seconds())
