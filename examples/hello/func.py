"""Greets whoever calls: /?name=Ada, or a JSON body {"name": "Ada"}."""

import kfn


def handle(request: kfn.Request) -> dict[str, str]:
    name = request.query.get("name", "")
    if not name and request.body:
        given = request.json()
        name = str(given.get("name", "")) if isinstance(given, dict) else ""
    return {"hello": name or "world"}
