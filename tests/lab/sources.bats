#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# The machine's own package sources, in both of apt's styles.

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.."
	export SYMVM_APT_ETC="$BATS_TEST_TMPDIR/apt"
	export SYMVM_OS_RELEASE="$BATS_TEST_TMPDIR/os-release"
	mkdir -p "$SYMVM_APT_ETC/sources.list.d"
	runs debian bookworm
}

# runs ID CODENAME: set the system of the machine.
runs() {
	printf 'ID=%s\nVERSION_CODENAME="%s"\n' "$1" "$2" >"$SYMVM_OS_RELEASE"
}

@test "one-line style: options kept, other archives and comments left out" {
	cat >"$SYMVM_APT_ETC/sources.list" <<-'LIST'
		deb [arch=amd64 signed-by=/k.gpg] http://mirror.test/debian bookworm main contrib # ours
		# deb http://mirror.test/debian bookworm-updates main
		deb-src http://mirror.test/debian bookworm main
		deb http://vendor.test/apt bookworm stable
		deb http://vendor.test/apt cloud-bookworm main
	LIST
	run -0 scripts/apt-sources
	[ "$output" = 'deb [arch=amd64 signed-by=/k.gpg] http://mirror.test/debian bookworm main contrib' ]
}

@test "deb822 style: all suites and addresses, disabled stanzas left out" {
	cat >"$SYMVM_APT_ETC/sources.list.d/debian.sources" <<-'LIST'
		Types: deb deb-src
		# a comment
		URIs: http://a.test/debian http://b.test/debian
		Suites: bookworm
		 bookworm-updates
		Components: main
		Signed-By: /k.gpg

		Types: deb
		URIs: http://a.test/security
		Suites: bookworm-security
		Components: main
		Enabled: no
	LIST
	run -0 scripts/apt-sources
	[ "${#lines[@]}" -eq 4 ]
	[ "${lines[3]}" = 'deb [signed-by=/k.gpg] http://b.test/debian bookworm-updates main' ]
}

@test "--backports adds the suite beside the archive, once" {
	echo 'deb http://mirror.test/debian bookworm main' >"$SYMVM_APT_ETC/sources.list"
	run -0 scripts/apt-sources --backports
	[ "${lines[1]}" = 'deb http://mirror.test/debian bookworm-backports main' ]
	[ "${#lines[@]}" -eq 2 ]
}

@test "the release is the machine's own; of another one is no source used" {
	echo 'deb http://mirror.test/debian trixie main' >"$SYMVM_APT_ETC/sources.list"
	run -1 scripts/apt-sources
	[[ $output == *"no Debian source for this machine's release (bookworm)"* ]]
	runs debian trixie
	run -0 scripts/apt-sources
	[ "$output" = 'deb http://mirror.test/debian trixie main' ]
	run -0 scripts/apt-sources --print-release
	[ "$output" = trixie ]
}

@test "a source called stable means the machine's release, whatever is stable by now" {
	printf 'deb http://mirror.test/%s main\n' 'debian stable' 'security stable-security' \
		>"$SYMVM_APT_ETC/sources.list"
	run -0 scripts/apt-sources
	[ "${lines[0]}" = 'deb http://mirror.test/debian bookworm main' ]
	[ "${lines[1]}" = 'deb http://mirror.test/security bookworm-security main' ]
}

@test "a system derived from Debian: the release that its sources name" {
	echo 'deb http://mirror.test/debian bookworm main' >"$SYMVM_APT_ETC/sources.list"
	runs derived faye
	run -0 scripts/apt-sources --print-release
	[ "$output" = bookworm ]
}

@test "--release and --suite: other suites of the same archives" {
	runs debian trixie
	printf 'deb http://mirror.test/%s main\n' 'debian trixie' 'security trixie-security' \
		>"$SYMVM_APT_ETC/sources.list"
	run -0 scripts/apt-sources --release bookworm
	[ "${lines[0]}" = 'deb http://mirror.test/debian bookworm main' ]
	[ "${lines[1]}" = 'deb http://mirror.test/security bookworm-security main' ]
	[ "${#lines[@]}" -eq 2 ]
	run -0 scripts/apt-sources --suite trixie-backports
	[ "${lines[2]}" = 'deb http://mirror.test/debian trixie-backports main' ]
	[ "${#lines[@]}" -eq 3 ]
}

@test "an unknown kernel series is an error" {
	run -1 scripts/kernel-fetch 5.10
	[[ $output == *"'5.10' is not one of 6.1, 6.12"* ]]
}

@test "a cached kernel needs no network" {
	[ -e "${SYMVM_CACHE:-.cache}/kernels/6.1/layout" ] || skip "6.1 is not in the cache"
	run -0 unshare -rn scripts/kernel-fetch 6.1
	[ -s "$output/vmlinuz" ] && [ -s "$output/headers/Module.symvers" ]
}

@test "the tree names no Debian mirror" {
	run -1 git grep -nIE '(deb\.debian\.org|security\.debian\.org|[a-z]+://[a-z0-9.-]+/debian)' -- \
		scripts images lab Makefile .ci
}
