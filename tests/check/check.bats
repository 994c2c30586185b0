# SPDX-License-Identifier: BSD-2-Clause
# scripts/check: each rule reports a violation that was made on purpose, and reports nothing for a tree
# without one.

setup() {
	check=$BATS_TEST_DIRNAME/../../scripts/check
	export SYMVM_CHECK_ROOT=$BATS_TEST_TMPDIR/tree
	mkdir -p "$SYMVM_CHECK_ROOT"/{symvm/{util,machine,devices},docs/reference,scripts/checks}
	cd "$SYMVM_CHECK_ROOT" || return 1
	cp "$BATS_TEST_DIRNAME"/../../.clang-format .
	cp "$BATS_TEST_DIRNAME"/../../scripts/checks/{*.conf,words.txt} scripts/checks/
	sed -i '/^known/d' scripts/checks/layers.conf
	sed -i '/^guest/d' scripts/checks/circles.conf
	printf '#include "util/low.h"\n\nint twice(int value)\n{\n\treturn 2 * value;\n}\n' >symvm/machine/vm.c
	printf 'int twice(int value);\n' | tee symvm/util/low.h >symvm/devices/high.h
	printf '# Title\n\nSee [the other page](b.md#other-title).\n' >docs/a.md
	printf '# Other title\n' >docs/b.md
	printf '#!/bin/sh\necho "$1"\n' | tee scripts/support-table >scripts/hello
	printf '.TH x 1 2026-01-01\n.SH NAME\nx \\- y\n' >docs/x.1
	printf '#!/bin/bash\n# SYMVM_SERIES=(6.1)\n' >scripts/common.sh
	echo '6.1 linux-image-6.1.0-1-amd64 6.1.1-1' >scripts/kernels-known
	cp "$BATS_TEST_DIRNAME/support.md" docs/reference/
	git init -q .
	git config user.name test
	git config user.email test@localhost
	git add -A
	GIT_COMMITTER_DATE=2027-01-01T00:00:00Z git commit -qm 'tree: begin' -m 'A body.'
}

# caught RULE TEXT: check that the rule fails with that text, without help of another rule.
caught() {
	git add -A
	run "$check" "$1"
	[ "$status" -eq 1 ]
	[[ $output == *"not ok 1 $1"* ]]
	[[ $output == *"$2"* ]]
}

@test "a tree without a violation passes every rule" {
	run "$check"
	echo "$output"
	[ "$status" -eq 0 ]
}

@test "format: a file that clang-format would change" {
	printf 'int  twice( int value );\n' >symvm/util/low.h
	caught format 'symvm/util/low.h:1: not as clang-format writes it'
}

@test "imports: a module that has moved" {
	mkdir lab tests
	echo 'VALUE = 1' >lab/clock.py
	printf '#!/usr/bin/python3\nimport os, sys\nsys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lab"))\nfrom clock import VALUE\n' >tests/late
	git add -A
	run "$check" imports
	[ "$status" -eq 0 ]
	git mv lab/clock.py lab/watch.py
	caught imports "tests/late: ModuleNotFoundError: No module named 'clock'"
}

@test "layers: an include that points upwards" {
	printf '#include "devices/high.h"\n' >>symvm/machine/vm.c
	caught layers 'symvm/machine must not include symvm/devices/high.h'
}

@test "layers: a known violation that is gone must leave the list" {
	echo 'known symvm/machine/vm.c symvm/devices/high.h' >>scripts/checks/layers.conf
	caught layers 'is not needed any more'
}

@test "circles: two files that call each other" {
	printf 'int low(void)\n{\n\treturn high();\n}\n' >symvm/util/low.c
	printf 'int high(void)\n{\n\treturn low();\n}\n' >symvm/util/high.c
	caught circles 'symvm/util/high.c: calls low.c (low), which leads back'
}

@test "circles: a known circle that is gone must leave the list" {
	echo 'symvm/util/low.c symvm/util/high.c' >>scripts/checks/circles.conf
	caught circles 'call each other no longer'
}

@test "links: a link to a file or a heading that is not there" {
	printf '[x](c.md)\n' >>docs/a.md
	caught links 'there is no docs/c.md'
	printf '[x](b.md#nothing)\n' >docs/a.md
	caught links "docs/b.md has no heading 'nothing'"
}

