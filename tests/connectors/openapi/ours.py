"""A schema of what we send, written by us from the reference: it is always there, and stricter than Meta's.

It knows only what Baton sends, so a key nobody meant to send is an error. The three rules no JSON Schema can say
(ids and titles unlike each other; ten rows over all sections, of which we send one) are `bot.messages`' to keep.
"""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator

Schema = dict[str, Any]


def _text(most: int, least: int = 1) -> Schema:
    return {"type": "string", "minLength": least, "maxLength": most}


def _node(required: str, optional: str = "", **properties: Any) -> Schema:
    names = [*required.split(), *optional.split()]
    assert set(names) == set(properties)
    return {"type": "object", "required": required.split(), "properties": properties, "additionalProperties": False}


WORDS = {"pattern": r"\S"}
WAMID = _text(512)
LINK = {"type": "string", "pattern": r"^https?://[^\s/]\S*$", "maxLength": 2000}
ID = {**_text(200), "pattern": r"^\S([\s\S]*\S)?$"}
BODY = _node("text", text={**_text(1024), **WORDS})
FOOTER = _node("text", text={**_text(60), **WORDS})


def _media(optional: str = "", **properties: Any) -> Schema:
    return {
        "oneOf": [
            _node("link", optional, link=LINK, **properties),
            _node("id", optional, id=_text(512), **properties),
        ]
    }


CAPTION = _text(1024)
FILE = {"filename": _text(512)}
HEADER_TEXT = _node("type text", type={"const": "text"}, text={**_text(60), **WORDS})
HEADER = {
    "oneOf": [
        HEADER_TEXT,
        _node("type image", type={"const": "image"}, image=_media()),
        _node("type video", type={"const": "video"}, video=_media()),
        _node("type document", type={"const": "document"}, document=_media("filename", **FILE)),
    ]
}


def _action(name: str, parameters: Schema | None = None) -> Schema:
    if parameters is None:
        return _node("name", name={"const": name})
    return _node("name parameters", name={"const": name}, parameters=parameters)


def _interactive(kind: str, action: Schema, header: Schema | None = None) -> Schema:
    always = {"type": {"const": kind}, "body": BODY, "action": action}
    if header is None:
        return _node("type body action", **always)
    return _node("type body action", "header footer", **always, header=header, footer=FOOTER)


REPLY = _node("id title", id=ID, title={**_text(20), **WORDS})
ROW = _node("id title", "description", id=ID, title={**_text(24), **WORDS}, description=_text(72))
FLOW = _node(
    "flow_message_version flow_id flow_cta flow_token flow_action", "mode flow_action_payload",
    flow_message_version={"const": "3"}, flow_id=_text(512), flow_cta=_text(20), flow_token=_text(1024),
    flow_action={"enum": ["navigate", "data_exchange"]}, mode={"const": "draft"},
    flow_action_payload=_node("screen", "data", screen=_text(512), data={"type": "object", "minProperties": 1}),
)  # fmt: skip
URL_BUTTON = _node("display_text url", display_text=_text(20), url=LINK)
INTERACTIVE = {
    "oneOf": [
        _interactive(
            "button",
            _node(
                "buttons",
                buttons={
                    "type": "array", "minItems": 1, "maxItems": 3, "uniqueItems": True,
                    "items": _node("type reply", type={"const": "reply"}, reply=REPLY),
                },
            ),
            HEADER,
        ),
        _interactive(
            "list",
            _node(
                "button sections",
                button=_text(20),
                sections={
                    "type": "array", "minItems": 1, "maxItems": 1,
                    "items": _node("rows", rows={"type": "array", "minItems": 1, "maxItems": 10, "items": ROW}),
                },
            ),
            HEADER_TEXT,
        ),
        _interactive("cta_url", _action("cta_url", URL_BUTTON), HEADER),
        _interactive("flow", _action("flow", FLOW), HEADER_TEXT),
        _interactive("location_request_message", _action("send_location")),
        _interactive("request_contact_info", _action("request_contact_info")),
    ]
}  # fmt: skip

