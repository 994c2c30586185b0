#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""programs.py SYMVM CACHE DISKS IMAGES ROUNDS CONTENDERS PROGRAM..., where KVM works: programs of Debian on
more data than a guest has RAM, with each kind of swap, by turns. Their results are compared with those
that a guest with RAM enough got. IMAGES are two disks, the programs' and that of what they work
on; IMAGES and CONTENDERS have commas. Prints a table and `result NAME VALUE UNIT`."""
import dataclasses
import math
import re
import statistics
import sys

sys.dont_write_bytecode = True
from contenders import all_contenders  # noqa: E402
from field import MIB, Field  # noqa: E402
from guest import GuestFailed  # noqa: E402

GUEST_MIB, NEED_MIB = 192, 150   # the most that the programs take in all
SECONDS = 240
# The last two disks: one with the programs, one with the files that they work on.
MOUNT = "run-program modprobe ext4 && mkdir -p /mnt && set -- $(ls -r /dev/vd?) && " \
    "mount -t ext4 -o ro $2 /mnt && mount -t ext4 -o ro $1 /mnt/srv && mount -t tmpfs tmp /mnt/tmp && " \
    "mount --bind /dev /mnt/dev && mount --bind /proc /mnt/proc && " \
    "echo 1 >/proc/sys/vm/overcommit_memory"


def run(entrant, program):
    """The program's seconds; its output's checksum goes to the console and must be everyone's."""
    answer = entrant.guest.ask(
        "run-program set -o pipefail; chroot /mnt /srv/%s </dev/null 2>/dev/console | sha256sum |"
        " sed 's/^/sum-%s /' >/dev/console" % (program, program), SECONDS)
    found = re.findall(r"sum-%s ([0-9a-f]{64})" % program, entrant.guest.console())
    if not found or len(set(found)) != 1:
        raise GuestFailed("%s: no result, or another each time: %s" % (program, found))
    entrant.sums[program] = found[0]
    entrant.seconds.setdefault(program, []).append(answer["ns"] / 1e9)
    entrant.swap_ins[program] = answer["swap_ins"]
    entrant.host = max(entrant.host, entrant.guest.host_bytes())


def compare_sums(field, ram):
    for entrant in field.entrants:
        if not entrant.failed and entrant.sums != ram.sums:
            entrant.failed = "WRONG results: %s, not %s" % (entrant.sums, ram.sums)


def times(entrant, ram, program):
    return statistics.median(ours / theirs for ours, theirs in
                             zip(entrant.seconds[program], ram.seconds[program]))


def report(field, ram, programs):
    """Times of each in those of RAM enough, program by program, and how often faster than others' swap."""
    for entrant in field.entrants[1:]:
        if entrant.failed:
            continue
        name = entrant.contender.name
        ratios = [times(entrant, ram, program) for program in programs]
        for program, ratio in zip(programs, ratios):
            print("result swap.%s_%s_vs_ram %.4g ratio" % (program, name, ratio))
        print("result swap.programs_%s_vs_ram %.4g ratio" % (
            name, math.prod(ratios) ** (1 / len(ratios))))
        for other in field.entrants[1:]:
            if name in ("grant", "map") and other.contender.name in ("zram", "disk", "tmpfs") and \
                    not other.failed:
                print("result swap.programs_%s_vs_%s %.4g ratio" % (name, other.contender.name, math.prod(
                    times(other, entrant, program) for program in programs) ** (1 / len(programs))))


def main():
    symvm, cache, disks, images, rounds, names = sys.argv[1:7]
    programs = sys.argv[7:]
    reading = tuple(word for image in images.split(",") for word in
                    ("--disk", "path=%s,readonly" % image))
    known = all_contenders(GUEST_MIB, NEED_MIB)
    field = Field(symvm, cache, disks, NEED_MIB)
    field.start(dataclasses.replace(
        known[name], options=known[name].options + reading) for name in names.split(","))
    for entrant in field.entrants:
        entrant.sums, entrant.seconds, entrant.swap_ins = {}, {}, {}
    field.each("", lambda e: e.guest.ask(MOUNT))
    for turn in range(int(rounds)):
        for program in programs:
            field.each("%s %d" % (program, turn), lambda e, program=program: run(e, program))
    field.collect()
    ram = field.entrants[0]
    if ram.failed:
        sys.exit("no RAM enough to compare with: " + ram.failed)
    compare_sums(field, ram)
    print("%-22s" % "" + "".join("%10s %9s" % (program, "swap-ins") for program in programs) +
          "%9s" % "host MiB")
    for entrant in field.entrants:
        if entrant.failed:
            print("%-22s FAILED: %s" % (entrant.contender.label, entrant.failed[:200]))
            continue
        print("%-22s" % entrant.contender.label + "".join(
            "%9.2fx %9d" % (times(entrant, ram, program), entrant.swap_ins[program])
            for program in programs) + "%9.0f" % (entrant.host / MIB))
    report(field, ram, programs)
    return 1 if any(entrant.failed for entrant in field.entrants) else 0


sys.exit(main())
