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
    """The lab did not come up: it went down, or said nothing in its time. The command has not begun."""


class Hung(Exception):
    """The lab gives no sign of life any more."""


class Limits:
    """The limits of time, in seconds of `clock` (lab/fairclock.py); 0: no limit.

    total: the command; each: from one TAP result line of its output to the next; up: until the lab is
    there; still: without output or an answer to the pulse. `alive()` notes a sign of life."""

    def __init__(self, clock, total, each, up, still):
        self.clock = clock
        self.total = total
        self.each = each
        self.still = still
        self.started = clock.seconds
        self.result = clock.seconds
        self.sign = clock.seconds
        self.up_by = clock.seconds + up
        self.line = b""

    def alive(self):
        self.sign = self.clock.seconds

    def output(self, data):
        """Look for results in the output: `ok ...`, `not ok ...`."""
        self.alive()
        if not self.each:
            return
        lines = (self.line + data).split(b"\n")
        self.line = lines.pop()[:100]
        if any(line.startswith((b"ok ", b"not ok ")) for line in lines):
            self.result = self.clock.seconds

    def left(self, ready):
        """Seconds until the next limit, None if there is none. Raises if one is reached."""
        now = self.clock.seconds
        if not ready:
            if now >= self.up_by:
                raise NotUp
            return self.up_by - now
        times = []
        for limit, since, late in (
                (self.still, self.sign, Hung(f"gave no sign of life for {self.still:g} s")),
                (self.each, self.result, Stopped(124, f"no case ended for {self.each:g} s")),
                (self.total, self.started, Stopped(124, f"time limit reached, {self.total:g} s"))):
            if limit and now - since >= limit:
                raise late
            if limit:
                times.append(since + limit - now)
        return min(times, default=None)


class Relay:
    """One command's channel. `link` is a connected socket to the lab's port."""

    def __init__(self, link, use_tty, limits):
        self.link = link
        self.use_tty = use_tty
        self.limits = limits
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
        """Handle one message. Returns the exit status once it is known, else None."""
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
            self.limits.alive()
            self.limits.result = self.limits.clock.seconds
            if self.use_tty:
                self.terminal_raw()
        elif kind in b"oE":
            target = 1 if kind == b"o" else 2
            if target == 1:
                self.limits.output(body)
            while body:
                try:
                    body = body[os.write(target, body):]
                except BlockingIOError:
                    select.select([], [target], [])
                except BrokenPipeError:
                    raise Stopped(128 + signal.SIGPIPE) from None

    def time_left(self):
        """Milliseconds that may pass until limits are looked at again; raises if one is reached."""
        left = self.limits.left(self.ready)
        return None if left is None else min(max(left, 0.05), 1) * 1000

    def run(self):
        """Wait until the command has ended, and return its status. EOFError: the lab went away before."""
        link = self.link.fileno()
        while True:
            poller = select.poll()
            wanted = select.POLLIN | (select.POLLOUT if self.to_link else 0)
            poller.register(link, wanted)
            # New input waits while the last piece is still under way, so that no buffer grows without bound.
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
    """Handler of the signals that end this process. It undoes everything on the way out."""
    raise Stopped(128 + number)


def complain(text):
    sys.stderr.write(f"lab/run: {text}\n")
    sys.stderr.flush()
