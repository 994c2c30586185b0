# SPDX-License-Identifier: BSD-2-Clause
"""C files of one part call each other in one direction only; scripts/checks/circles.conf has the rest."""
import os
import re

CONF = "scripts/checks/circles.conf"
PARTS = ("symvm/", "libsymcall/", "libguestview/", "preload/", "guest/linux/symbiotic/", "guest/linux/symswap/")
NOT_CODE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|' r"'(?:\\.|[^'\\\n])*'", re.S)
# A definition begins in the first column, and its body is a line with a brace.
DEFINITION = re.compile(r"^(?!static\b)[A-Za-z_][\w \t\*]*?\b(\w+)\([^;{}]*?\)\s*\n\{", re.M)
TAG = re.compile(r"\b(struct|enum|union)\s+\w+")
WORD = re.compile(r"\b[A-Za-z_]\w*\b")


def calls(tree, part):
    """{file: {file that defines what it names: the names}}"""
    texts = {name: TAG.sub(r"\1", NOT_CODE.sub(" ", tree.read(name)))
             for name in tree.ending(".c") if name.startswith(part)}
    owner = {}
    for name, text in texts.items():
        for match in DEFINITION.finditer(text):
            owner[match.group(1)] = name
    graph = {}
    for name, text in texts.items():
        graph[name] = {}
        for word in sorted(set(WORD.findall(text))):
            if word in owner and owner[word] != name:
                graph[name].setdefault(owner[word], []).append(word)
    return graph


def reachable(graph, start):
    found, left = set(), [start]
    while left:
        for name in graph.get(left.pop(), ()):
            if name not in found:
                found.add(name)
                left.append(name)
    return found


def circles(graph):
    """Sets of files that reach each other."""
    reach = {name: reachable(graph, name) for name in graph}
    found = []
    for name in sorted(graph):
        circle = {other for other in reach[name] if name in reach[other]}
        if circle and circle not in found:
            found.append(circle)
    return found


def run(tree):
    allowed = [set(files) for files in tree.table(CONF)]  # each may call the others
    used = []
    for part in PARTS:
        graph = calls(tree, part)
        for circle in circles(graph):
            if circle in allowed:
                used.append(circle)
                continue
            for name in sorted(circle):
                for other, words in sorted(graph[name].items()):
                    if other in circle:
                        yield name, f"calls {os.path.basename(other)} ({', '.join(words[:3])}), which leads back"
    for circle in allowed:
        if circle not in used:
            yield CONF, f"'{' '.join(sorted(circle))}' call each other no longer, or in a larger circle: correct the line"
