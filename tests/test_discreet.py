"""The watch on the logs can itself fail: a planted secret is found."""

from __future__ import annotations

import logging
from pathlib import Path

from bot.ledger.transaction import Ledger
from tests.discreet import Overhears, indiscretions, indiscretions_in
from tests.factories import a_text, heard

SECRET = "the blue wisteria climbs at midnight"


def test_a_planted_secret_is_found_in_what_is_logged(ledger: Ledger, tmp_path: Path) -> None:
    heard(ledger, a_text(SECRET))
    overhears = Overhears()
    log = logging.getLogger("planted")
    log.propagate = False  # not to the real watch
    log.addHandler(overhears)
    log.warning("could not send %s", SECRET)
    log.warning("could not send", extra={"who": "447700900101"})
    log.warning("could not send", extra={"message_id": 7})
    assert len(indiscretions(overhears.lines, {SECRET})) == 2
    (tmp_path / "rasa.log").write_text(f"fine\nDEBUG {SECRET}\n")
    assert indiscretions_in(tmp_path, {SECRET}) == [f"DEBUG {SECRET}"]
