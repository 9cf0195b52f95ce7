"""python -m connectors.whatsapp.simulator: the Cloud API on its own, for any bot."""

from __future__ import annotations

import argparse
import logging
import secrets
import sys
from pathlib import Path

from connectors.whatsapp.simulator.app import PortTaken, Simulator, serve
from connectors.whatsapp.simulator.bodies import WABA_ID

WELCOME = """
The WhatsApp simulator is ready.

  Phones          http://{host}:{port}/            be a customer: write to the business
  Cloud API       http://{host}:{port}/v25.0/{number}/messages
  Control API     http://{host}:{port}/api/...     see connectors/whatsapp/simulator/README.md

  Webhook         {webhook}
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
    shown = {"host": asked.host, "port": asked.port, "number": numbers[0], "numbers": ", ".join(numbers)}
    said = {"webhook": asked.webhook, "token": asked.token, "secret": asked.secret, "waba": asked.waba}
    simulator = Simulator(
        numbers,
        asked.secret,
        asked.token,
        asked.webhook,
        asked.state,
        asked.name,
        waba_id=asked.waba,
    )
    print(WELCOME.format(**shown, **said), flush=True)
    try:
        serve(simulator, asked.host, asked.port)
    except PortTaken as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m connectors.whatsapp.simulator", description=__doc__)
    parser.add_argument("--webhook", default="http://127.0.0.1:5005/webhooks/whatsapp/webhook", help="where yours is")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--number", action="append", help="a phone number ID of the business; may be said again")
    parser.add_argument("--token", default=f"EAA{secrets.token_hex(12)}", help="the access token; made up unless given")
    parser.add_argument("--secret", default=secrets.token_hex(16), help="the app secret; made up unless given")
    parser.add_argument("--waba", default=WABA_ID, help="the WhatsApp Business Account ID")
    parser.add_argument("--name", default="Fernhill", help="the name of the business")
    parser.add_argument("--state", type=Path, help="an SQLite file; without one everything is forgotten at the end")
    parser.add_argument("--verbose", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main())