@test "references: a comment that names a file that has moved" {
	printf '/* see symvm/machine/gone.c */\n' >>symvm/util/low.h
	caught references 'names symvm/machine/gone.c, which does not exist'
}

# control_tree: a command `nap` with the argument `ms`, and the page that describes it.
control_tree() {
	mkdir -p symvm/control docs/reference
	printf '%s\n' 'static const char *const known[] = {"ms", NULL};' \
		'x = json_pack("{s:i}", "slept", 1);' 'static const struct control_command nap_command = {' \
		'	.name = "nap",' '};' 'CONTROL_COMMAND(nap_command);' >symvm/control/nap.c
	printf '## Commands\n\n### nap\n\nSleeps. Argument: `ms` (0 to 9). Answer: `slept`.\n\n## End\n' \
		>docs/reference/control.md
	git add -A
	"$check" control
}

@test "control: a command without a section, and a section without a command" {
	control_tree
	sed -i 's/### nap/### sleep/' docs/reference/control.md
	caught control "symvm/control/nap.c: docs/reference/control.md has no section '### nap'"
	caught control "docs/reference/control.md:3: there is no command 'sleep'"
}

@test "control: an argument that only the command or only the page has" {
	control_tree
	sed -i 's/"ms"/"us"/' symvm/control/nap.c
	caught control "docs/reference/control.md:3: 'nap' lacks its argument 'us' (symvm/control/nap.c)"
	caught control "docs/reference/control.md:3: 'nap' has no argument 'ms'"
	sed -i 's/Argument: .*9)\.//' docs/reference/control.md
	caught control "says nothing about its arguments"
}

@test "control: a key of an answer that the page does not name" {
	control_tree
	sed -i 's/"slept"/"dreamt"/' symvm/control/nap.c
	caught control "symvm/control/nap.c: docs/reference/control.md does not name the key 'dreamt'"
}

@test "manual: a page that mandoc complains about" {
	printf '.XY unknown\n' >>docs/x.1
	caught manual 'docs/x.1:4'
}

@test "shell: a script that shellcheck complains about" {
	printf 'cd "$1"\n' >>scripts/hello
	caught shell 'scripts/hello:3'
}

@test "sizes: a file of more than 600 lines" {
	seq -f '/* %g */' 601 >symvm/util/long.h
	caught sizes 'symvm/util/long.h: 601 lines, more than 600'
}

@test "sizes: a function of more than 60 lines" {
	{
		printf 'int long_one(int a,\n\t     int b)\n{\n'
		yes '	a += b;' | head -n 58
		printf '\treturn a;\n}\n'
	} >symvm/util/long.c
	caught sizes 'symvm/util/long.c:1: long_one has 63 lines'
}

@test "spelling: a word that is misspelt" {
	printf 'It will reci%s a page.\n' eve >>docs/a.md
	caught spelling '==> receive'
}

@test "words: a word that documents avoid, but not in code" {
	printf 'Run `symvm %s`.\n\n```\nit is %s RAM\n```\n' anew no >>docs/a.md
	git add -A
	run "$check" words
	[ "$status" -eq 0 ]
	printf 'The window is %s\nRAM.\n' no >>docs/a.md
	caught words "docs/a.md:9: 'is no': write is not"
	printf 'It is loaded %s.\n' anew >docs/a.md
	caught words "docs/a.md:1: 'anew': write again"
	printf "It is %s RAM.\\n" no >>docs/x.1
	caught words "docs/x.1:4"
}

@test "subjects: a subject over 72 columns" {
	GIT_COMMITTER_DATE=2027-01-02T00:00:00Z git commit -q --allow-empty \
		-m "$(printf 'x%.0s' {1..73})" -m 'A body.'
	caught subjects 'subject of 73 columns'
}

@test "support: a table that is not that of the tests" {
	mkdir -p tests/guest
	printf '@test "6.1: boots" {\n\ttrue\n}\n' >tests/guest/boot.bats
	caught support 'its table is not that of the tests'
	rm docs/reference/support.md
	caught support 'lacks the line'
}

@test "an unknown rule is refused by its name" {
	run "$check" nonsense
	[ "$status" -eq 2 ]
	[[ $output == *"no rule 'nonsense'"* ]]
}
