"""A receiver of webhooks: prints what has changed. `SECRET=whsec_… python webhook_receiver.py`."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

webhook = Webhook(os.environ["SECRET"])
MAX_BYTES = 1_000_000  # of an event; only one before the commit may be larger


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 to what was signed with the secret, and 401 to all else."""

    timeout = 10  # seconds that a sender may be silent

    def do_POST(self) -> None:
        """Answer."""
        self.send_response(self.take())
        self.end_headers()

    def take(self) -> int:
        """Take an event; gives the status of the answer."""
        length = self.headers["Content-Length"]
        if length is None:
            return 411
        if not length.isdecimal():
            return 400
        if len(length) > 7 or int(length) > MAX_BYTES:
            return 413
        body = self.rfile.read(int(length))
        try:
            event = webhook.verify(body, dict(self.headers))
        except (WebhookVerificationError, ValueError):  # not signed so, or no signature at all
            return 401
        # Answer soon: put what takes long into a queue of your own.
        for record in event.get("impacted_records") or event["read_records"]:
            print(event["action"], event["uri"], record, flush=True)
        return 204


if __name__ == "__main__":
    port = int(os.environ.get("PORT", "9000"))
    ThreadingHTTPServer(("127.0.0.1", port), Receiver).serve_forever()
