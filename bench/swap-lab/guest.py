# SPDX-License-Identifier: BSD-2-Clause
"""One guest of symvm that swaps, with the swap-agent of guest/programs in it: started, asked, counted."""
import atexit
import base64
import functools
import glob
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lines import Lines, clock_seconds  # noqa: E402

PAGE = 4096
MIB = 1 << 20
START_SECONDS = 60


class GuestFailed(Exception):
    """The guest did not do what it was asked to do. The text says why."""


@functools.lru_cache
def scratch():
    """A directory of this run, in memory where this is a lab."""
    return tempfile.mkdtemp(prefix="swap.", dir=os.environ.get("SYMVM_SCRATCH"))


@functools.lru_cache
def debugfs():
    place = os.path.join(scratch(), "debugfs")
    os.mkdir(place)
    subprocess.run(["mount", "-t", "debugfs", "debugfs", place], check=True)
    atexit.register(subprocess.run, ["umount", place], check=False)
    return place


class Guest:
    """`place` has kernels and images; `disk` is the file of a contender's swap disk, or None."""

    def __init__(self, symvm, place, contender, disk=None):
        self.contender = contender
        self.disk = disk
        self.name = "swap-" + contender.name
        self.files = os.path.join(scratch(), self.name)
        kernel = os.path.join(place, "kernels", contender.kernel, "vmlinux")
        image = os.path.join(place, "images", "initramfs-swap-%s.cpio" % contender.kernel)
        command = "/etc/symvm/swap %s swap-agent /dev/hvc0" % contender.swap
        words = "console=ttyS0 quiet panic=1 symvm.net=off memhp_default_state=online_movable " \
            "symvm.cmd=" + base64.b64encode(command.encode()).decode()
        line = [symvm, "run", "--name", self.name, "--kernel", kernel, "--initrd", image,
                "--append", " ".join([words] + list(contender.words)),
                "--console", "file:" + self.files + ".console",
                "--virtio-console", "socket:" + self.files + ".hvc"]
        if disk:
            line += ["--disk", "path=" + disk]
        self.log = open(self.files + ".log", "wb")
        self.process = subprocess.Popen(
            line + list(contender.options), stdin=subprocess.DEVNULL, stdout=self.log,
            stderr=self.log, env=dict(os.environ, SYMVM_RUNTIME_DIR=scratch()))
        self.hvc = self.control = None
        atexit.register(self.end)

    def console(self):
        try:
            with open(self.files + ".console", "rb") as console:
                return console.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def last_words(self):
        self.log.flush()
        with open(self.files + ".log", "rb") as log:
            return (self.console() + log.read().decode("utf-8", "replace")).strip()[-600:]

    def wait_ready(self):
        end = clock_seconds() + START_SECONDS
        while "agent ready" not in self.console():
            if self.process.poll() is not None or clock_seconds() > end:
                raise GuestFailed("it did not start: " + self.last_words())
            time.sleep(0.2)
        self.hvc = Lines(self.files + ".hvc")
        self.control = Lines(os.path.join(scratch(), self.name + ".sock"))

    def ask(self, line, seconds=240):
        """A command of swap-agent, its answer as a dict. What it counted as wrong is an error."""
        try:
            answer = json.loads(self.hvc.ask(line.encode() + b"\n", seconds))
        except (OSError, ValueError) as error:
            raise GuestFailed("%s: %s; %s" % (line, error, self.last_words())) from error
        if answer.get("error"):
            raise GuestFailed("%s: %s" % (line, answer["error"]))
        if answer["bad"]:
            raise GuestFailed("%s: %d WRONG pages; %s" % (line, answer["bad"], self.last_words()))
        return answer

    def command(self, name, **arguments):
        """A command of symvm's control socket."""
        request = json.dumps({"command": name, "arguments": arguments}) + "\n"
        try:
            answer = json.loads(self.control.ask(request.encode(), 60))
        except OSError as error:
            raise GuestFailed("%s: %s" % (name, error)) from error
        if "error" in answer:
            raise GuestFailed("%s: %s" % (name, answer["error"]["message"]))
        return answer["result"]

    def exits(self):
        """All exits of this VM, those that KVM serves itself included."""
        counters = glob.glob("%s/kvm/%d-*/exits" % (debugfs(), self.process.pid))
        total = 0
        for counter in counters:
            with open(counter, encoding="ascii") as handle:
                total += int(handle.read())
        return total

    def host_bytes(self):
        """Host memory of the VM, everything included: its process, and a swap file in memory. A
        page that the process maps twice counts once (that is what Pss does)."""
        total = 0
        with open("/proc/%d/smaps_rollup" % self.process.pid, encoding="ascii") as rollup:
            for line in rollup:
                if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                    total += int(line.split()[1]) * 1024
        if self.disk and self.contender.disk == "tmpfs":
            total += os.stat(self.disk).st_blocks * 512
        return total

    def slots(self):
        """What `symvm swap` says, or None."""
        return self.command("swap") if self.contender.swap == "symbiotic" else None

    def ram_bytes(self):
        """RAM that the guest has now; None where it can't change."""
        return self.command("memory")["size"] if self.contender.grows else None

    def kernel_complaints(self):
        return [line for line in self.console().splitlines()
                if any(word in line for word in ("WARNING: ", "BUG: ", "Oops", "Bad page",
                                                 "Out of memory"))]

    def end(self):
        for line in (self.hvc, self.control):
            if line:
                line.socket.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is None:
                self.process.send_signal(number)
                try:
                    self.process.wait(20)
                except subprocess.TimeoutExpired:
                    print("%s: still there 20 s after signal %d" % (self.name, number),
                          file=sys.stderr, flush=True)
        self.log.close()
