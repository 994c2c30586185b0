#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# `symvm qemu` refuses what cannot work, each with a sentence. Nothing here needs a /dev/kvm; tests/qemu has
# what works.

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.." || return 1
	symvm=${BUILD_DIR:-build}/symvm/symvm
	[ -x "$symvm" ] || skip "symvm is not built"
	work=$(mktemp -d)
}

teardown() {
	rm -rf "$work"
}

@test "qemu: says what it expects" {
	run -2 "$symvm" qemu
	[ "$output" = "symvm: qemu: expected '-- PROGRAM ARGUMENT...'" ]
	run -2 "$symvm" qemu --name two/parts -- cat
	[[ $output == *"VM name 'two/parts'"* ]]
	run -1 "$symvm" qemu -- no-such-program
	[ "$output" = "symvm: qemu: no program 'no-such-program' in \$PATH" ]
}

@test "qemu: refuses a program without a dynamic linker" {
	printf 'int main(void) { return 0; }' | gcc -static -x c -o "$work/static" -
	run -1 "$symvm" qemu -- "$work/static"
	[[ $output == *"static' is linked statically"* ]]
	echo '#!/bin/sh' >"$work/script"
	chmod +x "$work/script"
	run -1 "$symvm" qemu -- "$work/script"
	[[ $output == *"is not an ELF program"* ]]
	head -c 30 /bin/cat >"$work/short"
	run -1 "$symvm" qemu -- "$work/short"
	[[ $output == *"is not an ELF program"* ]]
}

@test "qemu: refuses a setuid program" {
	cp /bin/cat "$work/setuid"
	chmod u+s "$work/setuid"
	run -1 "$symvm" qemu -- "$work/setuid"
	[[ $output == *"is setuid, setgid or has capabilities"* ]]
}

@test "qemu: refuses QEMU without KVM, and encrypted guests" {
	cp /bin/cat "$work/qemu-system-x86_64"
	for words in "" "-m 256" "-accel tcg" "-machine q35"; do
		# shellcheck disable=SC2086
		run -1 "$symvm" qemu -- "$work/qemu-system-x86_64" $words
		[[ $output == *"emulates (TCG) without '-accel kvm'"* ]]
	done
	run -1 "$symvm" qemu -- "$work/qemu-system-x86_64" -accel kvm -object sev-snp-guest,id=x
	[[ $output == *"sev-snp-guest,id=x: calls cannot enter"* ]]
}

@test "qemu: starts the program with the library, and passes its arguments" {
	run -0 --separate-stderr env LD_PRELOAD= "$symvm" qemu --name web -- env
	[[ $output == *LD_PRELOAD=*/libsymcall-preload.so.0* ]]
	[[ $output == *SYMVM_PRELOAD_NAME=web* ]]
	[ -z "$stderr" ]
	run -0 "$symvm" qemu -- echo -accel kvm --name x
	[ "$output" = "-accel kvm --name x" ]
}

@test "qemu: the library exports ioctl and nothing else" {
	run -0 nm -D --defined-only "${BUILD_DIR:-build}/preload/libsymcall-preload.so.0"
	[ "$(wc -l <<<"$output")" -eq 1 ]
	[[ $output == *" T ioctl" ]]
}
