"""The templates Meta has approved, paused or refused, and what it says to a send that does not fit one."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import Any

from connectors.whatsapp.simulator.refusals import Refused, missing
from connectors.whatsapp.simulator.store import Store

GAP = re.compile(r"\{\{\s*(\w+)\s*\}\}")
STATUSES = ("APPROVED", "PENDING", "REJECTED", "PAUSED", "DISABLED")
CATEGORIES = ("UTILITY", "MARKETING", "AUTHENTICATION")
FORMATS = ("POSITIONAL", "NAMED")
LONGEST_FILLED = 1024
Template = dict[str, Any]


def _seed(name: str, category: str, *components: Template, language: str = "en", **more: Any) -> Template:
    return {
        "name": name, "language": language, "status": "APPROVED", "category": category,
        "parameter_format": "POSITIONAL", "components": list(components), **more,
    }  # fmt: skip


def _body(text: str) -> Template:
    return {"type": "BODY", "text": text}


def _buttons(*buttons: Template) -> Template:
    return {"type": "BUTTONS", "buttons": list(buttons)}


def _reply(text: str) -> Template:
    return {"type": "QUICK_REPLY", "text": text}


SEEDS = (
    _seed("hello_world", "UTILITY", _body("Welcome and congratulations!"), language="en_US"),
    _seed(
        "reopen_case", "UTILITY", _body("Hi {{first_name}}, we have an answer for you. Reply to continue."),
        _buttons(_reply("Continue")), language="en_US", parameter_format="NAMED",
    ),
    _seed(
        "answer_ready", "UTILITY", _body("Hi {{1}}, we have an answer to case {{2}}. Reply to continue."),
        _buttons(_reply("Continue")),
    ),
    _seed(
        "answer_ready", "UTILITY", _body("Hallo {{1}}, wir haben eine Antwort zu Fall {{2}}. Antworten Sie einfach."),
        _buttons(_reply("Weiter")), language="de",
    ),
    _seed(
        "order_shipped", "UTILITY", {"type": "HEADER", "format": "TEXT", "text": "Order {{1}}"},
        _body("Hi {{1}}, your parcel leaves us today and arrives on {{2}}."), {"type": "FOOTER", "text": "Fernhill"},
        _buttons({"type": "URL", "text": "Track", "url": "https://fernhill.example/track/{{1}}"}, _reply("Ask us")),
    ),
    _seed(
        "spring_offer", "MARKETING", {"type": "HEADER", "format": "IMAGE"},
        _body("{{1}}, everything for the garden is 20 % off until Sunday."),
        _buttons(_reply("Show me"), _reply("No more offers")),
    ),
    _seed("delivery_delayed", "UTILITY", _body("Hi {{1}}, your parcel is late. We are sorry."), status="PAUSED"),
    _seed("win_a_trip", "MARKETING", _body("Win a trip, {{1}}!"), status="REJECTED", rejected_reason="ABUSIVE_CONTENT"),
    _seed(
        "sign_in_code", "AUTHENTICATION", _body("{{1}} is your verification code."),
        _buttons({"type": "URL", "text": "Copy code", "url": "https://www.whatsapp.com/otp/code/?code={{1}}"}),
    ),
)  # fmt: skip


class Templates:
    """What the account's templates are now; changes outlive a kill."""

    def __init__(self, store: Store) -> None:
        self._store, self._lock = store, threading.Lock()
        kept = store.kept("templates")
        self._all: list[Template] = kept if kept is not None else [
            {**seed, "id": str(1689556908129800 + place)} for place, seed in enumerate(SEEDS, 1)
        ]  # fmt: skip

    def all(self) -> list[Template]:
        with self._lock:
            return [dict(one) for one in self._all]

    def find(self, name: str, language: str | None = None) -> Template | None:
        """Return the template of this name and language; without a language, the first of the name."""
        fits = (one for one in self.all() if one["name"] == name and language in (None, one["language"]))
        return next(fits, None)

    def put(self, asked: Mapping[str, Any]) -> Template:
        """Add a template, or change the one of this name and language; raises ValueError when it makes no sense."""
        name, language = str(asked.get("name", "")), str(asked.get("language") or "en")
        if not re.fullmatch(r"[a-z0-9_]{1,512}", name):
            raise ValueError("A template needs a name of small letters, digits and underscores.")
        before = self.find(name, language)
        given = {key: value for key, value in asked.items() if value is not None}
        template = {**(before or _seed(name, "UTILITY", _body(name))), **given, "name": name, "language": language}
        _check_made(template)
        with self._lock:
            template.setdefault("id", str(1689556908129801 + len(self._all)))
            self._all = [one for one in self._all if (one["name"], one["language"]) != (name, language)] + [template]
            self._store.keep("templates", self._all)
        return dict(template)

    def drop(self, name: str) -> int:
        """Delete a template in all its languages; return in how many there was one."""
        with self._lock:
            left = [one for one in self._all if one["name"] != name]
            gone = len(self._all) - len(left)
            self._all = left
            self._store.keep("templates", self._all)
        return gone

    def check(self, sent: Mapping[str, Any], *, has_phone: bool) -> Template:
        """Return the approved template that is sent, or refuse as Meta does."""
        name, language = sent["name"], sent["language"]["code"]
        template = self.find(name, language)
        if template is None or template["status"] in ("PENDING", "REJECTED"):
            raise Refused(132001, f"template name ({name}) does not exist in {language}")
        if template["status"] in ("PAUSED", "DISABLED"):
            raise Refused(132015 if template["status"] == "PAUSED" else 132016)
        if template["category"] == "AUTHENTICATION" and not has_phone:
            raise Refused(131062, "Authentication templates need a phone number.")
        _check_components(template, list(sent.get("components") or []))
        return template


