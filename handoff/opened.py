"""One conversation, opened: its header, its packet, and everything that was said, as values ready to draw."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from bot.conversation import window_is_open
from bot.evidence import Fact
from bot.ledger import handoffs, promises, transcript
from bot.ledger.transaction import Transaction
from bot.ledger.transcript import Conversation, Said
from bot.vocabulary import Author, Clue, Holder, Reason, Status
from handoff import agents, assignments, board, explaining, panel, tags, thread, unread, words
from handoff.board import Staff
from handoff.members import Member
from handoff.panel import Panel
from handoff.roles import Deed
from handoff.thread import Bubble, Line, gist, understood
from handoff.viewing import Viewer, name_of, short

SHOWN = 300  # messages of a conversation before somebody asks for the earlier ones
STEP = 100  # messages at a time, then
AROUND = 20  # messages before the one a link leads to
TRIED = 3


@dataclass(frozen=True)
class Try:
    """What the bot made of a message before it handed off."""

    text: str
    understood: str
    answer: str


@dataclass(frozen=True)
class Packet:
    """What an agent needs to know before the first word."""

    reason: str
    wish: str
    slots: list[tuple[str, str]]
    tried: list[Try]
    asked: str
    evidence: list[str]
    again: str  # that it came back, and how often
    team: str  # where there are several
    needs: tuple[str, ...]  # skills
    place: str  # why it stands where it does in the queue
    given: str  # why the desk gave it to who has it


@dataclass(frozen=True)
class Part:
    """Which part of a transcript somebody wants to see."""

    since: int | None = None  # from this message on; None: the newest
    at: int | None = None  # so that this one is in it
    new_after: int | None = None  # the last message its reader had read when they opened it
    opens: bool = False  # it is opened now, so that has to be looked up


NEWEST = Part()
LAST = 2**62  # beyond every message


@dataclass(frozen=True)
class Opened:
    """One conversation, as its reader sees it now."""

    key: str
    name: str
    phone: str
    carries_files: bool  # words go everywhere, files and templates to WhatsApp alone
    about: tuple[str, ...]  # what else is to be known of the contact
    holder: Holder
    holder_words: str
    since: str
    window: str
    window_open: bool
    may_take: bool
    mine: bool
    snoozed: str  # until when it is put aside
    colleagues: list[tuple[str, str]]  # e-mail and name of whom it may be passed on to, by this viewer
    teams: list[tuple[int, str]]  # to which it may be passed on, too
    may_exceed: bool  # this viewer may give somebody more than they may hold
    may_speak_ever: bool
    may_reply: bool
    may_send_template: bool  # which needs no open window
    hint: str
    packet: Packet | None
    items: list[Bubble | Line]
    earlier: int | None  # where to begin for more than what is shown
    part: Part  # as the page asks for it again
    tags: list[str]
    tags_in_use: list[str]
    panel: Panel


def read(tx: Transaction, viewer: Viewer, key: str, part: Part = NEWEST, staff: Staff | None = None) -> Opened:
    """Return a conversation with its transcript and, while it is handed off, its packet."""
    staff = staff or board.staff(tx, viewer.now)
    one = transcript.conversation(tx, key)
    part = _exactly(tx, viewer, one, part)
    limit = SHOWN + 1 if part.since is None else transcript.EVERYTHING
    said = transcript.messages_of(tx, one.id, limit, since=part.since or 0)
    has_earlier = part.since is not None or len(said) > SHOWN
    said = said[-SHOWN:] if part.since is None else said
    merged = transcript.merged_into(tx, one.id)
    mine = one.holder is Holder.AGENT and one.agent_id == viewer.account.id
    speaks = viewer.account.may(Deed.SPEAK)
    beside = thread.found_beside(tx, one, said)
    refused = thread.is_refused(said, beside)
    blocked = one.contact.blocked
    is_open = window_is_open(one.window_ends, viewer.now) and not refused and not blocked
    moves = transcript.episodes_of(tx, one.id)
    names = agents.names(tx, {move.taken_by for move in moves if move.taken_by is not None})
    lines = thread.move_lines(moves, names, viewer)
    sleeps = words.asleep(one.snoozed_until, viewer.now, viewer.tz) if mine and one.snoozed_until else ""
    since = one.taken_at if one.holder is Holder.AGENT else one.asked_at
    return Opened(
        key=one.key,
        name=name_of(one),
        carries_files=not one.channel,
        phone=f"on {one.channel}, brought by its bot" if one.channel else words.phone(one.contact.phone),
        about=() if one.contact.marketing else (words.NO_MARKETING,),
        holder=one.holder,
        holder_words=words.holder(one.holder, one.agent_name, mine),
        since=_since(since, viewer) if one.holder is not Holder.BOT else "",
        window=_window(one, viewer, blocked=blocked, refused=refused),
        window_open=is_open,
        may_take=speaks and (one.holder is not Holder.AGENT or one.agent_id is None),  # from the phone anybody takes
        mine=mine,
        snoozed=sleeps,
        colleagues=_colleagues(staff, one, viewer) if mine or viewer.account.may(Deed.LEAD) else [],
        teams=_teams(staff, one) if mine or viewer.account.may(Deed.LEAD) else [],
        may_exceed=viewer.account.may(Deed.LEAD),
        may_speak_ever=speaks,
        may_reply=speaks and mine and is_open,
        may_send_template=speaks and mine and not blocked and not one.channel,
        hint=_hint(one, speaks=speaks, mine=mine, is_open=is_open, until=sleeps),
        packet=_packet(tx, one, said, viewer, several=len(staff.teams) > 1) if one.reason else None,
        items=thread.in_order(
            one,
            said,
            beside,
            viewer,
            notes=assignments.notes_of(tx, merged),
            lines=lines,
            may_retry=mine and is_open,
            new_after=part.new_after,
        ),
        earlier=transcript.earlier(tx, one.id, said[0].id, STEP) if has_earlier and said else None,
        part=part,
        tags=tags.among(tx, merged),
        tags_in_use=list(staff.tags),
        panel=panel.read(tx, viewer, one, moves, merged=merged, names=names, shown_from=said[0] if said else None),
    )


def _window(one: Conversation, viewer: Viewer, *, blocked: bool, refused: bool) -> str:
    if one.channel:
        return words.on_channel(one.channel)
    return words.BLOCKED if blocked else words.window(one.window_ends, viewer.now, refused=refused)


def _exactly(tx: Transaction, viewer: Viewer, one: Conversation, part: Part) -> Part:
    """Say where the part begins that holds the message a link leads to, and what its reader has not read."""
    if part.opens:
        part = replace(part, new_after=unread.read_to(tx, viewer.account.id, one.id), opens=False)
    if part.at is None:
        return part
    begin = transcript.earlier(tx, one.id, part.at, AROUND) or part.at
    newest = transcript.earlier(tx, one.id, LAST, SHOWN)  # what is shown anyway
    if newest is None or newest <= begin:
        return replace(part, at=None)
    return replace(part, since=min(begin, part.since or begin), at=None)


def _colleagues(staff: Staff, one: Conversation, viewer: Viewer) -> list[tuple[str, str]]:
    """Return who may have it instead; whoever leads comes first themselves, for that is taking it over."""
    others = [who for who in staff.members if who.account.id != one.agent_id]
    others.sort(key=lambda who: who.account.id != viewer.account.id)
    return [(who.account.email, _colleague(who, viewer)) for who in others]


def _colleague(who: Member, viewer: Viewer) -> str:
    """Name a colleague, and say what speaks against passing something on to them."""
    name = "Yourself" if who.account.id == viewer.account.id else who.account.name
    room = f"has {who.holds} of {who.most}" if who.most is not None else ""
    gone = "away" if who.away else ""
    told = ", ".join(filter(None, (gone, room)))
    return f"{name} ({told})" if told else name


def _teams(staff: Staff, one: Conversation) -> list[tuple[int, str]]:
    """Return the teams whose queue it may be put into instead."""
    has_person = one.holder is Holder.AGENT and one.agent_id is not None
    if not has_person and one.holder is not Holder.QUEUE:
        return []
    return [(team.id, team.name) for team in staff.teams if has_person or team.id != one.team_id]


def _since(at: datetime | None, viewer: Viewer) -> str:
    if at is None:
        return ""
    passed = words.span(viewer.now - at)
    return f"since {words.clock(at, viewer.tz)}" + ("" if passed == "now" else f" · {passed}")


def _hint(one: Conversation, *, speaks: bool, mine: bool, is_open: bool, until: str) -> str:
    if not speaks:
        return "Your role reads along; agents reply."
    if one.contact.blocked:
        return f"{words.BLOCKED}. You can write notes."
    if mine and is_open:
        return f"Snoozed {until}, or until the contact writes." if until else ""
    if mine:
        return "The 24-hour window is closed: WhatsApp delivers a reply only after the contact writes again."
    match one.holder:
        case Holder.AGENT if one.agent_id is None:
            return f"{words.FROM_PHONE}. Take it to reply from here."
        case Holder.AGENT:
            return f"{one.agent_name} has this conversation. You can write notes."
        case Holder.QUEUE:
            return "Take it to reply."
        case Holder.BOT if one.channel:
            return f"The bot of {one.channel} has this conversation. Take it to reply."
        case Holder.BOT:
            return "The bot is answering. Take it to reply; the bot then falls silent."


def _packet(tx: Transaction, one: Conversation, said: list[Said], viewer: Viewer, *, several: bool) -> Packet:
    reason = words.REASONS[one.reason] if one.reason else ""
    asked = one.asked_at or viewer.now
    before = [message for message in said if message.at <= asked]
    wish = words.wish(one.wish, one.slots)
    learned = {name: value for name, value in one.slots.items() if name != "media_kind" or wish == one.wish}
    return Packet(
        reason=reason,
        wish=wish,
        slots=words.slots(learned),
        tried=_tries(before)[-TRIED:],
        asked=_asked(one, asked, viewer),
        evidence=[words.fact(fact, short(_said_in(tx, fact))) for fact in one.evidence if _tells_more(fact, one)],
        again=words.came_back(one.returns) if one.came_back else "",
        team=one.team if several else "",
        needs=one.needs,
        place=_place(tx, one, viewer),
        given=one.given_because if one.agent_id == viewer.account.id else "",
    )


def _said_in(tx: Transaction, fact: Fact) -> str:
    return "" if fact.turn_id is None else handoffs.words_of(tx, [fact.turn_id])


def _tells_more(fact: Fact, one: Conversation) -> bool:
    """Leave out that they asked by asking: the wish stands right there."""
    return fact.clue is not Clue.SAID or (one.reason is not Reason.ASKED and fact.score is not None)


def _place(tx: Transaction, one: Conversation, viewer: Viewer) -> str:
    """Say why it stands where it does in the queue of all teams."""
    if one.holder is not Holder.QUEUE:
        return ""
    order = promises.order(tx, viewer.now)
    return explaining.why_here(one, order.index(one.id) + 1, len(order), viewer) if one.id in order else ""


def _asked(one: Conversation, asked: datetime, viewer: Viewer) -> str:
    """Say when they asked, and what they were promised."""
    said = f"{words.day(asked, viewer.now, viewer.tz)} {words.clock(asked, viewer.tz)}"
    if one.due_at is None or one.holder is not Holder.QUEUE:
        return said
    today = one.due_at.astimezone(viewer.tz).date() == viewer.now.astimezone(viewer.tz).date()
    day = "" if today else f"{words.when(one.due_at, viewer.now, viewer.tz)} "
    return f"{said} · promised by {day}{words.clock(one.due_at, viewer.tz)}"


def _tries(said: list[Said]) -> list[Try]:
    """Pair what the contact said with what the bot made of it and answered."""
    tries: list[Try] = []
    for message in said:
        if message.author is Author.CONTACT and understood(message):
            tries.append(Try(gist(message), understood(message), ""))
        elif message.author is Author.BOT and message.status is not Status.WITHDRAWN and tries and not tries[-1].answer:
            tries[-1] = Try(tries[-1].text, tries[-1].understood, short(message.text))
    return tries
