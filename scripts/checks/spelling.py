# SPDX-License-Identifier: BSD-2-Clause
"""codespell finds no misspelt word (scripts/checks/spelling.txt has words that are right here)."""
import re

WORDS = "scripts/checks/spelling.txt"
ENDINGS = (".md", ".c", ".h", ".S", ".py", ".1", ".3", ".bats", ".build", ".asl")


def run(tree):
    files = [f for f in tree.files if f.endswith(ENDINGS)] + tree.scripts()
    command = ["codespell", "--ignore-words", WORDS] if tree.exists(WORDS) else ["codespell"]
    _, output = tree.run([*command, *files])
    for line in output.splitlines():
        match = re.match(r"^(.*?:\d+): (.*)$", line)
        if match:
            yield match.groups()
