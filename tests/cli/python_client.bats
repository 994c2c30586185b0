#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# examples/python-client and a VM that is a program here.

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.." || return 1
	. tests/lib/fake_vm.bash
	client=examples/python-client/symvm_client.py
	work=$(mktemp -d)
	export SYMVM_RUNTIME_DIR=$work/state
	mkdir -m 700 "$SYMVM_RUNTIME_DIR"
	fake_pid=
}

teardown() {
	[ -z "$fake_pid" ] || kill -KILL "$fake_pid" 2>/dev/null || true
	rm -rf "$work"
}

@test "list and ps show what a VM says, and no text raw" {
	run -0 "$client" list
	[ -z "$output" ]
	fake
	run -0 "$client" list
	[ "$output" = "vm 4711 running" ]
	run -0 "$client" ps vm
	[[ ${lines[0]} == '7 R 8192 busy\x1b[2J\x9bxxx'* ]]
	[ "${lines[1]}" = '8 S 4096 idle' ]
}

@test "a refusal and a VM that does not run are one row each" {
	fake --no-guest
	run --separate-stderr "$client" ps vm
	[ "$status" -eq 1 ]
	[ "$stderr" = 'symvm_client: the guest\nhas not registered' ]
	run --separate-stderr "$client" ps other
	[ "$status" -eq 1 ]
	[ "$stderr" = "symvm_client: no VM 'other' runs" ]
	run -1 "$client" ps ../vm
}

@test "events shows each change of the state, and the end" {
	fake --requests 4 --panic-at 3
	run -0 timeout 60 "$client" events vm --interval 0.1
	[ "${lines[0]}" = "state running" ]
	[ "${lines[1]}" = "state panicked" ]
	[ "${lines[2]}" = 'panic Oops\x1b[2J' ]
	[ "${lines[3]}" = "state ended" ]
	[ "${#lines[@]}" -eq 4 ]
}
