#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# bats file_tags=together
# libsymcall with a bare guest on KVM. The output of a group lists its cases one by one.

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.."
	program=${BUILD_DIR:-build}/tests/calls/symcall-bare
}

group() {
	run lab/limit 240 "$program" "$1"
	[ "$status" -eq 0 ] || echo "$output"
	sed -n "s/^\[ *\(OK\|FAILED\) *\] /# \1 /p" <<<"$output" >&3
	[ "$status" -eq 0 ]
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

@test "symcall: a host that ignores unknown MSRs (kvm.ignore_msrs=1) does not swallow the registration" {
	[ "${SYMVM_LAB:-}" = emulated ] || skip "it changes the host's KVM: in the lab only"
	echo 1 >/sys/module/kvm/parameters/ignore_msrs
	run "${BUILD_DIR:-build}/symvm/symvm" doctor
	[[ $output == *"unknown MSRs"*"ignored, as kvm.ignore_msrs=1"* ]]
	run -0 lab/limit 100 "$program" pages "*registration*"
	[[ $output == *"2 test(s) run"* ]]
	# The host is as described: KVM ignores an access to an MSR that the filter does not name.
	run -1 lab/limit 100 "$program" exits test_rdmsr
}
