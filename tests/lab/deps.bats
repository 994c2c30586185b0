#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# scripts/deps for a user who is not root. The user, dpkg and sudo are faked here; nothing is installed.

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.."
	bin=$BATS_TEST_TMPDIR/bin
	mkdir "$bin"
	fake id 'echo 1000'
	fake dpkg-query 'exit 1' # no package is installed
	local command
	for command in bash dirname sed; do
		ln -s "$(command -v "$command")" "$bin/$command"
	done
}

# fake NAME COMMANDS: make a program.
fake() {
	printf '#!/bin/sh\n%s\n' "$2" >"$bin/$1"
	chmod +x "$bin/$1"
}

deps() {
	run "-$1" env -i PATH="$bin" /bin/bash scripts/deps </dev/null
}

@test "sudo installs; without a terminal it asks for no password" {
	fake sudo "echo \"\$*\" >>'$BATS_TEST_TMPDIR/log'"
	deps 0
	[ "$(wc -l <"$BATS_TEST_TMPDIR/log")" -eq 1 ]
	grep -qE '^-n env DEBIAN_FRONTEND=noninteractive apt-get .* install .* -y meson ' "$BATS_TEST_TMPDIR/log"
}

@test "a sudo that refuses: one line with the packages" {
	fake sudo 'echo "sudo: a password is required" >&2; exit 1'
	deps 1
	[[ ${lines[-1]} == 'deps: error: apt-get could not install: meson '* ]]
}

@test "no sudo: one line with the command for root" {
	deps 1
	[ "${#lines[@]}" -eq 1 ]
	[[ $output == 'deps: error: not root and no sudo; as root: apt-get install meson '* ]]
}

@test "commands that Debian gives to root only are found" {
	run -0 env -i PATH=/usr/bin:/bin bash -c '. scripts/common.sh && command -v depmod mke2fs modinfo'
	[ "${#lines[@]}" -eq 3 ]
}
