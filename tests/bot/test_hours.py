"""When people sit at the desk, across nights, weekends, holidays and the days on which clocks change."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import hours
from bot.errors import BadHours
from bot.hours import Hours

SHOP = hours.read("Europe/London", "Mon-Fri 9:00-17:30; Sat 10:00-16:00", "2026-12-24 9:00-13:00\n12-25 closed")


def london(text: str) -> datetime:
    """A moment by the clock in London."""
    return datetime.fromisoformat(text).replace(tzinfo=SHOP.zone).astimezone(timezone.utc)


@pytest.mark.parametrize(
    ("at", "opens"),
    [
        ("2026-11-23 12:00", "2026-11-23 12:00"),  # a Monday noon
        ("2026-11-23 08:59", "2026-11-23 09:00"),
        ("2026-11-23 17:30", "2026-11-24 09:00"),  # at half past five they are gone
        ("2026-11-28 16:30", "2026-11-30 09:00"),  # Saturday evening to Monday
        ("2026-12-24 14:00", "2026-12-26 10:00"),  # a short day, a holiday, a Saturday
        ("2027-12-24 18:00", "2027-12-27 09:00"),  # the holiday comes every year, the short day does not
    ],
)
def test_people_are_back_when_the_week_and_its_exceptions_say(at: str, opens: str) -> None:
    assert SHOP.opens(london(at)) == london(opens)
    assert SHOP.is_open(london(at)) is (at == opens)


def test_days_may_be_written_out() -> None:
    short, long = (hours.read("UTC", f"{days} 9:00-17:00") for days in ("Mon,Wed-Fri", "Monday,Wednesday-friday"))
    assert short == long and [bool(spans) for spans in short.week] == [True, False, True, True, True, False, False]


def test_nine_o_clock_is_nine_o_clock_on_the_day_the_clocks_change() -> None:
    sunday = hours.read("Europe/London", "Sun 0:00-3:00, 9:00-10:00")
    spring, autumn = datetime(2026, 3, 29, tzinfo=timezone.utc), datetime(2026, 10, 25, tzinfo=timezone.utc)
    assert sunday.opens(spring + timedelta(hours=4)) == datetime(2026, 3, 29, 8, tzinfo=timezone.utc)
    assert sunday.opens(autumn + timedelta(hours=4)) == datetime(2026, 10, 25, 9, tzinfo=timezone.utc)
    # The night has an hour less in spring, and one more in autumn.
    assert sunday.between(spring - timedelta(hours=3), spring + timedelta(hours=5)) == timedelta(hours=2)
    assert sunday.between(autumn - timedelta(hours=3), autumn + timedelta(hours=5)) == timedelta(hours=4)


def test_a_wait_counts_only_while_people_are_there() -> None:
    friday = london("2026-11-27 17:00")
    assert SHOP.after(friday, timedelta(minutes=30)) == london("2026-11-27 17:30")
    assert SHOP.after(friday, timedelta(minutes=40)) == london("2026-11-28 10:10")
    assert SHOP.between(friday, london("2026-11-30 10:00")) == timedelta(hours=7, minutes=30)
    assert SHOP.closes(friday) == london("2026-11-27 17:30") and SHOP.closes(london("2026-11-29 12:00")) is None


def test_who_is_always_there_never_closes() -> None:
    at = london("2026-11-29 03:00")
    assert Hours().always and Hours().is_open(at) and Hours().closes(at) is None
    night = hours.read("UTC", "Mon-Sun 20:00-24:00, 0:00-6:00")
    assert night.closes(datetime(2026, 11, 23, 22, tzinfo=timezone.utc)) == datetime(
        2026, 11, 24, 6, tzinfo=timezone.utc
    )


def test_who_never_opens_again_says_so() -> None:
    gone = hours.read("UTC", "Mon 9:00-10:00", "\n".join(f"{month:02d}-{day:02d} closed" for month in range(1, 13)
                                                         for day in range(1, 29)))  # fmt: skip
    assert gone.opens(london("2026-11-23 12:00")) is not None, "the 29th to 31st are left"
    never = Hours(week=((),) * 7)
    at = london("2026-11-23 12:00")
    assert never.opens(at) is None and never.after(at, timedelta(minutes=1)) is None


@pytest.mark.parametrize(
    ("zone", "week", "exceptions", "said"),
    [
        ("Mars/Base", "always", "", "no time zone"),
        ("../../etc/passwd", "always", "", "no time zone"),
        ("UTC", "", "", "when is anybody there"),
        ("UTC", "Someday 9:00-10:00", "", "begin with a day"),
        ("UTC", "Monster 9:00-10:00", "", "begin with a day"),
        ("UTC", "Mon-Wed-Fri 9:00-10:00", "", "Mon,Wed 9:00"),
        ("UTC", "Mon nine to five", "", "hours are written"),
        ("UTC", "Mon 17:00-9:00", "", "from an earlier time"),
        ("UTC", "Mon 9:00-25:00", "", "from an earlier time"),
        ("UTC", "Mon 9:70-10:00", "", "from an earlier time"),
        ("UTC", "Mon 9:00-12:00, 11:00-13:00", "", "named twice"),
        ("UTC", "Mon 9:00-12:00; Mon 11:00-13:00", "", "named twice"),
        ("UTC", "always", "24.12. closed", "a day is written"),
        ("UTC", "always", "02-30 closed", "no day"),
        ("UTC", "always", "12-25 shut", "hours are written"),
    ],
)
def test_what_can_not_be_read_is_refused_with_the_way_to_write_it(
    zone: str, week: str, exceptions: str, said: str
) -> None:
    with pytest.raises(BadHours, match=said):
        hours.read(zone, week, exceptions)


moments = st.integers(0, 2 * 365 * 24 * 60).map(
    lambda n: datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(minutes=n)
)
weeks = st.sampled_from(["always", "Mon-Fri 9:00-17:30", "Sun 0:00-24:00", "Fri-Mon 22:00-24:00; Tue 0:00-2:30, 3-4"])


@given(moments, st.timedeltas(timedelta(0), timedelta(days=9)), weeks, st.sampled_from(["UTC", "Europe/London"]))
def test_so_much_opening_time_later_so_much_opening_time_has_passed(
    at: datetime, worked: timedelta, week: str, zone: str
) -> None:
    shop = hours.read(zone, week, "12-25 closed")
    later = shop.after(at, worked)
    assert later is not None and later >= at
    assert shop.between(at, later) == worked
    opens = shop.opens(at)
    assert opens is not None and shop.is_open(opens) and shop.between(at, opens) == timedelta(0)
