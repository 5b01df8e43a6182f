"""Sentences to vectors: the tokeniser and the encoder together, on a GPU if torch finds one, else on the CPU."""

import importlib.util
import json
import os

# Read when the BLAS is loaded. On a large machine its default, a thread for every core, makes small products slower.
os.environ.setdefault("OPENBLAS_NUM_THREADS", str(min(4, len(os.sched_getaffinity(0)))))
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import weights
from bert import Numpy, Torch
from tokenizers import Tokenizer

DIMENSIONS = 384
BATCH = 32  # sentences in one pass; more only costs memory on a CPU


class Model:
    """all-MiniLM-L6-v2."""

    def __init__(self) -> None:
        folder = weights.folder()
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        longest = json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"]
        self._tokenizer.enable_truncation(longest)
        self._tokenizer.enable_padding()  # to the longest of a pass
        self._encoder = _encoder(weights.tensors(folder / "model.safetensors"))

    @property
    def device(self) -> str:
        return self._encoder.device

    def encode(self, texts: list[str]) -> np.ndarray:
        """One row of length 1 a text, in their order."""
        result = np.empty((len(texts), DIMENSIONS), np.float32)
        by_length = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # little padding in a pass
        for begin in range(0, len(texts), BATCH):
            chosen = by_length[begin : begin + BATCH]
            encoded = self._tokenizer.encode_batch([texts[i] for i in chosen])
            ids = np.array([e.ids for e in encoded], np.int64)
            mask = np.array([e.attention_mask for e in encoded], np.int64)
            result[chosen] = self._encoder(ids, mask)
        return result


def _encoder(tensors: dict[str, np.ndarray]) -> Numpy | Torch:
    if importlib.util.find_spec("torch") is not None:
        import torch

        if torch.cuda.is_available():
            return Torch(tensors, torch)
    return Numpy(tensors)
