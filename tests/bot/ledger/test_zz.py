from tests.bot.ledger.test_mute import *
def test_m6(ledger):
    turn = a_turn(ledger, "a person please")
    handed_off(ledger, turn, words="one"); ended(ledger, turn)
    heard(ledger, a_text("a person!"))
    again = begun(ledger, turn.conversation_id)
    handed_off(ledger, again, words="two"); handed_off(ledger, again, words="three")
    assert sent(ledger) == ["one", "two"]
