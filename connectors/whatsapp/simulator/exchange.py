"""The exchange: the verbs between the business and the contacts' phones."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import Any

from connectors.whatsapp.simulator import bodies, fates
from connectors.whatsapp.simulator.approved import Template, Templates, filled
from connectors.whatsapp.simulator.bodies import Line
from connectors.whatsapp.simulator.contents import own_card
from connectors.whatsapp.simulator.courier import Courier
from connectors.whatsapp.simulator.faults import FAILURES, REFUSALS, Fault, Kind, Plan, Stage
from connectors.whatsapp.simulator.feed import Feed
from connectors.whatsapp.simulator.gates import Gates
from connectors.whatsapp.simulator.library import Library
from connectors.whatsapp.simulator.limits import BSUID, digits_of
from connectors.whatsapp.simulator.magic import BY_PHONE, Trouble
from connectors.whatsapp.simulator.refusals import Refused, invalid
from connectors.whatsapp.simulator.rows import (
    INBOUND,
    OUTBOUND,
    Contact,
    Delivery,
    Message,
    new_wamid,
    user_id_of,
)
from connectors.whatsapp.simulator.settings import Settings
from connectors.whatsapp.simulator.store import Store

WINDOW = 24 * 3600.0
DAY = 24 * 3600.0
TYPING_SECONDS = 25.0
OLDEST_TARGET_DAYS = 30
HALTING = {
    Kind.TOKEN: "190, the access token is no longer valid", Kind.RATE: "130429, the number sends too fast",
}  # fmt: skip
"""Faults of one send that are no contact's alone: whoever believes them stops sending to everybody."""
OPENS_NO_WINDOW = ("reaction", "system", "edit", "revoke", "request_welcome")


@dataclass(frozen=True)
class Delays:
    """How long after its acceptance a message is sent, and delivered."""

    sent: float = 0.2
    delivered: float = 0.5


