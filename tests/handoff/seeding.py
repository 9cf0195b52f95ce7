"""A desk as it looks on a busy afternoon, written with the ledger's own verbs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from bot.ledger import alarms, handoffs, inbox, outbox, turns
from bot.ledger.outbox import Kind, Outcome
from bot.ledger.tables import numbers
from bot.ledger.transaction import Ledger
from bot.ledger.turns import Turn, Understood
from bot.messages import Buttons, Content, Inbound, Media, Menu, Outbound, Place, Reply, Tap, Text
from bot.updates import ContactRef, Received, Reported
from bot.vocabulary import Reason, Role, Status
from handoff import agents, assignments
from handoff.roles import Account
from tests.factories import MANNERS, NUMBER, a_wamid, says_only

INTENT = ("order_status", 0.93)


def an_account(ledger: Ledger, email: str = "ann@fernhill.example", role: Role = Role.AGENT, name: str = "") -> Account:
    """An account that need not change its password."""
    return an_account_with_password(ledger, email, role, name)[0]


def an_account_with_password(
    ledger: Ledger, email: str = "ann@fernhill.example", role: Role = Role.AGENT, name: str = "", *, keep: bool = True
) -> tuple[Account, str]:
    """An account and its password."""
    now = datetime.fromisoformat("2026-11-01T08:00:00+00:00")
    with ledger.writing() as tx:
        password = agents.add(tx, email, role, name, keep_password=keep, now=now)
        token = agents.add_token(tx, email, now)
        account = agents.bearer(tx, token)
    assert account is not None
    return account, password


def a_token(ledger: Ledger, account: Account, now: datetime) -> str:
    with ledger.writing() as tx:
        return agents.add_token(tx, account.email, now)


@dataclass
class Story:
    """One contact's conversation, told step by step; `at` moves on with every step."""

    ledger: Ledger
    contact: ContactRef
    at: datetime
    key: str = ""
    id: int = 0

    def wait(self, **passed: float) -> Story:
        self.at += timedelta(**passed)
        return self

    def says(
        self,
        content: str | Inbound,
        *answers: str | Outbound,
        intent: tuple[str, float] | None = INTENT,
        reply_to: str | None = None,
    ) -> str:
        """The contact writes; the bot, if it has the conversation, answers. Returns the wamid."""
        self.wait(seconds=40)
        wamid = a_wamid()
        inbound = Text(content) if isinstance(content, str) else content
        with self.ledger.writing() as tx:
            update = Received(wamid, NUMBER, self.contact, inbound, self.at, reply_to=reply_to)
            self.id = next(iter(inbox.record(tx, b"{}", [update], self.at)), self.id)
        with self.ledger.writing() as tx:
            turn = turns.begin_turn(tx, self.id, owner="seed", manners=MANNERS, now=self.at)
        with self.ledger.reading() as tx:
            self.key = turn.key if isinstance(turn, Turn) else self.key
        if isinstance(turn, Turn):
            self.wait(seconds=2)
            with self.ledger.writing() as tx:
                turns.end_turn(
                    tx,
                    turn,
                    owner="seed",
                    said=[Text(a) if isinstance(a, str) else a for a in answers],
                    understood=Understood(*intent) if intent else None,
                    may_be_silent=not answers,
                    manners=MANNERS,
                    now=self.at,
                )
            with self.ledger.writing() as tx:
                turns.release(tx, self.id, "seed")
        return wamid

    def hands_off(self, reason: Reason, wish: str, words: str = "I'm passing you to a person.", **slots: Any) -> None:
        with self.ledger.writing() as tx:
            handoffs.hand_off(tx, self.key, reason=reason, wish=wish, slots=slots, tell=says_only(words), now=self.at)

    def taken_by(self, agent: Account) -> None:
        self.wait(minutes=2)
        with self.ledger.writing() as tx:
            assignments.take(tx, self.key, agent, self.at)

    def replies(self, agent: Account, text: str) -> None:
        self.wait(seconds=50)
        with self.ledger.writing() as tx:
            assignments.reply(tx, self.key, agent, text, client_key=None, now=self.at)

    def notes(self, agent: Account, text: str) -> None:
        self.wait(seconds=20)
        with self.ledger.writing() as tx:
            assignments.note(tx, self.key, agent, text, client_key=None, now=self.at)

    def gives_back(self, agent: Account) -> None:
        self.wait(minutes=1)
        with self.ledger.writing() as tx:
            assignments.give_back(tx, self.key, agent, Text("Fern, the bot, is back with you."), self.at)

    def sent(self, *statuses: Status, refuse: str = "") -> None:
        """Everything queued goes out; Meta reports these statuses for each."""
        for step in range(40):  # a message waits for the delivery of the one before
            at = self.at + timedelta(seconds=step)
            with self.ledger.writing() as tx:
                # Stories are told one after the other, each in its own past; a number's pace knows only one time.
                tx.execute(sa.update(numbers).values(paced_until=None))
                message = outbox.claim(tx, at)
            if message is None:
                continue
            outcome = Outcome(Kind.REFUSED, words=refuse) if refuse else Outcome(Kind.ACCEPTED, wamid=a_wamid())
            with self.ledger.writing() as tx:
                outbox.settle(tx, message.id, outcome, at)
            for status in statuses if not refuse else ():
                with self.ledger.writing() as tx:
                    outbox.hear_all(tx, [Reported(outcome.wamid, status, at, callback=message.callback)], at)


