# SPDX-License-Identifier: BSD-2-Clause
"""Shell scripts pass shellcheck (warnings and errors)."""
import re


def run(tree):
    files = tree.scripts()
    if not files:
        return
    status, output = tree.run(["shellcheck", "-S", "warning", "-f", "gcc", "-x", *files])
    found = False
    for line in output.splitlines():
        match = re.match(r"^(.*?:\d+):\d+: (.*)$", line)
        if match:
            found = True
            yield match.groups()
    if status and not found:
        yield "shellcheck", output.strip() or f"status {status}"
