"""The supervisors' reports: numbers and charts over a period, and every table of them as CSV."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import date
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, render_template, request, url_for
from werkzeug.exceptions import NotFound

from bot.errors import BotError
from bot.ledger import history, teams
from bot.ledger.history import Which
from bot.ledger.transaction import Transaction
from bot.messages import can_be_kept
from bot.vocabulary import Reason
from handoff import agents, guard, pages, reporting, trail, words
from handoff.acts import Act
from handoff.desk import viewer
from handoff.parts import parts
from handoff.reporting import DAYS_MAX, Chosen
from handoff.roles import Deed
from handoff.sheets import as_csv

blueprint = Blueprint("reports", __name__, url_prefix="/reports")
log = logging.getLogger(__name__)

PERIODS = {"today": ("Today", 1), "7d": ("7 days", 7), "28d": ("28 days", 28)}
USUAL = "7d"
HANDOFFS = "handoffs"


class BadPeriod(BotError):
    """These days can't be reported on."""


@dataclass(frozen=True)
class Option:
    """One thing to choose in the form."""

    value: str
    label: str
    chosen: bool


@dataclass(frozen=True)
class Link:
    """One of the usual periods."""

    label: str
    url: str
    chosen: bool


@dataclass(frozen=True)
class Form:
    """What is chosen, and what else could be."""

    periods: list[Link]
    first: str
    last: str
    latest: str  # today: nothing happened later
    choices: list[tuple[str, str, list[Option]]]  # name, label, options
    narrowed: bool  # to a team, an agent or a reason: the bot's numbers are not


@blueprint.get("")
@guard.agents_only
def page() -> str:
    """Show the report."""
    guard.who().require(Deed.OVERSEE)
    with parts().ledger.reading() as tx:
        chosen = _chosen(tx)
        return render_template(
            "reports.html",
            frame=pages.frame(tx, viewer()),
            form=_form(tx, chosen),
            report=reporting.report(tx, chosen, parts().now()),
            asked=request.args,
        )


@blueprint.get("/<name>.csv")
@guard.agents_only
def sheet(name: str) -> Response:
    """Give one table of the report, or its handoffs one by one, to a spreadsheet."""
    guard.who().require(Deed.OVERSEE)
    with parts().ledger.reading() as tx:
        chosen, now = _chosen(tx), parts().now()
        if name == HANDOFFS:
            text = as_csv(reporting.EPISODE_HEAD, reporting.episode_rows(tx, chosen, now))
        else:
            found = reporting.report(tx, chosen, now).sheets.get(name)
            if found is None:
                raise NotFound
            text = as_csv(found.head, found.rows)
    with parts().ledger.writing() as tx:
        days = {"first": str(chosen.first), "last": str(chosen.last)}
        trail.write(tx, Act.EXPORTED, guard.who(), subject=f"report {name}", now=now, **days)
    log.info("a report was saved", extra={"action": "report_saved", "sheet": name, "account": guard.who().id})
    named = f"baton-{name}-{chosen.first}-{chosen.last}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{named}"'}
    return Response(text, content_type="text/csv; charset=utf-8", headers=headers)


def _chosen(tx: Transaction) -> Chosen:
    number = request.args.get("number", "")
    which = Which(_id("team"), _id("agent"), _reason(), number if number and can_be_kept(number) else None)
    if which.team_id is not None and which.team_id not in teams.names(tx):
        which = Which(None, which.agent_id, which.reason, which.number)
    today = _today(reporting.zone_of(tx, which.team_id))
    if request.args.get("period") != "days":
        _, days = PERIODS.get(request.args.get("period", USUAL), PERIODS[USUAL])
        return Chosen(*reporting.days_back(today, days), which)
    first, last = _day("from"), _day("to")
    if first > last:
        raise BadPeriod(f"(it would begin on {first} and end on {last}: the first day comes first)")
    if (last - first).days >= DAYS_MAX:
        raise BadPeriod(f"(at most {DAYS_MAX} days at once)")
    return Chosen(first, last, which)


def _today(zone: ZoneInfo) -> date:
    return parts().now().astimezone(zone).date()


def _day(name: str) -> date:
    asked = request.args.get(name, "")
    try:
        found = date.fromisoformat(asked)
    except ValueError:
        raise BadPeriod(f"({name!r} must be a day, written 2026-11-23)") from None
    if not 2000 <= found.year < 3000:
        raise BadPeriod(f"({asked} is too far away)")
    return found


def _id(name: str) -> int | None:
    asked = request.args.get(name, "")
    return int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 19 else None


def _reason() -> Reason | None:
    asked = request.args.get("reason", "")
    return Reason(asked) if asked in {reason.value for reason in Reason} else None


def _form(tx: Transaction, chosen: Chosen) -> Form:
    which, period = chosen.which, request.args.get("period", USUAL)
    rest = {key: value for key, value in request.args.items() if value and key not in {"period", "from", "to"}}
    every_team = {str(id_): name for id_, name in sorted(teams.names(tx).items())}
    people = {str(one.id): one.name for one in agents.colleagues(tx)}
    numbers = {number: number for number in history.our_numbers(tx)}
    reasons = {reason.value: words.REASONS[reason] for reason in Reason}
    asked = (
        ("team", "Team", every_team, which.team_id, "All teams"),
        ("agent", "Agent", people, which.agent_id, "All agents"),
        ("reason", "Reason", reasons, which.reason.value if which.reason else None, "All reasons"),
        ("number", "Our number", numbers, which.number, "All numbers"),
    )
    return Form(
        periods=[Link(label, _where(rest, name), name == period) for name, (label, _) in PERIODS.items()],
        first=chosen.first.isoformat(),
        last=chosen.last.isoformat(),
        latest=_today(reporting.zone_of(tx, which.team_id)).isoformat(),
        choices=[
            (name, label, _options(found, value, nothing))
            for name, label, found, value, nothing in asked
            if len(found) > 1 or value is not None
        ],
        narrowed=any((which.team_id, which.agent_id, which.reason)),
    )


def _where(rest: dict[str, str], period: str) -> str:
    return f"{url_for('reports.page')}?{urlencode({**rest, 'period': period})}"


def _options(found: dict[str, str], value: object, nothing: str) -> list[Option]:
    wanted = "" if value is None else str(value)
    return [Option("", nothing, not wanted), *(Option(one, label, one == wanted) for one, label in found.items())]
