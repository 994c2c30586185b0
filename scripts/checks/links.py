# SPDX-License-Identifier: BSD-2-Clause
"""Links in Markdown files lead to a file and a heading that exist."""
import os
import re

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+\s+(.*?)\s*$", re.M)
FENCE = re.compile(r"^```.*?^```", re.M | re.S)


def anchors(text):
    """The anchors of a file's headings, made as GitHub makes them."""
    found = set()
    for heading in HEADING.findall(FENCE.sub("", text)):
        plain = re.sub(r"[`*_]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        found.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
    return found


def run(tree):
    for name in tree.ending(".md"):
        text = tree.read(name)
        for match in LINK.finditer(text):
            target, _, anchor = match.group(1).partition("#")
            if re.match(r"[a-z]+:", match.group(1)):
                continue
            place = f"{name}:{text.count(chr(10), 0, match.start()) + 1}"
            path = os.path.normpath(os.path.join(os.path.dirname(name), target)) if target else name
            if not tree.exists(path):
                yield place, f"link to {match.group(1)}: there is no {path}"
            elif anchor and path.endswith(".md") and anchor not in anchors(tree.read(path)):
                yield place, f"link to {match.group(1)}: {path} has no heading '{anchor}'"
