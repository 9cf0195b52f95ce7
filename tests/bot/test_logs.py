"""A log line says what happened, and to which message or conversation."""

from __future__ import annotations

import logging

from bot.logs import Line


def test_the_ids_stand_behind_the_sentence() -> None:
    record = logging.makeLogRecord({"name": "sender", "levelname": "WARNING", "msg": "a message was not accepted: %s"})
    record.args = ("Throttled",)
    record.action, record.message_id = "send_failed", 17
    line = Line().format(record)
    assert line.endswith("WARNING sender a message was not accepted: Throttled action=send_failed message_id=17")
