# SPDX-License-Identifier: BSD-2-Clause
"""A socket of lines, as symvm's control socket is one and a guest's agent has one."""
import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lab"))
from labclock import seconds as clock_seconds  # noqa: E402


class Lines:
    """A busy machine makes the limits of time longer, as it does those of lab/run."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.rest = b""

    def ask(self, request, seconds):
        """Send the line, and return the next one. OSError: the connection or the time has ended."""
        end = clock_seconds() + seconds
        self.socket.settimeout(1)
        self.socket.sendall(request)
        while b"\n" not in self.rest:
            try:
                more = self.socket.recv(65536)
            except TimeoutError:
                if clock_seconds() > end:
                    raise
                continue
            if not more:
                raise ConnectionError("connection closed")
            self.rest += more
        line, self.rest = self.rest.split(b"\n", 1)
        return line
