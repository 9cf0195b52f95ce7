"""domain.yml, the rules and the action server agree on the names of things."""

from __future__ import annotations

import re

from rasa_sdk.executor import ActionExecutor
from ruamel.yaml import YAML

import actions
from bot.content.catalogue import Catalogue
from bot.ledger.ratings import PAYLOAD
from bot.promises import Telling
from bot.settings import ROOT

DOMAIN = YAML(typ="safe").load(ROOT / "domain.yml")
RESPONSES = Catalogue.load(ROOT / "data" / "responses").responses
RULES = [rule for path in (ROOT / "data" / "rules").glob("*.yml") for rule in YAML(typ="safe").load(path)["rules"]]
OURS = re.compile(r"utter_\w+")


def test_the_action_server_has_exactly_the_actions_of_the_domain() -> None:
    server = ActionExecutor()
    server.register_package(actions)
    # Actions that tests have defined are on it too, when they run in the same process.
    ours = {name for name, run in server.actions.items() if type(run.__self__).__module__.startswith("actions.")}
    assert ours == set(DOMAIN["actions"])


def test_every_intent_leads_somewhere() -> None:
    led = {step["intent"] for rule in RULES for step in rule["steps"] if "intent" in step}
    assert led == set(DOMAIN["intents"])


def test_every_sentence_is_said_by_something_and_every_said_one_exists() -> None:
    code = [
        path.read_text() for folder in ("actions", "connectors", "handoff") for path in (ROOT / folder).rglob("*.py")
    ]
    rules = [path.read_text() for path in (ROOT / "data" / "rules").glob("*.yml")]
    named = {name for text in [*code, *rules] for name in OURS.findall(text)} - {"utter_action", "utter_message"}
    built = {name for name in RESPONSES if name.startswith(("utter_order_", "utter_ask_"))}  # by status and by slot
    built |= {f"utter_promise_{told.value}" for told in Telling}
    assert built <= set(RESPONSES)
    desk = {name for name, response in RESPONSES.items() if response.path.name == "desk.yml"}
    assert {name for name in named if name not in RESPONSES} - {"utter_order_", "utter_promise_"} == set()
    assert set(RESPONSES) - named - built - desk == set()


def test_every_button_leads_to_an_intent() -> None:
    for response in RESPONSES.values():
        for choice in response.choices:
            if PAYLOAD.fullmatch(choice.payload.replace("{handoff}", "1")) is None:  # the ledger hears those itself
                assert choice.payload.removeprefix("/") in DOMAIN["intents"], f"{response.path}: {response.name}"
