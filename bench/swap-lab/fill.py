#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""fill.py ROUNDS SYMVM CACHE, where KVM works: guests whose memory a program fills beyond their RAM, by
turns with a guest that has RAM enough. Each round has new guests.
Prints a table and `result NAME VALUE UNIT` lines."""
import statistics
import sys

sys.dont_write_bytecode = True
from contenders import all_contenders  # noqa: E402
from field import MIB, Entrant, say  # noqa: E402
from guest import Guest, GuestFailed  # noqa: E402

GUEST_MIB, FILL_MIB = 256, 400
NAMES = ("ram", "auto", "copy")


def started(place, contender):
    entrant = Entrant(contender, Guest(*place, contender), FILL_MIB * 256)
    entrant.guest.wait_ready()
    entrant.guest.ask("distinct 2")
    return entrant


def fill(place, contender):
    """Seconds, swapped-out percent, MiB of RAM and of the host that it took."""
    entrant = started(place, contender)
    try:
        before = entrant.guest.ram_bytes() or 0
        answer = entrant.guest.ask("fill %d" % FILL_MIB)
        given = (entrant.guest.ram_bytes() or before) - before
        wrong = entrant.guest.ask("check")["bad"]
        host = entrant.guest.host_bytes()
        complaints = entrant.guest.kernel_complaints()
        slots = entrant.guest.slots()
    finally:
        entrant.guest.end()
    if wrong or complaints:
        raise GuestFailed("%s: %d wrong pages, %s" % (contender.name, wrong, complaints[:1]))
    say("%-8s %.2f s, %.1f %% swapped out, %d MiB given, %s" % (
        contender.name, answer["ns"] / 1e9, 100 * answer["swap_outs"] / answer["pages"],
        given // MIB, slots["policy"]["decisions"] if slots else ""))
    return answer["ns"] / 1e9, 100 * answer["swap_outs"] / answer["pages"], given / MIB, host / MIB


def main():
    rounds = int(sys.argv[1])
    place = sys.argv[2:4]
    known = all_contenders(GUEST_MIB, FILL_MIB)
    taken = {name: [] for name in NAMES}
    for _ in range(rounds):
        for name in NAMES:
            taken[name].append(fill(place, known[name]))
    print("%-20s %10s %14s %10s %10s" % ("", "time", "swapped out %", "given MiB", "host MiB"))
    for name in NAMES:
        times = [ours[0] / base[0] for ours, base in zip(taken[name], taken["ram"])]
        print("%-20s %9.2fx %14.1f %10.0f %10.0f" % (
            known[name].label, statistics.median(times),
            *(statistics.median(values) for values in list(zip(*taken[name]))[1:])))
    for name in NAMES[1:]:
        times = [ours[0] / base[0] for ours, base in zip(taken[name], taken["ram"])]
        prefix = "swap.fill" if name == "auto" else "swap.fill_" + name
        print("result %s_vs_ram %.4g ratio" % (prefix, statistics.median(times)))
        print("result %s_swapped_percent %.4g percent" % (
            prefix, statistics.median(one[1] for one in taken[name])))


main()
