#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# bench/swap works, small, and prints each of its figures. This test does not judge the figures. But it
# checks that no page was wrong in any of its guests: such a guest has no row, and the bench fails.

bats_require_minimum_version 1.5.0
cd "$BATS_TEST_DIRNAME/../.." || exit 1

has_ratio() {
	grep -qE "^result $1 [0-9.e+-]*[1-9][0-9.e+-]* ratio\$" <<<"$output" || {
		echo "no figure for $1"
		return 1
	}
}

@test "bench/swap, small: every figure, results last" {
	SYMVM_BENCH_SCALE=small run -0 --separate-stderr bench/swap
	for name in grant map; do
		has_ratio "swap.${name}_steady_vs_ram"
		has_ratio "swap.${name}_vs_zram"
		has_ratio "swap.${name}_vs_virtio_tmpfs"
	done
	for name in copy grant map; do
		has_ratio "swap.${name}_first_touch_vs_zram"
	done
	has_ratio swap.host_memory_vs_ram
	[[ $output != *FAILED* ]]
	[[ ${lines[-1]} == "result "* ]]
}

@test "bench/swap refuses a scale and a contender that are none" {
	SYMVM_BENCH_SCALE=huge run ! bench/swap
	[[ $output == *"SYMVM_BENCH_SCALE 'huge' is neither full nor small"* ]]
	run ! bench/swap ram nfs
	[[ $output == *"contenders: 'ram' and any of"* ]]
}