def a_conversation(ledger: Ledger, now: datetime, name: str = "Mia Turner", phone: str = "447700900101") -> Story:
    """The contact has said hello to the bot."""
    story = Story(ledger, ContactRef(phone=phone, bsuid=None, name=name), now - timedelta(minutes=4))
    story.says("hello", "Hello! I'm Fern, the bot of Fernhill.", intent=("greet", 0.99))
    return story


def a_handoff(ledger: Ledger, now: datetime, name: str = "Mia Turner", phone: str = "447700900101") -> Story:
    """The contact waits for a person."""
    story = a_conversation(ledger, now, name, phone)
    story.hands_off(Reason.ASKED, "I want to talk to a person", order_number="F-20418")
    return story


def a_busy_afternoon(  # noqa: PLR0915  # a story is told in one go
    ledger: Ledger, now: datetime, ann: Account, ben: Account
) -> dict[str, Story]:
    """A queue, mine, a colleague's and the bot's conversations, with everything a transcript can show."""

    def begins(name: str, phone: str, **ago: float) -> Story:
        return Story(ledger, ContactRef(phone=phone, bsuid=None, name=name), now - timedelta(**ago))

    bye = ("goodbye", 0.97)
    maya = begins("Maya Lindqvist", "46701740605", days=1, hours=1)
    maya.says(
        "Do you have walking boots in 38?",
        "Yes: the Ridge boot in 36 to 42, £129. Shall I find your nearest store?",
        intent=("product_question", 0.81),
    )
    maya.says("no thanks, bye", "Goodbye, Maya! Write whenever you like.", intent=bye)
    maya.sent(Status.DELIVERED, Status.READ)
    maya.at = now - timedelta(minutes=19)
    maya.says(
        "Hi, where is my order?",
        "I can look that up. What's your order number? It begins with F.",
        intent=("order_status", 0.96),
    )
    maya.says(
        "F-20418",
        Text("Order F-20418 left our warehouse on Thursday and is with the courier."),
        intent=("give_order_number", 0.99),
    )
    maya.sent(Status.DELIVERED, Status.READ)
    maya.says(
        "it says delivered but there is nothing here and I was at home the whole day??",
        Buttons(
            "I'm not sure I understood. Is it about one of these?",
            (Reply("status", "Order status"), Reply("returns", "Returns"), Reply("person", "Talk to a person")),
        ),
        intent=("order_status", 0.44),
    )
    maya.sent(Status.DELIVERED, Status.READ)
    maya.says(Tap("person", "Talk to a person"), intent=("ask_for_person", 1.0))
    maya.hands_off(
        Reason.ASKED,
        "it says delivered but there is nothing here and I was at home the whole day??",
        "I'm passing you to a person. They'll see everything you wrote to me.",
        order_number="F-20418",
        delivery_postcode="SW4 7AB",
        order_belongs_to_contact=True,
        requested_slot=None,
    )
    maya.sent(Status.DELIVERED)
    maya.says(Media("image", media_id="1", caption="this is my porch right now"), intent=None)

    tom = begins("Tom Achterberg", "31612345678", minutes=9)
    tom.says(
        "can i return boots i wore once", "You can return unworn items within 30 days.", intent=("return_policy", 0.88)
    )
    tom.says(
        "yeah but worn ONCE, on carpet",
        "Sorry, I didn't get that. Could you say it differently?",
        intent=("return_policy", 0.38),
    )
    tom.hands_off(Reason.NOT_UNDERSTOOD, "yeah but worn ONCE, on carpet")
    tom.sent(Status.DELIVERED)

    ola = begins("", "48601234567", minutes=3)
    ola.says(Media("audio", media_id="2", voice=True), intent=None)
    ola.hands_off(Reason.UNREADABLE, "")
    ola.sent(Status.SENT)

    ines = begins("Inês Carvalho", "351912345678", minutes=52)
    ines.says(
        "Bom dia! Is the Bristol store open on Sunday?",
        "Bristol is open 10 to 4 on Sundays.",
        intent=("opening_hours", 0.91),
    )
    ines.sent(Status.DELIVERED, Status.READ)
    ines.says(
        "and can somebody hold a tent for me there? The Larch 2, in green",
        "Holding things is something people do here; I'm passing you on.",
        intent=("reserve_item", 0.62),
    )
    ines.hands_off(
        Reason.ASKED,
        "and can somebody hold a tent for me there? The Larch 2, in green",
        store="Bristol",
        item="Larch 2",
    )
    ines.sent(Status.DELIVERED, Status.READ)
    asked = ines.says("I'm in the city until 3", intent=None)
    ines.taken_by(ann)
    ines.replies(ann, "Hello Inês, this is Ann. I've asked Bristol to put a green Larch 2 aside for you.")
    ines.sent(Status.DELIVERED, Status.READ)
    ines.notes(
        ann,
        "Called Bristol (Kim): one left, it's at the till under “Carvalho”. If she doesn't come by 4 they put it back.",
    )
    ines.says("You are a star! Where exactly is it?", intent=None, reply_to=asked)
    ines.says(Place(51.4545, -2.5879, name="I'm here", address="College Green"), intent=None)
    ines.replies(ann, "Five minutes from you:\n23 Park Street, next to the bakery.\nKim at the till knows.")
    ines.sent(Status.DELIVERED)
    ines.replies(ann, "They're open until 4 today.")
    ines.sent(refuse="The number can't be reached on WhatsApp right now (131026)")

    joe = begins("Joe Mbeki", "27821234567", minutes=31)
    joe.says(
        "my card was charged twice", "I can't look into payments, but people can.", intent=("payment_problem", 0.77)
    )
    joe.hands_off(Reason.ASKED, "my card was charged twice", order_number="F-20377")
    joe.taken_by(ben)
    joe.replies(ben, "Hi Joe, I'm looking at both charges now.")
    joe.sent(Status.DELIVERED, Status.READ)

    for n, (name, phone, text, answer) in enumerate(
        (
            ("Priya Raman", "919812345678", "thanks!!", "You're welcome, Priya."),
            ("Luca Ferri", "393331234567", "are you a bot", "I am: I'm Fern, Fernhill's bot. People are behind me."),
            (
                "Hanna Weiß",
                "4915112345678",
                "what's on offer in store",
                "This week: 20 % off stoves and cookware, in every store.",
            ),
        )
    ):
        story = begins(name, phone, minutes=6 + 17 * n)
        story.says(
            text,
            Menu(answer, (Reply("a", "Offers"), Reply("b", "Stores"))) if n == 2 else answer,
            intent=("small_talk", 0.9),
        )
        story.sent(Status.DELIVERED, Status.READ)
    ines.replies(ann, "Anything else I can do?")
    return {"maya": maya, "tom": tom, "ola": ola, "ines": ines, "joe": joe}


def an_alarm(ledger: Ledger, now: datetime) -> None:
    with ledger.writing() as tx:
        alarms.raise_alarm(
            tx, "signed_out", "WhatsApp refuses our access token; nothing is sent until it is renewed", now
        )


__all__ = ["Content", "Story", "a_busy_afternoon", "a_conversation", "a_handoff", "an_account", "an_alarm"]
