"""What is worth a row in the audit log, each with the words it is shown in. Pure.

Every reply and note is in its transcript already, with who wrote it. Here is what no transcript shows: who came in, who
changed what somebody may do, who looked at what is not meant to be looked at, who decided over others' work.
"""

from __future__ import annotations

from enum import Enum


class Act(str, Enum):
    """One kind of thing somebody did."""

    SIGNED_IN = "signed_in"
    SIGN_IN_FAILED = "sign_in_failed"
    SIGNED_OUT = "signed_out"
    SESSIONS_ENDED = "sessions_ended"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105  # a word, no password
    PASSWORD_RESET = "password_reset"  # noqa: S105
    SET_UP = "set_up"
    ACCOUNT_ADDED = "account_added"
    ACCOUNT_RENAMED = "account_renamed"
    ACCOUNT_DISABLED = "account_disabled"
    ACCOUNT_ENABLED = "account_enabled"
    ROLE_CHANGED = "role_changed"
    FACTOR_ADDED = "factor_added"
    FACTOR_REMOVED = "factor_removed"
    RECOVERY_USED = "recovery_used"
    RECOVERY_RENEWED = "recovery_renewed"
    FACTOR_REQUIRED = "factor_required"
    FACTOR_OPTIONAL = "factor_optional"
    TOKEN_ADDED = "token_added"  # noqa: S105
    TOKEN_ENDED = "token_ended"  # noqa: S105
    TEAM_CHANGED = "team_changed"
    SETTING_CHANGED = "setting_changed"
    TRANSFERRED = "transferred"
    PUT_BACK = "put_back"
    BLOCKED = "blocked"
    UNBLOCKED = "unblocked"
    SENT_AGAIN = "sent_again"
    MESSAGE_SET_ASIDE = "message_set_aside"
    READ_AGAIN = "read_again"
    UPDATES_SET_ASIDE = "updates_set_aside"
    BODY_SHOWN = "body_shown"
    EXPORTED = "exported"


ACTS: dict[Act, str] = {
    Act.SIGNED_IN: "Signed in",
    Act.SIGN_IN_FAILED: "Failed to sign in",
    Act.SIGNED_OUT: "Signed out",
    Act.SESSIONS_ENDED: "Ended sessions",
    Act.PASSWORD_CHANGED: "Changed their password",
    Act.PASSWORD_RESET: "Gave a new password",
    Act.SET_UP: "Set the desk up",
    Act.ACCOUNT_ADDED: "Added an account",
    Act.ACCOUNT_RENAMED: "Renamed an account",
    Act.ACCOUNT_DISABLED: "Disabled an account",
    Act.ACCOUNT_ENABLED: "Enabled an account",
    Act.ROLE_CHANGED: "Changed a role",
    Act.FACTOR_ADDED: "Set up their second step",
    Act.FACTOR_REMOVED: "Removed a second step",
    Act.RECOVERY_USED: "Signed in with a recovery code",
    Act.RECOVERY_RENEWED: "Made new recovery codes",
    Act.FACTOR_REQUIRED: "Made the second step a must",
    Act.FACTOR_OPTIONAL: "Made the second step optional",
    Act.TOKEN_ADDED: "Made a token",
    Act.TOKEN_ENDED: "Ended a token",
    Act.TEAM_CHANGED: "Changed a team",
    Act.SETTING_CHANGED: "Changed a setting",
    Act.TRANSFERRED: "Passed a conversation on",
    Act.PUT_BACK: "Put back what a colleague had",
    Act.BLOCKED: "Blocked a contact",
    Act.UNBLOCKED: "Unblocked a contact",
    Act.SENT_AGAIN: "Sent a failed message again",
    Act.MESSAGE_SET_ASIDE: "Set a failed message aside",
    Act.READ_AGAIN: "Had deliveries read again",
    Act.UPDATES_SET_ASIDE: "Set updates aside",
    Act.BODY_SHOWN: "Looked at a delivery as it came",
    Act.EXPORTED: "Exported",
}
