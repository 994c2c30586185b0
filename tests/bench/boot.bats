#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# bench/boot works and prints each of its figures. This test does not judge the figures: one round on
# a busy machine says little.

bats_require_minimum_version 1.5.0
cd "$BATS_TEST_DIRNAME/../.." || exit 1

# has_result NAME UNIT: test whether there is a line of that name with a number above zero.
has_result() {
	local value
	value=$(sed -n "s/^result $1 \\([0-9.]*\\) $2\$/\\1/p" <<<"$output")
	[[ $value == *[1-9]* ]] || {
		echo "no figure for $1"
		return 1
	}
}

@test "bench/boot --quick prints every figure, results last" {
	run -0 --separate-stderr bench/boot --quick
	has_result boot.first_instruction_vs_qemu_microvm ratio
	has_result boot.time_vs_qemu_microvm ratio
	has_result boot.overhead_mib MiB
	has_result boot.exits_to_userspace exits
	has_result boot.exits_to_userspace_qemu_microvm exits
	grep -q 'by KVM_EXIT reason' <<<"$output"
	[[ ${lines[-1]} == "result "* ]]
}

@test "bench/boot refuses a number of rounds that is none" {
	run ! bench/boot 0
	[[ $output == *"'0' is not a number of rounds from 1 to 999"* ]]
	run ! bench/boot five
	[[ $output == *"'five' is not a number of rounds"* ]]
}
