#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# symbiotic.ko without a symbiotic VMM: on plain QEMU, on this machine by TCG. The module says so once,
# leaves everything alone, and can be loaded and removed any number of times.

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.."
	cache=${SYMVM_CACHE:-.cache}
}

# inert VERSION CPUS: boot, try everything, check the guest's output.
inert() {
	local command
	command=$(base64 -w0 <<'GUEST'
grep -H . /sys/kernel/symbiotic/*
for n in 1 2 3 4 5 6 7 8 9 10; do
	rmmod symbiotic && modprobe symbiotic || echo WRONG reload
done
for cpu in /sys/devices/system/cpu/cpu[1-9]*; do
	[ -e $cpu/online ] || continue
	echo 0 >$cpu/online && echo 1 >$cpu/online || echo WRONG hotplug
done
insmod /etc/symvm/symbiotic_probe.ko || echo WRONG probe
rmmod symbiotic 2>/dev/null && echo WRONG rmmod of a module in use
rmmod symbiotic_probe && rmmod symbiotic || echo WRONG rmmod
[ ! -e /sys/kernel/symbiotic ] || echo WRONG files left
dmesg | sed -n '/symbiotic:/,$p' | grep -E 'WARNING|BUG|Oops|Call Trace' && echo WRONG kernel messages
echo "said $(dmesg | grep -c 'symbiotic: no symbiotic VMM here: inactive') times"
echo GUEST done
GUEST
	)
	run -0 lab/limit 600 qemu-system-x86_64 -accel tcg -cpu max -smp "$2" -m 512 -nodefaults \
		-display none -serial stdio -no-reboot -kernel "$cache/kernels/$1/vmlinuz" \
		-initrd "$cache/images/initramfs-symbiotic-$1.cpio" \
		-append "console=ttyS0 quiet panic=-1 symvm.net=off symvm.cmd=$command" </dev/null
	echo "$output" >&2
	[[ $output == *"GUEST done"* ]]
	[[ $output != *WRONG* ]]
	[[ $output == *"/sys/kernel/symbiotic/active:0"* ]]
	[[ $output == *"said 11 times"* ]] # once for each time it was loaded
}

@test "6.1 on plain QEMU, 2 CPUs: inert" {
	inert 6.1 2
}

@test "6.12 on plain QEMU, 1 CPU: inert" {
	inert 6.12 1
}
