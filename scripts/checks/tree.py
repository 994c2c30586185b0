# SPDX-License-Identifier: BSD-2-Clause
"""The checkout that the rules look at: its files as git knows them, and helpers to read them."""
import functools
import os
import re
import subprocess

COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)


class Tree:
    def __init__(self, root):
        self.root = os.path.abspath(root)
        listed = self.git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
        self.files = sorted(f for f in listed.split("\0") if f and os.path.isfile(self.path(f)))

    def path(self, name):
        return os.path.join(self.root, name)

    def git(self, *arguments):
        return subprocess.run(["git", "-C", self.root, *arguments], check=True,
                              stdout=subprocess.PIPE, text=True).stdout

    def exists(self, name):
        return os.path.exists(self.path(name))

    def read(self, name):
        with open(self.path(name), encoding="utf-8", errors="replace") as handle:
            return handle.read()

    def table(self, name):
        """The words of each line of a configuration file; # begins a comment."""
        lines = (line.split("#")[0].split() for line in self.read(name).splitlines())
        return [words for words in lines if words]

    def ending(self, *endings):
        return [f for f in self.files if f.endswith(endings)]

    def sources(self):
        """C files and headers."""
        return self.ending(".c", ".h")

    @functools.cache
    def scripts(self):
        """Shell scripts, by their first line: bats files are not among them."""
        found = []
        for name in self.files:
            with open(self.path(name), "rb") as handle:
                first = handle.readline(80)
            if re.match(rb"#!.*\b(bash|sh)\b", first) and not name.endswith(".bats"):
                found.append(name)
        return found

    def comments(self, name):
        """(line, text) of each comment of a C file."""
        text = self.read(name)
        for match in COMMENT.finditer(text):
            yield text.count("\n", 0, match.start()) + 1, match.group()

    def run(self, command):
        """A tool in the tree's root: (status, its output)."""
        done = subprocess.run(command, cwd=self.root, check=False, text=True, errors="replace",
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.returncode, done.stdout
