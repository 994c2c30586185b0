#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""measure.py SYMVM KERNEL INITRD AGENT.tar OUTSIDE SECONDS PAIRS, where KVM works: one Linux guest with and
without the symbiotic interface. Memory counters by symbiotic call against an agent over
virtio-console, by turns; the current task by call against reading the guest's memory from outside;
exits of the idle guest with the interface present against off.
Prints `result NAME VALUE UNIT`, and `row` lines for the table."""
import atexit
import base64
import functools
import glob
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from btf import member_offsets

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lines import Lines, clock_seconds  # noqa: E402

symvm, kernel, initrd, agent, outside, seconds, pairs = sys.argv[1:8]
seconds, pairs = int(seconds), int(pairs)
scratch = tempfile.mkdtemp(dir=os.environ.get("SYMVM_SCRATCH"))
START_SECONDS = 240
ANSWER_SECONDS = 60
# A reader from outside must know these facts of this kernel. With KASLR it would not know even these.
SYMBOLS = ["__per_cpu_offset", "current_task", "init_top_pgt"]
COMMAND = ("grep -wE '" + "|".join(SYMBOLS) + "' /proc/kallsyms; "
           "tar -C /tmp -xf /dev/vda && exec /tmp/agent")


def fail(text):
    sys.exit("symcall-linux: " + text)


@functools.lru_cache
def debugfs():
    place = os.path.join(scratch, "debugfs")
    os.mkdir(place)
    subprocess.run(["mount", "-t", "debugfs", "debugfs", place], check=True)
    atexit.register(subprocess.run, ["umount", place])
    return place


class Guest:
    def __init__(self, symbiotic):
        self.name = "bench-" + symbiotic
        self.console = os.path.join(scratch, self.name + ".console")
        self.hvc = os.path.join(scratch, self.name + ".hvc")
        words = "console=ttyS0 quiet panic=1 nokaslr symvm.net=off symvm.cmd=" + \
            base64.b64encode(COMMAND.encode()).decode()
        self.log = open(os.path.join(scratch, self.name + ".log"), "wb")
        self.process = subprocess.Popen(
            [symvm, "run", "--name", self.name, "--kernel", kernel, "--initrd", initrd,
             "--memory", "256M", "--symbiotic=" + symbiotic, "--append", words,
             "--disk", "path=" + agent + ",readonly", "--console", "file:" + self.console,
             "--virtio-console", "socket:" + self.hvc],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            env=dict(os.environ, SYMVM_RUNTIME_DIR=scratch))
        self.wait_ready()
        self.control = Lines(os.path.join(scratch, self.name + ".sock"))

    def wait_ready(self):
        end = clock_seconds() + START_SECONDS
        while clock_seconds() < end:
            if os.path.exists(self.console) and b"agent ready" in open(self.console, "rb").read():
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.2)
        self.log.flush()
        fail("the guest did not start: " + open(self.log.name).read()[-500:])

    def command(self, name, **arguments):
        request = json.dumps({"command": name, "arguments": arguments}) + "\n"
        answer = json.loads(self.control.ask(request.encode(), ANSWER_SECONDS))
        if "error" in answer:
            fail(name + ": " + answer["error"]["message"])
        return answer["result"]

    def exits(self):
        """All exits of this VM, with those that KVM serves itself."""
        counters = glob.glob("%s/kvm/%d-*/exits" % (debugfs(), self.process.pid))
        if not counters:
            fail("no exit counters of KVM in debugfs")
        return sum(int(open(counter).read()) for counter in counters)

    def idle_rate(self):
        time.sleep(2)
        before, start = self.exits(), time.monotonic()
        time.sleep(seconds)
        return (self.exits() - before) / (time.monotonic() - start)

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()


def timed(function):
    start = time.monotonic()
    function()
    return time.monotonic() - start


def compare_with_agent(guest):
    agent_lines = Lines(guest.hvc)
    calls, agents = [], []
    for turn in range(pairs + 10):
        call = timed(lambda: guest.command("call", call="meminfo"))
        other = timed(lambda: agent_lines.ask(b"memory\n", ANSWER_SECONDS))
        if turn >= 10:
            calls.append(call)
            agents.append(other)
    return calls, agents


def compare_with_outside(guest):
    """`outside` measures both in turns, and its rows and result are shown as they are."""
    addresses = {}
    with open(guest.console, "rb") as console:
        for line in console.read().decode(errors="replace").split("\n"):
            words = line.split()
            if len(words) == 3 and words[2] in SYMBOLS:
                addresses[words[2]] = words[0]
    offsets = member_offsets(os.path.join(os.path.dirname(kernel), "vmlinux"), "task_struct",
                             ["pid", "comm"])
    return subprocess.run(
        [outside, str(guest.process.pid), os.path.join(scratch, guest.name + ".sock"),
         *(addresses[symbol] for symbol in SYMBOLS), *map(str, offsets), str(pairs)],
        check=True, stdout=subprocess.PIPE, text=True).stdout


def main():
    rates = {}
    for symbiotic in ("on", "off"):
        guest = Guest(symbiotic)
        try:
            rates[symbiotic] = guest.idle_rate()
            if symbiotic == "on":
                calls, agents = compare_with_agent(guest)
                outside_lines = compare_with_outside(guest)
        finally:
            guest.end()
    ratios = [call / other for call, other in zip(calls, agents)]
    print("row \"counters by call\" %.0f us" % (statistics.median(calls) * 1e6))
    print("row \"counters by agent\" %.0f us" % (statistics.median(agents) * 1e6))
    print(outside_lines, end="")
    print("row \"idle exits, interface present\" %.1f /s" % rates["on"])
    print("row \"idle exits, interface off\" %.1f /s" % rates["off"])
    print("result symcall.vs_agent %.3f ratio" % statistics.median(ratios))
    print("result symcall.idle_exits_vs_off %.3f ratio" % (rates["on"] / rates["off"]))


main()
