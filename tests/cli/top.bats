#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# symvm top of a VM that is a program here: rates, its end, and a real terminal. No /dev/kvm.

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.." || return 1
	. tests/lib/fake_vm.bash
	symvm=${BUILD_DIR:-build}/symvm/symvm
	[ -x "$symvm" ] || skip "symvm is not built"
	work=$(mktemp -d)
	export SYMVM_RUNTIME_DIR=$work/state
	export LC_ALL=C.UTF-8
	fake_pid=
}

teardown() {
	[ -z "$fake_pid" ] || kill -KILL "$fake_pid" 2>/dev/null || true
	rm -rf "$work"
}

@test "top --batch shows rates, and no text of the guest raw" {
	fake
	run -0 "$symvm" top vm --batch --interval 1
	echo "$output"
	[[ $output == *"host    CPU "*"memory 100 MiB"* ]]
	[[ $output == *"exits   "*"/s: io "* ]]
	[[ $output == *"swap    1 GiB, free 512 MiB, in "* ]]
	[[ $output == *"disk    read "*" disk0"* ]]
	[[ $output =~ \ 7\ +[0-9.]+\ +8\ KiB\ R\ busy'\x1b[2J' ]]
	[[ $output != *$'\e'* ]]
	# The busy process is above the idle one.
	[[ $output =~ busy.*idle ]]
}

@test "top --json is JSON, one view for each count" {
	fake
	"$symvm" top vm --json --count 2 --interval 1 --tasks 1 >"$work/out"
	[ "$(jq -s length "$work/out")" -eq 2 ]
	jq -se 'all(.[]; .seconds > 0 and .exits.io > 0 and (.tasks | length) == 1 and .tasks_total == 2 and
		.tasks[0].cpu_percent > 0 and .guest.swap_in_per_second == 0)' "$work/out"
}

@test "top of a guest that does not answer shows the VM, and why" {
	fake --no-guest
	run -0 "$symvm" top vm --batch --interval 1
	[[ $output == *"exits   "*"/s: io "*"tasks   the guest"* ]]
}

@test "top of a VM that ends meanwhile ends with one row" {
	fake --requests 6
	run --separate-stderr timeout 60 "$symvm" top vm --batch --count 1000 --interval 1
	[ "$status" -eq 1 ]
	[ "${#stderr_lines[@]}" -eq 1 ]
	[[ $stderr == "symvm: top: "* ]]
}

@test "top on a terminal: keys, a narrow and a low one, and its state afterwards" {
	fake
	/usr/bin/python3 tests/cli/top_terminal.py host busy io "$symvm" top vm --interval 1
	TERM=no-such-type run -1 script -qec "$symvm top vm" /dev/null
	[[ $output == *"type 'no-such-type' is not known; use --batch"* ]]
}

@test "report is one page that loads nothing, with charts, and no text of the guest is markup" {
	fake --markup
	run -0 "$symvm" report vm "$work/page.html" --seconds 1
	[ -z "$output" ]
	/usr/bin/python3 - "$work/page.html" <<'PYTHON'
import sys, unicodedata, xml.etree.ElementTree as tree
text = open(sys.argv[1], "rb").read().decode("utf-8")
assert all(c == "\n" or c == " " or unicodedata.category(c)[0] not in "CZ" for c in text)
page = tree.fromstring(text)  # well-formed, and so nothing of the guest is markup
names = [element.tag.split("}")[1] for element in page.iter()]
allowed = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "svg", "text", "rect"}
assert set(names) <= allowed, set(names) - allowed
for element in page.iter():
    for key, value in element.attrib.items():
        assert key in ("lang", "charset", "http-equiv", "content", "width", "height", "viewBox", "x", "y",
                       "text-anchor"), key
words = [element.text for element in page.iter() if element.text]
assert any(word.startswith("<script>alert(1)</script>&'\"") for word in words), words
assert "not known" not in words, words
widths = [float(e.get("width")) for e in page.iter() if e.tag.endswith("}rect")]
assert max(widths) <= 380 and min(widths) >= 0 and len(widths) >= 15, widths
assert names.count("svg") >= 6, names
PYTHON
	run -1 "$symvm" report vm "$work/none/page.html" --seconds 1
	[ "$output" = "symvm: report: $work/none/page.html: No such file or directory" ]
}

@test "report of a VM that says nothing useful is a page, too" {
	fake --no-guest --empty
	run -0 "$symvm" report vm "$work/page.html" --seconds 1
	/usr/bin/python3 -c 'import sys, xml.etree.ElementTree as tree; tree.parse(sys.argv[1])' "$work/page.html"
	[ "$(grep -c 'not answered' "$work/page.html")" -eq 2 ]
}

@test "exits --live shows rates, places and tasks" {
	fake
	run -0 "$symvm" exits vm --live
	[ "${lines[0]}" = '      10.0/s, not attributed 4 of 20: io' ]
	[ "${lines[2]}" = '       8.0   80.0          7 io port 0x5f0 write: busy\x1b[2J\u{9b} /web' ]
	[ "${lines[3]}" = '       2.0   20.0          - io port 0x5f0 write: (not attributed) ' ]
	run -1 "$symvm" exits vm --live --stack
	[ "$output" = "symvm: exits: --live goes with --reason, --sample and --seconds only" ]
	/usr/bin/python3 tests/cli/top_terminal.py EXIT busy io "$symvm" exits vm --live
}
