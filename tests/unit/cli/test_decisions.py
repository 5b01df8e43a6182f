"""What the commands decide without a platform: traffic, destinations, headers, messages, exit codes."""

import json
import os
from datetime import timedelta

import pytest

from cli import attachments, events, failures, invoke, output, reasons, session, traffic, trigger
from cli.deploy import env_vars
from cli.failures import CliError
from cli.logs import recent_pods
from embedded import datadir
from kfn.api import core, serving
from kfn.clock import utcnow
from kfn.kube import errors
from kfn.kube.config import ConfigError

KNOWN = {"f-1", "f-2"}
LATEST = serving.TrafficTarget(latest_revision=True, percent=100)


def pinned(name: str, percent: int, tag: str = "") -> serving.TrafficTarget:
    return serving.TrafficTarget(revision_name=name, latest_revision=False, percent=percent, tag=tag)


def shown(targets: list[serving.TrafficTarget]) -> list[str]:
    return [f"{t.revision_name or '@latest'}={t.percent}{'#' + t.tag if t.tag else ''}" for t in targets]


class TestTraffic:
    @pytest.mark.parametrize(
        ("current", "split", "tags", "untag", "wanted"),
        [
            ([LATEST], [("f-1", "90"), ("@latest", "10%")], [], (), ["f-1=90", "@latest=10"]),
            ([pinned("f-1", 100)], [("@latest", "100")], [], (), ["@latest=100"]),
            ([LATEST], [], [("f-2", "new")], (), ["@latest=100", "f-2=0#new"]),
            ([LATEST, pinned("f-1", 0, "old")], [("f-2", "100")], [], (), ["f-2=100", "f-1=0#old"]),
            ([LATEST, pinned("f-1", 0, "old")], [], [("f-2", "old")], (), ["@latest=100", "f-2=0#old"]),
            ([LATEST, pinned("f-1", 0, "old")], [], [], ("old",), ["@latest=100"]),
            ([], [("f-1", "100")], [], (), ["f-1=100"]),
        ],
    )
    def test_percents_are_replaced_and_tags_stay_unless_moved(self, current, split, tags, untag, wanted):
        assert shown(traffic.change(current, split, tags, untag, KNOWN)) == wanted

    @pytest.mark.parametrize(
        ("split", "tags", "untag", "message"),
        [
            ([("f-1", "50")], [], (), "add up to 50"),
            ([("f-9", "100")], [], (), "no revision 'f-9'; there are: f-1, f-2, @latest"),
            ([("f-1", "x")], [], (), "'x' is not a percent"),
            ([("f-1", "101")], [], (), "'101' is not a percent"),
            ([("f-1", "50"), ("f-1", "50")], [], (), "'f-1' is given twice"),
            ([], [("f-1", "a"), ("f-2", "a")], (), "tag 'a' is given twice"),
            ([], [], ("zz",), "no tag 'zz' to take away; there are: none"),
        ],
    )
    def test_a_split_that_cannot_be_is_usage(self, split, tags, untag, message):
        with pytest.raises(CliError, match=message) as caught:
            traffic.change([LATEST], split, tags, untag, KNOWN)
        assert caught.value.exit_code == 2


class TestTriggers:
    @pytest.mark.parametrize(
        ("text", "kind", "name", "namespace"),
        [
            ("ksvc:f", "Service", "f", "here"),
            ("f", "Service", "f", "here"),
            ("ksvc:f:there", "Service", "f", "there"),
            ("broker:b", "Broker", "b", "here"),
        ],
    )
    def test_a_sink_names_an_object(self, text, kind, name, namespace):
        ref = attachments.destination(text, "here", "--sink").ref
        assert ref is not None
        assert (ref.kind, ref.name, ref.namespace) == (kind, name, namespace)

    def test_a_sink_may_be_a_url(self):
        assert attachments.destination("https://a.example/x", "here", "--sink").uri == "https://a.example/x"

    @pytest.mark.parametrize("text", ["foo:bar", "ksvc:", ":x"])
    def test_another_sink_is_usage_and_names_the_flag(self, text):
        with pytest.raises(CliError, match="--dead-letter") as caught:
            attachments.destination(text, "here", "--dead-letter")
        assert caught.value.exit_code == 2

    def test_filters_keep_everything_after_the_first_equals_sign(self):
        assert trigger.attributes(("type=a=b", "source=")) == {"type": "a=b", "source": ""}
        with pytest.raises(CliError, match="--filter 'x'"):
            trigger.attributes(("x",))