def _check_made(template: Template) -> None:
    """Refuse a template that could not be read when it is sent; raises ValueError."""
    for key, known in (("status", STATUSES), ("category", CATEGORIES), ("parameter_format", FORMATS)):
        if template[key] not in known:
            raise ValueError(f"{key} is one of {', '.join(known)}.")
    if not re.fullmatch(r"[A-Za-z_]{2,20}", template["language"], re.ASCII):
        raise ValueError("language is a code such as en or en_US.")
    if "id" in template and not re.fullmatch(r"\d{1,20}", str(template["id"]), re.ASCII):
        raise ValueError("The id of a template is digits.")
    score = template.get("quality_score")
    if not (
        score is None or isinstance(score, str) or (isinstance(score, dict) and isinstance(score.get("score"), str))
    ):
        raise ValueError('quality_score is a word such as GREEN, or {"score": word}.')
    components = template["components"]
    if not isinstance(components, list) or not components or not all(map(_is_component, components)):
        raise ValueError(
            "components is a list of objects with a type: HEADER, BODY, FOOTER (each with a text, a HEADER of another"
            " format than TEXT without) or BUTTONS (buttons, each with a type and a text; a URL with its url)."
        )


def _is_component(given: object) -> bool:
    component = given if isinstance(given, dict) else {}
    if component.get("type") == "BUTTONS":
        buttons = component.get("buttons")
        return isinstance(buttons, list) and bool(buttons) and all(map(_is_button_made, buttons))
    if component.get("type") == "HEADER" and component.get("format", "TEXT") != "TEXT":
        return component["format"] in ("IMAGE", "VIDEO", "DOCUMENT")
    return component.get("type") in ("HEADER", "BODY", "FOOTER") and isinstance(component.get("text"), str)


def _is_button_made(given: object) -> bool:
    button = given if isinstance(given, dict) else {}
    wanted = ("type", "text", "url") if button.get("type") == "URL" else ("type", "text")
    return all(isinstance(button.get(key), str) for key in wanted)


