"""The Open Inference Protocol (v2) around the model: metadata, health, infer."""

from typing import Any

import kfn

NAME = "embed"
ABOUT = {
    "name": NAME,
    "versions": ["1"],
    "platform": "kfn_python",
    "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
    "outputs": [{"name": "embedding", "datatype": "FP32", "shape": [-1, 384]}],
}


def answer(request: kfn.Request, model: Any) -> Any:
    """What the protocol says for this path."""
    path = request.path.rstrip("/")
    if path in ("/v2/health/live", "/v2/health/ready"):
        return {path.rpartition("/")[2]: True}
    if path == "/v2":
        return {"name": "kfn", "version": "1", "extensions": []}
    base = f"/v2/models/{NAME}"
    rest = path.removeprefix(base).removeprefix("/versions/1")
    if not path.startswith(base) or rest not in ("", "/ready", "/infer"):
        return {"error": f"nothing is at {path}; the model is at {base}"}, 404
    if rest == "/ready":
        return {"name": NAME, "ready": True}
    if rest == "":
        return ABOUT
    if request.method != "POST":
        return {"error": "infer takes POST"}, 405, {"allow": "POST"}
    return _infer(request.json(), model)


def _infer(asked: Any, model: Any) -> Any:
    inputs = asked.get("inputs") if isinstance(asked, dict) else None
    if not isinstance(inputs, list):
        return {"error": "`inputs` is missing"}, 400
    texts = next((i.get("data") for i in inputs if isinstance(i, dict) and i.get("name") == "text"), None)
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        return {"error": "`inputs` needs one named `text`, of datatype BYTES, whose data is a list of strings"}, 400
    vectors = model.encode(texts)
    output = {"name": "embedding", "datatype": "FP32", "shape": list(vectors.shape), "data": vectors.ravel().tolist()}
    return {"model_name": NAME, "model_version": "1", "id": str(asked.get("id", "")), "outputs": [output]}
