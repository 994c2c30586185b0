#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Run a command with limits of time that a busy machine makes longer. lab/limit says how it is called."""
import os
import select
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fairclock import FairClock  # noqa: E402
from relay import Limits, Stopped  # noqa: E402

LOOK_SECONDS = 0.25
KILL_SECONDS = 5


def descendants(top):
    """The process `top` and all processes that it started, as long as their parents live."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as handle:
                    parent = int(handle.read().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError, ValueError):
                continue
            children.setdefault(parent, []).append(int(name))
    found = [top]
    for pid in found:
        found += children.get(pid, ())
    return found


def status_of(process):
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def pass_on(output, limits):
    """The data that come within a moment. False at the end of the data, None if none came."""
    if not select.select([output], [], [], LOOK_SECONDS)[0]:
        return None
    data = os.read(output, 65536)
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
    limits.output(data)
    return bool(data)


def watch(process, output, limits):
    """Wait until the command has ended. Raises Stopped at a limit. `output`: a pipe to pass on, or None.
    A process that the command left behind may still hold the pipe: what it has by then is taken."""
    while True:
        limits.clock.look()
        limits.left(True)
        ended = process.poll() is not None
        more = None if output is None else pass_on(output, limits)
        if ended and not more:
            return
        if more is False:
            output = None
        if output is None:
            try:
                process.wait(LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                pass


def end(process, group):
    group(signal.SIGTERM)
    try:
        process.wait(KILL_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def parse(words):
    """(each, total, command), or an error."""
    each = "0"
    if words[:1] == ["--each"] and len(words) > 1:
        each, words = words[1], words[2:]
    if len(words) < 2 or not each.isdigit() or not words[0].isdigit():
        sys.exit("usage: limit [--each SECONDS] SECONDS COMMAND...")
    return int(each), int(words[0]), words[1:]


def main():
    each, total, command = parse(sys.argv[1:])
    if not os.isatty(0):
        os.setpgid(0, 0)
    pid = os.getpid()
    process = None

    def group(number, _frame=None):
        """Send the signal to all processes but this one."""
        if process is None:
            return
        if os.getpgrp() != pid:
            process.send_signal(number)
            return
        before = signal.signal(number, signal.SIG_IGN)
        os.killpg(pid, number)
        signal.signal(number, before)

    try:
        process = subprocess.Popen(command, bufsize=0, stdout=subprocess.PIPE if each else None)
    except OSError as error:
        print(f"limit: {command[0]}: {error.strerror}", file=sys.stderr)
        return 127 if isinstance(error, FileNotFoundError) else 126
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, group)
    limits = Limits(FairClock(lambda: descendants(process.pid)), total, each, 0, 0)
    try:
        watch(process, process.stdout.fileno() if each else None, limits)
    except Stopped as stopped:
        print(f"limit: {stopped}", file=sys.stderr)
        end(process, group)
        return stopped.status
    return status_of(process)


if __name__ == "__main__":
    sys.exit(main())
