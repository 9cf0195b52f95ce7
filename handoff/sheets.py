"""Tables as they stand on a page and as spreadsheets open them. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from handoff.figures import ENOUGH_FOR_SHARES, Part, Spread

BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"  # by it Excel knows that this is UTF-8; everybody else skips it
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what begins like that a spreadsheet would calculate
NONE = "–"


@dataclass(frozen=True)
class Sheet:
    """One table: what it is called, its columns and its rows."""

    name: str
    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str | int | float | None, ...]]


def as_csv(head: Iterable[str], rows: Iterable[Iterable[str | int | float | None]]) -> str:
    """Write a table as spreadsheets read it; no word in it is taken for a formula."""
    out = io.StringIO()
    out.write(BOM)
    writer = csv.writer(out)
    writer.writerow(list(head))
    for row in rows:
        writer.writerow([harmless(value) for value in row])
    return out.getvalue()


def harmless(value: str | int | float | None) -> str | int | float | None:
    """Return what stands in a cell so that no spreadsheet calculates it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def took(passed: timedelta | None) -> str:
    """Say how long something took: 40 s, 4 min, 2 h 5 min, 3 days."""
    if passed is None:
        return NONE
    seconds = round(passed.total_seconds())
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 600 and seconds % 60:
        return f"{seconds // 60} min {seconds % 60} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours / 24:.1f} days"


def seconds(passed: timedelta | None) -> int | None:
    """Return whole seconds, for spreadsheets."""
    return None if passed is None else round(passed.total_seconds())


def share(one: Part) -> str:
    """Say so many of so many; a percentage only where there are enough."""
    if not one.whole:
        return NONE
    return f"{one.part} of {one.whole}" if one.whole < ENOUGH_FOR_SHARES else f"{100 * one.part / one.whole:.0f} %"


def of(one: Part) -> str:
    """Say of how many a share is; nothing where the share itself says so."""
    if not one.whole:
        return "none yet"
    return f"{one.part:,} of {one.whole:,}" if one.whole >= ENOUGH_FOR_SHARES else ""


def middle(one: Spread) -> str:
    """Say the median, with how many it is of where these are few."""
    if one.median is None:
        return NONE
    return took(one.median) + (f" (of {one.n})" if one.n < ENOUGH_FOR_SHARES else "")
