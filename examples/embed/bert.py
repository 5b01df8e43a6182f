"""The BERT encoder's forward pass, twice: with numpy on the CPU, and with torch where there is a GPU.

Both turn token ids and a mask into one vector of length 1 a sentence: the mean over its tokens, normalised.
"""

from typing import Any

import numpy as np

HEADS = 12
EPSILON = 1e-12  # of the model's layer norms


class Numpy:
    """The encoder on the CPU."""

    device = "cpu"

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        self._w = weights
        self._layers = 1 + max(int(name.split(".")[2]) for name in weights if name.startswith("encoder.layer."))

    def __call__(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        w = self._w
        x = w["embeddings.word_embeddings.weight"][ids]
        x = x + w["embeddings.position_embeddings.weight"][: ids.shape[1]] + w["embeddings.token_type_embeddings.weight"][0]
        x = self._norm(x, "embeddings.LayerNorm")
        away = np.where(mask[:, None, None, :] == 0, np.float32(-1e9), np.float32(0))
        for number in range(self._layers):
            x = self._layer(x, away, f"encoder.layer.{number}")
        weight = mask[:, :, None].astype(np.float32)
        mean = (x * weight).sum(axis=1) / weight.sum(axis=1)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)

    def _layer(self, x: np.ndarray, away: np.ndarray, name: str) -> np.ndarray:
        count, length, width = x.shape

        def heads(part: str) -> np.ndarray:
            made = self._linear(x, f"{name}.attention.self.{part}")
            return made.reshape(count, length, HEADS, width // HEADS).transpose(0, 2, 1, 3)

        query, key, value = heads("query"), heads("key"), heads("value")
        scores = query @ key.transpose(0, 1, 3, 2) / np.float32(np.sqrt(width // HEADS)) + away
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        seen = (scores @ value).transpose(0, 2, 1, 3).reshape(count, length, width)
        x = self._norm(x + self._linear(seen, f"{name}.attention.output.dense"), f"{name}.attention.output.LayerNorm")
        inner = _gelu(self._linear(x, f"{name}.intermediate.dense"))
        return self._norm(x + self._linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def _linear(self, x: np.ndarray, name: str) -> np.ndarray:
        # One flat product: on stacks of matrices numpy calls the BLAS once for each.
        made = x.reshape(-1, x.shape[-1]) @ self._w[f"{name}.weight"].T + self._w[f"{name}.bias"]
        return made.reshape(*x.shape[:-1], -1)

    def _norm(self, x: np.ndarray, name: str) -> np.ndarray:
        x = x - x.mean(axis=-1, keepdims=True)
        x /= np.sqrt((x * x).mean(axis=-1, keepdims=True) + np.float32(EPSILON))
        return x * self._w[f"{name}.weight"] + self._w[f"{name}.bias"]


def _gelu(x: np.ndarray) -> np.ndarray:
    """x times the normal distribution's integral; numpy has no erf, so by Abramowitz and Stegun 7.1.26 (error below 2e-7)."""
    z = np.abs(x) * np.float32(0.7071067811865476)
    t = 1 / (1 + np.float32(0.3275911) * z)
    poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * np.float32(1.061405429)))))
    tail = poly * np.exp(-z * z)  # 1 - erf(z)
    return x * np.where(x > 0, 1 - tail / 2, tail / 2)


class Torch:
    """The encoder on a GPU."""

    def __init__(self, weights: dict[str, np.ndarray], torch: Any, device: str = "cuda") -> None:
        self._torch = torch
        self.device = device
        self._w = {name: torch.from_numpy(np.array(value)).to(device) for name, value in weights.items()}
        self._layers = 1 + max(int(name.split(".")[2]) for name in weights if name.startswith("encoder.layer."))

    def __call__(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        torch, w = self._torch, self._w
        f = torch.nn.functional
        with torch.inference_mode():
            on_device, seen = torch.from_numpy(ids).to(self.device), torch.from_numpy(mask).to(self.device)
            x = w["embeddings.word_embeddings.weight"][on_device]
            x = x + w["embeddings.position_embeddings.weight"][: ids.shape[1]] + w["embeddings.token_type_embeddings.weight"][0]
            x = self._norm(x, "embeddings.LayerNorm")
            visible = seen[:, None, None, :].bool()
            for number in range(self._layers):
                name = f"encoder.layer.{number}"
                parts = [self._heads(x, f"{name}.attention.self.{part}") for part in ("query", "key", "value")]
                mixed = f.scaled_dot_product_attention(*parts, attn_mask=visible).transpose(1, 2).reshape(x.shape)
                x = self._norm(x + self._linear(mixed, f"{name}.attention.output.dense"), f"{name}.attention.output.LayerNorm")
                inner = f.gelu(self._linear(x, f"{name}.intermediate.dense"))
                x = self._norm(x + self._linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")
            weight = seen[:, :, None].float()
            mean = (x * weight).sum(dim=1) / weight.sum(dim=1)
            result: np.ndarray = f.normalize(mean, dim=1).cpu().numpy()
            return result

    def _heads(self, x: Any, name: str) -> Any:
        return self._linear(x, name).unflatten(-1, (HEADS, -1)).transpose(1, 2)

    def _linear(self, x: Any, name: str) -> Any:
        return self._torch.nn.functional.linear(x, self._w[f"{name}.weight"], self._w[f"{name}.bias"])

    def _norm(self, x: Any, name: str) -> Any:
        return self._torch.nn.functional.layer_norm(x, x.shape[-1:], self._w[f"{name}.weight"], self._w[f"{name}.bias"], EPSILON)
