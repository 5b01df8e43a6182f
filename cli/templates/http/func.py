"""Answers HTTP requests. What `handle` returns becomes the response: text, bytes, a dict or list (JSON), or (body, status)."""

import kfn


def handle(request: kfn.Request) -> dict[str, str]:
    name = request.query.get("name", "world")
    return {"hello": name, "method": request.method, "path": request.path}