class Exchange:
    """Stands between the two sides; every verb leaves the rows right, tells the business and wakes the pages."""

    def __init__(
        self,
        lines: tuple[Line, ...],
        store: Store,
        feed: Feed,
        *,
        courier: Courier,
        plan: Plan,
        trouble: Trouble,
        settings: Settings,
    ) -> None:
        self.lines = {line.phone_number_id: line for line in lines}
        self.store, self.feed, self.courier, self.plan, self.settings = store, feed, courier, plan, settings
        self.trouble = trouble
        self.templates = Templates(store)
        self.gates = Gates(settings)
        self.library = Library(store, settings)
        self.stopped = threading.Event()
        self._typing: dict[tuple[str, str], float] = {}
        self._halted: dict[str, tuple[Kind, str]] = {}
        self._stopped_marketing: set[str] = set(store.kept("stopped_marketing") or [])

    @property
    def first_number(self) -> str:
        return next(iter(self.lines))

    @property
    def waba_id(self) -> str:
        return self.lines[self.first_number].waba_id

    # What contacts do

    def write(
        self,
        number: str,
        phone: str,
        content: dict[str, Any],
        context: str | None = None,
        *,
        hours_ago: float = 0.0,
        field: str = "messages",
    ) -> str:
        """A contact writes to the business; `content` is the node of the webhook from `type` on."""
        contact = self.contact(phone)
        at = time.time() - hours_ago * 3600
        message = Message(
            wamid=new_wamid(phone), number=number, phone=contact.phone, direction=INBOUND, type=str(content["type"]),
            content=content, at=at, status="waiting", context=context,
        )  # fmt: skip
        with self.store.writing():
            self.store.add_contact(contact)
            self.store.add_message(message)
            if not self.store.is_blocked(number, contact.phone):  # what a blocked contact writes goes nowhere
                if message.type not in OPENS_NO_WINDOW:
                    self.store.open_window(number, contact.phone, at + WINDOW)
                body = bodies.received(self.lines[number], contact, self.library.with_url(message), field=field)
                self._deliver(Delivery(contact.phone, body, time.time(), message.wamid, number=number))
        self.gates.passes_number(number, time.time(), refuse=False)
        self.feed.signal(contact.phone)
        return message.wamid

    def share_number(self, number: str, phone: str, context: str | None) -> str:
        """A contact gives the phone number that was asked for: from now on the business sees it."""
        contact = self.contact(phone)
        wamid = self.write(number, phone, own_card(contact.phone), context)
        self.store.add_contact(replace(contact, hides_number=False))
        return wamid

    def see(self, number: str, phone: str) -> int:
        """The phone shows the conversation: the business hears `read` for all that is new. Return how many."""
        fresh = self.store.see(number, phone, time.time())
        for message in fresh:
            if message.fault != Kind.NEVER_READ.word:
                self._report(message, "read", time.time())
        if fresh:
            self.feed.signal(phone)
        return len(fresh)

    def play(self, wamid: str) -> None:
        """The contact listens to a voice message of the business."""
        message = self.store.message(wamid)
        if message and message.direction == OUTBOUND and message.type == "audio" and message.status != "played":
            self._report(message, "played", time.time())
            self.feed.signal(message.phone)

    def change_words(self, wamid: str, text: str | None) -> str:
        """A contact edits a message, or (without a text) deletes it for everyone; return the new wamid.

        Only numbers that share the Business app hear what happened; the others hear of something unsupported.
        """
        message = self.store.message(wamid)
        if message is None or message.direction != INBOUND:
            raise KeyError(wamid)
        kind = "revoke" if text is None else "edit"
        new = {"type": "text", "text": {"body": text}}
        node: dict[str, Any] = {"original_message_id": wamid, **({} if text is None else {"message": new})}
        content: dict[str, Any] = {"type": kind, kind: node}
        if message.number not in self.settings.coexistence:
            content = bodies.unsupported(kind)
        self.store.rewrite(wamid, {"type": "revoked", "revoked": {}} if text is None else {**new, "edited": True})
        return self.write(message.number, message.phone, content)

    def contact(self, phone: str) -> Contact:
        """Return the contact of this phone, as it would be if nobody knows it yet."""
        digits = digits_of(phone)
        magic = BY_PHONE.get(digits)
        name, hides_number = (magic.name, magic.hides_number) if magic else (f"+{digits}", False)
        known = self.store.contact(digits)
        return known or Contact(digits, name, user_id_of(digits, self.store.times_freed(digits)), hides_number)

    def move(self, number: str, phone: str, new_phone: str, *, quietly: bool = False) -> Contact:
        """A contact changes the phone number: a new BSUID comes with it, and the business is told of both."""
        old, digits = self.contact(phone), digits_of(new_phone)
        owner = self.store.times_freed(digits) + (self.store.contact(digits) is not None)
        fresh = replace(old, phone=digits, user_id=user_id_of(digits, owner))
        if not quietly:
            self.write(number, phone, bodies.moved(old, fresh))
        self.store.add_contact(old)
        self.store.move_contact(old, fresh)
        self.feed.signal(old.phone)
        self.feed.signal(fresh.phone)
        return fresh

    def change_settings(self, asked: dict[str, Any]) -> None:
        """Turn the knobs that are asked for, for good; raises ValueError, and turns none, if any of it is wrong."""
        changed = self.settings.change(asked)
        self.store.keep("settings", {**(self.store.kept("settings") or {}), **changed})

    def prefer(self, number: str, phone: str, value: str) -> None:
        """A contact stops or resumes marketing messages."""
        contact = self.contact(phone)
        if value == "stop":
            self._stopped_marketing.add(contact.phone)
        else:
            self._stopped_marketing.discard(contact.phone)
        self.store.keep("stopped_marketing", sorted(self._stopped_marketing))
        body = bodies.preference(self.lines[number], contact, value)
        self._deliver(Delivery(contact.phone, body, time.time(), number=number))

    def close_window(self, number: str, phone: str) -> None:
        """Let the contact's last word be more than 24 hours old, for Meta's clock alone."""
        self.store.close_window(number, phone, 0.0)
        self.feed.signal(phone)

    def window_is_open(self, number: str, phone: str) -> bool:
        return self.store.window_ends(number, phone) > time.time()

    # What the business does

    def recipient(self, payload: dict[str, Any]) -> Contact:
        """Return whom a send is for; `to` wins over `recipient`."""
        to = payload.get("to")
        if to:
            return self.contact(str(to))
        contact = self.store.contact_by_user_id(str(payload["recipient"]))
        if contact is None:
            raise Refused(131026)
        return contact

    def check_limits(self, number: str, contact: Contact) -> None:
        """Refuse a send to oneself, to a stranger of a test number, or beyond what Meta lets through in time."""
        if contact.phone == self.lines[number].display_phone_number:
            raise Refused(131021)
        allowed = self.settings.allow_list
        if allowed is not None and contact.phone not in allowed:
            raise Refused(131030)
        if not self.gates.passes_number(number, time.time()):
            raise Refused(130429)
        if not self.gates.passes_pair(number, contact.phone, time.time()):
            raise Refused(131056)

    def accept(self, number: str, contact: Contact, payload: dict[str, Any]) -> str:
        """Take a message of the business, plan its reports and return its wamid, or refuse it."""
        kind = payload.get("type", "text")
        lost = BSUID.fullmatch(str(payload.get("to", "")))  # Meta says 200 to a BSUID in `to`, and loses the message
        template = self._template(payload) if kind == "template" else None
        self._check_targets(number, contact, payload, kind)
        closed = template is None and not lost and not self.window_is_open(number, contact.phone)
        refused = closed and not self.settings.late_window
        fault = self.trouble.strikes(Stage.FATE, contact.phone, number, only=Kind.LATE_WINDOW if refused else None)
        if refused and fault is None:
            raise Refused(131047)
        content, failure = self.library.fetched(number, payload, kind)
        if template is not None:
            content = {**content, "shown": filled(template, payload["template"])}
        message = Message(
            wamid=new_wamid(contact.phone), number=number, phone=contact.phone, direction=OUTBOUND, type=kind,
            content=content, at=time.time(), status="accepted",
            context=(payload.get("context") or {}).get("message_id"),
            callback=payload.get("biz_opaque_callback_data"), fault=fault.kind.word if fault else None,
            failure=self._failure(number, contact, fault, template) or failure or (131047 if closed else None),
        )  # fmt: skip
        with self.store.writing():
            self.store.add_message(message)
            if not lost:
                if self.store.contact(contact.phone) is None:
                    self.store.add_contact(contact)
                category = str(template["category"]).lower() if template else "service"
                self._plan_reports(message, contact, fault, category)
        self._typing.pop((number, contact.phone), None)
        self._halted.pop(number, None)
        self.feed.signal(contact.phone)
        return message.wamid

    def halt(self, number: str, fault: Fault) -> None:
        """A send was refused for a reason that concerns all of them, not its contact alone."""
        if fault.kind in HALTING and fault.phone:
            self._halted[number] = (fault.kind, self.contact(fault.phone).name)
            self.feed.signal(fault.phone)

    def why_halted(self, number: str, phone: str) -> str | None:
        """Return in one sentence which fault keeps a careful business from sending just now."""
        for fault in self.plan.pending():
            if fault.kind in HALTING and fault.phone in (None, phone) and fault.number in (None, number):
                often = {None: "every send", 1: "the next send"}.get(fault.times, f"the next {fault.times} sends")
                often = often if fault.probability == 1 else "some sends"
                return f"The fault {fault.kind.word} is planned: it refuses {often} with {HALTING[fault.kind]}."
        if number not in self._halted:
            return None
        kind, name = self._halted[number]
        return f"{name}’s phone has just refused a message with {HALTING[kind]}."

    def _template(self, payload: dict[str, Any]) -> Template:
        return self.templates.check(payload["template"], has_phone=bool(payload.get("to")))

    def _check_targets(self, number: str, contact: Contact, payload: dict[str, Any], kind: str) -> None:
        """Refuse a reaction to what is not there, and files this number does not have."""
        if kind == "reaction":
            target = self.store.message(payload["reaction"]["message_id"])
            here = target is not None and (target.number, target.phone) == (number, contact.phone)
            if not here or target is None or target.type == "reaction":
                raise invalid("reaction.message_id is not a message of this conversation that can be reacted to.")
            if target.at < time.time() - OLDEST_TARGET_DAYS * DAY:
                raise invalid("reaction.message_id is a message older than 30 days.")
        self.library.check_owner(number, payload, kind)

    def _failure(self, number: str, contact: Contact, fault: Fault | None, template: Template | None) -> int | None:
        """Return with which code a message will fail though it was accepted."""
        if fault and fault.kind in FAILURES and fault.kind is not Kind.FAILED_AFTER_DELIVERED:
            return fault.code
        if self.store.is_blocked(number, contact.phone):
            return 131026
        if template and template["category"] == "MARKETING" and contact.phone in self._stopped_marketing:
            return 131050
        return None

    def mark_read(self, number: str, wamid: str, *, typing: bool) -> None:
        """The business has read this and all before it; with `typing`, somebody there is answering."""
        message = self.store.message(wamid)
        if message is None or message.direction != INBOUND or message.number != number:
            raise invalid("message_id is not a message this number received.")
        if message.at < time.time() - OLDEST_TARGET_DAYS * DAY:
            raise invalid("message_id is a message older than 30 days.")
        self.store.mark_read_up_to(message)
        if typing:
            self._typing[number, message.phone] = time.time() + TYPING_SECONDS
        self.feed.signal(message.phone)

    def typing_for(self, number: str, phone: str) -> float:
        """Return for how many seconds the phone still shows that the business is typing."""
        return max(0.0, self._typing.get((number, phone), 0.0) - time.time())

    def echo(self, number: str, phone: str, content: dict[str, Any]) -> str:
        """The owner answers, edits or deletes from the Business app: the phone shows it, the business gets an echo."""
        contact = self.contact(phone)
        message = Message(
            wamid=new_wamid(contact.phone), number=number, phone=contact.phone, direction=OUTBOUND,
            type=str(content["type"]), content=content, at=time.time(), status="sent",
        )  # fmt: skip
        with self.store.writing():
            self.store.add_contact(contact)
            if message.type in ("edit", "revoke"):
                node = content[message.type]
                edited = {**node.get("message", {}), "edited": True}
                fresh = edited if message.type == "edit" else {"type": "revoked", "revoked": {}}
                self.store.rewrite(node["original_message_id"], fresh)
            else:
                self.store.add_message(message)
                self.store.advance(message.wamid, "delivered", message.at)
            body = bodies.echo(self.lines[number], contact, message)
            self._deliver(Delivery(contact.phone, body, message.at, number=number))
        self.feed.signal(contact.phone)
        return message.wamid

    def announce(self, body: bytes, lane: str = "account") -> None:
        """Tell the business something that concerns no contact."""
        self._deliver(Delivery(lane, body, time.time()))

    # What follows

    def _plan_reports(self, message: Message, contact: Contact, fault: Fault | None, category: str) -> None:
        code = message.failure or (fault.code if fault else 131000)
        copies = 2 if fault and fault.kind is Kind.DUPLICATE_WEBHOOKS else 1
        for step in fates.steps(message, fault, self.settings):
            body = None
            if step.heard is not None:
                line = self.lines[message.number]
                body = bodies.report(line, contact, message, step.status, step.at, code=code, category=category)
            move = Delivery(contact.phone, body, step.at, message.wamid, step.status, copies, message.number)
            if step.heard is not None and step.heard > step.at:
                self._deliver(replace(move, body=None))
                self._deliver(replace(move, due=step.heard, wamid=None, status=None))
            else:
                self._deliver(move)

    def _report(self, message: Message, status: str, at: float) -> None:
        contact = self.contact(message.phone)
        body = bodies.report(self.lines[message.number], contact, message, status, at)
        silent = message.fault == Kind.NEVER_STATUS.word
        delivery = Delivery(contact.phone, None if silent else body, at, message.wamid, status, number=message.number)
        twice = message.fault == Kind.DUPLICATE_WEBHOOKS.word
        self._deliver(replace(delivery, copies=2) if twice else delivery)

    def _deliver(self, delivery: Delivery) -> None:
        twice = self.trouble.doubles(delivery.lane)
        self.store.add_delivery(replace(delivery, copies=2) if twice else delivery)


def refusal_of(fault: Fault) -> Refused | None:
    """Return the error a fault answers with before anything is accepted."""
    if fault.kind is Kind.WINDOW_CLOSED:
        return Refused(131047)
    if fault.kind in REFUSALS:
        return Refused(fault.code, subcode=463 if fault.code == 190 else None)
    return None
