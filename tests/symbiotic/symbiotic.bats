#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# symbiotic.ko in stock Debian kernels on libsymcall: calls at arbitrary points while the guest works,
# forks, downloads, plugs CPUs, and removes and loads the module. Each storm ends when it has made its
# share of calls: all together more than 100,000, or a million in `make soak`.

bats_require_minimum_version 1.5.0
. "$BATS_TEST_DIRNAME/../lib/injected.bash"

setup() {
	cd "$BATS_TEST_DIRNAME/../.."
	cache=${SYMVM_CACHE:-.cache}
	build=${BUILD_DIR:-build}
	storms=3 least=50000 # the covering set: each kernel, KPTI off and on, one CPU and four
	[ -z "${SYMVM_SOAK:-}" ] || storms=12 least=1000000
	limit=$((120 + least / 200)) # a quiet machine needs a tenth; on a busy one seconds are up to 20 times as long
	whole=$((limit * 4 + 100))
	[ -n "${SYMVM_SOAK:-}" ] || whole=340 # less than the stage's limit, so that a storm that hangs shows its console
}

# storm VERSION OPTIONS WORDS: boot, and run the guest's script; set output and report.
storm() {
	local command
	command=$(base64 -w0 <<<"exec /etc/symvm/symbiotic-guest")
	# shellcheck disable=SC2086
	run_again_if_injected -0 lab/limit "$whole" "$build/tests/symbiotic/symbiotic-storm" \
		--kernel "$cache/kernels/$1/vmlinuz" --initrd "$cache/images/initramfs-symbiotic-$1.cpio" \
		--time $((limit * 80 + 2000)) $2 \
		--append "symvm.net=off seconds=$limit $3 symvm.cmd=$command"
	report=$(sed -n 's/^storm: {/{/p' <<<"$output" | tail -n1)
	tail -n 100 <<<"$output" # bats shows it when the case fails
	[[ $output == *"guest: done"* ]]
	[[ $output != *WRONG* ]]
	[[ $output != *"Kernel panic"* ]]
}

# count NAME: print a number of the report.
count() {
	jq ".$1" <<<"$report"
}

calls_ok() {
	echo "# $(sed -n 's/^.*guest: \(.* probes\)/\1/p' <<<"$output" | tail -n1) $report" >&3
	[ "$(count wrong)" -eq 0 ]
	[ "$(count failed)" -eq 0 ]
	[ "$(count user)" -gt 0 ]
	[ "$(count kernel)" -gt 0 ]
	[ "$(count other_ioctls)" -le "$((3 * $(count returned)))" ] # at HLT three, else none
}

# storm_share VERSION CPUS PERIOD PTI: run one of this file's storms until it has made its share. In the
# short run, guests with one CPU make most calls: they are faster, and the emulator's double interrupt is
# less frequent.
storm_share() {
	local share=$((least / storms + 500))
	if [ -z "${SYMVM_SOAK:-}" ]; then
		[ "$2" = 1 ] && share=22000 || share=6500
	fi
	storm "$1" "--cpus $2 --period $3 --calls $share" "seconds=$((limit * 20)) until=policy pti=$4 reload=1"
	calls_ok
	[ "$(count returned)" -ge "$share" ]
	[[ $output != *" 0 x 16 forks"* ]]
	[[ $output != *" 0 downloads"* ]]
	[ "$2" = 1 ] || [[ $output != *" 0 CPUs plugged"* ]]
	[ -z "${SYMVM_STORM_COUNTS:-}" ] || count returned >"$SYMVM_STORM_COUNTS/$1-$2-$4"
}

# bats test_tags=soak
@test "6.1: calls at arbitrary points" {
	storm_share 6.1 1 1000 off
}

@test "6.1, KPTI: calls at arbitrary points" {
	storm_share 6.1 1 1000 on
}

@test "6.12: calls at arbitrary points" {
	storm_share 6.12 1 1000 off
}

# bats test_tags=soak
@test "6.12, KPTI: calls at arbitrary points" {
	storm_share 6.12 1 1000 on
}

# bats test_tags=soak
@test "6.1, 4 CPUs: calls at arbitrary points" {
	storm_share 6.1 4 2000 off
}

# bats test_tags=soak
@test "6.1, 4 CPUs, KPTI: calls at arbitrary points" {
	storm_share 6.1 4 2000 on
}

@test "6.12, 4 CPUs: calls at arbitrary points" {
	storm_share 6.12 4 2000 off
}

# bats test_tags=soak
@test "6.12, 4 CPUs, KPTI: calls at arbitrary points" {
	storm_share 6.12 4 2000 on
}

# bats test_tags=soak
@test "7: calls at arbitrary points" {
	storm_share 7 1 1000 off
}

# bats test_tags=soak
@test "7, KPTI: calls at arbitrary points" {
	storm_share 7 1 1000 on
}

# bats test_tags=soak
@test "7, 4 CPUs: calls at arbitrary points" {
	storm_share 7 4 2000 off
}

# bats test_tags=soak
@test "7, 4 CPUs, KPTI: calls at arbitrary points" {
	storm_share 7 4 2000 on
}

@test "all storms together made their 50,000 calls (a million in soak)" {
	[ -n "${SYMVM_STORM_COUNTS:-}" ] || skip "the stage adds up, not a single run of this file"
	local counts sum=0 one
	mapfile -t counts < <(cat "$SYMVM_STORM_COUNTS"/*)
	for one in "${counts[@]}"; do
		sum=$((sum + one))
	done
	echo "# $sum calls in ${#counts[@]} storms" >&3
	[ "${#counts[@]}" -eq "$storms" ]
	[ "$sum" -ge "$least" ]
}

@test "doorbells and calls of another module, while calls come, and a hibernation's steps" {
	limit=15
	storm 6.12 "--cpus 1 --period 2000" "reload=0"
	calls_ok
	[[ $output == *"guest: slept and woke"* ]]
	[ "$(count doorbells)" -gt 0 ]
}

@test "without the interface the module is inert and says so once" {
	limit=1
	storm 6.1 "--cpus 1 --off" "reload=0"
	[ "$(grep -c 'no symbiotic VMM here: inactive' <<<"$output")" -le 1 ]
	[[ $output == *"/sys/kernel/symbiotic/active:0"* ]]
	[[ $output == *"/sys/kernel/symbiotic/features:none"* ]]
	[ "$(count calls)" -eq 0 ]
}

@test "on QEMU with KVM the module is inert and says so" {
	local command
	command=$(base64 -w0 <<<"grep -H . /sys/kernel/symbiotic/*; dmesg | grep 'symbiotic:'; echo GUEST done")
	run -0 lab/limit 300 qemu-system-x86_64 -accel kvm -cpu host -m 512 -nodefaults -display none \
		-serial stdio -no-reboot -kernel "$cache/kernels/6.1/vmlinuz" \
		-initrd "$cache/images/initramfs-symbiotic-6.1.cpio" \
		-append "console=ttyS0 quiet panic=-1 symvm.net=off symvm.cmd=$command" </dev/null
	echo "$output" >&2
	[[ $output == *"GUEST done"* ]]
	[[ $output == *"/sys/kernel/symbiotic/active:0"* ]]
	[[ $output == *"no symbiotic VMM here: inactive"* ]]
}
