#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""keep_calling.py SOCKET CONSOLE WORDS: symbiotic calls of 300 ms on vCPU 1 of a VM that restarts,
nearly without a pause, until its console says WORDS; then both vCPUs must answer pings. A reset waits for
the call that is under way on another vCPU, which its deadline bounds. Fails on a wrong answer, on an
error that no restart explains, and when no reset was asked for during a call."""
import collections
import errno
import json
import os
import socket
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../lab"))
from labclock import seconds  # noqa: E402

path, console, words = sys.argv[1:4]
SLOW_CALL, PING = 0x80, 0  # symbiotic_probe.ko answers the first
# The call did not begin: the guest is not registered (yet or any more), it is at a point at which no call
# is possible, calls are off until the next boot since one was given up, or the reset came before.
NOT_BEGUN = {errno.ENOTCONN, errno.EAGAIN, errno.EBUSY, errno.ENOTRECOVERABLE}
EXPECTED = NOT_BEGUN | {errno.ECANCELED, errno.ETIMEDOUT}  # or the emulator was slow


def connect():
    end = seconds() + 60
    while True:
        client = socket.socket(socket.AF_UNIX)
        try:
            client.connect(path)
            client.settimeout(1200)
            return client.makefile("rw")
        except OSError:
            if seconds() > end:
                raise
            time.sleep(0.1)


def call(stream, number, vcpu, *values):
    """The value, or the negative error of the VMM."""
    json.dump({"command": "call",
               "arguments": {"number": number, "vcpu": vcpu, "args": values}}, stream)
    stream.write("\n")
    stream.flush()
    answer = json.loads(stream.readline())
    if "error" in answer:
        return False, -answer["error"]["code"]
    return True, answer["result"]["value"]


def said(text):
    """How often the console shows the words."""
    return open(console, "rb").read().count(text.encode()) if os.path.exists(console) else 0


stream, seen, in_flight = connect(), collections.Counter(), 0
while not said(words):
    before = said("sysrq: Resetting")
    good, value = call(stream, SLOW_CALL, 1, 300)
    if value != -errno.ENOSYS and (good or value not in NOT_BEGUN):
        in_flight += said("sysrq: Resetting") - before
    seen[value if good else errno.errorcode.get(value, value)] += 1
    # ENOSYS: the module is not loaded yet.
    if value not in ((1, -errno.ENOSYS) if good else EXPECTED):
        sys.exit("unexpected: %s %d" % ("answer" if good else "error", value))
    # A very short pause: vCPU 0 waits for answers to its IPIs, so it continues right after a call.
    time.sleep(0.01 if good else 0.1)
print("answers and errors: %s, %d resets during a call" % (dict(seen), in_flight))
if not in_flight:
    sys.exit("no call was in flight at a reset")
for vcpu in (0, 1):
    end = seconds() + 30
    while call(stream, PING, vcpu, 20, 22) != (True, 42):
        if seconds() > end:
            sys.exit("vCPU %d does not answer" % vcpu)
        time.sleep(0.1)
