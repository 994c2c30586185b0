#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# The example embeds libsymcall in one file, so the library needs nothing of symvm.

# bats file_tags=together

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.."
	build=${BUILD_DIR:-build}
	vmm=$build/examples/tiny-vmm/tiny-vmm
}

@test "tiny-vmm: answers the guest's IN by asking the guest" {
	run -0 lab/limit 60 "$vmm" "$build/guest/bare/tiny.bin"
	[ "${lines[0]}" = "guest: registered" ]
	[ "${lines[1]}" = "guest: called by the VMM" ]
	[ "${lines[2]}" = "vmm: asked the guest inside its own IN: it says 42" ]
	[ "${lines[3]}" = "guest: IN gave 42" ]
}

@test "tiny-vmm: says what is wrong with its argument" {
	run -2 "$vmm"
	[ "$output" = "usage: tiny-vmm IMAGE" ]
	run -1 "$vmm" /nonexistent
	[[ $output == *"/nonexistent: No such file"* ]]
}

@test "tiny-vmm: the shared library exports its interface and nothing else" {
	run -0 nm -D --defined-only "$build/libsymcall/libsymcall.so"
	[[ $output == *" T sym_call"* ]]
	run -1 grep -vE ' T sym_(call|vm|vcpu|check_host)' <<<"$output"
}
