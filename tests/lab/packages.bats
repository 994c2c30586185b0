#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# The machine's own apt unpacks packages, without installing them, from an archive that each case makes
# itself (tests/lib/archive.bash).

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.."
	. tests/lib/archive.bash
	archive_open bookworm
}

@test "a package and what it depends on, less what the machine has" {
	archive_package tool 1.0 'lib (>= 2), there' 'usr/bin/tool'
	archive_package lib 2.1 '' 'usr/lib/x86_64-linux-gnu/lib.so'
	archive_package there 1.0 '' 'usr/bin/there'
	archive_machine_has there 1.0
	archive_publish
	run -0 --separate-stderr scripts/packages-unpack tool
	[ -e "$output/usr/bin/tool" ]
	[ -e "$output/usr/lib/x86_64-linux-gnu/lib.so" ]
	[ ! -e "$output/usr/bin/there" ]
}

@test "the second time needs no archive; a machine that changed is looked at again" {
	archive_package tool 1.0 'there' 'usr/bin/tool'
	archive_package there 1.0 '' 'usr/bin/there'
	archive_machine_has there 1.0
	archive_publish
	run -0 --separate-stderr scripts/packages-unpack tool
	first=$output
	mv "$ARCHIVE" "$ARCHIVE.gone"
	run -0 --separate-stderr scripts/packages-unpack tool
	[ "$output" = "$first" ]
	mv "$ARCHIVE.gone" "$ARCHIVE"
	: >"$SYMVM_DPKG_STATUS"
	run -0 --separate-stderr scripts/packages-unpack tool
	[ "$output" != "$first" ]
	[ -e "$output/usr/bin/there" ]
}

@test "an archive that moved on is read again; without one, what was unpacked before does" {
	archive_package tool 1.0 '' 'usr/bin/tool'
	archive_publish
	run -0 scripts/packages-unpack tool
	archive_package other 1.0 '' 'usr/bin/other'
	archive_package tool 1.1 '' 'usr/bin/tool'
	rm "$ARCHIVE"/pool/tool_1.0_amd64.deb
	archive_publish
	run -0 --separate-stderr scripts/packages-unpack other
	[ -e "$output/usr/bin/other" ]
	archive_machine_has unrelated 1.0
	rm -rf "$ARCHIVE" "$SYMVM_CACHE/apt"
	run -0 --separate-stderr scripts/packages-unpack other
	[ -e "$output/usr/bin/other" ]
	[[ $stderr == *'using what was unpacked before'* ]]
}

@test "what cannot be had is said in one line, with the reason" {
	archive_package tool 1.0 'nonesuch (>= 3)' 'usr/bin/tool'
	archive_publish
	run -1 scripts/packages-unpack tool
	[[ ${lines[-1]} == *'error: tool cannot be had: needs nonesuch (>= 3) but it is not installable' ]]
	run -1 scripts/packages-unpack 'tool (>= 2)'
	[[ ${lines[-1]} == *'error: tool (>= 2) cannot be had: '* ]]
}

@test "another C library than the machine's is refused" {
	archive_package tool 1.0 'libc6 (>= 2.99)' 'usr/bin/tool'
	archive_package libc6 2.99 '' 'usr/lib/libc.so'
	archive_publish
	run -1 scripts/packages-unpack tool
	[[ ${lines[-1]} == *"needs another libc6 than this machine's"* ]]
}

@test "--suite takes that suite's version of a name, though the machine has an older one" {
	archive_package tool 1.0 '' 'usr/bin/tool'
	archive_machine_has tool 1.0
	archive_publish
	archive_suite bookworm-backports
	archive_package tool 2.0 'lib' 'usr/bin/tool' 'usr/bin/tool-2'
	archive_package lib 1.0 '' 'usr/lib/lib'
	archive_publish
	run -0 --separate-stderr scripts/packages-unpack tool
	[ ! -e "$output/usr/bin/tool" ]
	run -0 --separate-stderr scripts/packages-unpack --suite bookworm-backports tool
	[ -e "$output/usr/bin/tool-2" ]
	[ -e "$output/usr/lib/lib" ]
}

@test "the machine's settings for apt other than transport do not reach the private one" {
	archive_package tool 1.0 '' 'usr/bin/tool'
	archive_publish
	printf '%s\n' 'APT::Default-Release "nowhere";' 'Acquire::http::Proxy "http://proxy.test:1/";' \
		>"$BATS_TEST_TMPDIR/conf"
	APT_CONFIG=$BATS_TEST_TMPDIR/conf run -0 scripts/packages-unpack tool
	grep -q 'Acquire::http::Proxy "http://proxy.test:1/"' "$SYMVM_CACHE"/apt/*/conf
	run -1 grep -q 'Default-Release' "$SYMVM_CACHE"/apt/*/conf
}
