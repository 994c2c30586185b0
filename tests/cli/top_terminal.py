#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""A command with a screen in a pseudo-terminal: top_terminal.py ALWAYS WIDE WIDE COMMAND...

The screen shows ALWAYS on any terminal, and both WIDE on a large one. Checks that it shows the view, that no row is wider than the terminal, that no text of the
guest comes out raw, and that the terminal is as before at the end.
"""
import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
import time

LIMIT = 60  # seconds
CODES = re.compile(rb"\x1b(\[[0-9;?]*[a-zA-Z]|[()][A-Z0-9]|[=>])|\x0f")


def size_set(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def read_until(fd, text, wanted):
    """Appends what comes to text until it has wanted."""
    end = time.monotonic() + LIMIT
    while not wanted(text):
        assert time.monotonic() < end, bytes(text)
        if select.select([fd], [], [], 1)[0]:
            try:
                text += os.read(fd, 65536)
            except OSError:
                raise AssertionError(f"ended early: {bytes(text)!r}") from None


def check(always, wide, command, rows, columns):
    ours, theirs = pty.openpty()
    size_set(theirs, rows, columns)
    before = termios.tcgetattr(theirs)
    child = os.fork()
    if child == 0:
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
        for fd in (0, 1, 2):
            os.dup2(theirs, fd)
        os.environ["TERM"] = "vt100"
        os.execv(command[0], command)
    text = bytearray()
    read_until(ours, text, lambda text: always in text)
    if rows > 8 and columns > 60:
        read_until(ours, text, lambda text: all(word in text for word in wide))
        os.write(ours, b"m")
        drawn = len(text)
        size_set(theirs, rows - 2, columns)
        read_until(ours, text, lambda text: always in text[drawn:])
    os.write(ours, b"q")
    end = time.monotonic() + LIMIT
    status = None
    while status is None:
        assert time.monotonic() < end
        if select.select([ours], [], [], 0.1)[0]:
            text += os.read(ours, 65536)
        pid, result = os.waitpid(child, os.WNOHANG)
        status = result if pid else None
    assert status == 0, (status, bytes(text))
    assert termios.tcgetattr(theirs)[:4] == before[:4], "the terminal is not as before"
    pieces = [piece for piece in re.split(rb"[\r\n\x08]", CODES.sub(b"\n", bytes(text))) if piece]
    for piece in pieces:
        assert b"\x1b" not in piece and b"\x9b" not in piece and b"\xe2\x80\xae" not in piece, piece
        assert len(piece) <= columns, (columns, piece)
    os.close(ours)
    os.close(theirs)


for size in ((40, 120), (24, 80), (5, 30), (3, 16)):
    words = [word.encode() for word in sys.argv[1:4]]
    check(words[0], words[1:], sys.argv[4:], *size)
