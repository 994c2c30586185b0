# SPDX-License-Identifier: BSD-2-Clause
# Sourced by the bats files that attack symvm with bare guests: paths, and the sanitizers' reports.

bats_require_minimum_version 1.5.0
cd "$BATS_TEST_DIRNAME/../.." || exit 1
build=${BUILD_DIR:-build}
symvm=$build/symvm/symvm
. tests/lib/clock.bash
symvm_sanitized=${ASAN_BUILD_DIR:-build-asan}/symvm/symvm

# A directory for the case, a name for its VM, and `vm`: a process to end after the case.
setup() {
	scratch=$(mktemp -d "${SYMVM_SCRATCH:-/tmp}/bare.XXXXXX")
	name=bare-$$-$BATS_TEST_NUMBER
	vm=
	# Other tests look for leaks: the leak checker stops threads, which a jail forbids.
	export ASAN_OPTIONS=detect_leaks=0:log_path=$scratch/report
	export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:log_path=$scratch/report
}

teardown() {
	[ -z "$vm" ] || kill -KILL "$vm" 2>/dev/null || true
	rm -rf "$scratch"
}

# attack_seconds DEFAULT: print the length of an attack.
attack_seconds() {
	if [ -n "${SYMVM_SOAK:-}" ]; then
		echo "${SYMVM_HOSTILE_SECONDS:-600}"
	else
		echo "${SYMVM_HOSTILE_SECONDS:-$1}"
	fi
}

# no_report: check that the sanitizers found nothing.
no_report() {
	! compgen -G "$scratch/report*" >/dev/null
}