def filled(template: Template, sent: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the phone shows of a template: its texts with their gaps filled, and its buttons."""
    given = list(sent.get("components") or [])
    shown: dict[str, Any] = {"header": "", "text": "", "footer": "", "buttons": []}
    for component in template["components"]:
        kind = component["type"].lower()
        if kind == "buttons":
            shown["buttons"] = [_button(place, one, given) for place, one in enumerate(component["buttons"])]
        elif component.get("text"):
            shown["text" if kind == "body" else kind] = _fill(component["text"], _parameters(given, kind))
    return shown


def _button(place: int, button: Mapping[str, Any], given: list[Any]) -> dict[str, Any]:
    payload: list[Any] = next((_list(one) for one in given if _is_button(one, place)), [])
    if button["type"] == "URL":
        return {"title": button["text"], "url": _fill(button["url"], payload)}
    return {"title": button["text"], "id": str((payload or [{}])[0].get("payload") or button["text"])}


def _fill(text: str, parameters: list[Mapping[str, Any]]) -> str:
    named = {str(one.get("parameter_name") or place): _said(one) for place, one in enumerate(parameters, 1)}
    return GAP.sub(lambda gap: named.get(gap[1], gap[0]), text)


def _said(parameter: Mapping[str, Any]) -> str:
    node = parameter.get(str(parameter.get("type")))
    return str(node.get("fallback_value", "")) if isinstance(node, dict) else str(node)


def _list(component: Mapping[str, Any]) -> list[Any]:
    found = component.get("parameters")
    return found if isinstance(found, list) else []


def _is_button(component: Mapping[str, Any], place: int) -> bool:
    return str(component.get("type")).lower() == "button" and str(component.get("index")) == str(place)


def _parameters(given: list[Any], kind: str) -> list[Any]:
    return next((_list(one) for one in given if str(one.get("type")).lower() == kind), [])


def _check_components(template: Template, given: list[Any]) -> None:
    kinds = {component["type"].lower(): component for component in template["components"]}
    for component in given:
        kind = str(component.get("type")).lower()
        if kind not in ("header", "body", "button") or kind.replace("button", "buttons") not in kinds:
            raise Refused(132012, f"{kind}: the template has no such component")
    is_named = template.get("parameter_format") == "NAMED"
    for kind, component in kinds.items():
        if kind == "header" and component.get("format", "TEXT") != "TEXT":
            _check_media_header(component["format"].lower(), _parameters(given, kind))
        elif kind in ("header", "body"):
            _check_gaps(kind, component["text"], _parameters(given, kind), is_named=is_named)
        elif kind == "buttons":
            _check_buttons(component["buttons"], given)


def _check_media_header(kind: str, parameters: list[Any]) -> None:
    if len(parameters) != 1:
        raise Refused(132012, f"header: Format mismatch, expected {kind.upper()}, received UNKNOWN")
    node = parameters[0].get(kind)
    if parameters[0].get("type") != kind or not isinstance(node, dict):
        received = str(parameters[0].get("type")).upper()
        raise Refused(132012, f"header: Format mismatch, expected {kind.upper()}, received {received}")
    if len([key for key in ("id", "link") if node.get(key)]) != 1:
        raise missing(f"header.{kind}.id or header.{kind}.link (exactly one of them)")


def _check_gaps(kind: str, text: str, parameters: list[Any], *, is_named: bool) -> None:
    gaps = list(dict.fromkeys(GAP.findall(text)))
    if len(gaps) != len(parameters):
        raise Refused(
            132000,
            f"{kind}: number of localizable_params ({len(parameters)}) does not match the expected number of params"
            f" ({len(gaps)})",
        )
    for place, parameter in enumerate(parameters):
        if parameter.get("type") not in ("text", "currency", "date_time"):
            raise Refused(132012, f"{kind}: parameter {place + 1} must be of type text, currency or date_time")
        words = _said(parameter)
        if not words.strip() or words == "None":
            raise missing(f"{kind}: text of parameter {place + 1}")
        if re.search(r"[\n\t]| {5}", words):
            raise Refused(132012, "Param text cannot have new-line/tab characters or more than 4 consecutive spaces")
        if is_named != bool(parameter.get("parameter_name")) or (is_named and parameter["parameter_name"] not in gaps):
            raise Refused(132012, f"{kind}: Parameter name is missing or empty, or is not one of {', '.join(gaps)}")
    if len(_fill(text, parameters)) > LONGEST_FILLED:
        raise Refused(132005, f"{kind}: the filled text is longer than {LONGEST_FILLED} characters")


def _check_buttons(buttons: list[Any], given: list[Any]) -> None:
    for place, button in enumerate(buttons):
        parameters: list[Any] = next((_list(one) for one in given if _is_button(one, place)), [])
        if button["type"] == "URL" and GAP.search(button["url"]) and not parameters:
            raise Refused(131008, f"buttons: Button at index {place} of type Url requires a parameter")
    for component in given:
        if str(component.get("type")).lower() != "button":
            continue
        index = str(component.get("index", ""))
        button = buttons[int(index)] if index.isdigit() and int(index) < len(buttons) else None
        if button is None or str(component.get("sub_type")).lower() != button["type"].lower():
            raise Refused(132012, f"buttons: the template has no {component.get('sub_type')} button at index {index}")
        wanted = "payload" if button["type"] == "QUICK_REPLY" else "text"
        if any(parameter.get("type") != wanted for parameter in _list(component)):
            raise Refused(132012, f"buttons: Button at index {index} takes a parameter of type {wanted}")