class TestEvents:
    def test_headers_are_percent_encoded_as_the_binding_says(self):
        assert events.header('ü "%" a') == "%C3%BC%20%22%25%22%20a"
        assert events.header("/shop?a=b") == "/shop?a=b"

    def test_an_event_has_an_id_of_its_own_unless_given_one(self):
        one, two = events.event("t", "/s"), events.event("t", "/s")
        assert one["id"] != two["id"]
        assert events.event("t", "/s", id_="7", subject="x") == {
            "specversion": "1.0",
            "id": "7",
            "source": "/s",
            "type": "t",
            "subject": "x",
        }

    @pytest.mark.parametrize(("type_", "source", "id_"), [("", "/s", None), ("t", "", None), ("t", "/s", "")])
    def test_what_must_not_be_empty_is_refused_before_it_is_sent(self, type_, source, id_):
        with pytest.raises(CliError, match="must not be empty"):
            events.event(type_, source, id_=id_)

    @pytest.mark.parametrize("item", ["A=b", "a", "id=1", "=x", "a-b=c"])
    def test_what_is_no_extension_is_refused(self, item):
        with pytest.raises(CliError, match="-e"):
            events._extensions((item,))

    @pytest.mark.parametrize(("status", "code"), [(400, 2), (401, 4), (429, 75), (503, 75), (500, 1)])
    def test_scripts_can_tell_what_to_try_again(self, status, code):
        assert events.refusal(status) == code


class TestInvoke:
    @pytest.mark.parametrize(
        ("path", "wanted"), [("/", "/"), ("x?a=1", "/x?a=1"), ("/a b", "/a%20b"), ("/ü?q=%20", "/%C3%BC?q=%20"), ("?a=b", "/?a=b")]
    )
    def test_a_path_goes_out_as_a_url(self, path, wanted):
        assert invoke.target(path) == wanted

    @pytest.mark.parametrize("header", ["bad", ": x", "ü: x", "a: b\nc", "Host: x", "a b: c"])
    def test_a_header_that_cannot_be_sent_is_usage(self, header):
        with pytest.raises(CliError, match="-H") as caught:
            invoke.header_lines((header,))
        assert caught.value.exit_code == 2

    def test_header_values_are_utf_8(self):
        assert invoke.header_lines(("A: ü",)) == {"A": "ü".encode()}

    def test_the_waterfall_shows_phases_in_order_and_leaves_out_what_it_cannot_read(self, capsys):
        timing = "db;dur=9, queue;dur=1.0, start;dur=3.0, odd;dur=x, plain, total;dur=4"
        assert invoke.phases(timing) == [("queue", 1.0), ("start", 3.0)]
        invoke.waterfall(timing, 0.1)
        lines = capsys.readouterr().err.splitlines()
        assert [line.split()[0] for line in lines] == ["queue", "start", "total"]
        assert lines[2].endswith("4.00 ms in the gateway, 100 ms in all")
        assert lines[0].endswith("█" * 10)
        assert lines[1].endswith(" " * 10 + "█" * 30)
        invoke.waterfall("", 0.012)
        assert capsys.readouterr().err == "12 ms in all\n"


class TestReasons:
    LONG = "\n".join(
        ['Revision "f-1" failed with message: Container failed with: Traceback (most recent call last):', *["  File x"] * 20, "E: no"]
    )

    def test_a_functions_own_summary_is_all_that_is_told(self):
        assert reasons.brief(f"{self.LONG}\n{reasons.SUMMARY}\nfunc.py:3: E: no\nCorrect it.") == "func.py:3: E: no\nCorrect it."

    def test_a_traceback_without_a_summary_is_told_by_its_end(self):
        lines = reasons.brief(self.LONG).splitlines()
        assert lines[0] == "Container failed with:"
        assert lines[-1] == "E: no"
        assert len(lines) == reasons.LAST + 1

    def test_a_column_has_one_line(self):
        assert reasons.one_line("Bad", "first\nsecond") == "Bad: first"
        assert reasons.one_line("", "") == ""

    def test_log_lines_that_the_message_told_are_not_told_again(self):
        assert reasons.news(["a", "  E: no"], "E: no") == []
        assert reasons.news(["a", "b"], "E: no") == ["a", "b"]
        assert reasons.news([], "E: no") == []


