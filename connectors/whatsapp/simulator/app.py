"""The whole simulator on one screen: its wiring, and how it is served."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from flask import Flask, Response, jsonify
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from connectors.whatsapp.simulator import cloud, control, phone
from connectors.whatsapp.simulator.bodies import WABA_ID, Line
from connectors.whatsapp.simulator.courier import Courier
from connectors.whatsapp.simulator.exchange import Delays, Exchange
from connectors.whatsapp.simulator.faults import Plan
from connectors.whatsapp.simulator.feed import Feed
from connectors.whatsapp.simulator.magic import Trouble
from connectors.whatsapp.simulator.rows import Contact, user_id_of
from connectors.whatsapp.simulator.settings import Settings
from connectors.whatsapp.simulator.store import Store

DEFAULT_CONTACTS = {
    "447700900101": "Mia Turner",
    "447700900102": "Sam Okafor",
    "447700900103": "Priya Shah",
    "447700900104": "Leo Brandt",
}
LARGEST_REQUEST = 110 * 1024 * 1024
FIRST_DISPLAY_NUMBER = 441632960100
BACKLOG = 512

log = logging.getLogger(__name__)


class PortTaken(OSError):
    """Somebody else listens on the port already."""


class Simulator:
    """A Cloud API for these numbers of the business, the phones of its contacts, and the courier between them."""

    def __init__(  # noqa: PLR0917 - one call each in Baton and in its tests, both with names
        self,
        phone_number_ids: tuple[str, ...],
        app_secret: str,
        access_token: str,
        webhook_url: str,
        state: Path | None = None,
        business_name: str = "Fernhill",
        *,
        delays: Delays | None = None,
        settings: Settings | None = None,
        waba_id: str = WABA_ID,
        display_number: int = FIRST_DISPLAY_NUMBER,
    ) -> None:
        if not phone_number_ids:
            raise ValueError("The simulator needs at least one phone number ID.")
        lines = tuple(Line(number, str(display_number + n), waba_id) for n, number in enumerate(phone_number_ids))
        settings = settings or Settings()
        if delays:
            settings.sent_after, settings.delivered_after = delays.sent, delays.delivered
        self.webhook_url = webhook_url
        self._store = Store(state)
        settings.change(self._store.kept("settings") or {})  # what was turned over the control API outlives a kill
        plan = Plan(lambda faults: self._store.keep("faults", faults))
        plan.restore(self._store.kept("faults") or [])
        trouble = Trouble(plan)
        self._feed = Feed()
        self._courier = Courier(self._store, self._feed, webhook_url, app_secret, trouble=trouble, settings=settings)
        self.exchange = Exchange(
            lines, self._store, self._feed, courier=self._courier, plan=plan, trouble=trouble, settings=settings
        )
        if not self._store.contacts():
            for number, name in DEFAULT_CONTACTS.items():
                self._store.add_contact(Contact(number, name, user_id_of(number)))
        self.app = self._wire(access_token, business_name)

    def _wire(self, access_token: str, business_name: str) -> Flask:
        app = Flask(__name__, static_folder="static", template_folder="templates")
        app.config["MAX_CONTENT_LENGTH"] = LARGEST_REQUEST
        app.url_map.converters["version"] = cloud.VersionConverter
        app.url_map.converters["wrong_version"] = cloud.WrongVersionConverter
        app.register_blueprint(cloud.blueprint(self.exchange, access_token, business_name))
        app.register_blueprint(control.blueprint(self.exchange))
        app.register_blueprint(phone.blueprint(self.exchange, business_name, self.webhook_url))

        @app.get("/health")
        def health() -> Response:
            return jsonify(ok=True, waiting=self._courier.agenda.waiting(), webhook_url=self.webhook_url)

        return app

    def start(self, base_url: str = "") -> None:
        """Begin to deliver; with a base URL, webhooks carry the address of each file."""
        self.exchange.library.base_url = base_url or self.exchange.library.base_url
        self._courier.start()

    def stop(self) -> None:
        """End deliveries, open pages and held answers. What the business has not got stays in the state file."""
        self.exchange.stopped.set()
        self._feed.stop()
        self._courier.stop()
        self._store.close()


class _Quiet(WSGIRequestHandler):
    """No log line per request: they would carry phone numbers."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise PortTaken(
            error.errno,
            f"The simulator cannot listen on {host}:{port}: {error.strerror}. Is another one running there?",
        ) from error
    return listener


def _server(simulator: Simulator, host: str, port: int) -> BaseWSGIServer:
    listener = _listen(host, port)
    server = make_server(
        host,
        listener.getsockname()[1],
        simulator.app,
        threaded=True,
        request_handler=_Quiet,
        fd=listener.fileno(),
    )
    listener.close()  # the server listens on its own copy
    return server


def _url(server: BaseWSGIServer, host: str) -> str:
    shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host  # noqa: S104 - compared, not bound
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{server.socket.getsockname()[1]}"


def serve(
    simulator: Simulator, host: str = "127.0.0.1", port: int = 8090, *, ready: Callable[[str], None] | None = None
) -> None:
    """Serve in the foreground until SIGTERM or SIGINT. Raises PortTaken when the port is in use.

    `ready` is told the base URL as soon as the port is ours.
    """
    server = _server(simulator, host, port)

    def leave(_number: int, _frame: FrameType | None) -> None:
        # shutdown() waits for serve_forever, which is the very thread a signal interrupts.
        threading.Thread(target=server.shutdown, daemon=True).start()

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGINT)}
    simulator.start(_url(server, host))
    log.info("The phones are at %s", _url(server, host), extra={"action": "simulator_started"})
    if ready is not None:
        ready(_url(server, host))
    try:
        server.serve_forever(poll_interval=0.1)
    finally:
        simulator.stop()
        server.server_close()
        for number, previous in before.items():
            signal.signal(number, previous)


@contextmanager
def serving(simulator: Simulator, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve in a thread, on a free port unless told otherwise, for as long as the block lasts; yields the base URL."""
    server = _server(simulator, host, port)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), name="simulator", daemon=True)
    thread.start()
    simulator.start(_url(server, host))
    try:
        yield _url(server, host)
    finally:
        server.shutdown()
        thread.join()
        simulator.stop()
        server.server_close()
