"""Answers HTTP requests. What `handle` returns becomes the response: text, bytes, a dict or list (JSON), or (body, status)."""

import kfn


def handle(request: kfn.Request) -> dict[str, str]:
    given = request.json() if request.body else {}
    name = given.get("name") if isinstance(given, dict) else None
    return {"hello": str(name or request.query.get("name", "world")), "method": request.method, "path": request.path}
