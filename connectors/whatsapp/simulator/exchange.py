"""The exchange: the verbs between the business and the contacts' phones."""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass, replace
from typing import Any

import requests

from connectors.whatsapp.simulator import bodies
from connectors.whatsapp.simulator.bodies import Line
from connectors.whatsapp.simulator.courier import Courier
from connectors.whatsapp.simulator.faults import CODES, Fault, Kind, Plan
from connectors.whatsapp.simulator.feed import Feed
from connectors.whatsapp.simulator.limits import BSUID, MEDIA_TYPES, digits_of
from connectors.whatsapp.simulator.magic import BY_PHONE
from connectors.whatsapp.simulator.refusals import Refused, invalid
from connectors.whatsapp.simulator.rows import (
    INBOUND,
    OUTBOUND,
    Contact,
    Delivery,
    Media,
    Message,
    new_wamid,
    user_id_of,
)
from connectors.whatsapp.simulator.store import Store

WINDOW = 24 * 3600.0
TYPING_SECONDS = 25.0
LARGEST_LINKED_FILE = 16 * 1024 * 1024
HTTP_OK = 200


@dataclass(frozen=True)
class Delays:
    """How long after its acceptance a message is sent, and delivered."""

    sent: float = 0.2
    delivered: float = 0.5


class Exchange:
    """Stands between the two sides; every verb leaves the rows right, tells the business and wakes the pages."""

    def __init__(self, lines: tuple[Line, ...], store: Store, feed: Feed, *, courier: Courier, delays: Delays) -> None:
        self.lines = {line.phone_number_id: line for line in lines}
        self.store, self.feed, self.courier, self.delays = store, feed, courier, delays
        self.plan = Plan()
        self.base_url = ""
        self.url_key = secrets.token_hex(16)
        self.stopped = threading.Event()
        self._typing: dict[tuple[str, str], float] = {}
        self._tries: dict[str, int] = {}
        self._lock = threading.Lock()

    @property
    def first_number(self) -> str:
        return next(iter(self.lines))

    # What contacts do

    def write(
        self,
        number: str,
        phone: str,
        content: dict[str, Any],
        context: str | None = None,
        *,
        hours_ago: float = 0.0,
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
            if message.type != "reaction":
                self.store.open_window(number, contact.phone, at + WINDOW)
            body = bodies.received(self.lines[number], contact, self._with_url(message))
            self._deliver(Delivery(contact.phone, body, time.time(), message.wamid))
        self._tell(contact.phone)
        return message.wamid

    def see(self, number: str, phone: str) -> int:
        """The phone shows the conversation: the business hears `read` for all that is new. Return how many."""
        fresh = self.store.see(number, phone, time.time())
        for message in fresh:
            if message.fault != Kind.NEVER_READ.value:
                self._report(message, "read", time.time())
        if fresh:
            self._tell(phone)
        return len(fresh)

    def play(self, wamid: str) -> None:
        """The contact listens to a voice message of the business."""
        message = self.store.message(wamid)
        if message and message.direction == OUTBOUND and message.type == "audio" and message.status != "played":
            self._report(message, "played", time.time())
            self._tell(message.phone)

    def contact(self, phone: str) -> Contact:
        """Return the contact of this phone, as it would be if nobody knows it yet."""
        digits = digits_of(phone)
        magic = BY_PHONE.get(digits)
        return self.store.contact(digits) or Contact(digits, magic.name if magic else f"+{digits}", user_id_of(digits))

    def close_window(self, number: str, phone: str) -> None:
        """Let the contact's last word be more than 24 hours old, for Meta's clock alone."""
        self.store.close_window(number, phone, 0.0)
        self._tell(phone)

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

    def fault_for(self, phone: str) -> Fault | None:
        """Return what shall go wrong with this send: what was planned, else what the contact is known for."""
        planned = self.plan.take(phone)
        magic = BY_PHONE.get(phone)
        if planned or magic is None:
            return planned
        if magic.first_tries is None:
            return magic.fault
        with self._lock:
            tries = self._tries.get(phone, 0)
            self._tries[phone] = (tries + 1) % (magic.first_tries + 1)
        return magic.fault if tries < magic.first_tries else None

    def accept(self, number: str, contact: Contact, payload: dict[str, Any], fault: Fault | None) -> str:
        """Take a message of the business, plan its reports and return its wamid, or refuse it."""
        kind = payload.get("type", "text")
        lost = BSUID.fullmatch(str(payload.get("to", "")))  # Meta says 200 to a BSUID in `to`, and loses the message
        closed = not self.window_is_open(number, contact.phone) or (fault and fault.kind is Kind.WINDOW_CLOSED)
        if closed and kind != "template" and not lost:
            raise Refused(131047)
        content, failure = self._fetched(payload, kind)
        message = Message(
            wamid=new_wamid(contact.phone), number=number, phone=contact.phone, direction=OUTBOUND, type=kind,
            content=content, at=time.time(), status="accepted",
            context=(payload.get("context") or {}).get("message_id"),
            callback=payload.get("biz_opaque_callback_data"), fault=fault.kind.value if fault else None,
            failure=fault.code if fault and fault.kind is Kind.UNDELIVERABLE else failure,
        )  # fmt: skip
        with self.store.writing():
            self.store.add_message(message)
            if not lost:
                self.store.add_contact(contact)
                self._plan_reports(message)
        self._typing.pop((number, contact.phone), None)
        self._tell(contact.phone)
        return message.wamid

    def mark_read(self, number: str, wamid: str, *, typing: bool) -> None:
        """The business has read this and all before it; with `typing`, somebody there is answering."""
        message = self.store.message(wamid)
        if message is None or message.direction != INBOUND or message.number != number:
            raise invalid("message_id is not a message this number received.")
        self.store.mark_read_up_to(message)
        if typing:
            self._typing[number, message.phone] = time.time() + TYPING_SECONDS
        self._tell(message.phone)

    def typing_for(self, number: str, phone: str) -> float:
        """Return for how many seconds the phone still shows that the business is typing."""
        return max(0.0, self._typing.get((number, phone), 0.0) - time.time())

    def add_media(self, content: bytes, mime_type: str, filename: str) -> Media:
        media = Media(str(secrets.randbelow(9 * 10**15) + 10**15), mime_type, filename, content)
        self.store.add_media(media)
        return media

    # What follows

    def _plan_reports(self, message: Message) -> None:
        fault, at = message.fault, message.at
        if message.failure:
            self._report(message, "failed", at + self.delays.delivered)
            return
        sent, delivered = at + self.delays.sent, at + self.delays.delivered
        if fault == Kind.UNORDERED_STATUSES.value:
            sent, delivered = delivered, sent
        ladder = [(sent, "sent"), (delivered, "delivered")]
        for due, status in sorted(ladder, key=lambda step: step[0]):
            # Of a reaction Meta reports only that it was sent; it reaches the phone all the same.
            silent = message.type == "reaction" and status == "delivered"
            if not (status == "delivered" and fault == Kind.NEVER_DELIVERED.value):
                self._report(message, status, due, silent=silent)

    def _report(self, message: Message, status: str, due: float, *, silent: bool = False) -> None:
        contact = self.contact(message.phone)
        body = bodies.report(self.lines[message.number], contact, message, status, due)
        silent = silent or message.fault == Kind.NEVER_STATUS.value
        delivery = Delivery(contact.phone, None if silent else body, due, message.wamid, status)
        self._deliver(delivery, message.fault)

    def _deliver(self, delivery: Delivery, fault: str | None = None) -> None:
        magic = BY_PHONE.get(delivery.lane)
        twice = Kind.DUPLICATE_WEBHOOKS in (magic and magic.fault.kind, fault and Kind(fault))
        self.store.add_delivery(replace(delivery, copies=2 if twice else 1))

    def _tell(self, phone: str) -> None:
        self.courier.wake()
        self.feed.signal(phone)

    def _with_url(self, message: Message) -> Message:
        """Add the short-lived `url` that Meta gives beside a media id."""
        node = message.content.get(message.type)
        if message.type not in MEDIA_TYPES or not isinstance(node, dict) or not self.base_url or "id" not in node:
            return message
        return replace(message, content={**message.content, message.type: {**node, "url": self.media_url(node["id"])}})

    def media_url(self, media_id: str, base_url: str = "") -> str:
        """Return where a file may be fetched for the next five minutes."""
        expires = int(time.time()) + 300
        return f"{base_url or self.base_url}/lookaside/{media_id}?ext={expires}&hash={self.url_hash(media_id, expires)}"

    def url_hash(self, media_id: str, expires: int) -> str:
        return bodies.sign(f"{media_id}:{expires}".encode(), self.url_key).removeprefix("sha256=")[:32]

    def _fetched(self, payload: dict[str, Any], kind: str) -> tuple[dict[str, Any], int | None]:
        """Fetch a linked file as Meta does; return the send with its id, or the code with which it will fail."""
        node = payload.get(kind)
        if kind not in MEDIA_TYPES or not isinstance(node, dict):
            return payload, None
        if "id" in node:
            return payload, None if self.store.media(str(node["id"])) else 131053
        try:
            with requests.get(node["link"], timeout=5, stream=True) as answer:
                content = answer.raw.read(LARGEST_LINKED_FILE + 1, decode_content=True)
                mime_type = answer.headers.get("Content-Type", "application/octet-stream")
        except (requests.RequestException, OSError):
            return payload, 131053
        if answer.status_code != HTTP_OK or len(content) > LARGEST_LINKED_FILE:
            return payload, 131053
        media = self.add_media(content, mime_type, node.get("filename") or node["link"].rsplit("/", 1)[-1])
        return {**payload, kind: {**node, "id": media.id}}, None


def refusal_of(fault: Fault) -> Refused | None:
    """Return the error a fault answers with before anything is accepted."""
    if fault.kind in CODES and fault.kind is not Kind.UNDELIVERABLE:
        return Refused(fault.code, subcode=463 if fault.code == 190 else None)
    return None
