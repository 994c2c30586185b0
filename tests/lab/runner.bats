#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# scripts/test counts correctly: it counts no failure, missing case or broken stage as success.

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.."
	export SYMVM_STAGES="$BATS_TEST_TMPDIR/stages" BUILD_DIR="$BATS_TEST_TMPDIR/build"
	mkdir -p "$SYMVM_STAGES"
}

stage() {
	printf '#!/bin/sh\n%s\n' "$2" >"$SYMVM_STAGES/$1"
	chmod +x "$SYMVM_STAGES/$1"
}

@test "passes, failures and skips are summed over stages, each failure named" {
	stage 10-one 'printf "1..3\nok 1 a\nnot ok 2 b broke\nok 3 c # SKIP no disk\n"; exit 1'
	stage 20-two 'printf "1..2\nok 1 d\nok 2 e\n"'
	run -1 scripts/test
	[ "${lines[-1]}" = "3 passed, 1 failed" ]
	[ "${lines[-2]}" = "1 skipped" ]
	[[ $output == *"failed: one: b broke"* ]]
	run -0 scripts/test two
	[ "${lines[-1]}" = "2 passed, 0 failed" ]
}

@test "planned cases that never reported are failures" {
	stage 10-cut 'printf "1..5\nok 1 a\n"; exit 0'
	run -1 scripts/test
	[ "${lines[-1]}" = "1 passed, 4 failed" ]
	[[ $output == *"4 planned cases reported nothing"* ]]
}

@test "a stage that fails or reports nothing is a failure" {
	stage 10-bad 'printf "1..1\nok 1 a\n"; exit 3'
	run -1 scripts/test
	[ "${lines[-1]}" = "1 passed, 1 failed" ]
	[[ $output == *"ended with status 3"* ]]
	stage 10-bad 'exit 0'
	run -1 scripts/test
	[ "${lines[-1]}" = "0 passed, 1 failed" ]
}

@test "stages run at once, each one's output in one piece" {
	stage 10-one 'touch "$BATS_TEST_TMPDIR/one"; n=0; printf "1..1\n"
		until [ -e "$BATS_TEST_TMPDIR/two" ]; do sleep 0.1; n=$((n + 1)); [ $n -lt "${PATIENCE:-1200}" ] || exit 1; done; echo ok 1 a'
	stage 20-two 'touch "$BATS_TEST_TMPDIR/two"; n=0; printf "1..1\n"
		until [ -e "$BATS_TEST_TMPDIR/one" ]; do sleep 0.1; n=$((n + 1)); [ $n -lt "${PATIENCE:-1200}" ] || exit 1; done; echo ok 1 b'
	run -0 --separate-stderr scripts/test
	[ "${lines[-1]}" = "2 passed, 0 failed" ]
	[[ $output == *$'1..1\nok 1 a\n# stage one: 1 passed'* ]]
	[[ $output == *$'1..1\nok 1 b\n# stage two: 1 passed'* ]]
	run -1 env SYMVM_TEST_JOBS=1 PATIENCE=20 sh -c 'rm "$BATS_TEST_TMPDIR"/one "$BATS_TEST_TMPDIR"/two; scripts/test'
}

@test "a stage that does not exist is an error" {
	stage 10-one 'exit 0'
	run -1 scripts/test nonsense
	[[ $output == *"no such stage: nonsense"* ]]
}

@test "failures of emulated hosts are counted; more than three fail the run" {
	stage 10-one 'printf "1..1\nok 1 a\n"; for n in $(seq "$EVENTS"); do echo "the emulated host hung"; done >>"$SYMVM_LAB_EVENTS"'
	EVENTS=3 run -0 scripts/test
	[[ $output == *$'\n3 failures of emulated hosts\n'* ]]
	[ "$(grep -c '^# failed host: the emulated host hung' <<<"$output")" -eq 3 ]
	EVENTS=4 run -1 scripts/test
	[[ $output == *$'\nfailed: emulated hosts failed 4 times, more than 3\n'* ]]
	[ "${lines[-1]}" = "1 passed, 1 failed" ]
}

@test "every script in bash explains itself with --help" {
	local script count=0
	for script in scripts/* images/* bench/*; do
		[ -f "$script" ] && [ -x "$script" ] && grep -q '^\. .*common\.sh"' "$script" || continue
		run -0 "$script" --help
		[[ ${lines[0]} == "$script"* ]] || {
			echo "$script: ${lines[0]}"
			return 1
		}
		count=$((count + 1))
	done
	[ "$count" -gt 20 ]
	run -0 scripts/check --help
	[[ ${lines[0]} == "scripts/check "* ]]
}
