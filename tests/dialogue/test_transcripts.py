"""Every transcript beside this file, played with the real bot. How to write one: data/README.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from bot.ledger.handoffs import TAKEN_BACK
from bot.messages import Tap
from bot.settings import ROOT
from tests.dialogue.stage import Scene, Stage

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # Rasa's own advice to its users

HERE = Path(__file__).parent


def transcripts() -> list[Any]:
    found = []
    for path in sorted(HERE.glob("*.yml")):
        for transcript in YAML(typ="safe").load(path):
            found.append(pytest.param(transcript, id=f"{path.stem}: {transcript['name']}"))
    return found


@pytest.mark.parametrize("transcript", transcripts())
def test_the_bot_keeps_to_the_transcript(stage: Stage, salt: str, transcript: dict[str, Any]) -> None:
    scene = stage.enter(transcript.get("from", "stranger"), salt)
    stage.shop.is_open = True
    for n, step in enumerate(transcript["talk"], start=1):
        ((verb, what),) = step.items()
        where = f"step {n} ({verb}: {what}); the bot said: {scene.last!r}"
        play(stage, scene, verb, what, where)


def play(stage: Stage, scene: Scene, verb: str, what: Any, where: str) -> None:  # noqa: C901, PLR0912  # one case per word of a transcript
    match verb:
        case "contact":
            scene.says(scene.says_words(what))
        case "taps":
            assert what in scene.choices, f"{where}; it offers {list(scene.choices)}"
            scene.says(scene.taps(what))
        case "sends":
            scene.says(scene.does(what))
        case "bot":
            for words in [what] if isinstance(what, str) else what:
                assert words.lower() in scene.last.lower(), where
        case "bot does not say":
            for words in [what] if isinstance(what, str) else what:
                assert words.lower() not in scene.last.lower(), where
        case "times":
            for words, times in what.items():
                assert scene.last.lower().count(words.lower()) == times, where
        case "bot is silent":
            assert scene.last == "", where
        case "messages":
            assert scene.heard == what, f"{where}; in {scene.heard} messages"
        case "holder":
            assert scene.holder.value == what, f"{where}; the {scene.holder.value} holds it"
        case "reason":
            reason = scene.conversation.reason
            assert reason is not None and reason.value == what, f"{where}; the reason is {reason}"
        case "wish":
            assert scene.conversation.wish == what, f"{where}; the wish is {scene.conversation.wish!r}"
        case "desk sees":
            for name, value in what.items():
                assert scene.conversation.slots.get(name) == value, f"{where}; it sees {scene.conversation.slots}"
        case "agent":
            scene.agent(what)
        case "shop":
            stage.shop.is_open = what == "opens"
        case _:
            raise AssertionError(f"{where}: no such step")


def intents() -> list[str]:
    found = YAML(typ="safe").load(ROOT / "domain.yml")["intents"]
    return [str(intent) for intent in found]


@pytest.mark.parametrize("intent", intents())
@pytest.mark.parametrize("open_question", ["where is my order?", "where is FH10482"])
def test_whatever_is_said_to_an_open_question_is_answered_once_and_so_is_the_next_message(
    stage: Stage, salt: str, open_question: str, intent: str
) -> None:
    scene = stage.enter("stranger", salt)
    scene.says(scene.says_words(open_question))
    scene.says(Tap(f"/{intent}", "a tap"))
    assert len(scene.uttered) == len(set(scene.uttered)), "Rasa ran in a circle"
    assert scene.followed_rules, "no rule says what follows this in a form"
    assert "went wrong" not in scene.last
    scene.says(scene.says_words("hello"))
    assert len(scene.uttered) == len(set(scene.uttered))
    assert scene.last and "went wrong" not in scene.last


@pytest.mark.parametrize("words", ["where is my order?", "what are your opening hours?"])
def test_a_turn_that_goes_in_circles_costs_the_next_one_nothing(stage: Stage, salt: str, words: str) -> None:
    scene = stage.enter("stranger", salt)
    scene.says(scene.says_words("hello"))
    with stage.with_patience_for(1):
        scene.says(scene.says_words(words))
    scene.says(scene.says_words("can I return shoes I have worn?"))
    assert "return" in scene.last.lower() and scene.followed_rules
    assert len(scene.uttered) == 1, "nothing of the broken turn is gone on with"


def test_a_wrong_number_and_a_wrong_postcode_sound_alike(stage: Stage, salt: str) -> None:
    """Nobody learns which orders exist."""
    heard = []
    for number in ("FH10533", "FH99999"):
        scene = stage.enter("stranger", salt + number)
        answers = []
        for words in (f"where is {number}", "LS1 4ZZ"):
            scene.says(scene.says_words(words))
            answers.append(scene.last)
        heard.append(answers)
    assert heard[0] == heard[1]


def test_nothing_a_contact_wrote_stands_in_the_log_of_the_actions(stage: Stage, salt: str) -> None:
    scene = stage.enter("Mia", salt)
    secret = f"blauregen{salt}"
    for words in (secret, f"where is my order {secret}", f"person please {secret}"):
        scene.says(scene.says_words(words))
    assert secret not in (stage.home / "actions.log").read_text()


def test_what_a_contact_takes_back_rasa_does_not_remember(stage: Stage, salt: str) -> None:
    scene = stage.enter("stranger", salt)
    for words in ("hello", "my PIN is 1234"):
        scene.says(scene.says_words(words))
    scene.takes_back()
    assert scene.remembered == ["hello", TAKEN_BACK]
