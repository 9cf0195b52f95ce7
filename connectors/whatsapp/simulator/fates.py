"""What becomes of an accepted message: when it moves on, and when the business hears of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from connectors.whatsapp.simulator.faults import Fault, Kind
from connectors.whatsapp.simulator.rows import Message
from connectors.whatsapp.simulator.settings import Settings


@dataclass(frozen=True)
class Step:
    """A status, when it comes true, and when the business hears of it (None: never)."""

    status: str
    at: float
    heard: float | None


def steps(message: Message, fault: Fault | None, settings: Settings) -> list[Step]:
    """Return what is to come, in its order."""
    sent, shown = message.at + settings.sent_after, message.at + settings.delivered_after
    kind = fault.kind if fault else None
    late = fault.seconds if fault and kind is Kind.LATE_STATUSES else 0.0
    if message.failure:
        return [_step("failed", shown, late)]
    if message.type == "reaction":
        # Of a reaction Meta reports only that it was sent; it reaches the phone all the same.
        return [_step("sent", sent, late), Step("delivered", shown, None)]
    moments = _moments(fault, sent, shown, settings.read_after)
    if kind is Kind.NEVER_STATUS:
        return [Step(status, at, None) for status, at in moments]
    return [_step(status, at, late) for status, at in moments]


def _step(status: str, at: float, late: float) -> Step:
    return Step(status, at, at + late)


def _moments(fault: Fault | None, sent: float, shown: float, read_after: float | None) -> list[tuple[str, float]]:
    gap = max(0.01, shown - sent)
    read = [] if read_after is None else [("read", shown + read_after)]
    match fault.kind if fault else None:
        case Kind.NEVER_DELIVERED:
            return [("sent", sent)]
        case Kind.UNORDERED_STATUSES:
            return [("delivered", sent), ("sent", shown), *read]
        case Kind.BACKWARD_STATUSES:
            return [("read", sent), ("delivered", shown), ("sent", shown + gap)]
        case Kind.SKIPPED_DELIVERED:
            return [("sent", sent), ("read", shown)]
        case Kind.FAILED_AFTER_DELIVERED:
            return [("sent", sent), ("delivered", shown), ("failed", shown + gap)]
        case Kind.PLAYED:
            return [("sent", sent), ("delivered", shown), ("read", shown + gap), ("played", shown + 2 * gap)]
        case Kind.SWAPPED:
            held = fault.seconds if fault else 0.0
            return [("sent", sent), ("delivered", shown + held), *[(word, at + held) for word, at in read]]
        case Kind.NEVER_READ:
            return [("sent", sent), ("delivered", shown)]
    return [("sent", sent), ("delivered", shown), *read]
