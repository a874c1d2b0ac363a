"""A receiver of webhooks: prints what has changed. `SECRET=whsec_… python webhook_receiver.py`."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

webhook = Webhook(os.environ["SECRET"])


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 to what was signed with the secret, and 401 to all else."""

    def do_POST(self) -> None:
        """Take an event."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            event = webhook.verify(body, dict(self.headers))
        except WebhookVerificationError:
            self.send_response(401)
        else:
            self.send_response(204)  # soon: put what takes long into a queue of your own
            for record in event["impacted_records"]:
                print(event["action"], event["uri"], record, flush=True)
        self.end_headers()


if __name__ == "__main__":
    port = int(os.environ.get("PORT", "9000"))
    ThreadingHTTPServer(("127.0.0.1", port), Receiver).serve_forever()
