#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Guests that end their kernel while calls are in flight: by kexec, and by a reset during other work.

bats_require_minimum_version 1.5.0
. "$BATS_TEST_DIRNAME/../lib/injected.bash"

setup() {
	cd "$BATS_TEST_DIRNAME/../.."
	cache=${SYMVM_CACHE:-.cache}
	build=${BUILD_DIR:-build}
	scratch=$(mktemp -d "${SYMVM_SCRATCH:-/tmp}/restart.XXXXXX")
	vm=
}

teardown() {
	[ -z "$vm" ] || kill -KILL "$vm" 2>/dev/null || true
	rm -rf "$scratch"
}

# kexec_image VERSION: make the symbiotic image with the same kernel as a file in it.
kexec_image() {
	local tree=$scratch/tree
	mkdir -p "$tree/boot" "$tree/etc/symvm"
	cp "$cache/kernels/$1/vmlinuz" "$tree/boot/"
	gcc -O2 -static -o "$tree/boot/kexec-now" guest/programs/kexec-now.c
	cp guest/programs/kexec.sh "$tree/etc/symvm/kexec-guest"
	{
		cat "$cache/images/initramfs-symbiotic-$1.cpio"
		scripts/cpio-tree "$tree"
	} >"$scratch/initrd"
}

# kexec_in_flight VERSION PTI CPUS: test kexec during calls. The probe's calls take 200 ms, so that one is
# in flight most of the time. Without no-kvmapf, KVM's interrupt for a page that came in late may reach
# the second kernel before it has mapped its APIC, and Linux does not survive that. Linux does not survive
# a timer interrupt of the first kernel there either (nolapic_timer).
kexec_in_flight() {
	local report
	kexec_image "$1"
	run_again_if_injected lab/limit 300 "$build/tests/symbiotic/symbiotic-storm" --kernel "$cache/kernels/$1/vmlinuz" \
		--initrd "$scratch/initrd" --time 6000 --cpus "$3" --period 2000 --slow 200 \
		--append "symvm.net=off no-kvmapf nolapic_timer pti=$2 symvm.cmd=$(base64 -w0 <<<"exec /etc/symvm/kexec-guest")"
	echo "$output"
	[ "$status" -eq 0 ]
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

# bats test_tags=soak
@test "6.12, kexec with calls in flight: the second kernel registers and answers" {
	kexec_in_flight 6.12 on 1
}

@test "6.12, 2 CPUs, kexec with calls in flight on either" {
	kexec_in_flight 6.12 on 2
}

@test "6.1: resets with a call in flight on the other vCPU: it is answered, and so is the next boot" {
	local command
	command=$(base64 -w0 <<'GUEST'
insmod /etc/symvm/symbiotic_probe.ko count=0
boots=$(head -c 1 /dev/vda)
printf $((boots + 1)) | dd of=/dev/vda conv=notrunc 2>/dev/null
sync
echo "boot $boots"
[ "$boots" = 3 ] || { sleep 2; taskset 1 sh -c 'echo b >/proc/sysrq-trigger'; }
sleep 1000
GUEST
	)
	truncate -s 1M "$scratch/disk"
	printf 0 | dd of="$scratch/disk" conv=notrunc status=none
	export SYMVM_RUNTIME_DIR=$scratch
	lab/limit 300 "$build/symvm/symvm" run --name again --kernel "$cache/kernels/6.1/vmlinuz" \
		--initrd "$cache/images/initramfs-symbiotic-6.1.cpio" --memory 256M --cpus 2 \
		--disk "path=$scratch/disk" --console "file:$scratch/console" \
		--append "console=ttyS0 quiet panic=1 symvm.net=off symvm.cmd=$command" \
		</dev/null >"$scratch/log" 2>&1 3>&- &
	vm=$!
	run lab/limit 280 /usr/bin/python3 tests/symbiotic/keep_calling.py "$scratch/again.sock" \
		"$scratch/console" "boot 3"
	echo "$output"
	tail -n 5 "$scratch/console" "$scratch/log"
	[ "$status" -eq 0 ]
	echo "# $output" >&3
	"$build/symvm/symvm" stop --force again
	status=0
	wait "$vm" || status=$?
	vm=
	[ "$status" -eq 5 ]
}
