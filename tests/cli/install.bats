#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# What `meson install` gives a program that embeds libsymcall and libguestview.

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.." || return 1
	root=$(mktemp -d)
	DESTDIR=$root meson install -C "${BUILD_DIR:-build}" --no-rebuild >"$root/log"
	PKG_CONFIG_PATH=$(dirname "$(find "$root" -name guestview.pc)")
	export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR=$root
}

teardown() {
	rm -rf "$root"
}

@test "a program finds libguestview and libsymcall by pkg-config, shared and static" {
	local options
	cat >"$root/program.c" <<'PROGRAM'
#include <libguestview/fetch.h>
#include <libguestview/meminfo.h>
#include <libguestview/ps.h>
#include <libguestview/stack.h>
#include <libguestview/who.h>
#include <libguestview/whoami.h>

int main(void)
{
	static struct guest guest;
	static struct guest_limit limit;
	struct guest_ps list;

	return guest.ops ? guest_ps(&guest, &limit, false, &list, NULL) : 0;
}
PROGRAM
	read -ra options <<<"$(pkg-config --cflags --libs guestview)"
	cc -Werror -o "$root/shared" "$root/program.c" "${options[@]}"
	LD_LIBRARY_PATH=$(dirname "$PKG_CONFIG_PATH") "$root/shared"
	[[ $(LD_LIBRARY_PATH=$(dirname "$PKG_CONFIG_PATH") ldd "$root/shared") == *libguestview.so.0*libsymcall.so.0* ]]
	read -ra options <<<"$(pkg-config --static --cflags --libs guestview)"
	cc -Werror -static -o "$root/static" "$root/program.c" "${options[@]}"
	"$root/static"
}

@test "libguestview.so exports its interface and nothing else" {
	run -0 nm -D --defined-only "$(find "$root" -name libguestview.so)"
	[[ $output == *" T guest_call"* ]]
	run -1 grep -v ' T guest_' <<<"$output"
}
