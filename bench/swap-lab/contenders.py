# SPDX-License-Identifier: BSD-2-Clause
"""The guests that are compared. They differ only in where they swap to and in who decides about it."""
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Contender:
    name: str
    label: str
    swap: str = "none"        # the KIND of /etc/symvm/swap
    options: tuple = ()       # more options for `symvm run`
    words: tuple = ()         # more words for the kernel's command line
    kernel: str = "6.1"
    disk: str = ""            # file system of the swap disk's file: tmpfs or disk
    grows: bool = False       # has virtio-mem
    settles: bool = False     # must stop swapping in the end
    driver: str = ""          # program that changes its RAM from outside: free-memory


def symbiotic(policy, mib, most, store):
    grows = policy in ("grant", "auto")
    memory = "%dM,max=%dM" % (mib, most) if grows else "%dM" % mib
    return Contender(
        policy, "symbiotic, %s" % policy, "symbiotic",
        ("--memory", memory, "--swap", "size=%dM,policy=%s" % (store, policy)), grows=grows,
        settles=policy != "copy")


def all_contenders(mib, working_set):
    """The contenders by name, in the order of the table. Sizes in MiB."""
    enough = (working_set * 5 // 4 + 96) // 16 * 16
    most = (mib + working_set + 255) // 256 * 256
    store = working_set + 128
    ram = ("--memory", "%dM" % mib)
    contenders = (
        Contender("ram", "RAM enough", options=("--memory", "%dM" % enough), settles=True),
        symbiotic("grant", mib, most, store),
        symbiotic("map", mib, most, store),
        symbiotic("copy", mib, most, store),
        symbiotic("auto", mib, most, store),
        Contender("zram", "zram", "zram", ram),
        Contender("zram-mthp", "zram, 64 kB mTHP, 6.12", "zram", ram, ("mthp=64kB",), "6.12"),
        Contender("tmpfs", "virtio-blk on tmpfs", "/dev/vda", ram, disk="tmpfs"),
        Contender("disk", "virtio-blk on a disk", "/dev/vda", ram, disk="disk"),
        Contender("free-memory", "virtio-mem by free memory", "/dev/vda",
                  ("--memory", "%dM,max=%dM" % (mib, most)), disk="disk", grows=True,
                  settles=True, driver="free-memory"),
    )
    return {contender.name: contender for contender in contenders}


def main():
    """contenders.py NAME...: say whether these can be compared."""
    known = all_contenders(0, 0)
    names = sys.argv[1:]
    if names and ("ram" not in names or any(name not in known for name in names)):
        sys.exit("contenders: 'ram' and any of %s" % ", ".join(known))


if __name__ == "__main__":
    main()
