"""What a runner makes of a Build's spec."""

from builder.cluster import runner, wire
from kfn.api.build import BuilderOptions, BuildImage, BuildSource, BuildSpec, GitSource


def options(source: BuildSource) -> bool:
    return runner.options(wire.Request(spec=BuildSpec(source=source, image=BuildImage(repository="registry.example/hello")))).foreign


class TestTheSource:
    def test_is_somebody_elses_if_it_comes_from_a_repository(self) -> None:
        assert options(BuildSource(git=GitSource(url="https://git.example/hello.git")))

    def test_is_vouched_for_by_who_uploaded_it(self) -> None:
        assert not options(BuildSource(inline={"func.py": ""}))


class TestTheOptions:
    def test_are_those_of_the_command_line(self) -> None:
        wanted = BuilderOptions(
            allow_sdists=True, compression="zstd", registry_cache="registry.example/cache", no_cache=True, locked=True, strict=True,
            allow_secret_files=[".env"], extras=["web"],
        )  # fmt: skip
        made = runner.options(wire.Request(spec=BuildSpec(image=BuildImage(repository="registry.example/hello"), options=wanted)))
        for name in wanted.__struct_fields__:
            given = getattr(wanted, name)
            assert getattr(made, name) == (tuple(given) if isinstance(given, list) else given), name
