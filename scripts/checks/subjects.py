# SPDX-License-Identifier: BSD-2-Clause
"""Commit subjects have at most 72 columns, and a body follows (since the rule began)."""

COLUMNS = 72
BEGIN = "2026-11-30T18:05:00Z"  # older commits are as they are


def run(tree):
    log = tree.git("log", f"--since={BEGIN}", "--no-merges", "--format=%h%x1f%s%x1f%b%x1e")
    for record in log.split("\x1e"):
        fields = record.strip("\n").split("\x1f")
        if len(fields) != 3:
            continue
        commit, subject, body = fields
        if len(subject) > COLUMNS:
            yield commit, f"subject of {len(subject)} columns, more than {COLUMNS}: {subject}"
        if not body.strip():
            yield commit, f"no body that says why: {subject}"
