"""python -m connectors.whatsapp receive | send | simulate, and the commands of cli.py."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from datetime import timedelta

from bot import clock, logs
from bot.alerts import Alerts
from bot.errors import BotError
from bot.ledger.transaction import Ledger
from bot.settings import Settings
from connectors.whatsapp import cli, door
from connectors.whatsapp.client import CloudApi
from connectors.whatsapp.sender import Duties, Sender
from connectors.whatsapp.simulator.app import PortTaken, Simulator, serve

log = logging.getLogger("connectors.whatsapp")


def receive(settings: Settings) -> None:
    """Write down what Meta brings until told to stop."""
    asyncio.run(door.receive(settings))


def send(settings: Settings) -> None:
    """Empty the outbox until told to stop."""
    api = CloudApi(settings.whatsapp_api_url, settings.whatsapp_api_version, settings.whatsapp_access_token)
    duties = Duties(
        media=settings.media,
        account_id=settings.whatsapp_business_account_id,
        alerts=Alerts.of(settings),
        per_second=settings.messages_per_second,
        keep_deliveries=timedelta(days=settings.keep_deliveries_days),
    )
    sender = Sender(Ledger(settings.database_url), api, clock.now, duties)
    for told in (signal.SIGTERM, signal.SIGINT):
        signal.signal(told, lambda *_: sender.stop())
    log.info("sending", extra={"action": "sending"})
    sender.run()


def simulate(settings: Settings) -> None:
    """Be Meta and the contacts' phones, until told to stop."""
    simulator = Simulator(
        settings.whatsapp_phone_number_ids,
        settings.whatsapp_app_secrets[0],
        settings.whatsapp_access_token,
        f"http://{settings.loopback}:{settings.rasa_port}/webhooks/whatsapp/webhook",
        settings.home / "simulator.db",
    )
    serve(simulator, settings.host, settings.simulator_port)


def main() -> int:
    """Run one of WhatsApp's processes, or look after what they left."""
    parser = argparse.ArgumentParser(
        prog="python -m connectors.whatsapp",
        epilog=cli.EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    commands.add_parser("receive", help="the webhook: write down what Meta brings")
    commands.add_parser("send", help="send what is queued to the Cloud API")
    commands.add_parser("simulate", help="a Cloud API on this machine, with a phone in the browser")
    cli.add_to(commands)
    asked = parser.parse_args()
    processes = {"receive": receive, "send": send, "simulate": simulate}
    try:
        settings = Settings.from_env()
        if asked.command not in processes:
            return cli.run(asked, settings)
        logs.begin()
        processes[asked.command](settings)
    except (BotError, PortTaken) as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
