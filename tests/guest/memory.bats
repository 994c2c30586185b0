#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# bats file_tags=together
# virtio-mem: a guest's memory grows and shrinks under a workload, and the host's use of memory with it.

. "$BATS_TEST_DIRNAME/../lib/guest.bash"

setup() {
	export SYMVM_RUNTIME_DIR=$scratch/state
}

# Keeps two files and their checksums. Obeys the words on the serial line, and reports the result.
workload='
dd if=/dev/urandom of=/tmp/a bs=1M count=40 2>/dev/null
sum_a=$(sha256sum </tmp/a)
check() {
	[ "$(sha256sum </tmp/a)" = "$sum_a" ] || echo WRONG a
	[ -z "$sum_b" ] || [ "$(sha256sum </tmp/b)" = "$sum_b" ] || echo WRONG b
}
echo ready
while read -r word; do
	case $word in
	fill) mount -o remount,size=90% /tmp
		for i in 1 2 3 4 5 6 7 8; do cat /tmp/a; done >/tmp/b; sum_b=$(sha256sum </tmp/b) ;;
	drop) rm /tmp/b; sum_b="" ;;
	end) break ;;
	esac
	check
	echo "did $word"
done </dev/ttyS0
dmesg | grep -E "WARNING: CPU|BUG: |Oops|Call Trace|Bad page" && echo WRONG kernel
echo bye'

# guest_start VERSION [SYMVM OPTION]...: start the guest in the background.
guest_start() {
	local version=$1
	shift
	mkfifo "$scratch/in"
	: >"$scratch/console"
	exec 9<>"$scratch/in"
	GUEST_LIMIT=280 lab/limit 280 "$symvm" run --kernel "$(guest_kernel "$version" bzimage)" \
		--initrd "$SYMVM_CACHE/images/initramfs-$version.cpio" --name web --jail trap \
		--append "$(guest_words "$workload" symvm.net=off symvm.modules=none \
			memhp_default_state=online_movable)" \
		"$@" <"$scratch/in" >"$scratch/console" 2>&1 3>&- &
	guest_pid=$!
	wait_until 120 grep -q ready "$scratch/console"
}

# tell WORD: give the guest that word, and wait until it is done.
tell() {
	echo "$1" >&9
	wait_until 100 grep -q "^did $1" "$scratch/console"
}

memory() {
	"$symvm" memory web --json | jq -r ".$1"
}

size_is() {
	[ "$(memory size)" -eq $(($1 << 20)) ]
}

host_is_below() {
	[ "$(memory host)" -lt $(($1 << 20)) ]
}

grow_and_shrink() {
	guest_start "$1" --memory 256M,max=768M
	[ "$(memory size)" -eq $((256 << 20)) ]
	[ "$(memory driver)" = true ]
	local before
	before=$(memory host)

	"$symvm" memory web --size 768M
	wait_until 60 size_is 768
	tell fill # 320 MiB: more than the guest had at the boot
	[ "$(memory host)" -gt $((before + (300 << 20))) ]

	# 512 MiB are enough for both files, as soon as the kernel has moved the pages out of the rest.
	"$symvm" memory web --size 512M
	wait_until 60 size_is 512
	tell check

	tell drop
	"$symvm" memory web --size 256M
	wait_until 60 size_is 256
	tell check2
	wait_until 10 host_is_below 257
	run "$symvm" memory web --size 769M
	[ "$status" -eq 1 ]
	[ "$output" = "symvm: memory: size: 769 MiB are not from 256 to 768 MiB" ]

	echo end >&9
	local status=0
	wait "$guest_pid" || status=$?
	cat "$scratch/console"
	[ "$status" -eq 0 ]
	! grep -q WRONG "$scratch/console"
}

@test "6.1: memory grows and shrinks under a workload" {
	grow_and_shrink 6.1
}

# bats test_tags=soak
@test "6.12: memory grows and shrinks under a workload" {
	grow_and_shrink 6.12
}

is_ready_twice() {
	[ "$(grep -c '^ready' "$scratch/console")" -ge 2 ]
}

@test "a guest that reboots has the memory of its boot again" {
	workload='echo ready; read -r word </dev/ttyS0; reboot -f'
	guest_start 6.1 --memory 256M,max=768M
	"$symvm" memory web --size 512M
	wait_until 60 size_is 512
	echo again >&9
	wait_until 100 size_is 256
	[ "$(memory requested)" -eq $((256 << 20)) ]
	wait_until 100 is_ready_twice
	"$symvm" memory web --size 512M
	wait_until 60 size_is 512
	"$symvm" stop --force web
}

@test "a guest that touches what it has not plugged ends, and says so" {
	workload='echo ready; read -r word </dev/ttyS0; rmmod virtio_mem; devmem 0x100000000 8; echo alive'
	guest_start 6.1 --memory 256M,max=768M
	echo go >&9
	local status=0
	wait "$guest_pid" || status=$?
	cat "$scratch/console"
	[ "$status" -eq 4 ]
	grep -q 'symvm: .*the guest touched memory that it has not plugged' "$scratch/console"
}
