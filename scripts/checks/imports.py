# SPDX-License-Identifier: BSD-2-Clause
"""Each Python file finds the modules that it imports.

A file says by sys.path.insert() where its modules are. The rule runs these lines and the imports at the
file's top level, and nothing else of the file. So a script that nobody ran since a module moved is found.
"""
import ast
import os
import re
import sys

OF_GUEST = ("numpy",)  # Debian packages that only a guest's disk has
HEAD = re.compile(rb"#!.*\bpython3?\b")


def is_python(tree, name):
    if name.endswith(".py"):
        return True
    with open(tree.path(name), "rb") as handle:
        return HEAD.match(handle.readline(80)) is not None


def is_needed(node):
    """Whether the statement imports, or says where modules are."""
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return True
    text = ast.unparse(node)
    return text.startswith("sys.path.insert(") or (isinstance(node, ast.Assign) and "__file__" in text)


def run(tree):
    for name in filter(lambda name: is_python(tree, name), tree.files):
        try:
            body = ast.parse(tree.read(name)).body
        except SyntaxError as error:
            yield f"{name}:{error.lineno}", error.msg
            continue
        lines = [f"import sys; __file__ = {name!r}; sys.path[0] = {os.path.dirname(name)!r}"]
        lines += [ast.unparse(node) for node in body if is_needed(node)]
        status, output = tree.run([sys.executable, "-B", "-c", "\n".join(lines)])
        error = (output.splitlines() or [f"status {status}"])[-1]
        if status and not error.endswith(tuple(f"'{module}'" for module in OF_GUEST)):
            yield name, error
