"""The supervisors' pages: teams, when they are there, how conversations find their agents, who works where, and what
handoffs need.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime

from flask import Blueprint, Response, make_response, render_template, request, url_for
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response as AnyResponse

from bot.errors import BadHours, BadNeed, BadTeam, BotError, UnknownTeam
from bot.hours import Hours
from bot.ledger import needs, promises, teams, transcript
from bot.ledger.teams import Team
from bot.ledger.transaction import Transaction
from bot.needs import Rule, read_skills
from bot.promises import moment
from bot.vocabulary import NeedOf, Reason, Routing
from handoff import guard, members, pages, trail, words
from handoff.acts import Act
from handoff.agents import UnknownAccount
from handoff.desk import viewer
from handoff.members import Member
from handoff.pages import Frame
from handoff.parts import parts
from handoff.roles import Deed

blueprint = Blueprint("teaming", __name__, url_prefix="/teams")
log = logging.getLogger(__name__)

NUMBER_MAX = 9  # digits
ROUTINGS: dict[Routing, tuple[str, str]] = {
    Routing.PULL: ("Agents take", "Who waits stands in the queue until an agent takes them."),
    Routing.ROUND_ROBIN: ("In turn", "The desk gives each to whoever was given one longest ago."),
    Routing.LEAST_LOADED: ("Most room", "The desk gives each to whoever has the most room."),
}
LOOKS: dict[NeedOf, tuple[str, str]] = {
    NeedOf.REASON: ("The reason is", "why it was handed off"),
    NeedOf.INTENT: ("The bot understood", "an intent, such as return_policy"),
    NeedOf.SLOT: ("The bot learned", "a slot, such as order_number or language=german"),
    NeedOf.WORD: ("The contact says", "a word or several, such as invoice"),
}


@dataclass(frozen=True)
class TeamCard:
    """A team among the others."""

    id: int
    name: str
    opens: str
    is_open: bool
    routing: str
    at_once: str
    within: str
    waiting: int
    people: tuple[str, ...]


@dataclass(frozen=True)
class Person:
    """Somebody who works in teams."""

    id: int
    name: str
    teams: str
    skills: tuple[str, ...]
    holds: str
    status: str  # available, away, gone
    status_words: str


@dataclass(frozen=True)
class RuleLine:
    """A rule, as it is read aloud."""

    id: int
    when: str
    then: str


@dataclass(frozen=True)
class Arranged:
    """The page of all teams."""

    frame: Frame
    teams: list[TeamCard]
    people: list[Person]
    rules: list[RuleLine]
    said: str


@dataclass(frozen=True)
class TeamForm:
    """What is said of a team, as somebody typed it."""

    id: int
    title: str
    name: str
    zone: str
    week: str
    exceptions: str
    within: str
    routing: str
    capacity: str
    may_retire: bool


@dataclass(frozen=True)
class PersonForm:
    """What is said of how somebody works, as somebody typed it."""

    id: int
    name: str
    teams: list[tuple[int, str, bool]]
    skills: str
    capacity: str
    from_teams: str  # how many their teams say


@blueprint.get("")
@guard.agents_only
def page() -> str:
    """Show the teams, who works in them, and the rules."""
    return _page()


@blueprint.post("")
@guard.agents_only
def make() -> AnyResponse:
    """Make a team, and go on to say when it is there."""
    guard.who().require(Deed.ARRANGE)
    try:
        with parts().ledger.writing() as tx:
            team_id = teams.make(tx, request.form.get("name", "")).id
            _write_down(tx, f"team {team_id}", "made")
    except BadTeam as error:
        return _again(_page(error=error, about="team"))
    _log("team_made", team_id)
    return guard.go_to(url_for("teaming.team", team_id=team_id))


@blueprint.get("/<int:team_id>")
@guard.agents_only
def team(team_id: int) -> str:
    """Show the form of one team."""
    guard.who().require(Deed.ARRANGE)
    with parts().ledger.reading() as tx:
        return _team_page(tx, _form_of(_open_team(tx, team_id)))


@blueprint.post("/<int:team_id>")
@guard.agents_only
def change(team_id: int) -> AnyResponse:
    """Keep what is said of a team: all of it, or nothing."""
    guard.who().require(Deed.ARRANGE)
    asked = request.form
    try:
        with parts().ledger.writing() as tx:
            teams.rename(tx, team_id, asked.get("name", ""))
            within = _number(asked.get("within", ""), "within how many minutes they want to answer", BadHours)
            teams.change(
                tx, team_id, zone=asked.get("zone", ""), week=asked.get("week", ""),
                exceptions=asked.get("exceptions", ""), within_min=within,
            )  # fmt: skip
            teams.route(tx, team_id, routing=_routing(asked), capacity=_capacity(asked))
            _write_down(tx, f"team {team_id}", "changed")
    except (BadHours, BadTeam) as error:
        with parts().ledger.reading() as tx:
            return _again(_team_page(tx, _typed(_form_of(_open_team(tx, team_id)), asked), error))
    _log("team_changed", team_id)
    return guard.go_to(url_for("teaming.page", saved=team_id))


@blueprint.post("/<int:team_id>/retire")
@guard.agents_only
def retire(team_id: int) -> AnyResponse:
    """Send nobody there any more."""
    guard.who().require(Deed.ARRANGE)
    try:
        with parts().ledger.writing() as tx:
            teams.retire(tx, team_id, parts().now())
            _write_down(tx, f"team {team_id}", "retired")
    except BotError as error:
        with parts().ledger.reading() as tx:
            return _again(_team_page(tx, _form_of(_open_team(tx, team_id)), error))
    _log("team_retired", team_id)
    return guard.go_to(url_for("teaming.page"))


@blueprint.get("/hours")
@guard.agents_only
def hours() -> str:
    """Say what hours mean that somebody is typing, or how they are written."""
    guard.who().require(Deed.ARRANGE)
    asked = request.args
    try:
        meant = teams.read(asked.get("zone", ""), asked.get("week", ""), asked.get("exceptions", ""))
    except BadHours as error:
        return render_template("_hours.html", words_of=str(error), is_open=False, bad=True)
    is_open, said = opening(meant, parts().now())
    return render_template("_hours.html", words_of=said, is_open=is_open, bad=False)


@blueprint.get("/people/<int:account_id>")
@guard.agents_only
def person(account_id: int) -> str:
    """Show the form of how somebody works."""
    guard.who().require(Deed.ARRANGE)
    with parts().ledger.reading() as tx:
        return _person_page(tx, _person_form(tx, _member(tx, account_id)))


@blueprint.post("/people/<int:account_id>")
@guard.agents_only
def seat(account_id: int) -> AnyResponse:
    """Keep in which teams somebody works, what they know, and how many they may hold at once."""
    guard.who().require(Deed.ARRANGE)
    asked = request.form
    chosen = {int(one) for one in asked.getlist("team") if one.isascii() and one.isdigit() and len(one) <= NUMBER_MAX}
    try:
        with parts().ledger.writing() as tx:
            who = _member(tx, account_id)
            members.work_in(tx, who.account.id, chosen)
            members.equip(tx, who.account.id, skills=read_skills(asked.get("skills", "")), own=_capacity(asked))
            _write_down(tx, trail.of_account(who.account.email), "teams, skills and room")
    except (BadTeam, BadNeed, UnknownTeam) as error:
        with parts().ledger.reading() as tx:
            form = _person_form(tx, _member(tx, account_id))
            marked = [(id_, name, id_ in chosen) for id_, name, _ in form.teams]
            typed = replace(form, teams=marked, skills=asked.get("skills", ""), capacity=asked.get("capacity", ""))
            return _again(_person_page(tx, typed, error))
    _log("seat_changed", account_id)
    return guard.go_to(url_for("teaming.page", _anchor="people"))


@blueprint.post("/needs")
@guard.agents_only
def add_rule() -> AnyResponse:
    """Make a rule."""
    guard.who().require(Deed.ARRANGE)
    asked = request.form
    try:
        of = NeedOf(asked.get("of")) if asked.get("of") in {one.value for one in NeedOf} else NeedOf.WORD
        to = asked.get("team", "")
        with parts().ledger.writing() as tx:
            rule_id = needs.add(
                tx, of=of, value=asked.get("value", ""), skill=asked.get("skill", ""),
                team_id=int(to) if to.isascii() and to.isdigit() and len(to) <= NUMBER_MAX else None,
            )  # fmt: skip
            _write_down(tx, f"rule {rule_id}", "added")
    except (BadNeed, UnknownTeam) as error:
        return _again(_page(error=error, about="rule"))
    _log("need_added", rule_id)
    return guard.go_to(url_for("teaming.page", _anchor="needs"))


@blueprint.post("/needs/<int:rule_id>/remove")
@guard.agents_only
def remove_rule(rule_id: int) -> AnyResponse:
    """Forget a rule."""
    guard.who().require(Deed.ARRANGE)
    with parts().ledger.writing() as tx:
        needs.remove(tx, rule_id)
        _write_down(tx, f"rule {rule_id}", "removed")
    _log("need_removed", rule_id)
    return guard.go_to(url_for("teaming.page", _anchor="needs"))


def _write_down(tx: Transaction, subject: str, what: str) -> None:
    trail.write(tx, Act.TEAM_CHANGED, guard.who(), subject=subject, now=parts().now(), what=what)


def opening(meant: Hours, now: datetime) -> tuple[bool, str]:
    """Say whether people are there, and until or from when: by the team's own clock."""
    opens = meant.opens(now)
    if opens is None:
        return False, "Never there"
    if opens > now:
        return False, f"Back {moment(opens, now, meant)}"
    closes = meant.closes(now)
    return True, "There now" if closes is None else f"There now, until {moment(closes, now, meant)}"


