"""What is wrong or missing in Meta's published schema of a send, each with its reason; applied to their file.

The file itself (v23.0, November 2025) lies in ../shared/data/meta-openapi; nothing of it is copied here. The
reference is ../shared/docs/whatsapp-cloud-api.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from bot.settings import ROOT

PUBLISHED = ROOT.parent / "shared" / "data" / "meta-openapi" / "business-messaging-api_v23.0.yaml"
PATH = "/{Version}/{Phone-Number-ID}/messages"
Schemas = dict[str, Any]

# Meta's own examples that Meta itself would refuse.
INVALID_EXAMPLES = {
    "Send Reply to List Message": "it has no type, so it is a text without one",
    "Send Multi-Product Message": "its header's type is a placeholder, <HEADER_TYPE>",
    "Send Sample Issue Resolution Template": "a quick reply's parameter is a text that is true or false, not a payload",
}


@dataclass(frozen=True)
class Patch:
    """One mend of the published schemas."""

    reason: str
    apply: Callable[[Schemas], None]


def _text(most: int) -> Schemas:
    return {"type": "string", "minLength": 1, "maxLength": most}


def _object(required: list[str], **properties: Any) -> Schemas:
    return {"type": "object", "required": required, "properties": properties}


def _messages(schemas: Schemas) -> list[Schemas]:
    return [schemas[row["$ref"].rpartition("/")[2]] for row in schemas["Message"]["oneOf"] if "$ref" in row]


def _own(message: Schemas) -> Schemas:
    """Return the half of a message's allOf that is not shared."""
    own: Schemas = message["allOf"][1]
    return own


def _close_once(schemas: Schemas) -> None:
    for message in _messages(schemas):
        _own(message).pop("additionalProperties", None)
        message["unevaluatedProperties"] = False


def _free_the_type(schemas: Schemas) -> None:
    base = schemas["BaseMessageProperties"]
    base["required"] = ["messaging_product"]
    base["properties"]["messaging_product"] = {"const": "whatsapp"}
    for message in _messages(schemas):
        own = _own(message)
        if "text" not in own["properties"]:
            own["required"] = ["type", *own["required"]]


def _let_hidden_numbers_be_addressed(schemas: Schemas) -> None:
    base = schemas["BaseMessageProperties"]
    base["properties"]["to"] = _text(64)
    base["properties"]["recipient"] = {"type": "string", "pattern": r"^[A-Z]{2}\.(ENT\.)?[0-9A-Za-z]{1,128}$"}
    base["anyOf"] = [{"required": ["to"]}, {"required": ["recipient"]}]


def _know_the_callback(schemas: Schemas) -> None:
    schemas["BaseMessageProperties"]["properties"]["biz_opaque_callback_data"] = _text(512)


def _require_what_a_quote_quotes(schemas: Schemas) -> None:
    schemas["MessageContext"]["required"] = ["message_id"]
    _own(schemas["ReactionMessage"])["not"] = {"required": ["context"]}


def _require_words(schemas: Schemas) -> None:
    text = _own(schemas["TextMessage"])["properties"]["text"]
    text["required"] = ["body"]
    text["properties"]["body"] = {**_text(4096), "pattern": r"\S"}
    for name, most in (("BodyObject", 1024), ("FooterObject", 60)):
        schemas[name]["properties"]["text"] = _text(most)


def _make_places_numbers(schemas: Schemas) -> None:
    location = _own(schemas["LocationMessage"])["properties"]["location"]
    location["required"] = ["latitude", "longitude"]
    for name, most in (("latitude", 90), ("longitude", 180)):
        location["properties"][name] = {"type": "number", "minimum": -most, "maximum": most}


def _require_the_reaction(schemas: Schemas) -> None:
    reaction = _own(schemas["ReactionMessage"])["properties"]["reaction"]
    reaction["required"] = ["message_id", "emoji"]
    reaction["properties"]["emoji"] = {"type": "string", "maxLength": 32}  # an empty one takes it away


