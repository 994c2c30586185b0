# SPDX-License-Identifier: BSD-2-Clause
"""Manual pages pass mandoc's lint (warnings and errors)."""
import re


def run(tree):
    pages = [f for f in tree.files if re.search(r"^docs/.*\.[1-8]$", f)]
    if not pages:
        return
    _, output = tree.run(["mandoc", "-T", "lint", "-W", "warning", *pages])
    for line in output.splitlines():
        match = re.match(r"^mandoc: (.*?:\d+):\d+: (.*)$", line)
        if match:
            yield match.groups()
        elif line.strip():
            yield "mandoc", line
