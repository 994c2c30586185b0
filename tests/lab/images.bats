#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# The small guest image on QEMU's plain emulation. The image must boot without symvm, too.

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.."
	. scripts/common.sh
}

# boot KERNEL IMAGE APPEND [QEMU OPTION]...: boot the image, its console on stdout. Status: QEMU's.
boot() {
	local kernel=$1 image=$2 append=$3
	shift 3
	lab/limit 120 qemu-system-x86_64 -M pc -accel tcg -cpu max -m 256 -nodefaults -display none \
		-serial stdio -no-reboot -kernel "$(scripts/kernel-fetch "$kernel")/vmlinuz" \
		-initrd "$image" -append "console=ttyS0 quiet panic=-1 $append" "$@" </dev/null
}

encode() {
	printf %s "$1" | base64 -w0
}

@test "the same input gives the same bytes, with every compression" {
	local kind
	for kind in none gzip zstd; do
		images/build-initramfs --kernel 6.1 --compress "$kind" -o "$BATS_TEST_TMPDIR/$kind.1"
	done
	sleep 1
	for kind in none gzip zstd; do
		images/build-initramfs --kernel 6.1 --compress "$kind" -o "$BATS_TEST_TMPDIR/$kind.2"
		cmp "$BATS_TEST_TMPDIR/$kind."{1,2}
	done
}

@test "both kernels: command or script, its status, DHCP, disk, vsock, zram, files, the ways to end" {
	local version words
	truncate -s 16M "$BATS_TEST_TMPDIR/disk"
	mke2fs -q -t ext4 "$BATS_TEST_TMPDIR/disk"
	echo 'words in a file' >"$BATS_TEST_TMPDIR/file"
	cat >"$BATS_TEST_TMPDIR/script" <<-'SCRIPT'
		#!/bin/sh
		ip -4 addr show eth0 | grep -o "10\.0\.2\.[0-9]*/24"
		modprobe ext4 && mount -t ext4 /dev/vda /newroot && echo mounted
		modprobe zram && ls /sys/block; ls /dev/vsock /dev/hwrng; uname -r; cat /data/file; exit 42
	SCRIPT
	for version in 6.1 6.12; do
		# The image's own script, or a command instead.
		words='symvm.end=panic'
		[ "$version" = 6.12 ] ||
			words="symvm.end=reboot symvm.cmd=$(encode 'echo by a command; sh /data/script')"
		images/build-initramfs --kernel "$version" --run "$BATS_TEST_TMPDIR/script" --compress zstd \
			--add "$BATS_TEST_TMPDIR/script:/data/script" \
			--add "$BATS_TEST_TMPDIR/file:/data/file" -o "$BATS_TEST_TMPDIR/image"
		run -0 boot "$version" "$BATS_TEST_TMPDIR/image" "$words" \
			-netdev user,id=n -device virtio-net-pci,netdev=n -device virtio-rng-pci \
			-drive "if=virtio,format=raw,file=$BATS_TEST_TMPDIR/disk"
		# On a busy machine even a quiet kernel prints lines about its clocks before.
		[[ $(grep -v '^\[ *[0-9]' <<<"$output" | head -n1) == *'symvm-init: started'* ]]
		[[ $output == *10.0.2.15/24* && $output == *mounted* && $output == *zram0* ]]
		[[ $output == */dev/vsock* && $output == */dev/hwrng* && $output == *'words in a file'* ]]
		[[ $output == *"$(cat "$SYMVM_CACHE/kernels/$version/release")"* ]]
		[[ $output == *'symvm-exit: 42'* ]]
		if [ "$version" = 6.1 ]; then
			[[ $output == *'by a command'*'reboot: Restarting system'* ]]
		else
			[[ $output != *'by a command'* ]]
			[[ $output == *'Kernel panic - not syncing: sysrq triggered crash'* ]]
		fi
	done
}

@test "a module of another kernel, a missing file and a wrong option are refused" {
	local module
	module=$(find "$(scripts/kernel-fetch 6.1)/modules" -name tun.ko | head -n1)
	run -1 images/build-initramfs --kernel 6.12 --extra-module "$module" -o "$BATS_TEST_TMPDIR/image"
	[[ $output == *'is not built for '* ]]
	run -1 images/build-initramfs --kernel 6.1 --add /nowhere:/x -o "$BATS_TEST_TMPDIR/image"
	[[ $output == *'no such file: /nowhere'* ]]
	run -1 images/build-initramfs --kernel 6.1 --compress rar -o "$BATS_TEST_TMPDIR/image"
	[[ $output == *"'rar' is not one of"* ]]
	[ ! -e "$BATS_TEST_TMPDIR/image" ]
}
