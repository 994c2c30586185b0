#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# A machine with only the packages of `scripts/deps` has all commands that this tree calls. The tests ask
# for the files of those packages and of the essential ones (tests/lib/owned), so that other packages on
# this machine do not count.

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.."
	. scripts/common.sh
}

# programs: print our scripts, except those that run in a guest or in the emulated host's initramfs.
programs() {
	git ls-files scripts lab images bench .ci tests/lab tests/cli tests/stages tests/lib |
		grep -vE '^(images/(guest|rootdisk)|lab/guest|bench/swap-lab/programs)/' |
		while read -r file; do
			first=
			read -r first <"$file" || true
			if [[ $file == *.sh || $first =~ ^#!.*(sh|bats|python3)$ ]]; then
				echo "$file"
			fi
		done
}

@test "every command that our scripts call" {
	mapfile -t files < <(programs)
	[ "${#files[@]}" -gt 50 ]
	run -0 tests/lib/owned --commands "${files[@]}"
}

@test "a command of no such package is found, however it is called" {
	local file=$BATS_TEST_TMPDIR/script
	printf '%s\n' '#!/bin/bash' '# comment-command' 'text="text-command"' 'list=(word-command)' \
		'first-command x' 'if second-command; then :; fi' 'a=$(third-command | fourth-command)' \
		'echo "$(fifth-command)" && sixth-command' 'exec env -u X A=b seventh-command' \
		'case $1 in' 'case-command | b) eighth-command ;;' 'esac' 'cat <<EOF' 'heredoc-command' 'EOF' \
		"ninth-command 'it is'" 'command -v optional-command && optional-command' >"$file"
	run -1 tests/lib/owned --commands "$file"
	[ "$(sed 's/.*: //' <<<"$output" | sort | tr '\n' ' ')" = 'eighth-command fifth-command first-command fourth-command ninth-command second-command seventh-command sixth-command third-command ' ]
	printf '#!/usr/bin/python3\nimport subprocess\nsubprocess.run(["no-such-one", "x"])\n' >"$file"
	run -1 tests/lib/owned --commands "$file"
	[[ $output == *': no-such-one' ]]
}

@test "every header that the build read" {
	scripts/build
	run -0 tests/lib/owned --headers "${BUILD_DIR:-build}"
}

# stub_module DIRECTORY: put symbiotic there with its own Kbuild, but with empty sources, which compile
# at once. The commands that kbuild calls stay the same.
stub_module() {
	local file
	cp -r guest/linux/symbiotic "$1"
	cp guest/linux/Kbuild.features "$1/.." # which Kbuild includes
	for file in "$1"/*.[cS]; do
		: >"$file"
	done
	printf '#include <linux/module.h>\nMODULE_LICENSE("GPL");\nMODULE_DESCRIPTION("a stub");\n' >"$1/main.c"
}

@test "modules for both kernels, with these packages' commands only; one that is missing is noticed" {
	local version farm=$BATS_TEST_TMPDIR/farm stub=$BATS_TEST_TMPDIR/stub
	tests/lib/owned --farm "$farm"
	stub_module "$stub"
	for version in 6.1 6.12; do
		scripts/kernel-fetch "$version"
		run -0 env -i PATH="$farm/bin" SYMVM_CACHE="$SYMVM_CACHE" KCFLAGS="-I$SYMVM_ROOT/guest/linux" \
			scripts/kernel-build-module "$version" "$stub" "$BATS_TEST_TMPDIR/$version"
		[[ $output == *symbiotic.ko* ]]
	done
	rm "$farm/bin/ld" "$BATS_TEST_TMPDIR/6.1/symbiotic.o" # what remains to be done needs ld
	run -2 env -i PATH="$farm/bin" SYMVM_CACHE="$SYMVM_CACHE" KCFLAGS="-I$SYMVM_ROOT/guest/linux" \
		scripts/kernel-build-module 6.1 "$stub" "$BATS_TEST_TMPDIR/6.1"
	[[ $output == *'ld: '*'not found'* ]]
}

@test "meson finds all its programs and libraries there" {
	local farm=$BATS_TEST_TMPDIR/farm
	tests/lib/owned --farm "$farm"
	run -0 env -i HOME="$BATS_TEST_TMPDIR" PATH="$farm/bin" PKG_CONFIG_LIBDIR="$farm/pc" \
		meson setup "$BATS_TEST_TMPDIR/build" .
}
