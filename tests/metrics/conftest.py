"""A server of weights on this machine, and Inception's network with weights by formula."""

import http.server
import threading

import pytest

CONTENT = bytes(range(256)) * 3000


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT at any path; /truncated ends early, /missing is not there."""

    def do_GET(self):
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        if self.path == "/silent":
            self.server.released.wait(10)
            return
        self.wfile.write(CONTENT[:1000] if self.path == "/truncated" else CONTENT)

    def log_message(self, *args):
        """Keep the test's output quiet."""


@pytest.fixture
def server(monkeypatch):
    """The address of a running HTTP server on 127.0.0.1, reached without any proxy."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.released = threading.Event()
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.released.set()
    httpd.shutdown()
    httpd.server_close()
    thread.join()
