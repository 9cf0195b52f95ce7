"""The words of the house, and which may follow which. Every one is in the README's glossary."""

from __future__ import annotations

from enum import Enum


class Holder(str, Enum):
    """Who may speak to the contact."""

    BOT = "bot"
    QUEUE = "queue"  # asked for a person; nobody has taken it yet
    AGENT = "agent"


class Move(str, Enum):
    """The only ways a conversation changes its holder."""

    HAND_OFF = "hand_off"
    TAKE = "take"
    REQUEUE = "requeue"
    GIVE_BACK = "give_back"


MOVES: dict[tuple[Move, Holder], Holder] = {
    (Move.HAND_OFF, Holder.BOT): Holder.QUEUE,
    (Move.TAKE, Holder.QUEUE): Holder.AGENT,
    (Move.TAKE, Holder.BOT): Holder.AGENT,  # a person steps in unasked
    (Move.TAKE, Holder.AGENT): Holder.AGENT,  # from the phone, from a colleague who passes it on, by a supervisor
    (Move.REQUEUE, Holder.AGENT): Holder.QUEUE,
    (Move.GIVE_BACK, Holder.AGENT): Holder.BOT,
    (Move.GIVE_BACK, Holder.QUEUE): Holder.BOT,  # the contact changed their mind, or the desk closed
}


class Author(str, Enum):
    """Who said a message."""

    CONTACT = "contact"
    BOT = "bot"
    AGENT = "agent"
    DESK = "desk"  # an automatic word of the desk: "Ann is with you now"


class Status(str, Enum):
    """How far an outbound message got."""

    QUEUED = "queued"
    SENDING = "sending"
    # The bot composed it, but a person took over before it was sent, as far as we know; or it was to repeat what has
    # arrived after all.
    WITHDRAWN = "withdrawn"
    SENT = "sent"
    FAILED = "failed"
    DELIVERED = "delivered"
    READ = "read"
    PLAYED = "played"


RANK = {status: rank for rank, status in enumerate(Status)}


def advance(current: Status, heard: Status) -> Status:
    """Return the status after hearing a report; it only climbs, however late or often reports come."""
    return heard if RANK[heard] > RANK[current] else current


class TurnState(str, Enum):
    """What became of a turn."""

    RUNNING = "running"
    ANSWERED = "answered"
    SILENT = "silent"  # the bot found no words; it said so instead
    MUTED = "muted"  # a person took over while the bot was thinking
    LOST = "lost"  # it died twice; people have it now


class UpdateState(str, Enum):
    """What became of one update of a delivery."""

    HANDLED = "handled"
    REPEATED = "repeated"  # we knew it already
    KEPT = "kept"  # nothing to do, but written down
    FAILED = "failed"  # signed, yet unreadable; somebody must look
    SET_ASIDE = "set_aside"  # it failed, and somebody who looked decided that it need not be read


class FileState(str, Enum):
    """How far a file a contact sent has come to us."""

    WAITING = "waiting"
    FETCHED = "fetched"
    GONE = "gone"  # it could not be fetched while Meta still had it
    REFUSED = "refused"  # too large, or not what it said it was


class Errand(str, Enum):
    """What Meta is asked for beside messages."""

    SEEN = "seen"  # blue ticks, and "typing…"
    BLOCK = "block"
    UNBLOCK = "unblock"
    TEMPLATES = "templates"  # read the list of approved ones


class Change(str, Enum):
    """What is new about a conversation."""

    MESSAGE = "message"
    STATUS = "status"
    MOVE = "move"
    NOTE = "note"


class Reason(str, Enum):
    """Why a conversation was handed off."""

    ASKED = "asked"
    NOT_UNDERSTOOD = "not_understood"  # twice
    FRUSTRATED = "frustrated"
    SENSITIVE = "sensitive"  # an injury, money that is gone, a threat: nothing for a bot
    FORM_FAILED = "form_failed"  # what the bot needs to know did not come together
    LANGUAGE = "language"  # one the bot does not speak
    BACKOFFICE_DOWN = "backoffice_down"
    SILENT = "silent"
    LOST = "lost"
    UNREADABLE = "unreadable"  # a photo, a voice note: the bot can't read it, a person can
    STEPPED_IN = "stepped_in"  # nobody asked; an agent took it from the bot
    PHONE = "phone"  # somebody at the business answered from the WhatsApp Business app
    UNDELIVERED = "undelivered"  # the bot's answer could not be sent
    FLOOD = "flood"  # more messages than a person writes
    MACHINE = "machine"  # another bot answers ours


class Outcome(str, Enum):
    """How a handoff ended."""

    GIVEN_BACK = "given_back"  # and nobody said how it went
    CANCELLED = "cancelled"  # the contact would rather go on with the bot
    SOLVED = "solved"
    NOT_SOLVED = "not_solved"
    ELSEWHERE = "elsewhere"  # other people see to it now: the store, the carrier
    SPAM = "spam"
    NO_ANSWER = "no_answer"  # none was needed
    IDLE = "idle"  # the agent had the last word, and the contact has been quiet since


class Csat(str, Enum):
    """How satisfied a contact was with the people, as they tapped."""

    GOOD = "good"
    SO_SO = "so_so"
    BAD = "bad"


class Clue(str, Enum):
    """What kind of fact speaks for a handoff's reason."""

    SAID = "said"  # what the contact wrote
    MISSED = "missed"  # what they wrote and the bot did not understand, with its guess and how sure it was
    FORM = "form"  # which one failed
    SLOT = "slot"  # what it could not fill
    CALL = "call"  # what the backoffice was asked and did not answer
    KIND = "kind"  # of message, that the bot can't read
    SPOKEN = "spoken"  # the language, as far as one can tell


class Routing(str, Enum):
    """How a team's conversations find their agents."""

    PULL = "pull"  # agents take them from the queue
    ROUND_ROBIN = "round_robin"  # the desk gives each to whose turn it is
    LEAST_LOADED = "least_loaded"  # the desk gives each to who has the most room


class NeedOf(str, Enum):
    """What a rule looks at to tell what a handoff needs."""

    REASON = "reason"  # why it was handed off
    INTENT = "intent"  # what the bot understood of what the contact said last
    SLOT = "slot"  # what the bot learned: a slot that is filled, or filled with this
    WORD = "word"  # a word of the wish


class Role(str, Enum):
    """What an account may do at the desk."""

    AGENT = "agent"
    SUPERVISOR = "supervisor"
    CONTENT = "content"
    ADMIN = "admin"


class Happening(str, Enum):
    """What programs of others are told of by a hook."""

    MESSAGE_CREATED = "message.created"
    HANDOFF_CREATED = "handoff.created"
    HANDOFF_TAKEN = "handoff.taken"
    HANDOFF_REQUEUED = "handoff.requeued"
    HANDOFF_CLOSED = "handoff.closed"


class CallState(str, Enum):
    """What became of telling one hook of one happening."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"  # tried for days; somebody may have it tried again