def _page(*, error: BotError | None = None, about: str = "") -> str:
    guard.who().require(Deed.ARRANGE)
    looks = viewer()
    with parts().ledger.reading() as tx:
        every, people = teams.every(tx), members.every(tx, looks.now)
        waiting = Counter(one.team_id for one in transcript.queue(tx, looks.now, limit=promises.SEEN))
        saved = request.args.get("saved", "")
        arranged = Arranged(
            pages.frame(tx, looks),
            [_card(one, people, waiting[one.id], looks.now) for one in every],
            [_person(one, every) for one in people],
            [_rule(rule, teams.names(tx)) for rule in needs.rules(tx)],
            next((f"{one.name} is kept as you wrote it." for one in every if str(one.id) == saved), ""),
        )
    return render_template(
        "teams.html", arranged=arranged, frame=arranged.frame, looks=LOOKS, reasons=words.REASONS, typed=request.form,
        error=str(error) if error else "", about=about,
    )  # fmt: skip


def _team_page(tx: Transaction, form: TeamForm, error: BotError | None = None) -> str:
    try:
        is_open, said = opening(teams.read(form.zone, form.week, form.exceptions), parts().now())
    except BadHours:
        is_open, said = False, ""
    return render_template(
        "team.html", frame=pages.frame(tx, viewer()), form=form, routings=ROUTINGS, is_open=is_open, words_of=said,
        error=str(error) if error else "",
    )  # fmt: skip