class TestExitCodes:
    @pytest.mark.parametrize(
        ("error", "code", "words"),
        [
            (CliError("x", 75), 75, "x"),
            (ConfigError("no platform found"), 2, "no platform"),
            (errors.Unreachable("gone"), 5, "kfn up"),
            (errors.Unreachable("CERTIFICATE_VERIFY_FAILED"), 5, "another platform"),
            (errors.from_status(401, {"message": "no"}), 4, "kubeconfig"),
            (errors.from_status(422, {"message": "spec.x: bad"}), 3, "spec.x"),
            (errors.from_status(404, {"message": "m", "details": {"kind": "namespaces", "name": "ns"}}), 1, "kubectl create namespace ns"),
            (errors.from_status(500, {"message": "broken"}), 1, "broken"),
            (TimeoutError(), 124, "timed out"),
            (PermissionError(13, "Permission denied", "func.py"), 1, "func.py: Permission denied"),
            (ExceptionGroup("g", [ExceptionGroup("h", [CliError("inner", 3)])]), 3, "inner"),
            (RuntimeError("odd"), 1, "KFN_DEBUG"),
        ],
    )
    def test_every_failure_has_a_message_and_a_documented_code(self, error, code, words):
        message, left = failures.explain(error)
        assert left == code
        assert words in message


class TestOutput:
    @pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (119, "119s"), (120, "2m"), (7300, "2h"), (200000, "2d"), (-5, "0s")])
    def test_ages_are_written_as_kubectl_does(self, seconds, text):
        assert output.age((utcnow() - timedelta(seconds=seconds)).isoformat()) == text

    def test_an_age_that_is_not_known_is_a_question_mark(self):
        assert output.age("") == "?"

    def test_a_table_takes_rows_that_lack_columns(self, capsys):
        output.table([{"A": "1", "B": "True"}, {"A": "22", "C": "x"}])
        assert capsys.readouterr().out == "A    B      C\n1    True\n22          x\n"

    def test_without_a_terminal_progress_tells_only_what_lasts(self, capsys):
        progress = output.Progress()
        progress.say("at once")
        progress._since -= output.PATIENCE
        progress.say("long")
        progress.say("long")
        progress.done("deploy", "done")
        assert capsys.readouterr().err == "  long\ndeploy  done\n"


class TestSession:
    def kubeconfig(self, folder, server):
        folder.mkdir()
        (folder / "platform.json").write_text(json.dumps({"pid": os.getpid(), "gateway": "http://127.0.0.1:1"}))
        file = folder / "kubeconfig"
        file.write_text(
            "{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: k, namespace: ctx}}],"
            f" clusters: [{{name: k, cluster: {{server: '{server}'}}}}]}}"
        )
        return file

    def test_the_flag_comes_before_the_variable_and_that_before_the_running_platform(self, tmp_path, monkeypatch):
        flag, variable, running = (self.kubeconfig(tmp_path / n, f"http://{n}") for n in ("flag", "variable", "running"))
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("KUBECONFIG", str(variable))
        with datadir.locked(running.parent):
            datadir.write_platform(running.parent, {"pid": os.getpid(), "gateway": "http://127.0.0.1:1"})
            assert session.resolve(str(flag)).config.server == "http://flag"
            assert session.resolve().config.server == "http://variable"
            monkeypatch.delenv("KUBECONFIG")
            found = session.resolve()
            assert (found.config.server, found.namespace, found.asked) == ("http://running", "ctx", "")
            assert session.resolve(namespace="ns").namespace == "ns"
        with pytest.raises(ConfigError, match="kfn up"):  # its marker is still there, as after a crash
            session.resolve()

    def test_with_two_platforms_the_one_started_last_is_found_and_then_the_other(self, tmp_path, monkeypatch):
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        monkeypatch.delenv("KUBECONFIG")
        first, second = (self.kubeconfig(tmp_path / n, f"http://{n}").parent for n in ("first", "second"))
        with datadir.locked(first):
            datadir.write_platform(first, {"gateway": "http://127.0.0.1:1"})
            with datadir.locked(second):
                datadir.write_platform(second, {"gateway": "http://127.0.0.1:1"})
                assert session.resolve().config.server == "http://second"
                datadir.clear_platform(second)
            assert session.resolve().config.server == "http://first"


def test_variables_are_checked_before_anything_is_built():
    assert env_vars(("A=1", "B==", "A=2")) == {"A": "2", "B": "="}
    with pytest.raises(CliError, match="-e 'A'"):
        env_vars(("A",))


def test_the_pods_of_a_function_at_zero_are_known_by_their_events():
    def event(pod: str, when: str, kind: str = "Pod") -> core.Event:
        return core.Event(involved_object=core.ObjectReference("v1", kind, "ns", pod, ""), last_timestamp=when)

    told = [event("f-1-deployment-a", "2"), event("f-1-deployment-b", "3"), event("f-1-deployment-a", "4"), event("g-1-deployment-c", "9")]
    assert recent_pods([*told, event("f-1-deployment-d", "9", "Node")], ["f-1"]) == [("f-1-deployment-a", "4"), ("f-1-deployment-b", "3")]
