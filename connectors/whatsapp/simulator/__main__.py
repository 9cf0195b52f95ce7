"""python -m connectors.whatsapp.simulator: the Cloud API on its own, for any bot."""

from __future__ import annotations

import argparse
import logging
import secrets
import sys
from pathlib import Path
from urllib.parse import urlsplit

from connectors.whatsapp.simulator.app import FIRST_DISPLAY_NUMBER, PortTaken, Simulator, serve
from connectors.whatsapp.simulator.bodies import WABA_ID
from connectors.whatsapp.simulator.limits import digits_of

WEBHOOK = "http://127.0.0.1:5005/webhooks/whatsapp/webhook"

WELCOME = """
The WhatsApp simulator is ready.

  Phones          {base}/            be a customer: write to the business
  Cloud API       {base}/v25.0/{number}/messages
  Control API     {base}/api/...     see connectors/whatsapp/simulator/README.md

  Webhook         {webhook}
  Business        {name}, {display}
  Phone number    {numbers}
  WABA            {waba}
  Access token    {token}
  App secret      {secret}

Stop with Ctrl-C.
"""


def main() -> int:
    """Serve until told to stop; return the exit code."""
    asked = _parser().parse_args()
    logging.basicConfig(level=logging.INFO if asked.verbose else logging.WARNING, format="%(levelname)s %(message)s")
    numbers = tuple(asked.number or ["100200300"])
    shown = {"number": numbers[0], "numbers": ", ".join(numbers), "name": asked.name}
    said = {"webhook": asked.webhook, "token": asked.token, "secret": asked.secret, "waba": asked.waba}
    simulator = Simulator(
        numbers,
        asked.secret,
        asked.token,
        asked.webhook,
        asked.state,
        asked.name,
        waba_id=asked.waba,
        display_number=asked.display_number,
    )
    display = ", ".join(f"+{line.display_phone_number}" for line in simulator.exchange.lines.values())

    def ready(base: str) -> None:
        print(WELCOME.format(base=base, display=display, **shown, **said), flush=True)

    try:
        serve(simulator, asked.host, asked.port, ready=ready)
    except PortTaken as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m connectors.whatsapp.simulator", description=__doc__)
    parser.add_argument("--webhook", type=_address, default=WEBHOOK, help=f"where yours is: {WEBHOOK} unless given")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=_port, default=9000)
    parser.add_argument("--number", action="append", help="a phone number ID of the business; may be said again")
    parser.add_argument("--token", default=f"EAA{secrets.token_hex(12)}", help="the access token; made up unless given")
    parser.add_argument("--secret", default=secrets.token_hex(16), help="the app secret; made up unless given")
    parser.add_argument("--waba", default=WABA_ID, help="the WhatsApp Business Account ID")
    parser.add_argument("--name", default="Fernhill", help="the name of the business, as the phones show it")
    parser.add_argument(
        "--display-number", type=_display_number, default=FIRST_DISPLAY_NUMBER,
        help="the phone number of the business, as webhooks show it; a second one is the next above",
    )  # fmt: skip
    parser.add_argument("--state", type=Path, help="an SQLite file; without one everything is forgotten at the end")
    parser.add_argument("--verbose", action="store_true")
    return parser


def _address(given: str) -> str:
    """Return the address of a webhook; what is none is refused before anything starts."""
    parts = urlsplit(given)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise argparse.ArgumentTypeError(f"{given!r} is not a web address. Say one such as {WEBHOOK}.")
    return given


def _port(given: str) -> int:
    if not given.isdigit() or int(given) > 65535:
        raise argparse.ArgumentTypeError(f"{given!r} is not a port. Say a number from 1 to 65535, or 0 for a free one.")
    return int(given)


def _display_number(given: str) -> int:
    digits = digits_of(given)
    if not 7 <= len(digits) <= 15:
        raise argparse.ArgumentTypeError(f"{given!r} is not a phone number. Say one such as +441632960100.")
    return int(digits)


if __name__ == "__main__":
    sys.exit(main())
