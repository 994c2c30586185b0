# SPDX-License-Identifier: BSD-2-Clause
"""A clock that runs slower while a process does not get the CPU that it asks for.

Time limits of tests count its seconds. On a machine that is busy with other things a command takes
longer by the clock on the wall, but not by this one. For a process that sleeps or runs the two agree.
"""
import glob
import time

STEP_MOST = 1.0  # seconds that one look may add: the watcher itself may have been stopped
SLOWEST = 0.05  # part of real time: every limit ends


def threads_seen(pid):
    """{thread: (time on a CPU, time waiting for one)} in ns, of one process (proc(5), schedstat)."""
    seen = {}
    for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
        try:
            with open(path, encoding="ascii") as handle:
                words = handle.read().split()
            seen[path] = (int(words[0]), int(words[1]))
        except (OSError, ValueError, IndexError):
            continue
    return seen


def stolen_seen():
    """(ticks that the machine's own host took, all ticks) since its start; proc(5), stat."""
    try:
        with open("/proc/stat", encoding="ascii") as handle:
            words = [int(word) for word in handle.readline().split()[1:9]]
    except (OSError, ValueError):
        return 0, 0
    return (words[7] if len(words) == 8 else 0), sum(words)


class FairClock:
    """`pids`: a function that lists the processes that matter. look() must be called a few times
    a second, from one thread; `seconds` may be read from any."""

    def __init__(self, pids, now=time.monotonic):
        self.pids = pids
        self.now = now
        self.seconds = 0.0
        self.last = now()
        self.threads = {}
        self.stolen = stolen_seen()

    def share(self):
        """The part of the CPU time asked for that was granted since the last look."""
        threads = {}
        for pid in self.pids():
            threads.update(threads_seen(pid))
        ran = waited = 0
        for name, (on, off) in threads.items():
            on_before, off_before = self.threads.get(name, (0, 0))
            ran += max(0, on - on_before)
            waited += max(0, off - off_before)
        self.threads = threads
        stolen = stolen_seen()
        ticks = stolen[1] - self.stolen[1]
        kept = (stolen[0] - self.stolen[0]) / ticks if ticks > 0 else 0
        self.stolen = stolen
        granted = ran / (ran + waited) if ran + waited else 1
        return max(SLOWEST, granted * (1 - kept))

    def look(self):
        now = self.now()
        self.seconds += min(now - self.last, STEP_MOST) * self.share()
        self.last = now
        return self.seconds
