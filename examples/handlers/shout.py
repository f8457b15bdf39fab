"""Answers a POST of any JSON text with the same text in capitals. Listens on the port that PORT names."""

import json
import os
import signal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Shout(BaseHTTPRequestHandler):
    def do_POST(self):
        data = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if isinstance(data, str):
            self.answer(200, data.upper())
        else:
            self.answer(422, {"error": "data must be a text"})

    def answer(self, status, body):
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


# The first process of a container ignores what it does not handle. This one is told to end when no work is left.
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
ThreadingHTTPServer(("", int(os.environ["PORT"])), Shout).serve_forever()