def _person_page(tx: Transaction, form: PersonForm, error: BotError | None = None) -> str:
    frame = pages.frame(tx, viewer())
    return render_template("member.html", frame=frame, form=form, error=str(error) if error else "")


def _again(body: str) -> Response:
    """Show what was typed once more, with what is wrong with it."""
    return make_response(body, 422)


def _open_team(tx: Transaction, team_id: int) -> Team:
    found = teams.team(tx, team_id)
    if found.retired_at is not None:
        raise UnknownTeam(f"({found.name} is retired)")
    return found


def _member(tx: Transaction, account_id: int) -> Member:
    found = next((one for one in members.every(tx, parts().now()) if one.account.id == account_id), None)
    if found is None:
        raise UnknownAccount("(nobody who may hold conversations has this number)")
    return found


def _card(one: Team, people: list[Member], waiting: int, now: datetime) -> TeamCard:
    is_open, opens = opening(one.hours, now)
    return TeamCard(
        one.id, one.name, opens, is_open, ROUTINGS[one.routing][0],
        "any number at once" if one.capacity is None else f"{one.capacity} at once",
        f"within {words.span(one.within)}", waiting,
        tuple(who.account.name for who in people if one.id in who.team_ids),
    )  # fmt: skip


def _person(one: Member, every: list[Team]) -> Person:
    status, said = ("away", "Away") if one.away else ("available", "Available") if one.here else ("gone", "Not here")
    holds = f"{one.holds} of {one.most}" if one.most is not None else f"{one.holds}"
    in_ = ", ".join(team.name for team in every if team.id in one.team_ids)
    return Person(one.account.id, one.account.name, in_, one.skills, holds, status, said)


