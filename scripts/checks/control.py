# SPDX-License-Identifier: BSD-2-Clause
"""docs/reference/control.md has each control command with its arguments, and each key of the answers.

The page is compared with the tables in symvm/control: a command that has no section, or a section without
a command; an argument that only one of both has; a key that an answer sets and the page does not name.
"""
import re

PAGE = "docs/reference/control.md"
FOLDER = "symvm/control/"
TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"')
NAME = re.compile(r"^[a-z][a-z0-9_]*$")


def comments_removed(text):
    return re.sub(r"/\*.*?\*/", " ", text, flags=re.S)


def calls_of(text, function):
    """The text of each call's arguments."""
    for match in re.finditer(rf"\b{function}\(", text):
        depth, at = 1, match.end()
        while depth and at < len(text):
            if text[at] == '"':
                at = TEXT.match(text, at).end()
                continue
            depth += {"(": 1, ")": -1}.get(text[at], 0)
            at += 1
        yield text[match.end():at - 1]


def keys_of(text):
    """The keys that a file sets in answers."""
    for call in calls_of(text, r"json_pack"):
        texts = TEXT.findall(call)[1:]  # without the format
        yield from filter(NAME.match, texts)
    for call in calls_of(text, r"(?:json_object_set(?:_new)?|set_counter)"):
        yield from filter(NAME.match, re.findall(r'^[^"]*?,\s*"([^"]*)",', call))


def commands_of(tree):
    """Each command: its file, and the names of its arguments."""
    for name in tree.files:
        if not (name.startswith(FOLDER) and name.endswith(".c")):
            continue
        text = comments_removed(tree.read(name))
        table = re.search(r"struct control_command \w+ = \{(.*?)\n\};", text, re.S)
        if not table or "\nCONTROL_COMMAND(" not in text:
            continue
        command = re.search(r'\.name = "(\w+)"', table.group(1)).group(1)
        known = re.search(r"\bknown\[\] = \{(.*?)\}", text, re.S)
        yield command, name, set(TEXT.findall(known.group(1))) if known else set()


def sections_of(text):
    """The sections of the page's commands: their line and text."""
    part = re.search(r"^## Commands$(.*?)(?=^## )", text, re.S | re.M)
    offset, body = part.start(1), part.group(1)
    for match in re.finditer(r"^### (\S+)$\n(.*?)(?=^### |\Z)", body, re.S | re.M):
        yield match.group(1), text.count("\n", 0, offset + match.start()) + 1, match.group(2)


def arguments_of(section):
    """The arguments that a section names: a table's, or those after "Argument:" or "Arguments:"."""
    table = re.search(r"^\| argument \|.*\n\|.*\n((?:\|.*\n)*)", section, re.M)
    if table:
        return set(re.findall(r"^\| `(\w+)`", table.group(1), re.M))
    words = re.search(r"\bArguments?: (.*?)\.(?:\s|$)", section, re.S)
    return set(re.findall(r"`(\w+)` \(", words.group(1))) if words else None


def run(tree):
    if PAGE not in tree.files:
        return
    page = tree.read(PAGE)
    sections = {name: (line, text) for name, line, text in sections_of(page)}
    commands = {name: (file, arguments) for name, file, arguments in commands_of(tree)}
    for name, (file, arguments) in sorted(commands.items()):
        if name not in sections:
            yield file, f"{PAGE} has no section '### {name}'"
            continue
        line, text = sections[name]
        named = arguments_of(text)
        if named is None:
            yield f"{PAGE}:{line}", f"'{name}' says nothing about its arguments ('Arguments: -' if none)"
            continue
        for argument in sorted(arguments - named):
            yield f"{PAGE}:{line}", f"'{name}' lacks its argument '{argument}' ({file})"
        for argument in sorted(named - arguments):
            yield f"{PAGE}:{line}", f"'{name}' has no argument '{argument}' ({file})"
    for name, (line, _) in sorted(sections.items()):
        if name.islower() and name not in commands:
            yield f"{PAGE}:{line}", f"there is no command '{name}'"
    named = set(re.findall(r"`\"?(\w+)\"?`", page)) | set(re.findall(r'"(\w+)":', page))
    for file in filter(lambda file: re.match(r"symvm/.*\.c$", file), tree.files):
        text = tree.read(file)
        if file.startswith(FOLDER) or "\nREPORT(" in text:
            for key in sorted(set(keys_of(comments_removed(text))) - named):
                yield file, f"{PAGE} does not name the key '{key}'"
