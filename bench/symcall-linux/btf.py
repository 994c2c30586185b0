# SPDX-License-Identifier: BSD-2-Clause
"""Offsets of members of a kernel's structures, from the .BTF section of its ELF file
(Documentation/bpf/btf.rst)."""
import struct

# Bytes that follow struct btf_type: a fixed part, and a part for each of its `vlen` entries.
TRAILERS = {1: (4, 0), 3: (12, 0), 4: (0, 12), 5: (0, 12), 6: (0, 8), 13: (0, 8), 14: (4, 0),
            15: (0, 12), 17: (4, 0), 19: (0, 12)}


def section(elf, wanted):
    offset, = struct.unpack_from("<Q", elf, 40)
    count, names = struct.unpack_from("<HH", elf, 60)
    headers = [struct.unpack_from("<IIQQQQ", elf, offset + 64 * n) for n in range(count)]
    strings = headers[names][4]
    for name, _, _, _, start, size in headers:
        if elf[strings + name:elf.index(b"\0", strings + name)] == wanted:
            return elf[start:start + size]
    raise LookupError("no section %r" % wanted)


def member_offsets(vmlinux, structure, members):
    """The byte offsets of these members, in their order."""
    with open(vmlinux, "rb") as file:
        btf = section(file.read(), b".BTF")
    header, types, type_size, strings = struct.unpack_from("<IIII", btf, 4)
    at, end = header + types, header + types + type_size

    def text(offset):
        start = header + strings + offset
        return btf[start:btf.index(b"\0", start)].decode()

    while at < end:
        name, info, _ = struct.unpack_from("<III", btf, at)
        kind, entries, at = info >> 24 & 31, info & 0xffff, at + 12
        if kind == 4 and text(name) == structure:
            found = {}
            for entry in range(entries):
                member, _, bits = struct.unpack_from("<III", btf, at + 12 * entry)
                found[text(member)] = (bits & 0xffffff) // 8
            return [found[member] for member in members]
        fixed, each = TRAILERS.get(kind, (0, 0))
        at += fixed + each * entries
    raise LookupError("no struct " + structure)