def _rule(rule: Rule, names: dict[int, str]) -> RuleLine:
    value = words.REASONS[Reason(rule.value)] if rule.of is NeedOf.REASON else rule.value
    then = [f"needs {rule.skill}"] if rule.skill else []
    then += [f"goes to {names[rule.team_id]}"] if rule.team_id is not None else []
    return RuleLine(rule.id, f"{LOOKS[rule.of][0]} “{value}”", " and ".join(then))


def _form_of(one: Team) -> TeamForm:
    within = f"{one.within.total_seconds() / 60:.0f}"
    return TeamForm(
        one.id, one.name, one.name, one.zone, one.week, one.exceptions, within, one.routing.value,
        "" if one.capacity is None else str(one.capacity), may_retire=one.id != teams.FIRST,
    )  # fmt: skip


def _typed(form: TeamForm, asked: MultiDict[str, str]) -> TeamForm:
    def said(name: str) -> str:
        return asked.get(name, "")

    return replace(
        form, name=said("name"), zone=said("zone"), week=said("week"), exceptions=said("exceptions"),
        within=said("within"), routing=said("routing"), capacity=said("capacity"),
    )  # fmt: skip


def _person_form(tx: Transaction, who: Member) -> PersonForm:
    theirs = [team for team in teams.every(tx) if team.id in who.team_ids]
    limits = [team.capacity for team in theirs]
    from_teams = "any number" if None in limits else str(max(one for one in limits if one is not None))
    chosen = [(team.id, team.name, team.id in who.team_ids) for team in teams.every(tx)]
    own = "" if who.capacity is None else str(who.capacity)
    return PersonForm(who.account.id, who.account.name, chosen, ", ".join(who.skills), own, from_teams)


def _routing(asked: MultiDict[str, str]) -> Routing:
    word = asked.get("routing", "")
    if word not in {one.value for one in Routing}:
        raise BadTeam("(choose how its conversations find their agents)")
    return Routing(word)


def _capacity(asked: MultiDict[str, str]) -> int | None:
    text = asked.get("capacity", "").strip()
    return _number(text, "how many conversations somebody may hold at once", BadTeam) if text else None


def _number(text: str, what: str, wrong: type[BotError]) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= NUMBER_MAX):
        raise wrong(f"(say {what} as a number, not {text!r})")
    return int(text)


def _log(action: str, id_: int) -> None:
    log.info("somebody arranged teams", extra={"action": action, "id": id_, "account": guard.who().id})
