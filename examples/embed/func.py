"""Sentence embeddings. CloudEvents `com.example.sentence` {"id", "text"} are answered with `com.example.sentence.embedded`
{"id", "embedding"}; HTTP takes POST {"text": ...} or {"texts": [...]}, and the Open Inference Protocol under /v2."""

from typing import Any

import inference
from model import Model

import kfn

MAX_TEXTS = 1000  # in one request


class Embedder:
    def load(self) -> None:
        """Once, before the first request."""
        self.model = Model()
        self.model.encode(["warm"])  # touch every weight once, so that the first request does not

    def handle(self, message: kfn.Request | kfn.Event) -> Any:
        if isinstance(message, kfn.Event):
            return self.on_event(message)
        if message.path.startswith("/v2"):
            return inference.answer(message, self.model)
        if message.method != "POST":
            return {"model": "all-MiniLM-L6-v2", "dimensions": 384, "device": self.model.device}
        return self.on_post(message.json())

    def on_event(self, event: kfn.Event) -> Any:
        data = event.data
        if not isinstance(data, dict) or not isinstance(data.get("text"), str):
            return {"error": 'the event\'s data must be {"id": ..., "text": "..."}'}, 400
        embedding = self.model.encode([data["text"]])[0].tolist()
        return event.reply("com.example.sentence.embedded", {"id": data.get("id", event.id), "embedding": embedding})

    def on_post(self, asked: Any) -> Any:
        texts = asked.get("texts", asked.get("text")) if isinstance(asked, dict) else None
        one = isinstance(texts, str)
        texts = [texts] if one else texts
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts) or len(texts) > MAX_TEXTS:
            return {"error": f'send {{"text": "..."}} or {{"texts": [...]}} with at most {MAX_TEXTS} strings'}, 400
        vectors = self.model.encode(texts).tolist()
        return {"embedding": vectors[0]} if one else {"embeddings": vectors}
