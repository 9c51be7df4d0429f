"""Servers of those who are told: one takes e-mail in, one takes what is posted."""

from __future__ import annotations

import email
import json
import socketserver
import threading
from contextlib import contextmanager
from email import policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import EmailMessage

Server = TypeVar("Server", bound=socketserver.BaseServer)
POLL_SECONDS = 0.02


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Let a server answer meanwhile."""
    threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class Mailbox(socketserver.ThreadingTCPServer):
    """Speaks as much of SMTP as takes an e-mail in."""

    allow_reuse_address = daemon_threads = True

    def __init__(self) -> None:
        self.came: list[tuple[list[str], EmailMessage]] = []
        super().__init__(("127.0.0.1", 0), _Session)


class _Session(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        to: list[str] = []
        self.wfile.write(b"220 here\r\n")
        for line in self.rfile:
            word = line[:4].upper()
            if word == b"RCPT":
                to.append(line.decode().partition("<")[2].partition(">")[0])
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                lines = iter(self.rfile.readline, b".\r\n")
                text = b"".join(line.removeprefix(b".") for line in lines)
                message = email.message_from_bytes(text, policy=policy.default)
                self.server.came.append((to, message))  # type: ignore[attr-defined]
            self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")


class Receiver(ThreadingHTTPServer):
    """Takes what is posted, or refuses it."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        self.came: list[tuple[str, dict[str, str], Any]] = []
        self.refused: list[tuple[str, dict[str, str], Any]] = []
        self.status = 200
        super().__init__(("127.0.0.1", port), _Hook)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook"


class _Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server: Any = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        taken = server.came if server.status == 200 else server.refused
        taken.append((self.path, dict(self.headers), body))
        self.send_response(server.status)
        self.end_headers()
        self.wfile.write(b"ok" if server.status == 200 else f"no room for {self.headers}".encode())

    def log_message(self, *_told: Any) -> None: ...
