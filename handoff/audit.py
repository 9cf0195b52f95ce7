"""The audit log as a page and as a file, for admins."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from urllib.parse import urlencode

from flask import Blueprint, Response, render_template, request, url_for
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response as AnyResponse

from bot.ledger.transaction import Transaction
from handoff import agents, guard, pages, trail, words
from handoff.acts import ACTS, Act
from handoff.desk import viewer
from handoff.parts import parts
from handoff.roles import Deed
from handoff.sheets import harmless
from handoff.trail import Entry, Wanted
from handoff.viewing import Choice, Viewer

blueprint = Blueprint("audit", __name__, url_prefix="/audit")

SHOWN = 50
COLUMNS = ("at", "who", "email", "what", "subject", "details", "address")
COMMAND_LINE = "The command line"
NOBODY = "Nobody who signed in"
CONVERSATION = re.compile(r"conversation (\S+)")


@dataclass(frozen=True)
class Row:
    """One line."""

    at: str
    when: str
    who: str
    email: str
    what: str
    subject: str
    conversation: str  # its key, to open it by; "" where it is about something else
    details: str
    address: str


@dataclass(frozen=True)
class Looked:
    """The page."""

    rows: list[Row]
    people: list[Choice]
    acts: list[Choice]
    subject: str
    since: str
    until: str
    is_filtered: bool
    older: str  # the address of the next page; "" on the last
    is_newest: bool


@blueprint.get("")
@guard.agents_only
def page() -> str:
    """Show who did what, the newest first."""
    guard.who().require(Deed.AUDIT)
    with parts().ledger.reading() as tx:
        return render_template("audit.html", frame=pages.frame(tx, viewer()), looked=_look(tx, viewer()))


@blueprint.post("/export")
@guard.agents_only
def export() -> AnyResponse:
    """Give all that is asked for as a CSV; that it was fetched is a line in it next time."""
    guard.who().require(Deed.AUDIT)
    wanted, ledger, now = _wanted(request.form, viewer()), parts().ledger, parts().now()
    with ledger.writing() as tx:
        asked = {name: value for name, value in request.form.items() if value and name in _FILTERS}
        trail.write(tx, Act.EXPORTED, guard.who(), subject="audit log", now=now, **asked)
    headers = {"Content-Disposition": f'attachment; filename="audit-{now:%Y-%m-%d}.csv"'}
    return Response(_csv(trail.everything(ledger, wanted)), mimetype="text/csv", headers=headers)


_FILTERS = ("who", "what", "subject", "since", "until")


def _csv(entries: Iterator[Entry]) -> Iterator[str]:
    """Write lines as they are fetched, so that no log is too long."""
    yield _line(COLUMNS)
    for entry in entries:
        about = (entry.subject, _details(entry), entry.address)
        yield _line((entry.at.isoformat(), _who(entry), entry.email, ACTS[entry.act], *about))


def _line(cells: tuple[str, ...]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow([harmless(cell) for cell in cells])
    return out.getvalue()


def _look(tx: Transaction, looks: Viewer) -> Looked:
    wanted, before = _wanted(request.args, looks), request.args.get("before", type=int)
    found = trail.entries(tx, wanted, before=before if before is None else min(before, 2**63 - 1), limit=SHOWN + 1)
    shown = found[:SHOWN]
    asked = {name: request.args[name] for name in _FILTERS if request.args.get(name)}
    more = len(found) > SHOWN
    return Looked(
        rows=[_row(entry, looks) for entry in shown],
        people=[
            Choice(str(one.account.id), one.account.name, one.account.id == wanted.account_id)
            for one in agents.everybody(tx)
        ],
        acts=[Choice(act.value, label, act is wanted.act) for act, label in ACTS.items()],
        subject=wanted.subject,
        since=asked.get("since", ""),
        until=asked.get("until", ""),
        is_filtered=bool(asked),
        older=_address(asked, shown[-1].id) if more else "",
        is_newest=before is None,
    )


def _address(asked: dict[str, str], before: int) -> str:
    return f"{url_for('audit.page')}?{urlencode({**asked, 'before': str(before)})}"


def _wanted(asked: MultiDict[str, str], looks: Viewer) -> Wanted:
    """Read the filters; what can't be read filters nothing."""
    what, until = asked.get("what", ""), _day(asked.get("until", ""), looks)
    return Wanted(
        account_id=_number(asked.get("who", "")),
        act=Act(what) if what in {act.value for act in Act} else None,
        subject=asked.get("subject", "").strip()[: trail.SUBJECT_MAX],
        since=_day(asked.get("since", ""), looks),
        until=until if until is None else until + timedelta(days=1),
    )


def _number(words_: str) -> int | None:
    return int(words_) if words_.isascii() and words_.isdigit() and len(words_) <= 18 else None


def _day(text: str, looks: Viewer) -> datetime | None:
    """Return when a day begins where the reader is."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d")  # noqa: DTZ007  # its zone follows
        return day.replace(tzinfo=looks.tz).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None


def _row(entry: Entry, looks: Viewer) -> Row:
    about = CONVERSATION.fullmatch(entry.subject)
    return Row(
        at=entry.at.isoformat(),
        when=words.moment(entry.at, looks.now, looks.tz),
        who=_who(entry),
        email=entry.email,
        what=ACTS[entry.act],
        subject=entry.subject,
        conversation=about[1] if about else "",
        details=_details(entry),
        address=entry.address,
    )


def _who(entry: Entry) -> str:
    if entry.who:
        return entry.who
    return NOBODY if entry.act is Act.SIGN_IN_FAILED else COMMAND_LINE


def _details(entry: Entry) -> str:
    return ", ".join(f"{name}: {value}" for name, value in entry.details)
