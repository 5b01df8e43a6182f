"""When a PingSource fires: cron's fields, named schedules, periods, time zones, and what is refused with which words."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from kfn.api.schedule import BadSchedule, parse

AT = datetime(2026, 3, 28, 12, 34, 56, 789, tzinfo=UTC)


class TestTheNextTime:
    @pytest.mark.parametrize(
        ("text", "zone", "next"),
        [
            ("* * * * *", "", "2026-03-28T12:35:00"),
            ("*/5 * * * *", "", "2026-03-28T12:35:00"),
            ("*/10 * * * * *", "", "2026-03-28T12:35:00"),
            ("58 * * * * *", "", "2026-03-28T12:34:58"),
            ("0 9 ? * MON", "", "2026-03-30T09:00:00"),
            ("@hourly", "", "2026-03-28T13:00:00"),
            ("@daily", "Europe/Berlin", "2026-03-28T23:00:00"),
            ("@weekly", "", "2026-03-29T00:00:00"),
            ("@yearly", "", "2027-01-01T00:00:00"),
            ("@every 10s", "", "2026-03-28T12:35:00"),
            ("@every 1h30m", "", "2026-03-28T13:30:00"),
        ],
    )
    def test_is_the_first_one_later(self, text: str, zone: str, next: str) -> None:
        found = parse(text, zone).after(AT)
        assert found == datetime.fromisoformat(next).replace(tzinfo=UTC)
        assert found is not None
        assert parse(text, zone).after(found) != found, "a time is not its own successor"

    def test_follows_the_zones_clock_over_a_change_to_summer_time(self) -> None:
        nine = parse("0 9 * * *", "Europe/Berlin")
        saturday = nine.after(datetime(2026, 3, 28, 0, 0, tzinfo=UTC))
        assert saturday is not None
        sunday = nine.after(saturday)
        assert sunday is not None
        assert (saturday.hour, sunday.hour) == (8, 7)
        assert sunday.astimezone(ZoneInfo("Europe/Berlin")).hour == 9

    def test_of_a_period_does_not_depend_on_when_it_was_started(self) -> None:
        minute = parse("@every 60s")
        assert minute.after(AT) == minute.after(AT.replace(second=1)) == datetime(2026, 3, 28, 12, 35, tzinfo=UTC)


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("text", "zone", "said"),
        [
            ("", "", "five fields"),
            ("* * * *", "", "five fields"),
            ("61 * * * *", "", "minute is wrong"),
            ("* 25 * * *", "", "hour is wrong"),
            ("0 0 31 2 *", "", "day-of-month"),
            ("@fortnightly", "", "@every 30s"),
            ("@every 10", "", "@every 10"),
            ("@every 100ms", "", "the shortest period is 1s"),
            ("* * * * *", "Mars/Olympus", "Europe/Berlin"),
            ("* * * * *", "../../etc/passwd", "not known"),
            ("1," * 200 + "1 * * * *", "", "longer than 200"),
        ],
    )
    def test_says_which_part_is_wrong(self, text: str, zone: str, said: str) -> None:
        with pytest.raises(BadSchedule, match=said):
            parse(text, zone)
