#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# bats file_tags=together
# A bare guest uses the slot store, and misuses it. The misuse runs under AddressSanitizer and UBSan.

. "$BATS_TEST_DIRNAME/../lib/bare.bash"
guest=$build/guest/bare/swap/swap.elf

failed() {
	echo "$output"
	cat "$scratch/log" "$scratch"/report* 2>/dev/null
	return 1
}

# passes WORDS [SYMVM OPTION]...: check that all the guest's checks hold, and that it powered off.
passes() {
	local words=$1
	shift
	run -0 lab/limit 120 "$symvm" run --name "$name" --kernel "$guest" \
		--memory 64M --jail trap --append "$words" --log-file "$scratch/log" "$@" </dev/null
	[[ $output != *"not ok"* ]] || failed
	local plan=${output##*1..}
	[ "$(grep -c '^ok ' <<<"$output")" -eq "${plan%%[!0-9]*}" ] || failed
	grep '^# swap' <<<"$output" >&3 || true
}

@test "swap: contents survive a budget of a quarter, compressed" {
	passes swap-honest --swap size=32M,memory=12M,compress=lz4
	passes swap-honest --swap size=32M,memory=12M,compress=zstd
}

@test "swap: contents survive where nothing is compressed, spilled to a file" {
	passes swap-honest --swap "size=32M,memory=8M,compress=none,spill=$scratch/spill"
}

@test "swap: contents survive at an NBD server" {
	nbdkit -f -U "$scratch/nbd" memory 64M 3>&- &
	vm=$!
	wait_until 60 test -e "$scratch/nbd"
	passes swap-honest \
		--swap "size=16M,memory=4M,compress=none,spill=nbd+unix:///?socket=$scratch/nbd"
}

@test "swap: the window is write-back, and no RAM for devices" {
	passes swap-memory-type --swap size=64M
	passes swap-dma --swap size=64M --rng
	passes swap-memory-type --swap size=1M --swap size=1G
}

@test "swap: a reboot of the guest empties the store" {
	run -0 lab/limit 120 "$symvm" run --name "$name" --kernel "$guest" \
		--memory 64M --jail trap --append swap-reboot --log-file "$scratch/log" \
		--swap size=16M,memory=8M </dev/null
	[[ $output == *"4096 slots used"* && $output == *"a reboot 0 slots"* ]] || failed
	[[ $output != *"not ok"* && $output == *"0 of 64 have contents"* ]] || failed
}

@test "swap: shown and changed while it runs" {
	lab/limit 100 "$symvm" run --name "$name" --kernel "$guest" --paused \
		--memory 64M --jail trap --append swap-honest --log-file "$scratch/log" \
		--swap size=32M,memory=16M --swap size=8M </dev/null >"$scratch/output" 2>&1 3>&- &
	vm=$!
	wait_until 60 "$symvm" info "$name" >/dev/null 2>&1
	run -0 "$symvm" swap "$name" --json --window 0 --budget 12M --policy copy
	[ "$(jq '.windows[0].budget' <<<"$output")" -eq $((12 << 20)) ]
	[ "$(jq -r '.policy.policy' <<<"$output")" = copy ]
	[ "$(jq '.windows[1].slots.free' <<<"$output")" -eq 2048 ]
	run -1 "$symvm" swap "$name" --budget 12M
	[[ $output == *"several windows"* ]]
	run -1 "$symvm" swap "$name" --window 0 --budget 12K
	[[ $output == *"12288 bytes are not from 1 MiB to 256 GiB"* ]]
	run -1 "$symvm" swap "$name" --policy perhaps
	run -1 "$symvm" swap "$name" --window 3
	"$symvm" resume "$name"
	for _ in $(seq 200); do
		run -0 "$symvm" swap "$name"
		[[ $output != *compressed\ [1-9]* ]] || break
		sleep 0.1
	done
	[[ $output == *"budget"*"12 MiB"* ]]
	run -0 "$symvm" metrics "$name"
	[[ $output == *'symvm_swap_bytes{vm="'*'of="budget"} 12582912'* ]]
	[[ $output == *'symvm_swap_compressed_total{'* ]]
	wait "$vm" || { cat "$scratch/output"; false; }
	vm=
}

# find_window: set `window` to the file in /proc that is the window's memory.
find_window() {
	window=$(find "/proc/$vm/fd" -lname '*symvm-swap*' -print -quit 2>/dev/null)
	[ -n "$window" ]
}

# window_bytes: print the host memory in the window's slots, as the host's kernel counts it.
window_bytes() {
	echo $(($(stat -L -c %b "$window") * 512 - 4096 - 32 * 1024))
}

# attack [SYMVM OPTION]...: check that the memory stays bounded all the time, and that no sanitizer
# reports. symvm with ASan may be slow.
attack() {
	local limit=$(((8 + 2) << 20)) most=0 now status=0 seconds window
	seconds=$(attack_seconds 8)
	lab/limit $((seconds * 4 + 100)) "$symvm_sanitized" run \
		--name "$name" --kernel "$guest" --memory 64M \
		--append "swap-hostile seconds=$seconds" --log-file "$scratch/log" \
		--console "file:$scratch/console" "$@" </dev/null >"$scratch/output" 2>&1 3>&- &
	local runner=$!
	is_started() {
		vm=$(pgrep -o -P "$runner") && find_window
	}
	wait_until 60 is_started
	while kill -0 "$vm" 2>/dev/null; do
		now=$(window_bytes 2>/dev/null) || now=0 # the descriptor may just have been closed
		[ "$now" -le "$most" ] || most=$now
		sleep 0.05
	done
	wait "$runner" || status=$?
	vm=
	output=$(cat "$scratch/output" "$scratch/console")
	echo "# at most $((most >> 10)) KiB, $(grep -a rounds "$scratch/console")" >&3
	[ "$status" -eq 0 ] || failed
	grep -aq '^ok .* rounds' "$scratch/console" || failed
	no_report || failed
	[ "$most" -gt 0 ] && [ "$most" -le "$limit" ] || failed
}

@test "swap: a hostile guest gets the budget and 2 MiB" {
	attack --swap size=32M,memory=8M
	attack --swap "size=32M,memory=8M,spill=$scratch/spill"
}

# refused WORDS OPTION: check that symvm refuses the option in one line that has the words.
refused() {
	run -1 lab/limit 20 "$symvm" run --name "$name" --kernel "$guest" --memory 64M \
		--swap "$2" </dev/null
	[ "${#lines[@]}" -eq 1 ] && [[ ${lines[0]} == *--swap*$1* ]] || failed
}

@test "swap: what is wrong is said in one line" {
	refused "size" "memory=1G"
	refused "size=0 is not from 1 MiB" "size=0"
	refused "multiple of 1 MiB" "size=1048577"
	refused "256 GiB" "size=257G"
	refused "memory=4096 is not from 1 MiB" "size=64M,memory=4096"
	refused "is not from 1 MiB" "size=64M,memory=0"
	refused "to 256 GiB" "size=64M,memory=257G"
	refused "'gzip' is not lz4, zstd or none" "size=64M,compress=gzip"
	refused "spill=/tmp: Is a directory" "size=64M,spill=/tmp"
	refused "not a spill file" "size=64M,spill=/etc/passwd"
	refused "neither a file nor" "size=64M,spill=/dev/full"
	refused "neither a file nor an nbd" "size=64M,spill=http://x/"
	refused "nbd://127.0.0.1:1" "size=64M,spill=nbd://127.0.0.1:1/x"
	refused "policy" "size=64M,policy=never"
}
