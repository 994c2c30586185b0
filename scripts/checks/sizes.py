# SPDX-License-Identifier: BSD-2-Clause
"""No file has more than 600 lines, no C function more than 60."""
import re

FILE_LINES = 600
FUNCTION_LINES = 60
NAME = re.compile(r"(\w+)\(")
KNOWN = {  # must still be split
}
ENDINGS = (".c", ".h", ".S", ".py", ".sh", ".bats")


def functions(text):
    """(line, name, number of lines) of each function: its braces are in column 0."""
    lines = text.splitlines()
    start = None
    for number, line in enumerate(lines):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            head = start - 1
            while head > 0 and (lines[head][:1].isspace() or not NAME.search(lines[head])):
                head -= 1
            name = NAME.search(lines[head])
            yield head + 1, name.group(1) if name else "?", number - head + 1
            start = None


def run(tree):
    for source in tree.files:
        if source.endswith(ENDINGS) or source in tree.scripts():
            count = tree.read(source).count("\n")
            if count > FILE_LINES and source not in KNOWN:
                yield source, f"{count} lines, more than {FILE_LINES}"
    for source in tree.ending(".c"):
        for line, name, count in functions(tree.read(source)):
            if count > FUNCTION_LINES:
                yield f"{source}:{line}", f"{name} has {count} lines, more than {FUNCTION_LINES}"
