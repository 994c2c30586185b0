#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# The DKMS package of both modules, built by dkms itself out of a tree that has nothing else.

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.."
	. scripts/common.sh
	. scripts/apt-private.sh
}

# dkms_builds VERSION: build the package for that kernel.
dkms_builds() {
	local kernel release tree=$BATS_TEST_TMPDIR
	kernel=$(scripts/kernel-fetch "$1")
	release=$(cat "$kernel/release")
	packages_use "$(scripts/packages-unpack dkms)"
	kernel_use "$kernel"
	mkdir -p "$tree"/{state,install}
	scripts/dkms-source "$tree/source/symvm-guest-0.1"
	for step in add build; do
		run dkms "$step" -m symvm-guest -v 0.1 -k "$release" --kernelsourcedir "$kernel/headers" \
			--sourcetree "$tree/source" --dkmstree "$tree/state" --installtree "$tree/install"
		echo "$output"
		cat "$tree"/state/symvm-guest/0.1/build/make.log 2>/dev/null || true
		[ "$status" -eq 0 ]
	done
	for module in symbiotic symswap; do
		compgen -G "$tree/state/symvm-guest/0.1/$release/x86_64/module/$module.ko*"
	done
}

@test "6.1: dkms builds both modules" {
	[ -n "${SYMVM_SOAK:-}" ] || skip 'make soak runs it'
	dkms_builds 6.1
}

@test "6.12: dkms builds both modules" {
	dkms_builds 6.12
}
