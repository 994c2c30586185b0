#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# scripts/qemu-fetch chooses the QEMU that emulates hosts. Debian's archive is faked or unreachable here.

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.."
	unset SYMVM_LAB_QEMU
	. tests/lib/archive.bash
	export SYMVM_CACHE="$BATS_TEST_TMPDIR/cache"
	PATH=$BATS_TEST_TMPDIR/bin:$PATH
	mkdir -p "$BATS_TEST_TMPDIR/bin"
	machine=$BATS_TEST_TMPDIR/bin/qemu-system-x86_64
}

# emulator FILE VERSION: make a program that prints that version.
emulator() {
	mkdir -p "${1%/*}"
	printf '#!/bin/sh\necho "QEMU emulator version %s (Debian)"\n' "$2" >"$1"
	chmod +x "$1"
}

fetch() {
	run --separate-stderr "-$1" unshare -rn scripts/qemu-fetch "${@:2}"
}

@test "the machine's own QEMU, if it is new enough; no network is touched" {
	emulator "$machine" 10.0.0
	fetch 0
	[ "$output" = "$machine" ]
	[ -z "$stderr" ]
	emulator "$machine" 11.2.50
	fetch 0 --refresh
	[ "$output" = "$machine" ]
}

@test "a fetched QEMU, once it is there, instead of an old one" {
	emulator "$machine" 7.2.22
	emulator "$SYMVM_CACHE/lab/qemu/usr/bin/qemu-system-x86_64" 10.0.2
	fetch 0
	[ "$output" = "$SYMVM_CACHE/lab/qemu/usr/bin/qemu-system-x86_64" ]
	[ -z "$stderr" ]
	SYMVM_LAB_QEMU=machine fetch 0
	[ "$output" = "$machine" ]
}

@test "no archive within reach: the machine's own, with one line of warning, once a day" {
	emulator "$machine" 7.2.22
	fetch 0
	[ "$output" = "$machine" ]
	[ "$(grep -c warning <<<"$stderr")" -eq 1 ]
	[[ $stderr == *'QEMU 7 of this machine'* ]]
	fetch 0
	[ "$output" = "$machine" ]
	[ -z "$stderr" ]
	touch -d '2 days ago' "$SYMVM_CACHE/lab/qemu-refused"
	fetch 0
	[[ $stderr == *warning* ]]
	SYMVM_LAB_QEMU=new fetch 1
	[[ $stderr == *'error: no QEMU 10 or newer: '* ]]
}

@test "an archive whose QEMU has moved, does not start, or emulates no host: the same" {
	archive_open bookworm
	archive_publish
	emulator "$machine" 7.2.22
	fetch 0
	[ "$output" = "$machine" ]
	[[ $stderr == *'warning: bookworm-backports: '*'the lab uses QEMU 7 of this machine'* ]]

	archive_suite bookworm-backports
	archive_package qemu-system-x86 1:8.0 '' usr/bin/qemu-system-x86_64
	archive_publish
	fetch 0 --refresh
	[[ $stderr == *'warning: bookworm-backports: its QEMU does not start here or is older than 10'* ]]

	emulator "$BATS_TEST_TMPDIR/offered" 10.9.1
	archive_package qemu-system-x86 1:10.9 'libnew' \
		"usr/bin/qemu-system-x86_64=$BATS_TEST_TMPDIR/offered"
	archive_package libnew 2 '' usr/lib/x86_64-linux-gnu/libnew.so.2
	archive_publish
	fetch 0 --refresh
	[ "$output" = "$machine" ]
	[[ $stderr == *'warning: bookworm-backports: QEMU 10.9.1 does not emulate a host'* ]]
	[ "$(grep -c warning <<<"$stderr")" -eq 1 ]
	[ ! -e "$SYMVM_CACHE/lab/qemu" ]
}

@test "SYMVM_LAB_QEMU names a program, or the error says what it may be" {
	emulator "$BATS_TEST_TMPDIR/mine" 6.0.0
	SYMVM_LAB_QEMU=$BATS_TEST_TMPDIR/mine fetch 0
	[ "$output" = "$BATS_TEST_TMPDIR/mine" ]
	local wrong
	for wrong in 9 "$BATS_TEST_TMPDIR" /dev/null/x; do
		SYMVM_LAB_QEMU=$wrong fetch 1
		[ "${#stderr_lines[@]}" -eq 1 ]
		[[ $stderr == *"SYMVM_LAB_QEMU='$wrong' is not a program, nor 'machine' or 'new'"* ]]
	done
}
