#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# libsymcall with a bare guest on KVM. Each group's cases are told one by one in its output.

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../../.."
	program=${BUILD_DIR:-build}/tests/bare/symcall/symcall-bare
}

group() {
	run -0 timeout 240 "$program" "$1"
	sed -n "s/^\[ *\(OK\|FAILED\) *\] /# \1 /p" <<<"$output" >&3
}

@test "symcall: discovery, registration, SymSpy pages, messages, doorbells" {
	group pages
}

@test "symcall: calls at every exit leave the guest's whole state as without calls" {
	group exits
}

@test "symcall: calls at kicks in user mode, kernel mode, HLT and interrupt shadows" {
	group kicks
}

@test "symcall: handlers and guests that misbehave" {
	group failures
}
