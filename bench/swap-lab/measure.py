#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""measure.py full|small SYMVM CACHE DISKS [NAME...], where KVM works: the contenders of contenders.py,
those named or all, by turns. Prints a table, `row` lines for plots, and `result NAME VALUE UNIT`."""
import math
import sys
import time
from dataclasses import dataclass

sys.dont_write_bytecode = True
from contenders import all_contenders  # noqa: E402
from field import MIB, ORDERS, Field, say  # noqa: E402


@dataclass(frozen=True)
class Scale:
    guest_mib: int        # --memory; the guest's MemTotal is some 50 MiB less
    set_mib: int
    touch_mib: int
    touch_rounds: int
    rounds: int            # for guests that stopped swapping: other work on the machine shows in each round
    slow_rounds: int       # for the others
    turn_seconds: float
    settle_seconds: float  # at most, for guests that must stop swapping
    warm_seconds: float    # for the others
    check: bool
    names: tuple = ()      # empty: all


SCALES = {
    "full": Scale(308, 410, 32, 5, 15, 4, 1.5, 100, 8, True),
    "small": Scale(192, 150, 8, 3, 3, 2, 0.7, 40, 2, False,
                   ("ram", "grant", "map", "copy", "zram", "tmpfs")),
}
GROW_STEP = 32 * MIB


class FreeMemoryDriver:
    """What one has without the guest's help: RAM is added while little of it is free, until the VM
    takes as much of the host as the one it is compared with."""

    def __init__(self, entrant, most_bytes):
        self.entrant, self.most = entrant, most_bytes
        self.size = entrant.guest.ram_bytes()

    def __call__(self):
        memory = self.entrant.guest.command("call", call="meminfo")
        if memory["mem_free"] > memory["mem_total"] // 8:
            return
        if self.entrant.guest.host_bytes() + GROW_STEP > self.most:
            return
        if self.entrant.guest.ram_bytes() == self.size:
            self.size += GROW_STEP
            self.entrant.guest.command("memory", size=self.size)


def settle(entrants, entrant, order, scale):
    tick = None
    if entrant.contender.driver == "free-memory":
        like = entrants.get("grant") or entrants["ram"]
        tick = FreeMemoryDriver(entrant, like.host_peak)
    hopeless = not all(ended for ended, _ in entrant.settled.values())
    limit = scale.settle_seconds
    if hopeless or not entrant.contender.settles:
        limit = scale.warm_seconds
    entrant.settle(order, limit, tick)


def measure(field, scale, contenders):
    field.start(contenders)
    entrants = {entrant.contender.name: entrant for entrant in field.entrants}
    for _ in range(scale.touch_rounds):
        field.each("", lambda e: e.contender.swap != "none" and e.first_touch(scale.touch_mib))
    field.each("filled", lambda e: e.guest.ask("fill %d" % scale.set_mib))
    for order in ORDERS:
        field.each("settled, %s" % order, lambda e: settle(entrants, e, order, scale))
        for turn in range(scale.rounds):
            field.each("", lambda e: (turn < scale.slow_rounds or e.settled[order][0]) and
                       e.turn(order, scale.turn_seconds))
    if scale.check:
        field.check()
    field.collect()
    return entrants


def settled(entrant):
    """For how long the guest continued to swap, in words."""
    if not entrant.contender.settles:
        return "-"
    return " ".join("%s%.0f" % ("" if ended else ">", seconds)
                    for ended, seconds in entrant.settled.values())


def table(entrants, ram):
    print("\n%-26s %9s %9s %9s %8s %8s %8s %8s %7s %6s %9s" % (
        "", "sequent.", "random", "touch us", "swap-ins", "major", "exits", "symcalls", "host",
        "peak", "settled s"))
    for entrant in entrants.values():
        label = entrant.contender.label
        if not entrant.measured():
            print("%-26s FAILED: %s" % (label, (entrant.failed or "no turn")[:80]))
            continue
        touch = entrant.touch_ns()
        print("%-26s %8.2fx %8.2fx %9s %8.1f %8.1f %8.1f %8d %7.0f %6.0f %9s" % (
            label, entrant.times(ram, "sequential"), entrant.times(ram, "random"),
            "%.2f" % (touch / 1e3) if touch else "-", 1e3 * entrant.per_page("swap_ins"),
            1e3 * entrant.per_page("major"), 1e3 * entrant.per_page("exits"), entrant.symcalls,
            entrant.host / MIB, entrant.host_peak / MIB, settled(entrant)))
    print("times: as multiples of RAM enough in the same rounds; swap-ins, major faults and exits: per "
          "1000\npages touched in steady state; touch: the first one after swap-out ('-': not swapped out, or "
          "still\nin the guest's swap cache); symcalls: in all; host: MiB of the VM, everything included")


def remarks(entrants):
    mapped = entrants.get("map")
    if mapped and mapped.slots and not mapped.slots["windows"][0]["mapped"]:
        given = mapped.slots["policy"]["decisions"].get("map-given", 0)
        print("map: NOT MAPPED: the guest's module answered %d map verdicts with copies; its figures "
              "are a copy's" % given)
    for entrant in entrants.values():
        for order, (ended, seconds) in entrant.settled.items():
            if entrant.contender.settles and not ended:
                print("%s: still swapping after %.0f s of %s passes; timed all the same" % (
                    entrant.contender.label, seconds, order))


def steady(entrant, base):
    """Sequential and random alike: the geometric mean of the two ratios."""
    return math.sqrt(math.prod(entrant.times(base, order) for order in ORDERS))


def results(entrants):
    """(name, value) of all that could be measured."""
    def has(*names):
        return all(name in entrants and entrants[name].measured() for name in names)

    for ours in ("grant", "map"):
        if has(ours, "ram"):
            yield "swap.%s_steady_vs_ram" % ours, steady(entrants[ours], entrants["ram"])
        for other, name in (("zram", "zram"), ("tmpfs", "virtio_tmpfs")):
            if has(ours, other):
                yield "swap.%s_vs_%s" % (ours, name), steady(entrants[other], entrants[ours])
    for ours in ("copy", "grant", "map"):
        if has(ours, "zram") and entrants[ours].touch_ns():
            yield ("swap.%s_first_touch_vs_zram" % ours,
                   entrants["zram"].touch_ns() / entrants[ours].touch_ns())
    if has("grant", "map", "ram"):
        yield "swap.host_memory_vs_ram", \
            max(entrants["grant"].host, entrants["map"].host) / entrants["ram"].host


def main():
    start = time.monotonic()
    scale = SCALES[sys.argv[1]]
    symvm, cache, disks = sys.argv[2:5]
    known = all_contenders(scale.guest_mib, scale.set_mib)
    names = sys.argv[5:] or scale.names or [name for name in known if name != "auto"]
    field = Field(symvm, cache, disks, scale.set_mib)
    entrants = measure(field, scale, [known[name] for name in names])
    ram = entrants["ram"]
    if not ram.measured():
        sys.exit("no RAM enough to compare with: %s" % ram.failed)
    table(entrants, ram)
    remarks(entrants)
    for entrant in entrants.values():
        if entrant.measured():
            print('row "%s" %.4f %.4f %.1f' % (
                entrant.contender.label, entrant.times(ram, "sequential"),
                entrant.times(ram, "random"), entrant.host / MIB))
            for order in ORDERS:
                say("%-26s %s, ns a page: %s" % (entrant.contender.label, order, " ".join(
                    "%.0f" % (turn["ns"] / turn["pages"]) for turn in entrant.turns[order])))
    for name, value in results(entrants):
        print("result %s %.4g ratio" % (name, value))
    sys.stdout.flush()
    say("took %.0f s" % (time.monotonic() - start))
    return 1 if any(not entrant.measured() for entrant in entrants.values()) else 0


sys.exit(main())
