# SPDX-License-Identifier: BSD-2-Clause
"""Files of this tree that comments and documents name exist."""
import os
import re

ROOTS = ("symvm", "libsymcall", "libguestview", "preload", "include", "guest", "lab", "images", "tests",
         "bench", "docs", "scripts", "examples")
# A path of this tree, with an ending or below scripts/. It is not part of a longer path, and no pattern.
PATH = re.compile(r"(?<![\w/.$<-])((?:%s)/[\w./+-]*\w)(?![\w/*{}<>-])" % "|".join(ROOTS))
CAPITALS = re.compile(r"/[A-Z]{2,}\b|NAME|NN-")


def texts(tree):
    for name in tree.files:
        if name.endswith((".md", ".1", ".3")):
            yield name, 1, tree.read(name)
        elif name.endswith((".c", ".h", ".S")):
            for line, text in tree.comments(name):
                yield name, line, text
        elif name in tree.scripts() or name.endswith((".py", ".bats", ".build")):
            for line, text in enumerate(tree.read(name).splitlines(), 1):
                if text.lstrip().startswith("#"):
                    yield name, line, text


def is_there(tree, source, path):
    """Look for it as a path of the tree, as one of a source folder, and as a name without its ending."""
    for base in ("", "symvm", os.path.dirname(source)):
        full = os.path.join(base, path)
        if tree.exists(full) or any(tree.exists(full + end) for end in (".c", ".h", ".bats")):
            return True
    return False


def run(tree):
    for name, line, text in texts(tree):
        for match in PATH.finditer(text):
            path = match.group(1).rstrip(".")
            if CAPITALS.search(path) or is_there(tree, name, path):
                continue
            at = line + text.count("\n", 0, match.start())
            yield f"{name}:{at}", f"names {path}, which does not exist"
