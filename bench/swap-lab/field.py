# SPDX-License-Identifier: BSD-2-Clause
"""The guests that are compared, side by side in one host: one is at work at a time, by turns."""
import os
import statistics
import sys
import time

from guest import MIB, Guest, GuestFailed, scratch

DISTINCT = 8          # in a page, one word in this many differs: zram compresses it to a quarter
SETTLED = 1 / 500     # part of a pass's pages whose swap-ins count as none
STEP_SECONDS = 4
ORDERS = ("sequential", "random")


def say(text):
    print(text, file=sys.stderr, flush=True)


class Entrant:
    """A contender at work: its guest, and the measurements of its turns."""

    def __init__(self, contender, guest, working_set):
        self.contender = contender
        self.guest = guest
        self.working_set = working_set
        self.turns = {order: [] for order in ORDERS}
        self.touches = []
        self.host = 0         # bytes: in the last turn
        self.host_peak = 0
        self.settled = {}     # order: (whether, seconds)
        self.symcalls = 0
        self.slots = None     # at the end
        self.notes = []
        self.failed = None

    def run(self, order, seconds, pages):
        """Run the agent, and note the VM's exits and its host memory."""
        exits = self.guest.exits()
        answer = self.guest.ask("run %s %g %d" % (order, seconds, pages), 90 + seconds)
        answer["exits"] = self.guest.exits() - exits
        self.host = self.guest.host_bytes()
        self.host_peak = max(self.host_peak, self.host)
        return answer

    def settle(self, order, limit, tick=None):
        """Run until a whole pass swaps in (nearly) nothing, or so many seconds are over. `tick` is called
        each second of it."""
        start = time.monotonic()
        swapped = pages = 0
        while time.monotonic() - start < limit:
            answer = self.run(order, 1 if tick else STEP_SECONDS, self.working_set - pages)
            if tick:
                tick()
            pages += answer["pages"]
            swapped += answer["swap_ins"]
            if pages < self.working_set:
                continue
            if swapped <= pages * SETTLED:
                self.settled[order] = (True, time.monotonic() - start)
                return
            pages = swapped = 0
        self.settled[order] = (False, time.monotonic() - start)

    def turn(self, order, seconds):
        """Run timed passes for so long."""
        self.turns[order].append(self.run(order, seconds, 1 << 40))

    def first_touch(self, mib):
        self.touches.append(self.guest.ask("touch %d" % mib))

    def ns_per_page(self, order):
        """The median of all turns of that order."""
        return statistics.median(turn["ns"] / turn["pages"] for turn in self.turns[order])

    def times(self, base, order):
        """Time per page as a multiple of that of `base`: the median of the rounds' ratios."""
        return statistics.median(
            (ours["ns"] * theirs["pages"]) / (ours["pages"] * theirs["ns"])
            for ours, theirs in zip(self.turns[order], base.turns[order]))

    def touch_ns(self):
        """The time of a first touch, per page. None if the pages had not gone to the swap device: those of
        a disk are still in the guest's swap cache. (A mapped page is not a swap-in.)"""
        if not self.touches:
            return None
        if self.contender.disk and any(t["swap_ins"] < t["pages"] * 0.9 for t in self.touches):
            return None
        return statistics.median(touch["ns"] / touch["pages"] for touch in self.touches)

    def per_page(self, key, orders=ORDERS):
        turns = [turn for order in orders for turn in self.turns[order]]
        pages = sum(turn["pages"] for turn in turns)
        return sum(turn[key] for turn in turns) / pages if pages else 0

    def measured(self):
        return self.failed is None and all(self.turns.values())


class Field:
    def __init__(self, symvm, place, disks, working_set_mib):
        self.symvm, self.place, self.disks = symvm, place, disks
        self.mib = working_set_mib
        self.entrants = []

    def disk_of(self, contender):
        if not contender.disk:
            return None
        where = scratch() if contender.disk == "tmpfs" else self.disks
        path = os.path.join(where, contender.name + ".swap")
        with open(path, "wb") as disk:
            disk.truncate((self.mib + 128) * MIB)
        return path

    def start(self, contenders):
        """Start all guests. One that does not start stays an entrant, with the reason in `failed`."""
        for contender in contenders:
            guest = Guest(self.symvm, self.place, contender, self.disk_of(contender))
            self.entrants.append(Entrant(contender, guest, self.mib * 256))
        for entrant in self.entrants:
            self.attempt(entrant, lambda e=entrant: (e.guest.wait_ready(),
                                                     e.guest.ask("distinct %d" % DISTINCT)))

    def attempt(self, entrant, function):
        if entrant.failed:
            return
        try:
            function()
        except (GuestFailed, OSError) as error:
            entrant.failed = str(error)
            say("%s: FAILED: %s" % (entrant.contender.label, error))
            entrant.guest.end()

    def each(self, what, function):
        """Call the function for each entrant that is still there, one after the other."""
        for entrant in self.entrants:
            start = time.monotonic()
            self.attempt(entrant, lambda e=entrant: function(e))
            if not entrant.failed and what:
                say("%-26s %s, %.1f s" % (entrant.contender.label, what,
                                          time.monotonic() - start))

    def check(self):
        """Every word of every page of those that ended swapping; with the others it would take as long
        as all the rest. (What is touched is verified in all of them.)"""
        for entrant in self.entrants:
            if any(ended for ended, _ in entrant.settled.values()):
                self.attempt(entrant, lambda e=entrant: e.guest.ask("check"))

    def collect(self):
        """Ask, before the guests end, how VMM and guest dealt with swap-ins."""
        for entrant in self.entrants:
            self.attempt(entrant, lambda e=entrant: self.collect_from(e))
            entrant.guest.end()

    @staticmethod
    def collect_from(entrant):
        counted = entrant.guest.command("info").get("symbiotic", {})
        entrant.symcalls = counted.get("calls", 0) + counted.get("safepoint_calls", 0)
        entrant.slots = entrant.guest.slots()
        complaints = entrant.guest.kernel_complaints()
        if complaints:
            raise GuestFailed("its kernel complained: " + complaints[0])
