"""What is read of a Go module before go is asked, and of a program after it."""

import pytest

from builder.errors import HandlerNotFound, LockMissing, ProjectInvalid
from builder.golang import buildinfo, module, scaffold

HTTP = "w http.ResponseWriter, r *http.Request"


class TestGoMod:
    @pytest.mark.parametrize(
        ("text", "path"),
        [("module function\n", "function"), ('// a comment\nmodule "example.com/a" // another\ngo 1.24\n', "example.com/a")],
    )
    def test_says_the_modules_path(self, text: str, path: str) -> None:
        assert module.module_path(text) == path

    def test_without_a_path_is_refused(self) -> None:
        with pytest.raises(ProjectInvalid, match=r"no line `module PATH`"):
            module.module_path("// module a\ngo 1.24\n")

    @pytest.mark.parametrize("text", ["module a\nrequire b v1.0.0\n", "module a\nrequire (\n\tb v1.0.0\n)\n"])
    def test_with_requirements_needs_its_sums(self, text: str) -> None:
        with pytest.raises(LockMissing, match="go mod tidy"):
            module.check_locked(text, has_sum=False, vendored=False)
        module.check_locked(text, has_sum=True, vendored=False)
        module.check_locked(text, has_sum=False, vendored=True)

    @pytest.mark.parametrize("text", ["module a\n", "module a\nrequire (\n)\n", "module a\nrequire b v0.0.0\nreplace b => ./b\n"])
    def test_without_foreign_modules_needs_none(self, text: str) -> None:
        module.check_locked(text, has_sum=False, vendored=False)


class TestAFunction:
    @pytest.mark.parametrize(
        ("text", "instanced", "context"),
        [
            (f"package function\nfunc Handle({HTTP}) {{}}\n", False, False),
            (f"package function\nfunc Handle(ctx context.Context, {HTTP}) {{}}\n", False, True),
            (f"package function\n\ntype F struct{{}}\nfunc New() *F {{ return &F{{}} }}\nfunc (f *F) Handle({HTTP}) {{}}\n", True, False),
            ("package f\nfunc Handle(\n\tw http.ResponseWriter,\n\tr *http.Request,\n) {}\nfunc (f *F) Handle() {}\n", False, False),
        ],
        ids=["static", "with a context", "instanced", "on several lines, beside a method"],
    )  # fmt: skip
    def test_is_recognised_by_its_text(self, text: str, instanced: bool, context: bool) -> None:
        found = module.function({"handle.go": text}, "function")
        assert found == module.Function(found.package, "function", instanced, context)
        assert "made.Handle" in scaffold.program(found) if instanced else "function.Handle" in scaffold.program(found)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("package function\nfunc Handel() {}\n", "no handler in the Go files.*func Handle"),
            ("package function\n// func Handle(w http.ResponseWriter, r *http.Request)\n", "no handler"),
            ("package function\nfunc Handle(ctx context.Context, e event.Event) error { return nil }\n", "does not take an HTTP request"),
        ],
        ids=["misspelt", "a comment", "an event"],
    )
    def test_of_another_form_is_refused_with_those_that_are_known(self, text: str, said: str) -> None:
        with pytest.raises(HandlerNotFound, match=said):
            module.function({"handle.go": text}, "function")

    def test_is_a_program_if_any_file_says_so_but_not_one_that_is_ignored(self) -> None:
        assert module.root_package({"a.go": "package main\n", "b.go": "package main\n"}) == "main"
        assert module.root_package({"a.go": "package function\n", "gen.go": "//go:build ignore\n\npackage main\n"}) == "function"


class TestBuildInfo:
    def test_a_replaced_module_is_what_replaced_it(self) -> None:
        text = "path\ta\nmod\ta\t(devel)\t\ndep\tb\tv1.0.0\th1:x=\ndep\tc\tv1.0.0\n=>\td\tv2.0.0\th1:y=\nbuild\tCGO_ENABLED=0\n"
        info = buildinfo.parse("go1.26.8 X:nodwarf5", text)
        assert info.go == "1.26.8"
        assert info.main == buildinfo.Module("a", "(devel)")
        assert info.modules == (buildinfo.Module("b", "v1.0.0", "h1:x="), buildinfo.Module("d", "v2.0.0", "h1:y="))
        assert info.settings == (("CGO_ENABLED", "0"),)