def _limit_media(schemas: Schemas) -> None:
    media = schemas["MediaObject"]
    media["properties"] = {
        "id": _text(512), "link": _text(2048), "caption": {"type": "string", "maxLength": 1024},
        "filename": {"type": "string"}, "voice": {"type": "boolean"},
    }  # fmt: skip
    audio = _own(schemas["AudioMessage"])["properties"]
    audio["audio"] = {"allOf": [audio["audio"], {"not": {"required": ["caption"]}}]}


def _mend_headers(schemas: Schemas) -> None:
    header = schemas["HeaderObject"]
    header["properties"]["text"] = _text(60)
    header["allOf"] = [
        {"if": {"properties": {"type": {"const": kind}}}, "then": {"required": [kind]}}
        for kind in ("text", "image", "video", "document")
    ]
    for kind in ("image", "video", "document"):
        node = header["properties"][kind]
        header["properties"][kind] = {"allOf": [node, {"not": {"required": ["caption"]}}]}


def _parameters_of(name: str, required: list[str], **properties: Any) -> Schemas:
    parameters = _object(required, **properties)
    return _object(["name", "parameters"], name={"const": name}, parameters=parameters)


def _know_newer_interactives(schemas: Schemas) -> None:
    schemas["InteractiveObject"]["properties"]["type"]["enum"] += ["cta_url", "location_request_message", "request_contact_info"]  # fmt: skip  # noqa: E501
    schemas["ActionObject"]["oneOf"] += [
        _parameters_of("cta_url", ["display_text", "url"], display_text=_text(20), url={"pattern": "^https?://[^/]"}),
        *(_object(["name"], name={"const": name}) for name in ("send_location", "request_contact_info")),
    ]


def _know_orders(schemas: Schemas) -> None:
    schemas["InteractiveObject"]["properties"]["type"]["enum"] += ["order_details", "order_status"]
    schemas["ActionObject"]["oneOf"] += [
        _parameters_of("review_and_pay", ["reference_id", "order"]),
        _parameters_of("review_order", ["reference_id", "order"]),
    ]


def _tie_actions_to_types(schemas: Schemas) -> None:
    needs: dict[str, Schemas] = {
        "button": {"required": ["buttons"]},
        "list": {"required": ["button", "sections"]},
        **{
            kind: {"required": ["name"], "properties": {"name": {"const": name}}}
            for kind, name in {
                "flow": "flow", "cta_url": "cta_url", "location_request_message": "send_location",
                "request_contact_info": "request_contact_info", "catalog_message": "catalog_message",
            }.items()
        },
    }  # fmt: skip
    schemas["InteractiveObject"]["allOf"] = [
        {
            "if": {"properties": {"type": {"const": kind}}},
            "then": {"required": ["body"], "properties": {"action": action}},
        }
        for kind, action in needs.items()
    ]


def _give_titles_a_least_length(schemas: Schemas) -> None:
    rows = schemas["SectionObject"]["properties"]["rows"]
    row = rows["items"]["properties"]
    rows["minItems"] = 1
    row["id"], row["title"] = _text(200), _text(24)
    listed, buttons = schemas["ActionObject"]["oneOf"][:2]
    listed["properties"]["button"] = _text(20)
    reply = buttons["properties"]["buttons"]["items"]["properties"]["reply"]["properties"]
    reply["id"], reply["title"] = {**_text(256), "pattern": r"^\S([\s\S]*\S)?$"}, _text(20)


def _free_the_policy(schemas: Schemas) -> None:
    schemas["LanguageObject"]["required"] = ["code"]


