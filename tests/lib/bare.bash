# SPDX-License-Identifier: BSD-2-Clause
# Sourced by the bats files that attack symvm with bare guests: where things are, and the sanitizers' reports.

bats_require_minimum_version 1.5.0
cd "$BATS_TEST_DIRNAME/../.." || exit 1
build=${BUILD_DIR:-build}
symvm=$build/symvm/symvm
. tests/lib/clock.bash
symvm_sanitized=${ASAN_BUILD_DIR:-build-asan}/symvm/symvm

# A directory for the case, a name for its VM, and `vm`: a process to end after it.
setup() {
	scratch=$(mktemp -d "${SYMVM_SCRATCH:-/tmp}/bare.XXXXXX")
	name=bare-$$-$BATS_TEST_NUMBER
	vm=
	# Leaks are for other tests: the leak checker stops threads, which a jail forbids it.
	export ASAN_OPTIONS=detect_leaks=0:log_path=$scratch/report
	export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:log_path=$scratch/report
}

teardown() {
	[ -z "$vm" ] || kill -KILL "$vm" 2>/dev/null || true
	rm -rf "$scratch"
}

# attack_seconds DEFAULT: how long an attack lasts.
attack_seconds() {
	if [ -n "${SYMVM_SOAK:-}" ]; then
		echo "${SYMVM_HOSTILE_SECONDS:-600}"
	else
		echo "${SYMVM_HOSTILE_SECONDS:-$1}"
	fi
}

# no_report: the sanitizers found nothing.
no_report() {
	! compgen -G "$scratch/report*" >/dev/null
}
