#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# kernel-fetch with the kernels of an archive that each case makes itself: small files in the layout of
# Debian's packages, real apt, real make; only the boot is a stand-in.

bats_require_minimum_version 1.5.0

# Make a bzImage whose payload is the first bytes of an ELF file.
setup_file() {
	/usr/bin/python3 - "$BATS_FILE_TMPDIR/vmlinuz" <<-'PYTHON'
		import struct, sys
		image = bytearray(5 * 512 + 64)
		image[0x1F1] = 4
		image[0x202:0x208] = b"HdrS" + struct.pack("<H", 0x20F)
		struct.pack_into("<II", image, 0x248, 0, 64)
		image[5 * 512:5 * 512 + 4] = b"\x7fELF"
		open(sys.argv[1], "wb").write(image)
	PYTHON
}

setup() {
	cd "$BATS_TEST_DIRNAME/../.."
	. tests/lib/archive.bash
	archive_open bookworm
	export SYMVM_KERNELS_KNOWN=$BATS_TEST_TMPDIR/known SYMVM_KERNEL_BOOT=true
	: >"$SYMVM_KERNELS_KNOWN"
	recipe=$'\ttouch $(M)/$(notdir $(M)).ko $(M)/Module.symvers'
	vmlinuz=$BATS_FILE_TMPDIR/vmlinuz
}

