"""Names of images are read as docker reads them."""

import pytest

from builder.errors import UsageError
from builder.registry.reference import ImageRef, parse_ref, parse_repository

SHA = "sha256:" + "a" * 64


class TestAReference:
    @pytest.mark.parametrize(
        ("text", "ref"),
        [
            ("python", ImageRef("docker.io", "library/python", "latest")),
            ("python:3.13", ImageRef("docker.io", "library/python", "3.13")),
            ("team/app", ImageRef("docker.io", "team/app", "latest")),
            ("docker.io/python", ImageRef("docker.io", "library/python", "latest")),
            ("index.docker.io/team/app", ImageRef("docker.io", "team/app", "latest")),
            ("localhost/app", ImageRef("localhost", "app", "latest")),
            ("localhost:5000/x", ImageRef("localhost:5000", "x", "latest")),
            ("registry.example:5000/a/b/c:v1", ImageRef("registry.example:5000", "a/b/c", "v1")),
            ("[::1]:5000/x:1", ImageRef("[::1]:5000", "x", "1")),
            ("127.0.0.1:4/x", ImageRef("127.0.0.1:4", "x", "latest")),
            (f"registry.example/app@{SHA}", ImageRef("registry.example", "app", "", SHA)),
            (f"registry.example/app:1@{SHA}", ImageRef("registry.example", "app", "1", SHA)),
            ("registry.example/a__b/c-d.e---f:A_b.c-1", ImageRef("registry.example", "a__b/c-d.e---f", "A_b.c-1")),
            ("Registry.example/app", ImageRef("Registry.example", "app", "latest")),
            ("x" * 128, ImageRef("docker.io", "library/" + "x" * 128, "latest")),
        ],
        ids=lambda value: value[:30] if isinstance(value, str) else "",
    )
    def test_is_split_where_docker_splits_it(self, text: str, ref: ImageRef) -> None:
        assert parse_ref(text) == ref
        assert parse_ref(str(ref)) == ref

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("", "1 to 2048 characters"),
            ("x" * 3000, "1 to 2048 characters"),
            ("https://registry.example/app", "leave out https://"),
            ("registry.example/App", "'app' would do"),
            ("registry.example/a//b", "the part ''"),
            ("registry.example/", "the part ''"),
            ("registry.example/app:", "the tag ''"),
            ("registry.example/app:-x", "the tag '-x'"),
            ("registry.example/app:" + "t" * 129, "1 to 128 characters"),
            ("registry.example/app@sha256:abc", "the digest 'sha256:abc'"),
            ("registry.example/app@md5:" + "a" * 32, "the digest"),
            ("registry.example/a..b", "the part 'a..b'"),
            ("registry.example/../x", "the part '..'"),
            ("registry.example/a%2fb", "the part 'a%2fb'"),
            ("registry.example/a b", "the part 'a b'"),
            ("registry.example/a\nb", "the part 'a\\nb'"),
            ("registry.example:99999/app", "'registry.example:99999' is not a registry"),
            ("user@registry.example/app", "the digest 'registry.example/app'"),
            ("reg_istry.example/app", "is not a registry"),
            ("registry.example/" + "a/" * 130 + "a", "at most 255"),
        ],
        ids=lambda value: value[:30],
    )
    def test_that_is_wrong_is_refused_with_what_is_wrong_in_it(self, text: str, says: str) -> None:
        with pytest.raises(UsageError) as refused:
            parse_ref(text)
        assert says in str(refused.value)
        assert len(str(refused.value)) < 3000

    def test_names_the_repository_that_a_blob_is_in(self) -> None:
        ref = parse_ref("localhost:5000/team/app:1")
        assert parse_repository(ref.name) == ref.bare
        assert ref.reference == "1"
        assert ref.at(SHA).reference == SHA
        assert str(ref.at(SHA)) == f"localhost:5000/team/app@{SHA}"
