"""Log lines as sentences with their ids behind them: never a text, a phone number or a body."""

from __future__ import annotations

import logging

KNOWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class Line(logging.Formatter):
    """One line a record; what the caller gave as `extra` stands behind it as name=value."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's own name
        """Append the ids."""
        ids = " ".join(f"{name}={value}" for name, value in vars(record).items() if name not in KNOWN)
        return f"{super().formatMessage(record)} {ids}".rstrip()


def begin() -> None:
    """Log in this way, from INFO on, to standard error; once per process, at its front door."""
    handler = logging.StreamHandler()
    handler.setFormatter(Line())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
