#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""demo.py SYMVM CACHE DISKS, where KVM works: `make run`'s look at SwapBypass. The same over-committed
work in guests that swap to a virtio disk, to zram and to the VMM, and in one with RAM enough."""
import sys

sys.dont_write_bytecode = True
from contenders import all_contenders  # noqa: E402
from field import MIB, ORDERS, Field  # noqa: E402

GUEST_MIB, SET_MIB = 192, 150
SETTLE_SECONDS, OTHERS_SECONDS, TURN_SECONDS, ROUNDS = 40, 2, 1, 2
WIDTH = 40
NAMES = {"disk": "swap on a virtio disk", "zram": "swap in zram", "auto": "SwapBypass",
         "ram": "RAM enough, no swap"}


def picture(entrants, base):
    cost = {e.contender.name: sum(e.ns_per_page(order) for order in ORDERS) for e in entrants}
    most = max(cost.values())
    print("\n%-22s %-*s %9s %9s %9s %8s" % ("", WIDTH + 8, "time for the same work", "swap-ins",
                                          "exits", "host MiB", "verified"))
    for entrant in entrants:
        name = entrant.contender.name
        bar = "#" * max(1, round(WIDTH * cost[name] / most))
        times = " %.3gx" % (cost[name] / base)
        print("%-22s %-*s %9.1f %9.1f %9.0f %8s" % (
            NAMES[name], WIDTH + 8, bar + times, 1000 * entrant.per_page("swap_ins"),
            1000 * entrant.per_page("exits"), entrant.host / MIB, "yes"))


def main():
    symvm, cache, disks = sys.argv[1:4]
    field = Field(symvm, cache, disks, SET_MIB)
    contenders = all_contenders(GUEST_MIB, SET_MIB)
    print("SwapBypass: guests of %d MiB work on %d MiB, in order and at random, a quarter rewritten."
          % (GUEST_MIB, SET_MIB))
    field.start(contenders[name] for name in NAMES)
    field.each("", lambda e: e.guest.ask("fill %d" % SET_MIB))
    field.each("", lambda e: e.settle(
        "sequential", SETTLE_SECONDS if e.contender.settles else OTHERS_SECONDS))
    for _ in range(ROUNDS):
        for order in ORDERS:
            field.each("", lambda e, order=order: e.turn(order, TURN_SECONDS))
    field.collect()
    failed = [entrant for entrant in field.entrants if entrant.failed]
    for entrant in failed:
        print("FAILED: %s: %s" % (NAMES[entrant.contender.name], entrant.failed))
    if failed:
        return 1
    by_name = {entrant.contender.name: entrant for entrant in field.entrants}
    base = sum(by_name["ram"].ns_per_page(order) for order in ORDERS)
    picture(field.entrants, base)
    print("per 1000 pages touched; exits of the VM of all kinds. Times as multiples of those with RAM "
          "enough:\nin the lab they are emulated, so that only ratios and counts mean anything.")
    settled, seconds = by_name["auto"].settled["sequential"]
    policy = by_name["auto"].slots["policy"]
    print("SwapBypass (policy auto): the VMM asked the guest %d times in the middle of its exits, gave "
          "%d MiB of RAM,\nand %s." % (
              policy["asked"], policy["given_bytes"] // MIB,
              "the swapping ended after %.0f s" % seconds if settled else
              "the guest had not plugged it yet when this ended: it was still swapping"))
    return 0


sys.exit(main())