def _mend_template_buttons(schemas: Schemas) -> None:
    component = schemas["TemplateComponent"]
    component["properties"]["sub_type"] = {
        "type": "string", "pattern": "^(?i:quick_reply|url|catalog|flow|copy_code|mpm|order_details)$",
    }  # fmt: skip
    component["properties"]["index"] = {"anyOf": [{"type": "integer", "minimum": 0}, {"pattern": r"^\d$"}]}
    component["properties"]["parameters"]["items"] = _object(["type"], text=_text(1024), payload=_text(256))
    component["allOf"] = [
        {"if": {"properties": {"type": {"const": "button"}}}, "then": {"required": ["sub_type", "index"]}}
    ]


def _require_names_of_contacts(schemas: Schemas) -> None:
    schemas["ContactObject"]["required"] = ["name"]
    schemas["NameObject"] |= {"required": ["formatted_name"], "minProperties": 2}


def _know_read_receipts(schemas: Schemas) -> None:
    receipt = _object(
        ["messaging_product", "status", "message_id"],
        messaging_product={"const": "whatsapp"}, status={"const": "read"}, message_id=_text(512),
        typing_indicator={**_object(["type"], type={"const": "text"}), "additionalProperties": False},
    )  # fmt: skip
    schemas["Message"]["oneOf"].append({**receipt, "additionalProperties": False})


PATCHES = [
    Patch("allOf joins two halves that each forbid what the other has, so no message at all is valid", _close_once),
    Patch("recipient_type has a default, and so has type: text; Meta's own examples leave both out", _free_the_type),
    Patch(
        "since 2026 a contact may hide the number: recipient instead of to, one of the two is needed",
        _let_hidden_numbers_be_addressed,
    ),
    Patch("biz_opaque_callback_data is documented and was forgotten", _know_the_callback),
    Patch("a quote without an id quotes nothing, and reactions can't quote", _require_what_a_quote_quotes),
    Patch("texts, bodies and footers are documented with at least one character, a text with 4096", _require_words),
    Patch("latitude and longitude are typed as strings, against Meta's own example", _make_places_numbers),
    Patch("a reaction without a message or an emoji passed", _require_the_reaction),
    Patch("captions have 1024 characters, sounds none; ids and links can't be empty", _limit_media),
    Patch("a header without what its type names passed; media in it have no caption", _mend_headers),
    Patch("links, location requests and contact requests are newer than the file", _know_newer_interactives),
    Patch("order messages are among Meta's examples, but not among its types", _know_orders),
    Patch("any action passed with any type of interactive message, and without a text", _tie_actions_to_types),
    Patch("titles and ids could be empty, ids end in blanks", _give_titles_a_least_length),
    Patch("a language's policy has one value and is left out in Meta's examples", _free_the_policy),
    Patch(
        "a template button's index had the pattern ^[2-6, 11-14]$, its sub_type no flow and no CATALOG, its parameters "
        "no type at all",
        _mend_template_buttons,
    ),
    Patch("a contact card needs its whole name and one part of it", _require_names_of_contacts),
    Patch("read receipts and typing go to the same address and are among its examples", _know_read_receipts),
]


@lru_cache
def published() -> dict[str, Any] | None:
    """Return Meta's document; None where it does not lie beside the project."""
    if not PUBLISHED.exists():
        return None
    document: dict[str, Any] = YAML(typ="safe").load(PUBLISHED)
    return document


def examples() -> dict[str, Any]:
    """Return the bodies Meta gives as examples, by name."""
    document = published()
    if document is None:
        return {}
    content = document["paths"][PATH]["post"]["requestBody"]["content"]["application/json"]
    return {name: example["value"] for name, example in content["examples"].items()}


def validator(patches: list[Patch]) -> Draft202012Validator:
    """Return Meta's schema of a send with these patches on it."""
    document = published()
    assert document is not None
    schemas = json.loads(json.dumps(document["components"]["schemas"], default=str))
    for patch in patches:
        patch.apply(schemas)
    return Draft202012Validator({"$ref": "#/components/schemas/Message", "components": {"schemas": schemas}})


@lru_cache
def patched() -> Draft202012Validator | None:
    """Return Meta's schema with every patch; None where it does not lie beside the project."""
    return None if published() is None else validator(PATCHES)
