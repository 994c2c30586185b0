#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""A small client of symvm's control socket (docs/reference/control.md), without other packages.

    symvm_client.py list                  # the VMs of one state directory
    symvm_client.py ps NAME               # the processes of a guest
    symvm_client.py events NAME           # each change of a VM's state, until it ends

The state directory is $SYMVM_RUNTIME_DIR, or that of root or the user. A VM and its guest are not trusted:
an answer has a limit of size and time, and text from it is printed escaped.
"""
import argparse
import json
import os
import socket
import stat
import sys
import time

ANSWER_MAX = 16 << 20
TIMEOUT = 10.0


class Refused(Exception):
    """The VM's answer is an error: code is a negative errno value."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Ended(Exception):
    """The VM ended, or does not run."""


def state_dir():
    if "SYMVM_RUNTIME_DIR" in os.environ:
        return os.environ["SYMVM_RUNTIME_DIR"]
    if os.geteuid() == 0:
        return "/run/symvm"
    return os.path.join(os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.geteuid()}"), "symvm")


def safe(text):
    """Text from a VM or a guest, without codes that a terminal obeys: one row, ASCII."""
    return str(text).encode("unicode_escape").decode("ascii").replace("\x7f", "\\x7f")


class Client:
    """One connection. Use it in a `with` statement, from one thread."""

    def __init__(self, name, timeout=TIMEOUT):
        if "/" in name or name.startswith("."):
            raise ValueError(f"'{name}' is not the name of a VM")
        self.timeout = timeout
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        directory = os.open(state_dir(), os.O_PATH | os.O_DIRECTORY)
        try:
            # By the descriptor: a socket's path has at most 107 bytes.
            self.socket.connect(f"/proc/self/fd/{directory}/{name}.sock")
        except (ConnectionRefusedError, FileNotFoundError) as error:
            self.socket.close()
            raise Ended(f"no VM '{name}' runs") from error
        finally:
            os.close(directory)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def read_line(self):
        end = time.monotonic() + self.timeout  # of the whole: a VM may send byte by byte
        line = bytearray()
        while not line.endswith(b"\n"):
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError("the VM does not answer in time")
            self.socket.settimeout(left)
            piece = self.socket.recv(65536)
            if not piece:
                raise Ended("the VM ended before it answered")
            line += piece
            if len(line) > ANSWER_MAX:
                raise ValueError("the VM's answer is too long")
        return line

    def call(self, command, **arguments):
        """Sends one request. Returns the result, an object, or raises Refused or Ended."""
        request = json.dumps({"command": command, "arguments": arguments})
        try:
            self.socket.sendall(request.encode() + b"\n")
            answer = json.loads(self.read_line())
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Ended("the VM ended before it answered") from error
        if isinstance(answer, dict) and isinstance(answer.get("result"), dict):
            return answer["result"]
        error = answer.get("error") if isinstance(answer, dict) else None
        if isinstance(error, dict) and isinstance(error.get("code"), int):
            raise Refused(error["code"], str(error.get("message")))
        raise ValueError("the VM's answer is not understood")


def names():
    """The names in the state directory that have a socket."""
    try:
        entries = sorted(os.listdir(state_dir()))
    except FileNotFoundError:
        return
    for entry in entries:
        path = os.path.join(state_dir(), entry)
        if entry.endswith(".sock") and stat.S_ISSOCK(os.lstat(path).st_mode):
            yield entry[:-len(".sock")]


def command_list(_):
    for name in names():
        try:
            with Client(name, timeout=2.0) as client:
                info = client.call("info")
        except (Ended, Refused, ValueError, OSError):
            continue
        print(safe(name), safe(info.get("pid")), safe(info.get("state")))


def command_ps(options):
    with Client(options.name) as client:
        tasks = client.call("ps", texts=False).get("tasks")
    for task in filter(lambda task: isinstance(task, dict), tasks if isinstance(tasks, list) else []):
        print(safe(task.get("pid")), safe(task.get("state")), safe(task.get("rss")), safe(task.get("comm")))


def state_of(info):
    """What `events` watches: the VM's state, the panic's text, and the guest's own state."""
    guest = info.get("symbiotic")
    guest = guest if isinstance(guest, dict) else {}
    return {"state": info.get("state"), "panic": info.get("panic"), "guest": guest.get("guest_state")}


def command_events(options):
    """The socket sends nothing unasked, so this asks info and compares."""
    before = {}
    try:
        with Client(options.name) as client:
            while True:
                now = state_of(client.call("info"))
                for key, value in now.items():
                    if value != before.get(key):
                        print(key, safe(value), flush=True)
                before = now
                time.sleep(options.interval)
    except Ended:
        if not before:
            raise
        print("state", "ended", flush=True)


def main():
    parser = argparse.ArgumentParser(description="A small client of symvm's control socket.")
    commands = parser.add_subparsers(required=True)
    commands.add_parser("list").set_defaults(run=command_list)
    one = commands.add_parser("ps")
    one.add_argument("name")
    one.set_defaults(run=command_ps)
    one = commands.add_parser("events")
    one.add_argument("name")
    one.add_argument("--interval", type=float, default=1.0, help="seconds between two questions")
    one.set_defaults(run=command_events)
    options = parser.parse_args()
    try:
        options.run(options)
    except (Ended, Refused, ValueError, OSError) as error:
        print(f"symvm_client: {safe(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
