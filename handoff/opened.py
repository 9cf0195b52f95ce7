"""One conversation, opened: its header, its packet, and everything that was said, as values ready to draw."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from bot import messages as says
from bot.conversation import window_is_open
from bot.evidence import Fact
from bot.ledger import files, handoffs, promises, teams, transcript
from bot.ledger.files import File
from bot.ledger.handoffs import THE_PHONE
from bot.ledger.inbox import META_AGENT
from bot.ledger.outbox import SHUT
from bot.ledger.tables import messages, reports
from bot.ledger.transaction import Transaction
from bot.ledger.transcript import Conversation, Episode, Said
from bot.vocabulary import Author, Clue, Holder, Reason, Status
from handoff import agents, assignments, explaining, members, words
from handoff.assignments import Note
from handoff.members import Member
from handoff.roles import Deed
from handoff.viewing import Viewer, name_of, short

SHOWN = 300  # messages of a conversation before somebody asks for the earlier ones
TRIED = 3
UNTOLD = "WhatsApp does not say why"
ARRIVED = {Status.DELIVERED, Status.READ, Status.PLAYED}
TOGETHER = timedelta(minutes=3)  # messages of one author this close are drawn as one group


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
class Quote:
    """The message somebody answers to."""

    who: str
    text: str


@dataclass(frozen=True)
class Attached:
    """A file beside a message: shown, offered for saving, or why it is neither."""

    message_id: int
    shown_as: str  # image, audio, video; "" is a download
    name: str
    size: str
    not_there: str  # why; "" when it is there
    doubt: str  # whether it is what it says it is; "" if nothing speaks against it


@dataclass(frozen=True)
class Bubble:
    """One message or note."""

    id: str
    author: Author
    who: str
    note: bool
    type: str
    kind: str  # the type in words, "" for plain text
    text: str
    at: str
    clock: str
    status: Status | None
    status_words: str
    error: str
    understood: str
    choices: tuple[str, ...]
    place: str  # a link to a map
    place_url: str  # what the contact's phone says of the place
    quote: Quote | None
    first: bool  # of its group
    may_retry: int | None  # the message's id, where what failed may be sent once more
    file: Attached | None = None
    marks: tuple[str, ...] = ()  # how it came about: forwarded, from an advertisement …
    edited: bool = False
    sent_again: bool = False
    taken_back: str = ""  # by whom, in words
    reactions: tuple[str, ...] = ()
    cards: tuple[says.Card, ...] = ()
    failed_too: str = ""  # it arrived, and was reported as failed as well: why


@dataclass(frozen=True)
class Line:
    """A day, or a change of holder, between messages."""

    id: str
    text: str
    move: bool


@dataclass(frozen=True)
class Opened:
    """One conversation, as its reader sees it now."""

    key: str
    name: str
    phone: str
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
    hint: str
    packet: Packet | None
    items: list[Bubble | Line]
    earlier: bool  # there is more than what is shown
    whole: bool  # all of it was asked for


def read(tx: Transaction, viewer: Viewer, key: str, *, whole: bool = False) -> Opened:
    """Return a conversation with its transcript and, while it is handed off, its packet."""
    one = transcript.conversation(tx, key)
    limit = transcript.EVERYTHING if whole else SHOWN + 1
    said = transcript.messages_of(tx, one.id, limit)
    earlier = not whole and len(said) > SHOWN
    said = said[-SHOWN:] if earlier else said
    mine = one.holder is Holder.AGENT and one.agent_id == viewer.account.id
    speaks = viewer.account.may(Deed.SPEAK)
    beside = _beside(tx, one, said)
    refused = _is_refused(said, beside)
    blocked = one.contact.blocked
    is_open = window_is_open(one.window_ends, viewer.now) and not refused and not blocked
    moves = transcript.episodes_of(tx, one.id)
    names = agents.names(tx, {move.taken_by for move in moves if move.taken_by is not None})
    lines = _move_lines(moves, names, viewer)
    sleeps = words.asleep(one.snoozed_until, viewer.now, viewer.tz) if mine and one.snoozed_until else ""
    since = one.taken_at if one.holder is Holder.AGENT else one.asked_at
    return Opened(
        key=one.key,
        name=name_of(one),
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
        colleagues=_colleagues(tx, one, viewer) if mine or viewer.account.may(Deed.LEAD) else [],
        teams=_teams(tx, one) if mine or viewer.account.may(Deed.LEAD) else [],
        may_exceed=viewer.account.may(Deed.LEAD),
        may_speak_ever=speaks,
        may_reply=speaks and mine and is_open,
        hint=_hint(one, speaks=speaks, mine=mine, is_open=is_open, until=sleeps),
        packet=_packet(tx, one, said, viewer) if one.reason else None,
        items=_items(
            one,
            said,
            beside,
            viewer,
            notes=assignments.notes_of(tx, one.id),
            lines=lines,
            may_retry=mine and is_open,
        ),
        earlier=earlier,
        whole=whole,
    )


def _window(one: Conversation, viewer: Viewer, *, blocked: bool, refused: bool) -> str:
    if one.channel:
        return words.on_channel(one.channel)
    return words.BLOCKED if blocked else words.window(one.window_ends, viewer.now, refused=refused)


def _colleagues(tx: Transaction, one: Conversation, viewer: Viewer) -> list[tuple[str, str]]:
    """Return who may have it instead; whoever leads comes first themselves, for that is taking it over."""
    others = [who for who in members.every(tx, viewer.now) if who.account.id != one.agent_id]
    others.sort(key=lambda who: who.account.id != viewer.account.id)
    return [(who.account.email, _colleague(who, viewer)) for who in others]


def _colleague(who: Member, viewer: Viewer) -> str:
    """Name a colleague, and say what speaks against passing something on to them."""
    name = "Yourself" if who.account.id == viewer.account.id else who.account.name
    room = f"has {who.holds} of {who.most}" if who.most is not None else ""
    gone = "away" if who.away else ""
    told = ", ".join(filter(None, (gone, room)))
    return f"{name} ({told})" if told else name


def _teams(tx: Transaction, one: Conversation) -> list[tuple[int, str]]:
    """Return the teams whose queue it may be put into instead."""
    has_person = one.holder is Holder.AGENT and one.agent_id is not None
    if not has_person and one.holder is not Holder.QUEUE:
        return []
    return [(team.id, team.name) for team in teams.every(tx) if has_person or team.id != one.team_id]


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


def _packet(tx: Transaction, one: Conversation, said: list[Said], viewer: Viewer) -> Packet:
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
        team=one.team if len(teams.every(tx)) > 1 else "",
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
        if message.author is Author.CONTACT and message.intent:
            tries.append(Try(_gist(message), understood(message), ""))
        elif message.author is Author.BOT and message.status is not Status.WITHDRAWN and tries and not tries[-1].answer:
            tries[-1] = Try(tries[-1].text, tries[-1].understood, short(message.text))
    return tries


def understood(message: Said) -> str:
    """Say what the bot understood, and how sure it was."""
    if not message.intent:
        return ""
    sure = "" if message.confidence is None else f" {round(message.confidence * 100)} %"
    return f"{message.intent.replace('_', ' ')}{sure}"


@dataclass(frozen=True)
class Beside:
    """What is drawn with a message but said elsewhere: what it answers, what was made of it, its file."""

    by_wamid: dict[str, Said]
    reactions: dict[str, tuple[str, ...]]
    files: dict[int, File]
    shut_out: set[int]  # messages that failed because Meta had the window closed
    failed_too: dict[int, str]  # messages Meta reported as failed, whatever else it reported, and why


def _beside(tx: Transaction, one: Conversation, said: list[Said]) -> Beside:
    by_wamid = {message.wamid: message for message in said if message.wamid}
    with_files = [message.id for message in said if isinstance(message.content, says.Media)]
    shown = (messages.c.conversation_id == one.id) & (messages.c.id >= (said[0].id if said else 0))
    shut = (messages.c.status == Status.FAILED) & (messages.c.error_code == SHUT)
    failed = sa.select(reports.c.message_id, reports.c.error).join(messages, messages.c.id == reports.c.message_id)
    return Beside(
        by_wamid,
        _reactions(said),
        files.of(tx, with_files),
        set(tx.execute(sa.select(messages.c.id).where(shown, shut)).scalars()),
        {
            row.message_id: row.error or UNTOLD
            for row in tx.execute(failed.where(shown, reports.c.status == Status.FAILED.value))
        },
    )


def _is_refused(said: list[Said], beside: Beside) -> bool:
    """Say whether Meta has told us that the window is closed, and the contact has not written since."""
    written = [message for message in said if not isinstance(message.content, says.Reaction)]
    heard = max((message.id for message in written if message.author is Author.CONTACT), default=0)
    return any(message_id > heard for message_id in beside.shut_out)


def _reactions(said: list[Said]) -> dict[str, tuple[str, ...]]:
    """Return the emoji under each message: each side has one, its last."""
    last: dict[tuple[str, bool], str] = {}
    for message in said:
        if isinstance(message.content, says.Reaction) and message.status not in (Status.FAILED, Status.WITHDRAWN):
            last[message.content.wamid, message.author is Author.CONTACT] = message.content.emoji
    found: dict[str, tuple[str, ...]] = {}
    for (wamid, _), emoji in last.items():
        found[wamid] = (*found.get(wamid, ()), emoji) if emoji else found.get(wamid, ())
    return found


def _stands_under(message: Said, beside: Beside) -> bool:
    """Say whether this is a reaction that is drawn under what it reacts to, so that it needs no bubble."""
    content = message.content
    if not isinstance(content, says.Reaction) or message.status in (Status.FAILED, Status.WITHDRAWN):
        return False
    return content.wamid in beside.by_wamid or not content.emoji


def _items(
    one: Conversation,
    said: list[Said],
    beside: Beside,
    viewer: Viewer,
    *,
    notes: list[Note],
    lines: list[tuple[datetime, Line]],
    may_retry: bool,
) -> list[Bubble | Line]:
    """Put messages, notes, days and moves in one row, as they happened."""
    lines = [line for line in lines if not said or line[0] >= said[0].at]
    waiting_notes = [note for note in notes if not said or note.after_message_id >= said[0].id]
    items: list[Bubble | Line] = []
    before: Said | None = None
    today = ""
    for message in said:
        while lines and lines[0][0] <= message.at:
            items.append(lines.pop(0)[1])
            before = None
        day = words.day(message.at, viewer.now, viewer.tz)
        if day != today and not _stands_under(message, beside):
            items.append(Line(f"day-{message.id}", day, move=False))
            today, before = day, None
        if not _stands_under(message, beside):
            items.append(_bubble(one, message, beside, before, viewer, may_retry=may_retry))
            before = message
        while waiting_notes and waiting_notes[0].after_message_id <= message.id:
            items.append(_note(waiting_notes.pop(0), viewer))
            before = None
    items += [_note(note, viewer) for note in waiting_notes]
    items += [line for _, line in lines]
    return items


def _move_lines(moves: list[Episode], names: dict[int, str], viewer: Viewer) -> list[tuple[datetime, Line]]:
    found: list[tuple[datetime, Line]] = []
    for move in moves:
        reason = words.REASONS[move.reason]
        queued = move.reason not in {Reason.STEPPED_IN, Reason.PHONE}
        told = [(move.asked_at, f"{reason}, into the queue" if queued else "")]
        if move.taken_at is not None and move.taken_by is None:
            told.append((move.taken_at, "Somebody answered from the phone; the bot is silent"))
        elif move.taken_at is not None:
            told.append((move.taken_at, f"{names.get(move.taken_by or 0, 'An agent')} took it; the bot is silent"))
        if move.closed_at is not None:
            told.append((move.closed_at, words.ended(move.outcome, move.summary, move.csat)))
        for n, (at, text) in enumerate(told):
            if text:
                # One tick later than the goodbye that is said in the same moment.
                place = at + timedelta(microseconds=1) if at == move.closed_at else at
                line = Line(f"move-{move.id}-{n}", f"{words.clock(at, viewer.tz)} · {text}", move=True)
                found.append((place, line))
    return sorted(found, key=lambda item: item[0])


def _bubble(
    one: Conversation, message: Said, beside: Beside, before: Said | None, viewer: Viewer, *, may_retry: bool
) -> Bubble:
    content = message.content
    gone = message.deleted_at is not None
    quoted = beside.by_wamid.get(message.reply_to or "")
    same = before is not None and (before.author, before.agent_name) == (message.author, message.agent_name)
    return Bubble(
        id=f"m{message.id}",
        author=message.author,
        who=_who(message, one),
        note=False,
        type=message.type,
        kind="" if gone else _kind(message),
        text=_text(message),
        at=message.at.isoformat(),
        clock=words.clock(message.at, viewer.tz),
        status=message.status,
        status_words=words.STATUSES[message.status] if message.status else "",
        error=message.error if message.status in (Status.FAILED, Status.WITHDRAWN) else "",
        understood=understood(message) if message.author is Author.CONTACT else "",
        choices=tuple(reply.title for reply in content.replies)
        if isinstance(content, (says.Buttons, says.Menu))
        else (),
        place=_map(content) if isinstance(content, says.Place) else "",
        place_url=content.url if isinstance(content, says.Place) else "",
        quote=_quote(quoted, one) if quoted is not None else None,
        first=not same or before is None or message.at - before.at > TOGETHER,
        may_retry=message.id if may_retry and _may_be_sent_again(message) else None,
        file=_attached(message, beside.files.get(message.id)),
        marks=tuple(words.marks(message.origin)),
        edited=message.edited_at is not None and not gone,
        sent_again=message.sent_again,
        taken_back=_taken_back(message) if gone else "",
        reactions=beside.reactions.get(message.wamid or "", ()),
        cards=content.cards if isinstance(content, says.Cards) else (),
        failed_too=beside.failed_too.get(message.id, "") if message.status in ARRIVED else "",
    )


def _who(message: Said, one: Conversation) -> str:
    if message.agent_name == THE_PHONE:
        return "From the phone"
    return words.author(message.author, name_of(one) if message.author is Author.CONTACT else message.agent_name)


def _text(message: Said) -> str:
    match message.content:
        case says.Reaction() as reaction:
            return reaction.emoji
        case says.Cards():
            return ""  # they are drawn one by one
        case _:
            return words.own(message.type, message.text)


def _kind(message: Said) -> str:
    """Name what it is, where it is more than words."""
    content = message.content
    if isinstance(content, (says.Text, says.Buttons, says.Menu)):
        return ""
    if isinstance(content, says.Other):
        return words.unread(content.kind, content.body)
    if isinstance(content, says.Cards) and content.asked:
        return words.OWN_CARD
    return words.kind("voice" if isinstance(content, says.Media) and content.voice else message.type)


def _taken_back(message: Said) -> str:
    return "The contact took this back." if message.author is Author.CONTACT else "Taken back."


def _attached(message: Said, file: File | None) -> Attached | None:
    content = message.content
    if file is None or not isinstance(content, says.Media):
        return None
    plays = content.kind != "document" and file.mime_type in words.SHOWN - words.NOT_PLAYED
    return Attached(
        message_id=message.id,
        shown_as=file.mime_type.split("/")[0] if plays else "",
        name=content.filename,
        size=words.size(file.size) if file.size is not None else "",
        not_there=words.not_there(file.state, file.error),
        doubt=words.doubt(content.mime_type, file.mime_type),
    )


def _note(note: Note, viewer: Viewer) -> Bubble:
    return Bubble(
        id=f"n{note.id}",
        author=Author.AGENT,
        who=note.name,
        note=True,
        type="note",
        kind="",
        text=note.text,
        at=note.at.isoformat(),
        clock=words.clock(note.at, viewer.tz),
        status=None,
        status_words="",
        error="",
        understood="",
        choices=(),
        place="",
        place_url="",
        quote=None,
        first=True,
        may_retry=None,
    )


def _may_be_sent_again(message: Said) -> bool:
    by_us = message.author is Author.AGENT and message.agent_name not in {THE_PHONE, META_AGENT}
    return by_us and message.status is Status.FAILED and not message.sent_again


def _quote(message: Said, one: Conversation) -> Quote:
    return Quote(_who(message, one), _gist(message))


def _gist(message: Said) -> str:
    """Say a message in one line."""
    if message.deleted_at is not None:
        return _taken_back(message)
    return short(words.own(message.type, message.text) or f"[{_kind(message)}]")


def _map(place: says.Place) -> str:
    at = f"{place.latitude:.6f}"
    return f"https://www.openstreetmap.org/?mlat={at}&mlon={place.longitude:.6f}#map=17/{at}/{place.longitude:.6f}"
