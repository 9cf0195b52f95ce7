"""The calls for other bots, and for hooks."""

from __future__ import annotations

from bot.vocabulary import Happening, Reason
from handoff.openapi.operation import Operation
from handoff.openapi.schemas import CHANNEL, ID, MOMENT, SPOKEN, TEXT, Schema, given, many, ref, thing, words
from handoff.roles import Scope

OWN_ID: Schema = {"type": "string", "minLength": 1, "maxLength": 200}
NOT_THEIRS = ("stepped_in", "phone", "undelivered")
REASONS: Schema = {"type": "string", "enum": [one.value for one in Reason if one.value not in NOT_THEIRS]}
PLAIN: Schema = {"type": ["string", "number", "boolean", "null"], "maxLength": 900}
BRING = given(
    {"channel": CHANNEL, "conversation_id": OWN_ID | {"description": "your id of the conversation"}},
    {
        "name": {"type": "string", "maxLength": 200, "description": "of the contact"},
        "reason": REASONS | {"default": "asked"},
        "wish": {"type": "string", "maxLength": 4096, "description": "in the contact's own words"},
        "evidence": {"type": "string", "maxLength": 4096, "description": "why you think so"},
        "slots": {
            "type": "object",
            "additionalProperties": PLAIN,
            "maxProperties": 50,
            "propertyNames": {"maxLength": 90},
        },
        "transcript": {"type": "array", "items": ref("Line"), "maxItems": 500},
        "language": {"type": "string", "maxLength": 20},
        "team": {"type": "string", "maxLength": 80, "description": "the name of the team that is wanted; see /teams"},
    },
)
MINE = ("role_forbids", "unknown_handoff")

HANDOFFS = [
    Operation(
        "post", "/handoffs", "Bring a contact of another bot", "Handoffs", Scope.HANDOFFS,
        {201: ref("Handoff"), 200: ref("Handoff")}, body=BRING, keyed=True,
        errors=("role_forbids", "too_long", "unknown_team"),
        says="They join the queue with a promise; show them the sentence. The same conversation_id again is the same "
        "handoff while that is open (200), and a new one once it is closed, unless the Idempotency-Key is the same.",
    ),
    Operation("get", "/handoffs/{id}", "How a handoff stands", "Handoffs", Scope.HANDOFFS, {200: ref("Handoff")},
              errors=MINE),
    Operation(
        "get", "/handoffs/{id}/messages", "What was said", "Handoffs", Scope.HANDOFFS, {200: many(ref("Message"))},
        query={"after": {"type": "string", "description": "the last message you have: you have all before it"},
               "limit": {"type": "integer", "minimum": 1, "maximum": 200}},
        errors=(*MINE, "bad_body"),
        says="Oldest first, 200 at most, without notes: for who can't be called by a hook.",
    ),
    Operation(
        "post", "/handoffs/{id}/messages", "Pass on what the contact writes", "Handoffs", Scope.HANDOFFS,
        {201: ref("Written")}, keyed=True,
        body=given({"text": SPOKEN}, {"id": OWN_ID | {"description": "yours; the same again is the same message"},
                                      "at": MOMENT}),
        errors=(*MINE, "too_long", "closed", "key_used"),
        says="It needs an id, or an Idempotency-Key. 409 closed: the conversation is yours again, answer it yourself.",
    ),
    Operation("post", "/handoffs/{id}/cancel", "The contact would rather go on with you", "Handoffs", Scope.HANDOFFS,
              {200: ref("Handoff")}, errors=(*MINE, "already_taken")),
]  # fmt: skip

KNOWN = ("role_forbids", "unknown_hook")
AGAIN = {202: thing(again=many(ID))}

HOOKS = [
    Operation("get", "/hooks", "List hooks", "Hooks", Scope.WEBHOOKS, {200: many(ref("Hook"))},
              errors=("role_forbids",)),
    Operation(
        "post", "/hooks", "Make a hook", "Hooks", Scope.WEBHOOKS, {201: ref("MadeHook")},
        body=given({"url": TEXT | {"maxLength": 2000}, "events": many(words(Happening)) | {"minItems": 1}},
                   {"channel": CHANNEL | {"description": "only of guests on this channel"}}),
        errors=("role_forbids", "bad_url", "too_long"), says="Only this answer has its secret.",
    ),
    Operation("get", "/hooks/{id}", "Read a hook", "Hooks", Scope.WEBHOOKS, {200: ref("Hook")}, errors=KNOWN),
    Operation("delete", "/hooks/{id}", "Forget a hook", "Hooks", Scope.WEBHOOKS, {204: None}, errors=KNOWN),
    Operation("post", "/hooks/{id}/on", "Switch a hook on", "Hooks", Scope.WEBHOOKS, {200: ref("Hook")},
              errors=KNOWN),
    Operation("post", "/hooks/{id}/off", "Switch a hook off", "Hooks", Scope.WEBHOOKS, {200: ref("Hook")},
              errors=KNOWN),
    Operation(
        "get", "/hooks/{id}/calls", "A hook's calls, the newest first", "Hooks", Scope.WEBHOOKS,
        {200: many(ref("Call"))}, errors=(*KNOWN, "bad_body"),
        query={"limit": {"type": "integer", "minimum": 1, "maximum": 1000}, "before": {"type": "string"}},
    ),
    Operation("post", "/hooks/{id}/again", "Tell all that failed once more", "Hooks", Scope.WEBHOOKS, AGAIN,
              errors=(*KNOWN, "not_allowed")),
    Operation("post", "/hooks/{id}/calls/{call}/again", "Tell one thing once more", "Hooks", Scope.WEBHOOKS, AGAIN,
              errors=(*KNOWN, "not_allowed")),
]  # fmt: skip
