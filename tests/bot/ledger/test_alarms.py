"""An alarm is told once, says what is true now, and is told again when nobody came."""

from __future__ import annotations

from datetime import timedelta

from bot.ledger import alarms
from bot.ledger.alarms import TOLD_EVERY, Alarm
from bot.ledger.transaction import Ledger
from tests.factories import NOW, later


def test_raised_again_it_is_still_one_alarm_since_the_first_time_with_the_newest_words(ledger: Ledger) -> None:
    with ledger.writing() as tx:
        assert alarms.raise_alarm(tx, "signed_out", "refused: expired", NOW)
        alarms.told(tx, "signed_out", later(1))
        assert not alarms.raise_alarm(tx, "signed_out", "refused: revoked", later(60))
    with ledger.reading() as tx:
        assert alarms.raised(tx) == [Alarm("signed_out", "refused: revoked", NOW)]
        assert alarms.untold(tx, later(61)) == []


def test_words_too_long_for_their_column_are_cut_and_raising_them_again_is_no_news(ledger: Ledger) -> None:
    with ledger.writing() as tx:
        alarms.raise_alarm(tx, "long", "x" * 900, NOW)
        alarms.raise_alarm(tx, "long", "x" * 900, NOW)
    with ledger.reading() as tx:
        assert [len(alarm.words) for alarm in alarms.raised(tx)] == [500]


def test_what_nobody_came_for_is_told_again_after_hours_and_what_was_cleared_is_not(ledger: Ledger) -> None:
    with ledger.writing() as tx:
        for name in ("a", "b"):
            alarms.raise_alarm(tx, name, "look", NOW)
        assert [alarm.name for alarm in alarms.untold(tx, NOW)] == ["a", "b"]
        for name in ("a", "b"):
            alarms.told(tx, name, NOW)
        alarms.clear(tx, "b")
    with ledger.writing() as tx:
        assert alarms.untold(tx, NOW + TOLD_EVERY - timedelta(seconds=1)) == []
        assert [alarm.name for alarm in alarms.untold(tx, NOW + TOLD_EVERY)] == ["a"]
        alarms.told(tx, "a", NOW + TOLD_EVERY)
        assert alarms.untold(tx, NOW + TOLD_EVERY + timedelta(hours=5)) == []


def test_cleared_and_raised_once_more_it_is_new(ledger: Ledger) -> None:
    with ledger.writing() as tx:
        alarms.raise_alarm(tx, "a", "look", NOW)
        alarms.told(tx, "a", NOW)
        assert alarms.clear(tx, "a")
        assert alarms.raise_alarm(tx, "a", "look", later(5))
        assert [alarm.name for alarm in alarms.untold(tx, later(6))] == ["a"]
