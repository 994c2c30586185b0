#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Guests that end their kernel while calls are in flight.

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../../.."
	cache=${SYMVM_CACHE:-.cache}
	build=${BUILD_DIR:-build}
	scratch=$(mktemp -d "${SYMVM_SCRATCH:-/tmp}/restart.XXXXXX")
}

teardown() {
	rm -rf "$scratch"
}

# kexec_image VERSION: the symbiotic image, and the same kernel as a file in it.
kexec_image() {
	local tree=$scratch/tree
	mkdir -p "$tree/boot" "$tree/etc/symvm"
	cp "$cache/kernels/$1/vmlinuz" "$tree/boot/"
	gcc -O2 -static -o "$tree/boot/kexec-now" tests/guest/kexec-now.c
	cp tests/guest/kexec-guest.sh "$tree/etc/symvm/kexec-guest"
	{
		cat "$cache/images/initramfs-symbiotic-$1.cpio"
		scripts/cpio-tree "$tree"
	} >"$scratch/initrd"
}

# kexec_in_flight VERSION PTI CPUS: the probe's calls take 200 ms, so that mostly one is in flight. Without
# no-kvmapf KVM's interrupt for a page that came in late may hit the second kernel before it has mapped
# its APIC, and Linux does not survive that.
kexec_in_flight() {
	local report
	kexec_image "$1"
	run -0 timeout 300 "$build/tests/guest/symbiotic-storm" --kernel "$cache/kernels/$1/vmlinuz" \
		--initrd "$scratch/initrd" --time 280 --cpus "$3" --period 2000 --slow 200 \
		--append "symvm.net=off no-kvmapf pti=$2 symvm.cmd=$(base64 -w0 <<<"exec /etc/symvm/kexec-guest")"
	echo "$output"
	[[ $output == *"guest: the first kernel answered"*"guest: the second kernel answered"*"guest: done"* ]]
	[[ $output != *WRONG* ]]
	[[ $output != *"Kernel panic"* ]]
	report=$(sed -n 's/^storm: {/{/p' <<<"$output" | tail -n1)
	echo "# $report" >&3
	[ "$(jq .failed <<<"$report")" -eq 0 ]
	[ "$(jq .wrong <<<"$report")" -eq 0 ]
	[ "$(jq .slow <<<"$report")" -ge 4 ]
	[ "$(jq .not_ready <<<"$report")" -gt 0 ] # between the two kernels
}

@test "6.12, kexec with calls in flight: the second kernel registers and answers" {
	kexec_in_flight 6.12 on 1
}

@test "6.12, 2 CPUs, kexec with calls in flight on either" {
	[ -n "${SYMVM_SOAK:-}" ] || [ "${SYMVM_LAB:-}" = direct ] ||
		skip "several vCPUs under calls: make soak, or a machine with KVM"
	kexec_in_flight 6.12 on 2
}
