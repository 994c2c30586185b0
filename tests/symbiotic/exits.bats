#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# `symvm exits` against programs that keep count of the exits that they cause (guest/programs/known-exits.c):
# port writes, disk reads and datagrams, all at the same time.

. "$BATS_TEST_DIRNAME/../lib/guest.bash"

setup() {
	export SYMVM_RUNTIME_DIR=$scratch/state
	known=${BUILD_DIR:-$SYMVM_ROOT/build}/guest/programs/known-exits
}

# The guest's script: it does what its console's input says. The first disk has the program.
guest_script() {
	cat <<'SCRIPT'
cat /dev/vda >/tmp/known && chmod +x /tmp/known
echo none >/sys/block/vdb/queue/scheduler # else the kernel's worker rings the doorbell, not the reader
echo guest is ready
while read -r word; do
	case $word in
	mix) /tmp/known ports 1000 2000 & /tmp/known disk 1000 /dev/vdb & /tmp/known net 500 10.0.2.2 4000 & wait ;;
	disk) /tmp/known disk 1000 /dev/vdb ;;
	end) break ;;
	esac
	echo "did $word"
done </dev/ttyS0
dmesg | grep -E 'WARNING: CPU|BUG: |Oops|Call Trace|lockup' && echo WRONG kernel
SCRIPT
}

# guest_start VERSION: start the guest in the background, and wait until it is ready.
guest_start() {
	cp "$known" "$scratch/program"
	truncate -s %4096 "$scratch/program"
	truncate -s 16M "$scratch/data"
	mkfifo "$scratch/in"
	exec 9<>"$scratch/in"
	lab/limit 280 "$symvm" run --name seen --kernel "$(guest_kernel "$1" pvh)" --memory 256M --jail trap \
		--initrd "$SYMVM_CACHE/images/initramfs-symbiotic-$1.cpio" --net user \
		--disk "path=$scratch/program,readonly" --disk "path=$scratch/data" \
		--append "$(guest_words "$(guest_script)")" \
		<"$scratch/in" >"$scratch/console" 2>&1 3>&- &
	guest_pid=$!
	wait_until 120 said 'guest is ready' || { cat "$scratch/console"; return 1; }
}

# done_more_than COUNT WORD: test whether the guest has done that word more often.
done_more_than() {
	[ "$(grep -c "^did $2" "$scratch/console")" -gt "$1" ]
}

# tell WORD: give the guest that word, and wait until it has done it.
tell() {
	local before
	before=$(grep -c "^did $1" "$scratch/console" || true)
	echo "$1" >&9
	wait_until 200 done_more_than "$before" "$1" || { cat "$scratch/console"; return 1; }
}

watches_are() {
	[ "$("$symvm" info seen --json | jq .exits.watches)" -eq "$1" ]
}

# counted KIND: set pid and count of the program of that kind.
counted() {
	pid='' count=0
	read -r pid count < <(sed -n "s/^known $1 pid \([0-9]*\) count \([0-9]*\).*/\1 \2/p" "$scratch/console" | tail -n 1) || true
	[ "${count:-0}" -gt 0 ] || { cat "$scratch/console"; return 1; }
}

# sum FILTER: print the count of the rows of the answer that the jq filter selects.
sum() {
	jq "[.rows[] | select($1) | .count] | add // 0" "$scratch/exits.json"
}

# share KIND PLACE: of the exits at that place (a jq filter), at least 99 % are of the program of that kind. Sets all.
# If there are more than the program caused, the rest is the kernel's (ARP): then 99 % of those of the program.
share() {
	local own
	counted "$1"
	all=$(sum "$2")
	own=$(sum "($2) and .task.pid == $pid and .task.comm == \"known-$1\"")
	echo "# $1: $count by its own count, $all seen, $own attributed to it" >&3
	[ "$((own * 100))" -ge "$(((all < count ? all : count) * 99))" ]
}

pio_exits() {
	"$symvm" info seen --json | jq '[.vcpus[].exits.io] | add'
}

attributed() {
	guest_start "$1"
	"$symvm" exits seen --seconds 600 --json >"$scratch/exits.json" 3>&- &
	local watch=$! before after
	wait_until 60 watches_are 1
	# A client that leaves ends its watch, and the doorbells stay caught for the other one.
	"$symvm" exits seen --seconds 600 >"$scratch/left" 3>&- &
	wait_until 60 watches_are 2
	kill -KILL $!
	wait_until 60 watches_are 1
	tell mix
	"$symvm" exits seen --end
	wait "$watch"
	wait_until 60 watches_are 0

	share ports '.reason == "io" and .port == 1520'
	[ "$all" -eq "$count" ]
	share disk '.reason == "doorbell" and .device == "disk1"'
	[ "$all" -le "$count" ]
	[ "$((all * 10))" -ge "$((count * 9))" ]
	share net '.reason == "doorbell" and .device == "net0" and .queue == 1'
	[ "$all" -le "$((count + 20))" ] # ARP
	[ "$((all * 10))" -ge "$((count * 9))" ]
	[ "$(jq '.other' "$scratch/exits.json")" -eq 0 ]
	[ "$(jq '[.totals[] | .unattributed] | add' "$scratch/exits.json")" -le "$(($(jq '[.totals[] | .asked] | add' "$scratch/exits.json") / 100))" ]

	# Without a watch, doorbells cause no exits.
	before=$(pio_exits)
	tell disk
	after=$(pio_exits)
	[ "$((after - before))" -lt 500 ]

	# Folded stacks: the kernel's frames, the task at the root.
	"$symvm" exits seen --seconds 600 --reason doorbell --folded >"$scratch/folded" 3>&- &
	watch=$!
	wait_until 60 watches_are 1
	tell disk
	"$symvm" exits seen --end
	wait "$watch"
	head -n 3 "$scratch/folded"
	grep -qE '^known-disk;.*entry_SYSCALL_64.*;.*virtio_queue_rq.*;\[doorbell disk1 queue 0\] [0-9]+$' "$scratch/folded"

	# Samples of a guest that waits: its idle task, at HLT.
	"$symvm" exits seen --seconds 3 --reason hlt,interrupt --json >"$scratch/sampled"
	jq -c .totals "$scratch/sampled"
	jq -e '[.rows[] | select(.reason == "hlt" and .task) | .task.idle] | length > 0 and all' "$scratch/sampled"

	echo end >&9
	wait "$guest_pid" || { cat "$scratch/console"; return 1; }
	guest_pid=
	run ! grep WRONG -B 20 "$scratch/console"
}

# bats test_tags=soak
@test "6.1: exits by port writes, disk and network are attributed to the tasks that caused them" {
	attributed 6.1
}

@test "6.12: exits by port writes, disk and network are attributed to the tasks that caused them" {
	attributed 6.12
}
