# SPDX-License-Identifier: BSD-2-Clause
"""Carry a command's input, output and exit status between here and the lab's agent.

Frames both ways: one byte of type, four bytes of length (little endian), the data.
To the agent: i stdin, e end of stdin, w window size (rows, columns as 16 bits each).
From it: r the command starts, o stdout, E stderr, x exit status (32 bits).
"""
import array
import fcntl
import os
import select
import signal
import struct
import sys
import termios
import time
import tty

CHUNK = 16384
HEADER = struct.Struct("<cI")
ESCAPE = b"\x1d"  # Ctrl-]: three in a row end the lab from a terminal


class Stopped(Exception):
    """Ended from outside: the exit status is what the caller must return."""

    def __init__(self, status, why=""):
        super().__init__(why)
        self.status = status


class NotUp(Exception):
    """The lab said nothing in the time that it has to come up: nothing of the command has run."""


class Relay:
    """One command's channel. `link` is a connected socket to the lab's port.

    `deadline` (None: none) and `up_by` are times of the monotonic clock."""

    def __init__(self, link, use_tty, deadline, up_by):
        self.link = link
        self.use_tty = use_tty
        self.deadline = deadline
        self.up_by = up_by
        self.to_link = bytearray()
        self.from_link = bytearray()
        self.stdin_open = True
        self.ready = False
        self.escapes = 0
        self.saved_terminal = None
        link.setblocking(False)

    def send(self, kind, data=b""):
        self.to_link += HEADER.pack(kind, len(data)) + data

    def send_window(self, *_):
        size = array.array("H", [0, 0, 0, 0])
        try:
            fcntl.ioctl(0, termios.TIOCGWINSZ, size)
        except OSError:
            return
        self.send(b"w", struct.pack("<HH", size[0], size[1]))

    def terminal_raw(self):
        self.saved_terminal = termios.tcgetattr(0)
        tty.setraw(0)
        signal.signal(signal.SIGWINCH, self.send_window)
        self.send_window()

    def terminal_restore(self):
        if self.saved_terminal:
            signal.signal(signal.SIGWINCH, signal.SIG_DFL)
            termios.tcsetattr(0, termios.TCSADRAIN, self.saved_terminal)
            self.saved_terminal = None

    def read_stdin(self):
        try:
            data = os.read(0, CHUNK)
        except OSError:
            data = b""
        if not data:
            self.stdin_open = False
            self.send(b"e")
            return
        if self.use_tty:
            self.escapes = self.escapes + data.count(ESCAPE) if data.strip(ESCAPE) == b"" else 0
            if self.escapes >= 3:
                raise Stopped(130, "ended by Ctrl-] three times")
        self.send(b"i", data)

    def read_link(self):
        """Handle what came. Returns the exit status once it is known, else None."""
        try:
            data = self.link.recv(1 << 18)
        except BlockingIOError:
            return None
        except ConnectionError:
            data = b""
        if not data:
            raise EOFError
        self.from_link += data
        while len(self.from_link) >= HEADER.size:
            kind, length = HEADER.unpack_from(self.from_link)
            if len(self.from_link) < HEADER.size + length:
                break
            body = bytes(self.from_link[HEADER.size:HEADER.size + length])
            del self.from_link[:HEADER.size + length]
            if kind == b"x":
                return struct.unpack("<I", body)[0]
            self.handle(kind, body)
        return None

    def handle(self, kind, body):
        if kind == b"r":
            self.ready = True
            if self.use_tty:
                self.terminal_raw()
        elif kind in b"oE":
            target = 1 if kind == b"o" else 2
            while body:
                try:
                    body = body[os.write(target, body):]
                except BlockingIOError:
                    select.select([], [target], [])
                except BrokenPipeError:
                    raise Stopped(128 + signal.SIGPIPE) from None

    def time_left(self):
        """Milliseconds until something is late, None if nothing can be; raises if it is."""
        now = time.monotonic()
        if self.deadline is not None and now >= self.deadline:
            raise Stopped(124, "time limit reached")
        if not self.ready and now >= self.up_by:
            raise NotUp
        times = [t for t in (self.deadline, None if self.ready else self.up_by) if t is not None]
        return max(0, (min(times) - now) * 1000) if times else None

    def run(self):
        """Until the command has ended: its status. EOFError if the lab went away before."""
        link = self.link.fileno()
        while True:
            poller = select.poll()
            wanted = select.POLLIN | (select.POLLOUT if self.to_link else 0)
            poller.register(link, wanted)
            # Input waits while the last of it is still under way: no unbounded buffer.
            if self.ready and self.stdin_open and len(self.to_link) < 4 * CHUNK:
                poller.register(0, select.POLLIN)
            events = dict(poller.poll(self.time_left()))
            self.time_left()
            if events.get(link, 0) & ~select.POLLOUT:
                status = self.read_link()
                if status is not None:
                    return status
            if events.get(link, 0) & select.POLLOUT and self.to_link:
                try:
                    sent = self.link.send(self.to_link[:4 * CHUNK])
                    del self.to_link[:sent]
                except BlockingIOError:
                    pass
            if 0 in events:
                self.read_stdin()


def on_signal(number, _frame):
    """Handler for what ends us: everything is undone on the way out."""
    raise Stopped(128 + number)


def complain(text):
    sys.stderr.write(f"lab/run: {text}\n")
    sys.stderr.flush()
