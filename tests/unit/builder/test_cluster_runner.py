"""What a runner makes of a Build's spec."""

from builder.cluster import runner
from kfn.api.build import BuildImage, BuildSource, BuildSpec, GitSource


def options(source: BuildSource) -> bool:
    return runner.options(BuildSpec(source=source, image=BuildImage(repository="registry.example/hello")), "default").foreign


class TestTheSource:
    def test_is_somebody_elses_if_it_comes_from_a_repository(self) -> None:
        assert options(BuildSource(git=GitSource(url="https://git.example/hello.git")))

    def test_is_vouched_for_by_who_uploaded_it(self) -> None:
        assert not options(BuildSource(inline={"func.py": ""}))