# kernel UPSTREAM [MORE_DEPENDS [IMAGE_FILES...]]: make the packages of UPSTREAM+deb12-amd64, version
# UPSTREAM-1. $recipe is the recipe in its makefile that makes modules, $kbuild_tool a program of kbuild.
kernel() {
	local base=$1+deb12 release=$1+deb12-amd64 version=$1-1 more=${2:+, $2} files
	local tree=$BATS_TEST_TMPDIR/headers
	shift $(($# < 2 ? $# : 2))
	files=("$@")
	[ ${#files[@]} -gt 0 ] || files=("boot/vmlinuz-$release=$vmlinuz"
		"boot/config-$release" "lib/modules/$release/kernel/x" "lib/modules/$release/modules.order")
	rm -rf "$tree"
	mkdir -p "$tree"
	printf 'include /usr/src/linux-headers-%s-common/Makefile\n' "$base" >"$tree/Makefile"
	printf 'modules:\n%s\n' "$recipe" >"$tree/common"
	SOURCE_PACKAGE=linux-signed-amd64 archive_package "linux-image-$release" "$version" '' "${files[@]}"
	SOURCE_PACKAGE=linux archive_package "linux-headers-$release" "$version" \
		"linux-headers-$base-common (= $version), linux-kbuild-$base, linux-image-$release (= $version) | linux-image-$release-unsigned (= $version)$more" \
		"usr/src/linux-headers-$release/Makefile=$tree/Makefile"
	SOURCE_PACKAGE=linux archive_package "linux-headers-$base-common" "$version" '' \
		"usr/src/linux-headers-$base-common/Makefile=$tree/common"
	SOURCE_PACKAGE=linux archive_package "linux-kbuild-$base" "$version" '' \
		"usr/lib/linux-kbuild-$base/scripts/x${kbuild_tool:+=$kbuild_tool}"
}

# is_known UPSTREAM: add that kernel to the known ones.
is_known() {
	echo "6.12 $1+deb12-amd64 $1-1" >>"$SYMVM_KERNELS_KNOWN"
}

# fetched UPSTREAM: check that the answer names the cache, and that the cache has that kernel.
fetched() {
	[ "$output" = "$SYMVM_CACHE/kernels/6.12" ] || { echo "$stderr" && return 1; }
	[ "$(cat "$output/release")" = "$1+deb12-amd64" ] || { echo "$stderr" && return 1; }
	[ -s "$output/vmlinux" ]
}

@test "the newest by version is taken; a tool that it depends on is there for its modules" {
	recipe+=$'\n\tnewtool | grep -q "newtool 3"'
	archive_package newtool 3.0 'newlib' 'usr/bin/newtool'
	archive_package newlib 1.0 '' 'usr/lib/x86_64-linux-gnu/newlib'
	kernel 6.12.9
	kernel 6.12.10 'newtool (>= 2)'
	archive_publish
	run -0 --separate-stderr scripts/kernel-fetch 6.12
	fetched 6.12.10
	grep -qx 'newtool (>= 2)' "$output/depends"
	[ ! -e "$output/instead-of" ]
	mkdir -p "$BATS_TEST_TMPDIR/module"
	run -0 scripts/kernel-build-module 6.12 "$BATS_TEST_TMPDIR/module" "$BATS_TEST_TMPDIR/out"
	[[ $output == *out.ko* ]]
}

@test "a dependency that cannot be met: one line with the version, and the newest known kernel" {
	kernel 6.12.8
	kernel 6.12.9
	kernel 6.12.10
	kernel 6.12.11 'nonesuch (>= 4)'
	is_known 6.12.8
	is_known 6.12.9
	archive_publish
	run -0 --separate-stderr scripts/kernel-fetch 6.12
	fetched 6.12.9
	[ "$(grep -c 'cannot be used' <<<"$stderr")" -eq 1 ]
	[[ $stderr == *'6.12.11+deb12-amd64 (6.12.11-1) cannot be used: '*'nonesuch (>= 4)'* ]]
	grep -q '^6.12.11+deb12-amd64 (6.12.11-1) cannot be used: ' "$output/instead-of"
}

@test "a new layout, a broken package, no ELF file, no module, no boot: each is a reason" {
	kernel 6.12.1
	is_known 6.12.1
	kernel 6.12.2 '' 'usr/share/kernel/6.12.2+deb12-amd64/vmlinuz'
	archive_publish
	run -0 --separate-stderr scripts/kernel-fetch 6.12
	fetched 6.12.1
	[[ $stderr == *'6.12.2+deb12-amd64 (6.12.2-1) cannot be used: new layout: the packages have no kernel'* ]]

	kernel 6.12.3
	archive_publish
	truncate -s 100 "$ARCHIVE/pool/linux-headers-6.12.3+deb12-common_6.12.3-1_amd64.deb"
	rm -rf "$SYMVM_CACHE"/{kernels,apt}
	run -0 --separate-stderr scripts/kernel-fetch 6.12
	[[ $stderr == *'6.12.3+deb12-amd64 (6.12.3-1) cannot be used: '* ]]

	kernel 6.12.4 '' "boot/vmlinuz-6.12.4+deb12-amd64" 'boot/config-6.12.4+deb12-amd64' \
		'lib/modules/6.12.4+deb12-amd64/kernel/x'
	archive_publish
	rm -rf "$SYMVM_CACHE"/{kernels,apt}
	run -0 --separate-stderr scripts/kernel-fetch 6.12
	[[ $stderr == *'6.12.4+deb12-amd64 (6.12.4-1) cannot be used: '*'not a bzImage'* ]]

	recipe=$'\tunheard-of-command' kernel 6.12.5
	archive_publish
	rm -rf "$SYMVM_CACHE"/{kernels,apt}
	run -0 --separate-stderr scripts/kernel-fetch 6.12
	[[ $stderr == *'6.12.5+deb12-amd64 (6.12.5-1) cannot be used: its modules do not build: '*'unheard-of-command'* ]]
}

@test "a kernel that does not boot gives way; a known one is not booted again" {
	kernel 6.12.1
	kernel 6.12.2
	is_known 6.12.1
	archive_publish
	printf '#!/bin/sh\necho "error: it hangs" && false\n' >"$BATS_TEST_TMPDIR/boot"
	chmod 755 "$BATS_TEST_TMPDIR/boot"
	SYMVM_KERNEL_BOOT=$BATS_TEST_TMPDIR/boot run -0 --separate-stderr scripts/kernel-fetch 6.12
	fetched 6.12.1
	[[ $stderr == *'6.12.2+deb12-amd64 (6.12.2-1) cannot be used: it does not boot: error: it hangs'* ]]
}

@test "--refresh keeps the cache's kernel where a newer one is of no use, and tells" {
	kernel 6.12.1
	archive_publish
	run -0 --separate-stderr scripts/kernel-fetch 6.12
	touch "$output/same"
	recipe=$'\tfalse' kernel 6.12.2
	archive_publish
	rm -rf "$SYMVM_CACHE/apt"
	run -0 --separate-stderr scripts/kernel-fetch --refresh 6.12
	fetched 6.12.1
	[ -e "$output/same" ]
	grep -q '^6.12.2+deb12-amd64 ' "$output/instead-of"
	kernel_gone=$ARCHIVE/dists
	rm -rf "$kernel_gone" "$SYMVM_CACHE/apt"
	run -0 --separate-stderr scripts/kernel-fetch --refresh 6.12
	fetched 6.12.1
}

@test "packages that are split more finely than today's are taken as a whole" {
	local release=6.12.7+deb12-amd64
	kernel 6.12.7 '' usr/share/doc/x
	sed -i "/^Package: linux-image-$release\$/,/^\$/s/^Source:/Depends: linux-binary-$release (= 6.12.7-1), linux-modules-$release\nSource:/" \
		"$archive_lists/Packages"
	SOURCE_PACKAGE=linux-signed-amd64 archive_package "linux-binary-$release" 6.12.7-1 '' \
		"usr/lib/modules/$release/vmlinuz=$vmlinuz" "usr/lib/modules/$release/config"
	SOURCE_PACKAGE=linux archive_package "linux-modules-$release" 6.12.7-1 '' "usr/lib/modules/$release/kernel/x"
	archive_publish
	run -0 --separate-stderr scripts/kernel-fetch 6.12
	fetched 6.12.7
	[ -e "$output/modules/lib/modules/$release/kernel/x" ]
}

@test "a series that only another release has is taken from there" {
	archive_suite trixie
	kernel 6.12.7
	archive_publish
	archive_suite bookworm
	archive_publish
	run -0 --separate-stderr scripts/kernel-fetch 6.12
	fetched 6.12.7
}

@test "tools of a later release run with its C library, and the machine's own with theirs" {
	local multiarch=usr/lib/x86_64-linux-gnu program
	program=$(readlink -f /bin/cat)
	archive_publish
	archive_suite trixie
	archive_publish
	archive_suite trixie-backports
	recipe+=$'\n\tnewtool /proc/self/maps | grep -q "packages/.*/libc.so.6"'
	recipe+=$'\n\t../kbuild/scripts/x /proc/self/maps | grep -q "packages/.*/libc.so.6"'
	recipe+=$'\n\t! grep -q packages/ /proc/self/maps'
	archive_package newtool 3.0 'libc6 (>= 2.99)' "usr/bin/newtool=$program"
	archive_package libc6 2.99 '' "$multiarch/libc.so.6=$(readlink -f /lib/x86_64-linux-gnu/libc.so.6)" \
		"usr/lib64/ld-linux-x86-64.so.2=$(readlink -f /lib64/ld-linux-x86-64.so.2)"
	kbuild_tool=$program kernel 7.1.9 newtool
	archive_machine_has libc6 2.36
	archive_publish
	run -0 --separate-stderr scripts/kernel-fetch 7
	[ "$(cat "$output/release")" = 7.1.9+deb12-amd64 ] || { echo "$stderr" && return 1; }
	[ "$(cat "$output/from")" = trixie ]
	[ "$(cat "$output/depends")" = newtool ]
}

@test "nothing on offer and nothing of use are told apart" {
	archive_publish
	run -1 scripts/kernel-fetch 6.12
	[[ ${lines[-1]} == *"error: this machine's Debian sources offer no 6.12 kernel" ]]
	recipe=$'\tfalse' kernel 6.12.1
	archive_publish
	rm -rf "$SYMVM_CACHE/apt"
	run -1 scripts/kernel-fetch 6.12
	[[ ${lines[-1]} == *"error: no 6.12 kernel of this machine's Debian sources can be used" ]]
}
