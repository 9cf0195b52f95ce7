"""A small mail server for tests: it takes letters, and behaves as badly as real ones do."""

from __future__ import annotations

import contextlib
import itertools
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from email import message_from_bytes, policy
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class MailServer:
    """Listens on loopback; what it is told to do wrong it does wrong."""

    def __init__(self, certificate: Path | None = None, *, at_once: bool = False) -> None:
        self.letters: list[EmailMessage] = []
        self.to: list[str] = []
        self.said: list[str] = []  # every line of whoever called
        self.refuses = ""  # an answer to MAIL FROM, such as "451 not now"
        self.parting = "221 bye"
        self.hangs = False  # it takes the call and says nothing
        self.in_secret = False  # the letter came over TLS
        self.offers_tls = certificate is not None and not at_once
        self.trust = None if certificate is None else _context(certificate)
        self.at_once = at_once
        mail = self

        class Call(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    mail.answer(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False
            allow_reuse_address = True

        self._server = Server(("127.0.0.1", 0), Call)
        self.port = self._server.server_address[1]
        self._closing = threading.Event()
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, line: socket.socket) -> None:
        if self.hangs:
            self._closing.wait()
            return
        with contextlib.ExitStack() as open_until_the_end:
            secret = self.at_once
            if secret:
                line = open_until_the_end.enter_context(self._tls(line))
            self._say(line, "220 here")
            lines = self._lines(line)
            while said := next(lines, None):
                self.said.append(said)
                verb = said.upper().split(" ")[0]
                self._say(line, self._answer_to(verb, secret))
                if verb == "STARTTLS":
                    line, secret = open_until_the_end.enter_context(self._tls(line)), True
                    lines = self._lines(line)
                elif verb == "DATA":
                    self._read_letter(lines, secret)
                    self._say(line, "250 taken")
                elif verb == "RCPT":
                    self.to.append(said)
                elif verb == "QUIT":
                    return

    def _answer_to(self, verb: str, secret: bool) -> str:
        if verb == "EHLO":
            return "250-here\r\n" + ("250 STARTTLS" if self.offers_tls and not secret else "250 AUTH PLAIN LOGIN")
        refused = self.refuses if verb == "MAIL" else ""
        others = {"STARTTLS": "220 go on", "AUTH": "235 welcome", "DATA": "354 go on", "QUIT": self.parting}
        return refused or others.get(verb, "250 yes")

    def _read_letter(self, lines: Iterator[str], secret: bool) -> None:
        body = "\r\n".join(itertools.takewhile(lambda one: one != ".", lines))
        self.in_secret = secret
        self.letters.append(cast(EmailMessage, message_from_bytes(body.encode(), policy=policy.default)))

    def _tls(self, line: socket.socket) -> ssl.SSLSocket:
        assert self.trust is not None
        return self.trust.wrap_socket(line, server_side=True)

    @staticmethod
    def _say(line: socket.socket, words: str) -> None:
        line.sendall(f"{words}\r\n".encode())

    @staticmethod
    def _lines(line: socket.socket) -> Iterator[str]:
        kept = b""
        while True:
            while b"\r\n" not in kept:
                got = line.recv(4096)
                if not got:
                    return
                kept += got
            one, kept = kept.split(b"\r\n", 1)
            yield one.decode()


def a_certificate(folder: Path) -> Path:
    """A self-signed one for 127.0.0.1, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.fromtimestamp(time.time(), tz=timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "mail.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )  # fmt: skip
    return path


def _context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context
