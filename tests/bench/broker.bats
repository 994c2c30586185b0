#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# bench/broker works, small, and prints the same figures each time. Its figures are not judged, but no
# policy may hold fewer VMs than fixed parts do.

bats_require_minimum_version 1.5.0
cd "$BATS_TEST_DIRNAME/../.." || exit 1

@test "bench/broker, small: every figure, twice the same" {
	local first name
	run -0 bench/broker 1 6
	first=$output
	for name in static proportional demand; do
		[[ $output =~ "result broker.vms_a_host_$name "[0-9]+" VMs" ]]
	done
	[[ ${lines[-1]} =~ ^"result broker.demand_vs_proportional "[0-9.]+" ratio"$ ]]
	[ "$(sed -n 's/^result broker.vms_a_host_demand \(.*\) VMs$/\1/p' <<<"$output")" -gt \
		"$(sed -n 's/^result broker.vms_a_host_static \(.*\) VMs$/\1/p' <<<"$output")" ]
	run -0 bench/broker 1 6
	[ "$output" = "$first" ]
}

@test "bench/broker refuses a number of hosts that is none" {
	run -2 bench/broker none
	[[ $output == "usage: broker-sim "* ]]
	run -2 bench/broker 1 0
}
