"""Serves a model: `load` runs once, before the first request; `handle` runs in the same thread, one call at a time."""

from typing import Any

import kfn


class Model:
    def load(self) -> None:
        """Read the weights. This one is small: the words that make a sentence a good one or a bad one."""
        self.weights = {"good": 1.0, "great": 2.0, "love": 2.0, "bad": -1.0, "awful": -2.0, "hate": -2.0}

    def predict(self, text: str) -> float:
        words = text.lower().split()
        return sum(self.weights.get(word.strip(".,!?"), 0.0) for word in words) / max(1, len(words))

    def handle(self, message: kfn.Request | kfn.Event) -> Any:
        """POST {"text": ...}, or an event with such data, which is answered with an event."""
        data = message.data if isinstance(message, kfn.Event) else message.json()
        if not isinstance(data, dict) or not isinstance(data.get("text"), str):
            return {"error": 'send {"text": "..."}'}, 400
        result = {"text": data["text"], "score": self.predict(data["text"])}
        return message.reply("com.example.scored", result) if isinstance(message, kfn.Event) else result
