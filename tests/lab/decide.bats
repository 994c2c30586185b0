#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# lab/decide: the machine that it looks at is faked here.

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.."
	unset SYMVM_LAB SYMVM_LAB_MODE
	export SYMVM_LAB_CPUINFO="$BATS_TEST_TMPDIR/cpuinfo" SYMVM_LAB_KVM_CHECK=true
}

cpu_shows() {
	printf 'processor\t: 0\nflags\t\t: fpu %s lm\nbugs\t\t: svmish\n' "$1" >"$SYMVM_LAB_CPUINFO"
}

@test "no svm and no vmx: emulated, whatever /dev/kvm does" {
	cpu_shows 'svm_lock vmxoff'
	[[ $(lab/decide) == 'emulated '*'neither svm nor vmx' ]]
}

@test "svm or vmx with guests running: direct" {
	cpu_shows svm
	[[ $(lab/decide) == 'direct '*svm* ]]
	cpu_shows vmx
	[[ $(lab/decide) == 'direct '*vmx* ]]
}

@test "svm but guests don't run: emulated, with the reason" {
	cpu_shows svm
	printf '#!/bin/sh\necho "/dev/kvm: Permission denied"\nexit 1\n' >"$BATS_TEST_TMPDIR/check"
	chmod +x "$BATS_TEST_TMPDIR/check"
	SYMVM_LAB_KVM_CHECK="$BATS_TEST_TMPDIR/check"
	[ "$(lab/decide)" = 'emulated /dev/kvm: Permission denied' ]
}

@test "the check names a device that is absent or is no KVM" {
	run -1 lab/kvm-check /dev/no-such-device
	[[ $output == '/dev/no-such-device: '* ]]
	run -1 lab/kvm-check /dev/null
	[[ $output == '/dev/null: '* ]]
}

@test "inside the lab: direct; by override: as told; nonsense is refused" {
	cpu_shows none
	[[ $(SYMVM_LAB=emulated lab/decide) == direct* ]]
	[[ $(SYMVM_LAB_MODE=direct lab/decide) == direct* ]]
	cpu_shows svm
	[[ $(SYMVM_LAB_MODE=emulated lab/decide) == emulated* ]]
	SYMVM_LAB_MODE=maybe run -2 lab/decide
	[[ $output == *maybe* ]]
}

@test "direct mode: status, time limit, scratch area that goes away" {
	export SYMVM_LAB_MODE=direct
	run -7 lab/run sh -c 'exit 7'
	run -127 lab/run no-such-command-anywhere
	run -124 lab/run --timeout 1 sleep 100
	[[ $output == *'time limit reached, 1 s'* ]]
	run -0 lab/run sh -c 'test "$SYMVM_LAB" = direct && touch "$SYMVM_SCRATCH/x" && echo "$SYMVM_SCRATCH"'
	[ ! -e "$output" ]
}
