#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Devices and exits, seen by bare guests that symvm boots by PVH. Each guest prints TAP.

# bats file_tags=together

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.."
	build=${BUILD_DIR:-build}
	. tests/lib/clock.bash
	guest=$build/guest/bare/devices/devices.elf
	scratch=$(mktemp -d "${SYMVM_SCRATCH:-/tmp}/devices.XXXXXX")
	truncate -s 2M "$scratch/disk"
}

teardown() {
	rm -rf "$scratch"
}

# boots STATUS WORDS [SYMVM OPTION]...: run the guest's test; check its output and its end.
boots() {
	local wanted=$1 words=$2
	shift 2
	run "-$wanted" lab/limit "${GUEST_LIMIT:-120}" "$build/symvm/symvm" run \
		--name "bare-$$-$BATS_TEST_NUMBER" --kernel "$guest" --memory 64M \
		--append "$words" --log-file "$scratch/log" "$@" </dev/null
}

# passes WORDS [SYMVM OPTION]...: check that the guest made as many checks as it planned, that all
# hold, and that it powered off.
passes() {
	boots 0 "$@"
	[[ $output != *"not ok"* ]] || failed
	local plan=${output##*1..}
	[ "$(grep -c '^ok ' <<<"$output")" -eq "${plan%%[!0-9]*}" ] || failed
}

failed() {
	echo "$output"
	cat "$scratch/log"
	return 1
}

@test "serial port: loopback, FIFO, interrupt through IOAPIC and local APIC" {
	passes serial
}

@test "CMOS clock" {
	passes rtc
}

@test "CPU: no nested virtualization, unknown MSRs fault, MTRRs, x2APIC" {
	passes cpu
}

@test "nothing answers where nothing is" {
	passes unclaimed
}

@test "PCI: config space by both ways, BARs sized and moved" {
	passes pci --rng
}

@test "MSI-X: masked vectors and functions become pending, unmasked they fire" {
	passes msix --rng
}

@test "virtio-rng" {
	passes virtio-rng --rng
}

@test "virtio-blk: data come back, bounds hold, misuse needs a reset" {
	passes "virtio-blk sectors=4096" --disk "path=$scratch/disk"
	# The guest's data from sector 16 on: (7 i + i / 512) mod 256.
	[ "$(od -An -tu1 -j 8192 -N 4 "$scratch/disk" | tr -s ' ')" = " 0 7 14 21" ]
	[ "$(od -An -tu1 -j 8704 -N 2 "$scratch/disk" | tr -s ' ')" = " 1 8" ]
	[ "$(tr -d '\0' <"$scratch/disk" | wc -c)" -le 4096 ]
	[ "$(stat -c %s "$scratch/disk")" -eq 2097152 ]
}

@test "virtio-net: the user network's gateway answers" {
	passes virtio-net --net user
}

@test "virtio-net: a flood of flows leaves the VM manageable" {
	local vm name="flood-$$" status=0
	(
		ulimit -n 256
		exec lab/limit 120 "$build/symvm/symvm" run --name "$name" --kernel "$guest" \
			--memory 64M --net user,host-loopback=yes --append "virtio-net-flood flows=400" \
			--console "file:$scratch/console" --log-file "$scratch/log"
	) </dev/null 3>&- &
	vm=$!
	wait_until 100 grep -qs 'flood: done' "$scratch/console"
	grep -q '^ok .* 400 datagrams left' "$scratch/console"
	refused=$("$build/symvm/symvm" info "$name" --json |
		jq '[.devices[] | select(.name == "net0")][0].flows_refused')
	[ "$refused" -ge 200 ] # 32 may be open: a quarter of half of 256 descriptors
	lab/limit 90 "$build/symvm/symvm" stop "$name" --timeout 1800
	wait "$vm" || status=$?
	[ "$status" -eq 0 ]
}

@test "virtio-console" {
	passes virtio-console --virtio-console "file:$scratch/console"
	[ "$(cat "$scratch/console")" = "hello from the other console" ]
}

@test "1, 2, 4 and 16 CPUs by INIT and SIPI" {
	for cpus in 1 2 4 16; do
		passes "smp cpus=$cpus" --cpus "$cpus"
	done
}

@test "memory below and above 4 GiB" {
	passes "memory mib=64 high=0"
	# Only touched pages cost the host anything.
	passes "memory mib=3200 high=128" --memory 3200M
}

@test "power-off: 0; panic: 3; triple fault: 4" {
	boots 0 power-off
	boots 3 panic
	[[ $output == *"ok 1"* && $output != *"not ok"* ]]
	boots 4 triple-fault
	[[ $output != *"not ok"* ]]
	grep -q 'triple fault' "$scratch/log"
}

@test "reset: boots again, or ends with 6 under --on-reboot exit" {
	boots 0 reset
	[[ $output == *"first boot"*"second boot"* && $output != *"not ok"* ]]
	boots 6 reset --on-reboot exit
	[[ $output == *"first boot"* && $output != *"second boot"* ]]
}
