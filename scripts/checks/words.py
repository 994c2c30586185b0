# SPDX-License-Identifier: BSD-2-Clause
"""Documents use common words (scripts/checks/words.txt has the others, and what to write instead)."""
import re

LIST = "scripts/checks/words.txt"
CODE = re.compile(r"^( *)```.*?^\1```|^ {4}.*?$|``.*?``|`[^`\n]*`|\]\([^)]*\)", re.M | re.S)


def read_list(tree):
    """[(pattern, what to write instead)]."""
    words = []
    for line in tree.read(LIST).splitlines():
        if line and not line.startswith("#"):
            pattern, instead = line.split("\t")
            words.append((re.compile(rf"\b(?:{pattern})\b", re.I), instead))
    return words


def without_code(text):
    """The text with blanks for code and link targets, so that lines keep their numbers."""
    return CODE.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def run(tree):
    words = read_list(tree)
    for name in tree.ending(".md", ".1", ".3"):
        text = without_code(tree.read(name))
        for pattern, instead in words:
            for match in pattern.finditer(text):
                line = text.count("\n", 0, match.start()) + 1
                found = " ".join(match.group().split())
                yield f"{name}:{line}", f"'{found}': write {instead}"
