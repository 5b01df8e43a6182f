"""Flags of `kfn build` and `kfn deploy` that need or exclude one another, and their help."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from builder.options import default_cache
from builder.platform import host
from cli import build, combined, deploy, grouped, main, output
from cli.failures import CliError
from embedded.node import images

OTHER = "linux/arm64" if host().architecture == "amd64" else "linux/amd64"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "hello"
    folder.mkdir()
    (folder / "func.py").write_text("def handle(request):\n    return 'hello'\n")
    return folder


class TestFlagsThatWouldHaveNoEffect:
    @pytest.mark.parametrize(
        ("flags", "said"),
        [
            (["--detach"], "--detach needs --remote"),
            (["--timeout", "5"], "--timeout needs --remote"),
            (["--push-secret", "s"], "--push-secret needs --remote"),
            (["--registry-cache-write"], "--registry-cache-write needs --registry-cache"),
            (["--verify", "oci:x", "--push"], "--verify and --push cannot be together"),
            (["--verify", "oci:x", "--watch"], "--verify and --watch cannot be together"),
            (["--verify", "oci:x", "-o", "oci:y"], "--verify and --output cannot be together"),
            (["--watch", "--sbom", "x"], "--watch and --sbom cannot be together"),
            (["--sbom", "-", "-o", "json"], "both write to stdout"),
            (["--sbom", "-", "--platform", "linux/amd64", "--platform", "linux/arm64"], "one SBOM for each platform"),
        ],
    )
    def test_are_refused_by_name_before_anything_is_built(self, project: Path, flags: list[str], said: str) -> None:
        error = CliRunner().invoke(build.command, [str(project), *flags], standalone_mode=False).exception
        assert isinstance(error, CliError)
        assert (said in str(error), error.exit_code) == (True, 2), error

    def test_an_sbom_is_not_built_for_a_folder_that_is_not_there_and_none_is_made(self, project: Path, tmp_path: Path) -> None:
        for where in (tmp_path / "none" / "sbom.json", tmp_path):
            error = CliRunner().invoke(build.command, [str(project), "--sbom", str(where)], standalone_mode=False).exception
            assert isinstance(error, CliError)
            assert (f"--sbom {where}: " in str(error), error.exit_code) == (True, 2)
        assert not (tmp_path / "none").exists()

    def test_a_builder_that_there_is_not_is_a_wrong_flag(self, project: Path) -> None:
        error = CliRunner().invoke(build.command, [str(project), "--builder", "pack"], standalone_mode=False).exception
        assert isinstance(error, click.UsageError)
        assert "'--builder': 'pack' is not" in error.format_message()

    @pytest.mark.parametrize("flags", [["--sign", "key"], ["-t", "a/b"], ["--platform", OTHER], ["--compression", "zstd"], ["--attest"]])
    def test_a_deploy_onto_this_machine_takes_none_that_are_for_an_image_that_leaves(self, flags: list[str]) -> None:
        context = deploy.command.make_context("deploy", [*flags, "--kubeconfig", "/none"])
        with pytest.raises(CliError, match="is of no use on this platform") as caught:
            combined.refuse_here(context, context.params)
        assert (caught.value.exit_code, "`kfn build --push`" in str(caught.value)) == (2, True)

    def test_a_deploy_for_this_machine_s_platform_is_as_one_without(self) -> None:
        context = deploy.command.make_context("deploy", ["--platform", str(host()), "--kubeconfig", "/none"])
        combined.refuse_here(context, context.params)


class TestHelp:
    @pytest.mark.parametrize("command", [build.command, deploy.command])
    def test_every_option_is_listed_once_in_a_section(self, command: click.Command) -> None:
        text = CliRunner().invoke(command, ["--help"]).output
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                flag = max(parameter.opts, key=len)
                heads = [line for line in text.splitlines() if line.startswith("  -") and f" {flag} " in f"{line} ".replace(",", " ")]
                assert len(heads) == 1, flag
        assert "\n  [PATH]" not in text
        assert "\nWhere it goes:\n" in text or command is deploy.command

    def test_a_section_names_only_options_that_there_are(self) -> None:
        there = {parameter.name for command in (build.command, deploy.command) for parameter in command.params}
        assert {name for names in grouped.SECTIONS.values() for name in names} <= there


class TestSurroundings:
    def test_a_cache_path_that_is_relative_does_not_count(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("XDG_CACHE_HOME", "relative")
        assert default_cache() == tmp_path / ".cache" / "kfn"

    @pytest.mark.parametrize("name", ["NO_COLOR", "TERM"])
    def test_a_terminal_that_wants_no_colour_gets_none(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        monkeypatch.delenv("NO_COLOR", raising=False)
        monkeypatch.setenv("TERM", "xterm")
        assert output.coloured() is None
        monkeypatch.setenv(name, "dumb")
        assert output.coloured() is False

    def test_ctrl_c_during_an_import_is_no_failure_of_that_import(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted(**_: object) -> None:
            try:
                raise KeyboardInterrupt
            except KeyboardInterrupt as error:
                raise RuntimeError("Error calling __set_name__") from error

        monkeypatch.setattr(main.kfn, "main", interrupted)
        with pytest.raises(SystemExit) as caught:
            main.main([])
        assert caught.value.code == 130

    def test_a_python_on_the_path_that_only_tells_that_it_is_not_installed_is_not_taken(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        shim = tmp_path / "python3.99"
        shim.write_text("#!/bin/sh\nexit 127\n")
        shim.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        with pytest.raises(Exception, match=r"the image needs Python 3\.99"):
            images.interpreter("3.99")

    def test_the_shell_completes_the_names_of_bases(self) -> None:
        from click.shell_completion import ShellComplete

        found = ShellComplete(main.kfn, {}, "kfn", "_KFN_COMPLETE").get_completions(["base", "show"], "python3.1")
        assert [one.value for one in found] == ["python3.13", "python3.11"]

    def test_packages_on_a_machine_without_a_base_are_told_with_the_way_out(self, project: Path, tmp_path: Path) -> None:
        (project / "func.yaml").write_text("kfn: {packages: [ffmpeg]}\n")
        flags = [str(project), "--store", str(tmp_path / "store"), "-q"]
        error = CliRunner().invoke(build.command, flags, standalone_mode=False, env={"XDG_CACHE_HOME": str(tmp_path / "cache")}).exception
        assert "send it out with --push or -o" in str(error)
