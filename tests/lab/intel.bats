#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# The emulated Intel host from outside: its interface, its limits, and that a host that hangs for good
# costs no result. tests/lib/fake-bochs takes the emulator's place.

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.."
	unset SYMVM_LAB
	export SYMVM_LAB_SLOTS=16 SYMVM_LAB_BOCHS=$PWD/tests/lib/fake-bochs FAKE_STATE=$BATS_TEST_TMPDIR
	export SYMVM_LAB_STILL_SECONDS=3 SYMVM_LAB_EVENTS=$BATS_TEST_TMPDIR/events
}

@test "output, errors and status are the command's; quotes and spaces stay" {
	run --separate-stderr -7 lab/run --vendor intel -- bash -c 'echo "$1|$PWD|$SYMVM_LAB"; echo no >&2; exit 7' x "a 'b"
	[ "$output" = "a 'b|$PWD|emulated" ]
	[ "$stderr" = no ]
}

@test "a host that hangs for good is killed; its results stay" {
	FAKE_BOCHS=hangs run --separate-stderr -125 lab/run --vendor intel -- printf 'ok 1 one\nok 2 two\nok 3 three\n'
	[ "$output" = $'ok 1 one\nok 2 two' ]
	[[ $stderr == *"gave no sign of life for 3 s"* ]]
	[ "$(cat "$SYMVM_LAB_EVENTS")" = "the emulated Intel host gave no sign of life for 3 s" ]
	run ! kill -0 "$(cat "$FAKE_STATE/starts")"
}

@test "a host that goes down: status 125" {
	FAKE_BOCHS=dies run -125 lab/run --vendor intel -- true
	[[ $output == *"did not come up"* ]]
}

@test "what is not possible is refused in one line" {
	run -1 lab/run --vendor intel --out "$BATS_TEST_TMPDIR/x" -- true
	[ "$output" = "run: error: --out: not possible with --vendor intel: its host has no shared directory" ]
	run -1 lab/run --vendor intel --memory 4096 -- true
	[[ $output == *"'4096' is not a whole number from 512 to 2047"* ]]
	run -1 lab/run --vendor intel --cpus 9 -- true
	[[ $output == *"'9' is not a whole number from 1 to 8"* ]]
	SYMVM_LAB=emulated run -1 lab/run --vendor intel -- true
	[ "$output" = "run: error: --vendor intel: not possible inside a lab" ]
	run -1 lab/run --with /bin/true -- true
	[[ $output == *"only an Intel host needs it"* ]]
	run -1 lab/run --vendor via -- true
	[ "$output" = "run: error: --vendor 'via' is not one of amd, intel" ]
	SYMVM_LAB_INTEL_CPU='x, count=2' run -2 lab/run --vendor intel -- true
	[[ $output == *"SYMVM_LAB_INTEL_CPU='x, count=2' is not a CPU model"* ]]
	run -125 lab/run --vendor intel --with "$BATS_TEST_TMPDIR/none" -- true
	[[ $output == *"no such file: $BATS_TEST_TMPDIR/none"* ]]
}

# stage: run the stage with a lab whose host hangs at the case of ps, as often as it is asked to run it.
stage() {
	cat >"$BATS_TEST_TMPDIR/lab" <<-'LAB'
		#!/bin/bash
		while [ "$1" != -- ]; do shift; done
		shift 2
		echo "$*" >>"$FAKE_STATE/hosts"
		for name; do
			[ "$name" != guest/ps ] || exit 125
			echo "ok $name"
		done
	LAB
	chmod 755 "$BATS_TEST_TMPDIR/lab"
	SYMVM_INTEL_LAB=$BATS_TEST_TMPDIR/lab run "$@"
}

@test "the stage: what passed stays passed, the case at which the host hung failed, the rest run in a new host" {
	stage -1 tests/intel/run '^guest/(boots|ps|who)|test_single'
	[ "$(grep -E '^(not )?ok|^1' <<<"$output")" = "1..4
ok 1 calls/exits/test_single_step # SKIP left out: $(sed -n 's/.*test_single_step //p' tests/intel/left-out)
ok 2 guest/boots
not ok 3 guest/ps
ok 4 guest/who" ]
	[ "$(cat "$FAKE_STATE/hosts")" = $'guest/boots guest/ps guest/who\nguest/who' ]
}

@test "the stage: a left-out case that does not exist, or has no reason, is an error" {
	echo 'calls/exits/test_gone because' >"$BATS_TEST_TMPDIR/left"
	SYMVM_INTEL_LEFT_OUT=$BATS_TEST_TMPDIR/left stage -1 tests/intel/run
	[[ $output == *"there is no case 'calls/exits/test_gone'"* ]]
	echo 'tiny-vmm' >"$BATS_TEST_TMPDIR/left"
	SYMVM_INTEL_LEFT_OUT=$BATS_TEST_TMPDIR/left stage -1 tests/intel/run
	[[ $output == *"'tiny-vmm' has no reason"* ]]
}
