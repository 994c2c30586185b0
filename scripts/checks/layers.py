# SPDX-License-Identifier: BSD-2-Clause
"""#include lines point downwards only, as scripts/checks/layers.conf says."""
import os
import re

INCLUDE = re.compile(r'^#include "([^"]+)"', re.M)
CONF = "scripts/checks/layers.conf"


def read_conf(tree):
    """{folder: the folders it may include}, and the violations that are known."""
    allowed, known = {}, set()
    for words in tree.table(CONF):
        if words[0] == "known":
            known.add((words[1], words[2]))
        else:
            allowed[words[0].rstrip(":")] = set(words[1:])
    return allowed, known


def folder_of(name, allowed):
    """The longest folder of the configuration that holds the file."""
    while name:
        name = os.path.dirname(name)
        if name in allowed:
            return name
    return None


def resolve(tree, source, target):
    """The file that `#include "target"` in source means, in the order of the compiler."""
    for base in (os.path.dirname(source), "symvm", "libsymcall", "include", ""):
        path = os.path.normpath(os.path.join(base, target))
        if tree.exists(path):
            return path
    return None


def run(tree):
    allowed, known = read_conf(tree)
    used = set()
    for source in tree.sources():
        own = folder_of(source, allowed)
        if own is None:
            continue
        text = tree.read(source)
        for match in INCLUDE.finditer(text):
            target = resolve(tree, source, match.group(1))
            theirs = folder_of(target, allowed) if target else None
            if theirs is None or theirs == own or theirs in allowed[own]:
                continue
            if (source, target) in known:
                used.add((source, target))
                continue
            line = text.count("\n", 0, match.start()) + 1
            yield f"{source}:{line}", f"{own} must not include {target} ({theirs} is above it)"
    for source, target in sorted(known - used):
        yield CONF, f"'known {source} {target}' is not needed any more: remove the line"
