# SPDX-License-Identifier: BSD-2-Clause
"""The table of docs/reference/support.md follows from the tests (scripts/support-table --write)."""
import re

DOCUMENT = "docs/reference/support.md"
BEGIN = "<!-- scripts/support-table makes what follows -->\n"
END = "<!-- end of scripts/support-table -->\n"
STAGES = ("plain", "guest", "symbiotic", "swap")
SERIES = re.compile(r"SYMVM_SERIES=\((.*)\)")
CASE = re.compile(r'^@test "(.*)" \{$')
TAGS = re.compile(r"^# bats (file|test)_tags=(.*)$")
MATRIX = re.compile(r"^everything: (\S+), (\d+) vCPUs?, (\S+)$")


def series_of(tree):
    return SERIES.search(tree.read("scripts/common.sh"))[1].split()


def named(line, series):
    """The kernel series that a case's name, a call in its body or a loop names."""
    case = CASE.match(line)
    if case:
        pattern, text = r"(?:^|[ ,])(%s)(?=[:, ])", case[1] + " "
    elif re.match(r"\s+\w+ [67]|\tfor version in ", line):
        pattern, text = r" (%s)(?=[; ])", line + " "
    else:
        return []
    return re.findall(pattern % "|".join(map(re.escape, series)), text)


def cases(tree, stage, series):
    """Yield (kernel series, soak only, name) of each case in a stage's files."""
    for path in tree.files:
        if not re.match(rf"tests/{stage}/\w+\.bats$", path):
            continue
        of_file, soak, name = False, False, ""
        for line in tree.read(path).splitlines():
            tags = TAGS.match(line)
            if tags and tags[1] == "file":
                of_file = "soak" in tags[2]
            elif tags:
                soak = "soak" in tags[2]
            case = CASE.match(line)
            if case:
                name, only = case[1], of_file or soak
                soak = False
            if line == "}":
                name = ""
            for kernel in named(line, series) if name else ():
                yield kernel, only, name


def of_intel(tree, kernel):
    """Whether the guest of the stage `intel`, which is not a bats file, has this kernel."""
    cases_of_intel = "tests/intel/cases"
    return tree.exists(cases_of_intel) and f"/initramfs-swap-{kernel}.cpio" in tree.read(cases_of_intel)


def left_out(tree):
    """The cases that the emulated Intel host gets wrong, and why, as a table."""
    names = "tests/intel/left-out"
    if not tree.exists(names):
        return []
    out = ["", "| left out on Intel | because of the emulator |", "| --- | --- |"]
    for line in tree.read(names).splitlines():
        if not line.startswith("#"):
            name, reason = line.split(" ", 1)
            out.append(f"| `{name}` | {reason} |")
    return out


def matrix(found):
    """What the cases `everything: KERNEL, CPUS, POLICY` run, as words; by kernel series."""
    runs = {}
    for kernel, _, name in found:
        match = MATRIX.match(name)
        if match:
            runs.setdefault(kernel, {}).setdefault(match[3], set()).add(int(match[2]))
    return {kernel: ", ".join(f"{policy} ({' and '.join(map(str, sorted(cpus)))} vCPUs)"
                              for policy, cpus in policies.items())
            for kernel, policies in runs.items()}


def table(tree):
    """The lines between the marks of the document."""
    series = series_of(tree)
    known = {}
    for line in tree.read("scripts/kernels-known").splitlines():
        if not line.startswith("#"):
            kernel, _, version = line.split()
            known[kernel] = version
    found = {stage: list(cases(tree, stage, series)) for stage in STAGES}
    words = matrix(found["swap"])
    out = ["| series | newest that passed | " + " | ".join(f"`{s}`" for s in STAGES) +
           " | `intel` | all of `swap-torture` in soak |", "| --- | --- |" + " --- |" * (len(STAGES) + 2)]
    for kernel in series:
        row = [kernel, known.get(kernel, "none")]
        for stage in STAGES:
            of_kernel = [only for number, only, _ in found[stage] if number == kernel]
            row.append("-" if not of_kernel else "soak only" if all(of_kernel) else "each run")
        row.append("each run" if of_intel(tree, kernel) else "-")
        out.append(f"| {' | '.join(row)} | {words.get(kernel, '-')} |")
    return "".join(line + "\n" for line in out + left_out(tree))


def run(tree):
    text = tree.read(DOCUMENT) if tree.exists(DOCUMENT) else ""
    if BEGIN not in text or END not in text:
        yield DOCUMENT, f"lacks the line {BEGIN.strip()} or {END.strip()}"
    elif text.split(BEGIN)[1].split(END)[0] != table(tree):
        yield DOCUMENT, "its table is not that of the tests: run scripts/support-table --write"
