# SPDX-License-Identifier: BSD-2-Clause
"""Commit subjects have at most 72 columns (since the rule began)."""

COLUMNS = 72
BEGIN = "2026-11-30T16:30:00Z"  # older commits are not checked


def run(tree):
    log = tree.git("log", f"--since={BEGIN}", "--no-merges", "--format=%h%x1f%s")
    for line in log.splitlines():
        commit, _, subject = line.partition("\x1f")
        if len(subject) > COLUMNS:
            yield commit, f"subject of {len(subject)} columns, more than {COLUMNS}: {subject}"
