"""Nothing personal is logged, by anything, in any test: what is written into the ledger must not be in a log line.

Every test runs under this (tests/conftest.py), every process of a journey is read at its end (House.stop).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

PHONE = re.compile(r"4477\d{8}")  # every contact of the tests has one of these, the range that is nobody's
LONG_ENOUGH = 12  # shorter words may be in a log line for other reasons


class Overhears(logging.Handler):
    """Keeps what is logged, as it would be written to the file."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line and everything that was given along with it."""
        given = {name: value for name, value in vars(record).items() if name not in {"msg", "args", "message"}}
        self.lines.append(f"{self.format(record)} {given}")


def is_personal(text: object) -> bool:
    return isinstance(text, str) and len(text) >= LONG_ENOUGH and " " in text


def indiscretions(lines: Iterable[str], said: Iterable[str]) -> list[str]:
    """Return the lines that name a contact or quote what was said."""
    texts = [text for text in said if is_personal(text)]
    return [line for line in lines if PHONE.search(line) or any(text in line for text in texts)]


def indiscretions_in(folder: Path, said: Iterable[str]) -> list[str]:
    """The same, in the log files of a journey."""
    lines = (line for log in folder.glob("*.log*") for line in log.read_text(errors="replace").splitlines())
    return indiscretions(lines, said)


@pytest.fixture(autouse=True)
def nothing_personal_is_logged() -> Iterator[None]:
    """Fail the test that wrote a message's text or a phone number into a log."""
    overhears, said = Overhears(), set[str]()

    def wrote(_connection: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        if "INTO messages" in statement:
            rows = parameters if isinstance(parameters, list) else [parameters]
            for row in rows:
                values = row.values() if isinstance(row, dict) else row
                said.update(value for value in values if is_personal(value))

    sa.event.listen(Engine, "before_cursor_execute", wrote)
    logging.getLogger().addHandler(overhears)
    yield
    logging.getLogger().removeHandler(overhears)
    sa.event.remove(Engine, "before_cursor_execute", wrote)
    found = indiscretions(overhears.lines, said)
    assert not found, f"a log line names a contact or quotes a message:\n{found[0][:600]}"
