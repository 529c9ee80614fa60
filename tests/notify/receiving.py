"""Real servers that receive messages: one for HTTP, one for mail."""

from __future__ import annotations

import json
import queue
import threading
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller

from tests.ports import free_port
from tests.waiting import PATIENCE


class Webhook:
    """An HTTP server that records what is posted to it, and answers with `status`."""

    def __init__(self, port: int = 0) -> None:
        self.status = 200
        self.posted: queue.Queue[dict[str, Any]] = queue.Queue()
        self.asked = threading.Semaphore(0)
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status = webhook.status
                if status == 200:
                    webhook.posted.put({"path": self.path, **body})
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()
                webhook.asked.release()

            def log_message(self, *args: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def next(self) -> dict[str, Any]:
        """Wait for the next message."""
        return self.posted.get(timeout=PATIENCE)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(PATIENCE)


class MailServer:
    """A mail server that keeps the messages it receives."""

    def __init__(self) -> None:
        self.received: queue.Queue[Any] = queue.Queue()
        self.port = free_port()
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self._controller.start()

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:
        self.received.put((envelope.rcpt_tos, message_from_bytes(envelope.content, policy=policy.default)))
        return "250 OK"

    def next(self) -> Any:
        """Wait for the next message. Returns its recipients and its text."""
        return self.received.get(timeout=PATIENCE)

    def close(self) -> None:
        self._controller.stop()
