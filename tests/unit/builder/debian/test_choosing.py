"""What is chosen out of what an archive offers: versions, relations, the closure of dependencies."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import pytest

from builder.debian.closure import Closure, closure, newest
from builder.debian.model import Origin, Package, Selection, Snapshot, by_name, purl
from builder.debian.relations import Term, Unreadable, groups
from builder.debian.version import compare, satisfies


class TestVersions:
    @pytest.mark.parametrize(
        ("older", "newer"),
        [
            ("1.0~rc1", "1.0"),
            ("1.0", "1.0-1"),
            ("1.9", "1.10"),
            ("1.0a", "1.0+"),  # letters before all else
            ("9", "1:0"),
            ("2.36-9+deb12u1", "2.36-9+deb12u10"),
            ("1.0-1~bpo12+1", "1.0-1"),
            ("1.2-3-1", "1.2-3-2"),  # the last dash begins the revision
            ("1.0~", "1.0"),
            ("1.0~~", "1.0~"),
            ("0~-1", "0-1"),
            ("1-0~a", "1"),
        ],
    )
    def test_the_newer_one_sorts_behind(self, older: str, newer: str) -> None:
        assert compare(older, newer) < 0 < compare(newer, older)

    @pytest.mark.parametrize(("left", "right"), [("0:1.0", "1.0"), ("1.0", "1.0-0"), ("1.01", "1.1"), ("1.0-", "1.0")])
    def test_these_are_the_same(self, left: str, right: str) -> None:
        assert compare(left, right) == 0

    @pytest.mark.parametrize(("relation", "holds"), [("<<", False), ("<=", True), ("=", True), (">=", True), (">>", False)])
    def test_a_relation_to_the_same_version(self, relation: str, holds: bool) -> None:
        assert satisfies("1.0", relation, "1.0") is holds


class TestRelations:
    def test_groups_hold_alternatives_with_versions_and_qualifiers(self) -> None:
        assert groups("libc6 (>= 2.38), debconf (>= 0.5) | debconf-2.0,python3:any, libx(<<1:2~)") == (
            (Term("libc6", ">=", "2.38"),),
            (Term("debconf", ">=", "0.5"), Term("debconf-2.0")),
            (Term("python3", qualifier="any"),),
            (Term("libx", "<<", "1:2~"),),
        )

    def test_the_old_signs_mean_what_dpkg_takes_them_for(self) -> None:
        assert groups("a (< 1), b (> 1)") == ((Term("a", "<=", "1"),), (Term("b", ">=", "1"),))

    @pytest.mark.parametrize("text", ["a (>= )", "a b", "A", "a (~ 1)", "a | ", "../x"])
    def test_what_is_no_relation_is_refused(self, text: str) -> None:
        with pytest.raises(Unreadable):
            groups(text)


def package(name: str, version: str = "1.0", *, origin: Origin = "archive", architecture: str = "amd64", **relations: str) -> Package:
    return Package(name, version, architecture, "0" * 64, 10, origin, f"pool/main/{name}_{version}.deb", **relations)


@dataclass
class Archive:
    packages: tuple[Package, ...]

    def versions(self, name: str) -> list[Package]:
        return [one for one in self.packages if one.name == name]

    def providers(self, name: str) -> list[Package]:
        return [one for one in self.packages if name in {term.name for group in groups(one.provides) for term in group}]

    def names(self, start: str) -> Iterable[str]:
        return sorted({one.name for one in self.packages if one.name.startswith(start)})


def close(packages: Iterable[Package], *roots: str, without: Iterable[str] = ()) -> Closure:
    return closure(Archive(tuple(packages)), roots, frozenset(without), "amd64")


def names(found: Closure) -> list[str]:
    assert not found.problems
    return [one.name for one in found.packages]


class TestClosure:
    def test_it_follows_depends_and_pre_depends_and_no_more(self) -> None:
        some = [
            package("a", depends="b", pre_depends="c"),
            package("b", depends="d"),
            package("c"),
            package("d", depends="a"),
            package("e"),
        ]
        assert names(close(some, "a")) == ["a", "b", "c", "d"]

    def test_the_newest_version_of_all_suites_is_taken(self) -> None:
        found = close([package("a", "1.10"), package("a", "1.9"), package("a", "1.11", origin="security")], "a")
        assert [(one.version, one.origin) for one in found.packages] == [("1.11", "security")]

    def test_of_equal_versions_the_archives_is_taken_in_any_order(self) -> None:
        both = [package("a"), package("a", origin="security")]
        assert newest(both) == newest(reversed(both)) == both[0]

    def test_the_first_alternative_that_can_be_had_is_taken(self) -> None:
        some = [package("a", depends="gone | old (>= 2) | b | c"), package("old"), package("b"), package("c")]
        assert names(close(some, "a")) == ["a", "b"]

    def test_an_alternative_that_is_there_anyway_is_enough(self) -> None:
        assert names(close([package("a", depends="b | c"), package("b"), package("c")], "a", "c")) == ["a", "c"]

    def test_a_virtual_package_is_had_from_who_provides_it(self) -> None:
        some = [package("a", depends="mail"), package("exim", provides="mail"), package("zmail", provides="mail", priority="important")]
        assert names(close(some, "a")) == ["a", "zmail"], "the more important one"

    @pytest.mark.parametrize(
        ("provides", "fits"),
        [("api", False), ("api (= 1)", False), ("api (= 2)", True)],
        ids=["without a version", "too old", "new enough"],
    )
    def test_a_version_of_a_virtual_package(self, provides: str, fits: bool) -> None:
        found = close([package("a", depends="api (>= 2)"), package("p", provides=provides)], "a")
        assert bool(found.problems) is not fits

    @pytest.mark.parametrize(("qualifier", "fits"), [("any", True), ("native", True), ("amd64", True), ("arm64", False)])
    def test_a_qualifier(self, qualifier: str, fits: bool) -> None:
        found = close([package("a", depends=f"b:{qualifier}"), package("b", architecture="all")], "a")
        assert bool(found.problems) is not fits

    def test_what_is_denied_is_left_out_with_all_behind_it_and_said(self) -> None:
        some = [package("a", depends="dpkg (>= 1.9), awk"), package("dpkg", depends="tar"), package("tar"), package("mawk", provides="awk")]
        found = close(some, "a", without=["dpkg", "mawk"])
        assert names(found) == ["a"]
        assert found.left_out == (("awk", "needed by a 1.0"), ("dpkg", "needed by a 1.0"))

    def test_an_alternative_of_what_is_denied_is_not_taken_in_its_place(self) -> None:
        assert names(close([package("a", depends="debconf | cdebconf"), package("cdebconf")], "a", without=["debconf"])) == ["a"]

    def test_what_is_asked_for_by_name_is_not_denied(self) -> None:
        assert names(close([package("bash")], "bash", without=["bash"])) == ["bash"]

    def test_what_cannot_be_had_is_named_with_who_asked_and_near_names(self) -> None:
        found = close([package("a", depends="libssl4, b (>= 3)"), package("libssl3"), package("b")], "a", "pythn3")
        assert found.problems == (
            "pythn3, asked for by name: there is no such package",
            "libssl4, needed by a 1.0: there is no such package; near names are libssl3",
            "b (>= 3), needed by a 1.0: there is b 1.0",
        )

    def test_a_relation_that_cannot_be_read_is_a_problem(self) -> None:
        assert close([package("a", depends="b (>>> 1)")], "a").problems == (
            "'b (>>> 1)' is no relation between Debian packages, needed by a 1.0",
        )

    def test_packages_that_exclude_each_other_are_named(self) -> None:
        some = [
            package("a", conflicts="b (<< 2)"),
            package("b"),
            package("c", breaks="b (<< 1)"),
            package("d", conflicts="mail"),
            package("e"),
        ]
        assert close([*some, package("m", provides="mail")], "a", "b", "c", "d", "m").conflicts == (
            "a 1.0 conflicts with b 1.0",
            "d 1.0 conflicts with m 1.0",
        )

    def test_a_package_that_replaces_what_it_provides_does_not_exclude_itself(self) -> None:
        assert close([package("m", provides="mail", conflicts="mail")], "m").conflicts == ()

    def test_the_order_of_what_is_asked_for_changes_nothing(self) -> None:
        some = [package("a", depends="x | y"), package("b", depends="y | x"), package("x"), package("y")]
        assert close(some, "a", "b") == close(reversed(some), "b", "a")


class TestModel:
    def test_a_package_url_escapes_what_it_must(self) -> None:
        assert purl(package("g++", "1:12.2-1+b1~x"), "debian-12") == "pkg:deb/debian/g%2B%2B@1%3A12.2-1%2Bb1~x?arch=amd64&distro=debian-12"

    def test_a_selection_knows_its_size(self) -> None:
        some = by_name([replace(package("b"), size=5), package("a")])
        selection = Selection("trixie", "amd64", ("a",), some, (Snapshot("trixie", "x"),))
        assert (selection.bytes, selection.package("b"), selection.package("c")) == (15, some[1], None)
