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

@test "7 on plain QEMU, 2 CPUs: inert" {
	inert 7 2
}

# headers_without VERSION WORD: copy the headers in which Kbuild.features looks, less the lines with WORD.
headers_without() {
	local headers file
	headers=$(realpath "$cache/kernels/$1/headers-common")
	mkdir -p "$BATS_TEST_TMPDIR/headers"
	for file in $(grep -oE '(include|arch)/[a-z0-9/_]+[.]h' guest/linux/Kbuild.features | sort -u); do
		[ -e "$headers/$file" ] || continue
		mkdir -p "$BATS_TEST_TMPDIR/headers/${file%/*}"
		grep -v "$2" "$headers/$file" >"$BATS_TEST_TMPDIR/headers/$file"
	done
}

@test "a kernel of which nothing is known: both modules refuse it in a line, and the guest lives" {
	local module modules=() command
	headers_without 6.12 'parent;'
	for module in symbiotic symswap; do
		sym_headers=$BATS_TEST_TMPDIR/headers KCFLAGS="-I$PWD/guest/linux" \
			scripts/kernel-build-module 6.12 "guest/linux/$module" "$BATS_TEST_TMPDIR/$module"
		modules+=(--add "$BATS_TEST_TMPDIR/$module/$module.ko:/etc/symvm/$module.ko")
	done
	images/build-initramfs --kernel 6.12 -o "$BATS_TEST_TMPDIR/image" "${modules[@]}"
	command=$(base64 -w0 <<<'for module in symbiotic symswap; do
			insmod /etc/symvm/$module.ko && echo WRONG it was loaded
		done
		dmesg | grep -E "WARNING|BUG|Oops|Call Trace" && echo WRONG kernel messages
		dmesg | grep "nothing is known"
		echo GUEST done')
	run -0 lab/limit 600 qemu-system-x86_64 -accel tcg -cpu max -m 256 -nodefaults -display none \
		-serial stdio -no-reboot -kernel "$cache/kernels/6.12/vmlinuz" -initrd "$BATS_TEST_TMPDIR/image" \
		-append "console=ttyS0 quiet panic=-1 symvm.net=off symvm.cmd=$command" </dev/null
	echo "$output" >&2
	[[ $output == *"GUEST done"* && $output != *WRONG* ]]
	for module in symbiotic symswap; do # busybox tries twice to load a module that refused
		[ "$(grep -c "$module: nothing is known of this kernel's kernfs_node: inactive" <<<"$output")" -eq 2 ]
	done
}