BLANK = _node("type text", "parameter_name", type={"const": "text"}, text=_text(1024), parameter_name=_text(200))
SHOWN = {
    "oneOf": [
        BLANK,
        *(_node(f"type {kind}", type={"const": kind}, **{kind: _media()}) for kind in ("image", "video")),
        _node("type document", type={"const": "document"}, document=_media("filename", **FILE)),
    ]
}
INDEX = {"type": "string", "pattern": "^[0-9]$"}


def _parameters(item: Schema, most: int | None = None) -> Schema:
    return {"type": "array", "minItems": 1, "items": item, **({"maxItems": most} if most else {})}


def _button(sub_type: str, parameter: Schema) -> Schema:
    return _node(
        "type sub_type index parameters", type={"const": "button"}, sub_type={"const": sub_type}, index=INDEX,
        parameters=_parameters(parameter, 1),
    )  # fmt: skip


TEMPLATE = _node(
    "name language", "components",
    name={"type": "string", "pattern": "^[a-z0-9_]{1,512}$"},
    language=_node("code", code={"type": "string", "pattern": "^[a-z]{2,3}(_[A-Za-z]{2,4})?$"}),
    components={
        "type": "array", "minItems": 1,
        "items": {
            "oneOf": [
                _node("type parameters", type={"const": "header"}, parameters=_parameters(SHOWN, 1)),
                _node("type parameters", type={"const": "body"}, parameters=_parameters(BLANK)),
                _button("quick_reply", _node("type payload", type={"const": "payload"}, payload=_text(200))),
                _button("url", _node("type text", type={"const": "text"}, text=_text(2000))),
            ]
        },
    },
)  # fmt: skip
CARD = _node(
    "name", "phones emails org",
    name=_node("formatted_name first_name", formatted_name=_text(1024), first_name=_text(1024)),
    phones=_parameters(_node("phone", "wa_id", phone=_text(64), wa_id=_text(64))),
    emails=_parameters(_node("email", email=_text(320))),
    org=_node("company", company=_text(1024)),
)  # fmt: skip
DEGREES = {"minimum": -180, "maximum": 180, "type": "number"}
NODES: dict[str, Schema] = {
    "text": _node("preview_url body", preview_url={"type": "boolean"}, body={**_text(4096), **WORDS}),
    "image": _media("caption", caption=CAPTION),
    "video": _media("caption", caption=CAPTION),
    "audio": _media("voice", voice={"const": True}),
    "document": _media("caption filename", caption=CAPTION, **FILE),
    "sticker": _media(),
    "location": _node(
        "latitude longitude", "name address", latitude={**DEGREES, "minimum": -90, "maximum": 90}, longitude=DEGREES,
        name=_text(1024), address=_text(1024),
    ),
    "contacts": {"type": "array", "minItems": 1, "maxItems": 5, "items": CARD},
    "reaction": _node("message_id emoji", message_id=WAMID, emoji=_text(32, least=0)),
    "template": TEMPLATE,
    "interactive": INTERACTIVE,
}  # fmt: skip
UNQUOTING = {"reaction", "template"}


def _message(kind: str, address: str) -> Schema:
    addresses = {
        "to": {"pattern": r"^\+\d{5,15}$"},
        "recipient": {"pattern": r"^[A-Z]{2}\.(ENT\.)?[0-9A-Za-z]{1,128}$"},
    }
    quoting = {} if kind in UNQUOTING else {"context": _node("message_id", message_id=WAMID)}
    return _node(
        f"messaging_product recipient_type type {address} {kind}", f"biz_opaque_callback_data {' '.join(quoting)}",
        messaging_product={"const": "whatsapp"}, recipient_type={"const": "individual"}, type={"const": kind},
        biz_opaque_callback_data=_text(512),
        **{address: {"type": "string", **addresses[address]}, kind: NODES[kind]}, **quoting,
    )  # fmt: skip


RECEIPT = _node(
    "messaging_product status message_id", "typing_indicator",
    messaging_product={"const": "whatsapp"}, status={"const": "read"}, message_id=WAMID,
    typing_indicator=_node("type", type={"const": "text"}),
)  # fmt: skip
OURS = Draft202012Validator(
    {"oneOf": [*(_message(kind, address) for kind in NODES for address in ("to", "recipient")), RECEIPT]}
)
