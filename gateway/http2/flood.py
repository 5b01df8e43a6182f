"""How much a peer may ask of us that brings it nothing: resets, pings, settings, empty frames. Pure.

A bucket of points that fills with time and with work that was really done. An honest connection never comes near its bottom.
"""

POINTS = 1000.0  # in a full bucket: a client may cancel a thousand calls at once
PER_SECOND = 100.0

RESET = 1.0  # a stream that its client ended, or made us end: rapid reset (CVE-2023-44487)
PING = 1.0
SETTINGS = 5.0  # each may change every stream's window
EMPTY = 1.0  # a DATA frame with nothing in it, PRIORITY, a frame of an unknown kind
WINDOW = 0.25  # WINDOW_UPDATE: two for each DATA frame are usual
SENT = 1.0  # given back for each DATA frame of ours, for which it sends such updates


class Bucket:
    __slots__ = ("_at", "left")

    def __init__(self, now: float) -> None:
        self.left = POINTS
        self._at = now

    def spend(self, points: float, now: float) -> bool:
        """False: it is empty, and the peer is flooding."""
        self.left = min(POINTS, self.left + (now - self._at) * PER_SECOND) - points
        self._at = now
        return self.left >= 0

    def earn(self, points: float) -> None:
        self.left = min(POINTS, self.left + points)
