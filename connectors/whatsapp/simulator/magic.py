"""Contacts whose phones make trouble, each in one way, so that every trouble can be seen by writing to somebody."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

from connectors.whatsapp.simulator.faults import Fault, Kind, Plan, Stage


@dataclass(frozen=True)
class Magic:
    """A contact, and what goes wrong with what the business sends them."""

    phone: str
    name: str
    what: str
    fault: Fault | None
    first_tries: int | None = None
    """How many tries fail before one goes through; None: every one of them."""
    hides_number: bool = False


def _always(last: int, name: str, what: str, fault: Fault) -> Magic:
    return Magic(f"4477009002{last:02}", name, what, fault)


MAGIC = (
    Magic(
        "447700900191", "Theo Throttle", "Refuses the first two tries with 131056, too many messages to one contact.",
        Fault(Kind.THROTTLE), first_tries=2,
    ),
    Magic(
        "447700900192", "Rosa Token", "Refuses the first two tries with 190, the access token is no longer valid."
        " Whoever believes it stops sending to everybody for a moment.",
        Fault(Kind.TOKEN), first_tries=2,
    ),
    Magic(
        "447700900193", "Una Unreachable", "Accepts every message, then reports it failed with 131026, undeliverable.",
        Fault(Kind.UNDELIVERABLE),
    ),
    Magic(
        "447700900194", "Tess Timeout", "Accepts and delivers every message, but never answers the call that sent it.",
        Fault(Kind.TIMEOUT_AFTER_ACCEPT),
    ),
    Magic(
        "447700900195", "Olu Offline", "Messages are sent, never delivered: the phone is off.",
        Fault(Kind.NEVER_DELIVERED),
    ),
    Magic("447700900196", "Nora Unread", "Messages are delivered, never reported as read.", Fault(Kind.NEVER_READ)),
    Magic(
        "447700900197", "Gus Gateway", "The first try gets an HTML page with status 502, as from a broken proxy.",
        Fault(Kind.HTML_502), first_tries=1,
    ),
    Magic(
        "447700900198", "Clara Closed", "The 24-hour window is always closed: 131047 for all but templates.",
        Fault(Kind.WINDOW_CLOSED),
    ),
    Magic("447700900199", "Tom Twice", "Every webhook comes twice.", Fault(Kind.DUPLICATE_WEBHOOKS)),
    _always(1, "Lara Late", "Every report comes ten seconds late.", Fault(Kind.LATE_STATUSES, given_seconds=10)),
    _always(2, "Bo Backward", "Reports run backwards: read, delivered, sent.", Fault(Kind.BACKWARD_STATUSES)),
    _always(3, "Nell Never", "Messages arrive, but no report ever does.", Fault(Kind.NEVER_STATUS)),
    _always(4, "Fay Failed", "Every message is delivered, then reported failed.", Fault(Kind.FAILED_AFTER_DELIVERED)),
    _always(5, "Pia Played", "Reads, and plays, every message by herself.", Fault(Kind.PLAYED)),
    _always(6, "Sven Swapped", "A message sent within a second after another is shown first.", Fault(Kind.SWAPPED)),
    _always(7, "Lou Latewindow", "Accepts every message, then reports it failed with 131047.", Fault(Kind.LATE_WINDOW)),
    _always(8, "Drew Dropped", "Accepts every message, but drops the call.", Fault(Kind.DROP_AFTER_ACCEPT)),
    Magic("447700900209", "Hal Hangup", "Drops the first try before anything is accepted.", Fault(Kind.DROP), 1),
    _always(10, "Gail Gateway", "Accepts every message, but answers with an HTML page and status 502.",
            Fault(Kind.HTML_502_AFTER_ACCEPT)),
    Magic("447700900211", "Rita Rate", "Refuses the first two tries with 130429, the number sends too fast."
          " Whoever believes it sends to nobody for a moment.",
          Fault(Kind.RATE), 2),
    _always(12, "Sal Slow", "Answers every send late, after its first reports.", Fault(Kind.SLOW)),
    _always(13, "Rhea Redelivered", "Every webhook comes again two seconds later, though it was taken.",
            Fault(Kind.REDELIVER, given_seconds=2)),
    _always(14, "Bea Batch", "Webhooks are held for three seconds and come many in one POST.",
            Fault(Kind.BATCH, given_seconds=3)),
    _always(15, "Omar Overtaken", "Webhooks are overtaken by younger ones.", Fault(Kind.REORDER)),
    _always(16, "Lia Lostanswer", "The business’s 200 is lost, so every webhook is brought once more.",
            Fault(Kind.LOST_200)),
    Magic("447700900217", "Eve Expired", "The first fetch of a file she sends finds an expired address.",
          Fault(Kind.MEDIA_EXPIRED), 1),
    _always(18, "Milo Mismatch", "Every file he sends has another hash than announced.", Fault(Kind.MEDIA_WRONG_HASH)),
    _always(19, "Ruth Redirect", "Every file she sends redirects to a foreign host.", Fault(Kind.MEDIA_REDIRECT)),
    Magic("447700900220", "Hope Hidden", "Hides her number: known by the business-scoped user ID alone.", None,
          hides_number=True),
)  # fmt: skip

BY_PHONE = {magic.phone: magic for magic in MAGIC}


class Trouble:
    """What shall go wrong here and now: what was planned, else what the contact is known for."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._tries: dict[str, int] = {}
        self._lock = threading.Lock()

    def strikes(self, stage: Stage, phone: str, number: str, *, only: Kind | None = None) -> Fault | None:
        """Return the fault that strikes, and count it."""
        planned = self._plan.take(stage, phone, number, only=only)
        magic = BY_PHONE.get(phone)
        if planned or magic is None or magic.fault is None or magic.fault.kind.stage is not stage:
            return planned
        if only not in (None, magic.fault.kind):
            return None
        worn = replace(magic.fault, phone=phone)
        if magic.first_tries is None:
            return worn
        with self._lock:
            tries = self._tries.get(phone, 0)
            self._tries[phone] = (tries + 1) % (magic.first_tries + 1)
        return worn if tries < magic.first_tries else None

    @staticmethod
    def doubles(phone: str) -> bool:
        """Say whether all webhooks about this contact come twice."""
        magic = BY_PHONE.get(phone)
        return magic is not None and magic.fault is not None and magic.fault.kind is Kind.DUPLICATE_WEBHOOKS
