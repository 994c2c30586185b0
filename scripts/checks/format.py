# SPDX-License-Identifier: BSD-2-Clause
"""C files are as clang-format writes them."""
import re
import subprocess

PLACE = re.compile(r"^(.*?:\d+):\d+: .*code should be clang-formatted", re.M)


def run(tree):
    files = tree.sources()
    jobs = [files[i::2] for i in range(2)]
    running = [subprocess.Popen(["clang-format", "--dry-run", *job], cwd=tree.root, text=True,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
               for job in jobs if job]
    for process in running:
        output = process.communicate()[1]
        seen = set()
        for match in PLACE.finditer(output):
            name = match.group(1).rsplit(":", 1)[0]
            if name not in seen:
                seen.add(name)
                yield match.group(1), "not as clang-format writes it (clang-format -i FILE)"
        if process.returncode:
            yield "clang-format", output.strip().splitlines()[-1]
