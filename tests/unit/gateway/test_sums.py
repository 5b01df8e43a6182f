"""Workers' pages of metrics put together: what each kind of number means for all of them."""

import re
from pathlib import Path

from gateway.fleet import sums
from gateway.fleet.sums import Page

ONE = """# HELP kfn_gateway_requests_total Requests.
# TYPE kfn_gateway_requests_total counter
kfn_gateway_requests_total{revision_name="a b",code="200"} 3
kfn_gateway_requests_total{revision_name="a b",code="503"} 1
# HELP kfn_gateway_request_seconds Time.
# TYPE kfn_gateway_request_seconds histogram
kfn_gateway_request_seconds_bucket{le="0.1"} 2
kfn_gateway_request_seconds_bucket{le="+Inf"} 4
kfn_gateway_request_seconds_sum 0.25
kfn_gateway_request_seconds_count 4
# HELP kfn_gateway_active_requests Inside.
# TYPE kfn_gateway_active_requests gauge
kfn_gateway_active_requests 2
# HELP kfn_gateway_instances Instances.
# TYPE kfn_gateway_instances gauge
kfn_gateway_instances 5
# HELP kfn_gateway_ready Ready.
# TYPE kfn_gateway_ready gauge
kfn_gateway_ready 1
"""
OTHER = ONE.replace('code="503"} 1', 'code="404"} 7').replace("_sum 0.25", "_sum 0.5")
OTHER = OTHER.replace("instances 5", "instances 4").replace("ready 1", "ready 0")


def numbers(page: Page) -> dict[str, str]:
    return dict(line.rsplit(" ", 1) for line in page.text().splitlines() if not line.startswith("#"))


def test_counts_and_histograms_add_up_and_gauges_by_what_they_mean() -> None:
    page = Page()
    page.add(ONE)
    page.add(OTHER)
    assert numbers(page) == {
        'kfn_gateway_requests_total{revision_name="a b",code="200"}': "6",
        'kfn_gateway_requests_total{revision_name="a b",code="503"}': "1",
        'kfn_gateway_requests_total{revision_name="a b",code="404"}': "7",
        'kfn_gateway_request_seconds_bucket{le="0.1"}': "4",
        'kfn_gateway_request_seconds_bucket{le="+Inf"}': "8",
        "kfn_gateway_request_seconds_sum": "0.75",
        "kfn_gateway_request_seconds_count": "8",
        "kfn_gateway_active_requests": "4",
        "kfn_gateway_instances": "5",
        "kfn_gateway_ready": "0",
    }


def test_one_page_alone_stays_as_it_is() -> None:
    page = Page()
    page.add(ONE)
    assert page.text() == ONE


def test_of_what_ended_only_what_it_had_counted_stays() -> None:
    ended = Page()
    ended.add(OTHER, counted=True)
    page = Page()
    page.add(ONE)
    page.join(ended)
    found = numbers(page)
    assert found['kfn_gateway_requests_total{revision_name="a b",code="200"}'] == "6"
    assert found['kfn_gateway_requests_total{revision_name="a b",code="404"}'] == "7"
    assert found["kfn_gateway_request_seconds_count"] == "8"
    assert found["kfn_gateway_active_requests"] == "2"
    assert found["kfn_gateway_instances"] == "5"
    assert numbers(ended)["kfn_gateway_request_seconds_sum"] == "0.5", "it is not changed by being joined"


def test_cold_starts_are_the_last_of_all_in_order() -> None:
    one = {"default/a": [{"at": 1.0}, {"at": 4.0}], "default/b": [{"at": 2.0}]}
    other = {"default/a": [{"at": 3.0}, {"at": 5.0}]}
    assert sums.cold_starts([one, other], 3) == {"default/a": [{"at": 3.0}, {"at": 4.0}, {"at": 5.0}], "default/b": [{"at": 2.0}]}


def test_for_every_gauge_it_is_decided_what_it_means_for_several_workers() -> None:
    source = "".join(path.read_text() for path in Path(sums.__file__).parents[1].rglob("*.py"))
    gauges = set(re.findall(r'"(kfn_gateway_\w+)",\s*"gauge"', source)) | {"kfn_gateway_autoscaler_connected", "kfn_gateway_workers"}
    assert len(gauges) > 10
    undecided = gauges - sums.MOST - sums.LEAST - sums.ALL
    assert not undecided, f"add them to MOST, LEAST or ALL in gateway/fleet/sums.py: {undecided}"
