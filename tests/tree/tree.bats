#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# A machine that has only Debian's base system, make and git. The packages that the tree's own scripts
# install must be enough for the build, the modules of every kernel, the images and a short stage.

work='make build && scripts/build-modules && scripts/images && scripts/test unit cli'

in_bare() {
	[ -n "${SYMVM_SOAK:-}" ] || skip "make soak runs it"
	cd "$BATS_TEST_DIRNAME/../.."
	run tests/tree/run-in-bare "$1" "${SYMVM_TREE_DIR:-$BATS_FILE_TMPDIR}/$1" "$work"
	tail -n 30 <<<"$output"
	[ "$status" -eq 0 ]
	[[ ${lines[-1]} =~ ^[0-9]+' passed, 0 failed'$ ]]
}

@test "a bare Debian 12 tree builds everything and passes the stages unit and cli" {
	in_bare bookworm
}

@test "a bare Debian 13 tree builds everything and passes the stages unit and cli" {
	in_bare trixie
}

@test "a package that scripts/deps does not name is missed" {
	[ -n "${SYMVM_SOAK:-}" ] || skip "make soak runs it"
	cd "$BATS_TEST_DIRNAME/../.."
	run tests/tree/run-in-bare bookworm "${SYMVM_TREE_DIR:-$BATS_FILE_TMPDIR}/short" \
		'sed -i "s/libjansson-dev//" scripts/deps && make build'
	tail -n 5 <<<"$output"
	[ "$status" -ne 0 ]
	[[ $output == *jansson* ]]
}
