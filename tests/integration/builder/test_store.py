"""The image store on a real file system."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from builder.errors import BlobCorrupt, ImageNotFound
from builder.oci import CONFIG, LAYER_KIND, LAYER_TAR, MANIFEST, Blob, Content, artifact, canonical, sha256
from builder.store import REF_NAME, Image, ImageStore

NAME = "kfn.local/default/hello"


def add(store: ImageStore, content: bytes, name: str = NAME) -> Image:
    layer = store.put(content)
    config = canonical({"rootfs": {"type": "layers", "diff_ids": [layer]}, "config": {"Labels": {"a": "b"}, "Env": ["K=V=W"]}})
    descriptor = {"mediaType": LAYER_TAR, "digest": layer, "size": len(content), "annotations": {LAYER_KIND: "source"}}
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": store.put(config), "size": len(config)},
        "layers": [descriptor],
    }
    return store.add(name, canonical(manifest))


def test_an_added_image_is_found_by_name_and_by_digest(tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "images")
    image = add(store, b"one")
    assert store.resolve(NAME) == image == store.resolve(image.reference)
    assert image.reference == f"{NAME}@{image.digest}"
    assert (image.labels, image.env) == ({"a": "b"}, {"K": "V=W"})
    assert store.blob_path(image.layers[0].digest).read_bytes() == b"one"
    assert image.layers[0].kind == "source"


def test_a_name_moves_to_the_newest_image_and_the_older_stays_under_its_digest(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    old, new = add(store, b"one"), add(store, b"two")
    assert store.resolve(NAME) == new
    assert store.resolve(old.reference) == old
    assert store.references() == (old.reference, new.reference)
    entries = json.loads((tmp_path / "index.json").read_bytes())["manifests"]
    assert [REF_NAME in entry["annotations"] for entry in entries] == [False, True]
    assert add(store, b"one") == old
    assert store.resolve(NAME) == old


def test_gc_frees_what_no_image_needs_and_nothing_else(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    old, new = add(store, b"one" * 1000), add(store, b"two")
    store.remove(old.reference)
    assert store.gc() > 3000
    assert store.resolve(NAME) == new
    with pytest.raises(ImageNotFound, match="build it again"):
        store.resolve(old.reference)
    assert store.gc() == 0


def test_an_unknown_image_is_an_error_that_names_those_there_are(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    with pytest.raises(ImageNotFound, match="which is empty"):
        store.resolve(NAME)
    add(store, b"one")
    with pytest.raises(ImageNotFound, match=f"there are {NAME}"):
        store.resolve("kfn.local/default/other")
    with pytest.raises(ImageNotFound):
        store.remove("kfn.local/default/other")


def test_a_corrupt_manifest_is_not_believed(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    image = add(store, b"one")
    store.blob_path(image.digest).write_bytes(b"{}")
    with pytest.raises(BlobCorrupt, match="build again"):
        store.resolve(NAME)


def test_a_missing_layer_is_named(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    image = add(store, b"one")
    store.blob_path(image.layers[0].digest).unlink()
    with pytest.raises(ImageNotFound, match=image.layers[0].digest):
        store.resolve(image.reference)


def test_images_added_at_the_same_time_are_all_listed(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(lambda n: add(ImageStore(tmp_path), b"%d" % n, f"kfn.local/default/f{n}"), range(16)))
    assert set(ImageStore(tmp_path).references()) == {image.reference for image in images}


def test_blobs_of_a_build_that_is_not_yet_listed_survive_a_collection(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    started, done = Event(), Event()

    def slow_build() -> Image:
        with store.writing():
            digest = store.put(b"layer")
            started.set()
            assert not done.wait(0.1), "the collection did not wait for the build"
            assert store.has(digest)
            return add(store, b"layer")

    with ThreadPoolExecutor(2) as pool:
        build = pool.submit(slow_build)
        assert started.wait(5)
        freed = pool.submit(lambda: (store.gc(), done.set()))
        assert store.resolve(build.result(10).reference) == build.result()
        assert freed.result(10)[0] == 0


def test_pruning_forgets_what_is_old_and_unused_and_frees_it(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    used, old, young = add(store, b"used" * 1000), add(store, b"old" * 1000), add(store, b"young" * 1000)
    for image in (used, old):
        os.utime(store.blob_path(image.digest), (1, 1))
    assert store.prune({used.reference}, 3600) == (old.reference,)
    assert store.references() == (used.reference, young.reference)
    assert not store.has(old.layers[0].digest) and store.has(used.layers[0].digest)
    assert store.prune({used.reference}, 3600) == ()


def test_a_bare_name_in_use_keeps_every_image_of_that_name(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    os.utime(store.blob_path(add(store, b"one").digest), (1, 1))
    assert store.prune({NAME}, 0.0) == () and len(store.references()) == 1


def test_building_the_same_again_makes_an_image_young(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    os.utime(store.blob_path(add(store, b"one").digest), (1, 1))
    add(store, b"one")
    assert store.prune(set(), 3600) == ()


def test_a_missing_store_is_pruned_of_nothing(tmp_path: Path) -> None:
    assert ImageStore(tmp_path / "none").prune(set(), 0) == () and not (tmp_path / "none").exists()


class TestWhatIsAttached:
    KIND = "application/vnd.test"

    def about(self, data: bytes) -> Content:
        return artifact(self.KIND, Content(b"{}", MANIFEST), (Blob(sha256(data), len(data), "text/plain", data=data),), {})

    def test_stays_through_gc_is_replaced_by_a_newer_one_and_goes_with_its_image(self, tmp_path: Path) -> None:
        store = ImageStore(tmp_path)
        image = add(store, b"layer")
        for text in (b"old", b"new"):
            store.attach(self.about(text), image.digest)
        store.gc()
        assert store.attached(image.digest, self.KIND) == b"new"
        assert not store.has(sha256(b"old")), "the older one is nobody's"
        store.remove(image.reference)
        store.gc()
        assert not store.has(sha256(b"new"))
