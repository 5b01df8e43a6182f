"""kfn on a cluster does its main job: a function from its source text to an answer, from zero and back to zero."""

import pytest

from tests.cluster.platform import Platform, a_service

pytestmark = pytest.mark.cluster


class TestAFunctionOnACluster:
    def test_is_made_of_source_deployed_and_answers(self, platform: Platform) -> None:
        platform.apply(a_service("hello", platform.hello("good day")))
        try:
            ready = platform.ready("hello")
            assert ready["status"]["url"] == f"http://hello.default.{platform.domain}"
            answer = platform.request(ready["status"]["url"])
            assert (answer.status, answer.text) == (200, "good day")
        finally:
            platform.delete("ksvc", "hello")

    def test_that_cannot_start_says_why(self, platform: Platform) -> None:
        image = platform.image("raise SystemExit('no luck today')\n\n\ndef handle(context):\n    return ''\n", "broken")
        platform.apply(a_service("broken", image))
        try:
            with pytest.raises(AssertionError, match="no luck today"):
                platform.ready("broken", within=30)
        finally:
            platform.delete("ksvc", "broken")
