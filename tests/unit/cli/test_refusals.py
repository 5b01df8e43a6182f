"""What `kfn gateway` and `kfn up` refuse before anything is started: the message names the flag, the exit code is 2."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from cli import gateway, keeper, output, ports, up
from cli.failures import CliError
from cli.main import main
from kfn.observe import otel


def test_a_port_that_two_flags_ask_for_is_refused() -> None:
    said = CliRunner().invoke(gateway.command, ["--workers", "2", "--port", "8081"], standalone_mode=False).exception
    assert isinstance(said, CliError)
    assert said.exit_code == 2
    assert "--port and --admin-port are both 8081" in str(said)


def test_so_it_is_where_one_of_them_listens_on_every_address() -> None:
    with pytest.raises(CliError, match="--port and --admin-port are both 9000"):
        ports.distinct({"--port": ("0.0.0.0", 9000), "--admin-port": ("127.0.0.1", 9000)})


def test_free_ports_and_addresses_of_their_own_are_no_clash() -> None:
    ports.distinct({"--port": ("127.0.0.1", 0), "--admin-port": ("127.0.0.1", 0), "--tls-port": ("127.0.0.1", None)})
    ports.distinct({"--port": ("127.0.0.1", 9000), "--admin-port": ("127.0.0.2", 9000)})


def test_kfn_up_refuses_one_port_for_both(tmp_path: Path) -> None:
    flags = ["--port", "9000", "--tls-port", "9000", "--data-dir", str(tmp_path / "data")]
    said = CliRunner().invoke(up.command, flags, standalone_mode=False).exception
    assert isinstance(said, CliError)
    assert (said.exit_code, (tmp_path / "data").exists()) == (2, False)


@pytest.mark.parametrize(("flag", "value"), [("--access-log", "/proc/nowhere/log"), ("--slots", "nonsense")])
def test_what_would_fail_in_a_worker_is_refused_before(tmp_path: Path, flag: str, value: str) -> None:
    token, config = tmp_path / "token", tmp_path / "config"
    token.write_text("secret")
    config.write_text(
        "clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\nusers: [{name: u, user: {}}]\n"
        "contexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n"
    )
    flags = ["--workers", "2", "--port", "0", "--admin-port", "0", "--kubeconfig", str(config), "--autoscaler", "http://127.0.0.1:1"]
    said = (
        CliRunner().invoke(gateway.command, [*flags, "--autoscaler-token-file", str(token), flag, value], standalone_mode=False).exception
    )
    assert isinstance(said, CliError)
    assert (said.exit_code, flag in str(said)) == (2, True)


def test_a_keeper_says_which_flag_has_the_folder_that_is_not_there(tmp_path: Path) -> None:
    said = CliRunner().invoke(keeper.command, ["--listen", f"unix:{tmp_path}/nowhere/slots"], standalone_mode=False).exception
    assert isinstance(said, CliError)
    assert (said.exit_code, "--listen" in str(said)) == (2, True)


def test_spans_go_to_an_http_url_only() -> None:
    with pytest.raises(otel.OtelError, match="OTEL_EXPORTER_OTLP_ENDPOINT=ftp://x: an http or https URL"):
        otel.from_environment({"OTEL_EXPORTER_OTLP_ENDPOINT": "ftp://x"})


class TestWordsFromOutside:
    def test_reach_the_terminal_without_what_would_command_it(self, capsys: pytest.CaptureFixture[str]) -> None:
        hostile = "a\x1b]0;x\x07b\x9b2J\u202ec\td\ne"
        output.warn(hostile)
        output.Progress().done("deps", hostile)
        with pytest.raises(SystemExit):
            main(["build", f"/nowhere/{hostile}"])
        said = capsys.readouterr().err
        assert "a?]0;x?b?2J?c\td\ne" in said
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(said)
