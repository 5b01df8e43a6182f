"""httpx without what is not used of it, which is half of what importing it costs.

Where they are installed it imports rich and pygments for a command of its own (100 ms), and httpcore brings h2 and hpack (60 ms). Both
take a missing module for "not installed". Nobody here asks for HTTP/2 through httpx, and who does still gets it: httpcore imports it again.
"""

import sys

_COMMAND = "httpx._main"
_HTTP2 = ("httpcore._async.http2", "httpcore._sync.http2")


def prepare() -> None:
    """Call before the first `import httpx` of a process whose start somebody waits for."""
    if "httpx" in sys.modules:
        return
    sys.modules.setdefault(_COMMAND, None)  # type: ignore[arg-type]
    hidden = [name for name in _HTTP2 if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        import httpcore  # noqa: F401 - httpx does it when a client is made
        import httpx  # noqa: F401
    finally:
        for name in hidden:
            sys.modules.pop(name, None)
