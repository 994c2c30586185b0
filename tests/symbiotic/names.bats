#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Names that guests choose, in the form that an operator sees, and log files of a VM in its jail.

# bats file_tags=together

. "$BATS_TEST_DIRNAME/../lib/guest.bash"

setup() {
	export SYMVM_RUNTIME_DIR=$scratch/state
}

@test "a guest's names and kernel log cannot run codes in the terminal, and log files rotate in the jail" {
	GUEST_WORDS="symvm.net=off" GUEST_LIMIT=200 guest_run 6.1 bzimage 2 \
		"sh -c 'printf \"a\\033[31mX\\007\" >/proc/\$\$/comm; sleep 999; :' & sleep 1
		printf '<3>cry\\033[31mX\\n' >/dev/kmsg; dmesg >/tmp/log
		echo log of \$(wc -l </tmp/log) \$(md5sum </tmp/log)
		sleep 998 & slept=\$!; sleep 1; kill -STOP \$slept; sh -c 'while :; do :; done' & busy=\$!; sleep 1
		for pid in 2 \$slept; do
			echo stack of \$pid \$(cat /proc/\$pid/wchan) \$(sed 's/.*] //' /proc/\$pid/stack | md5sum)
		done
		echo busy is \$busy
		echo total is \$(sed -n 's/MemTotal: *//p' /proc/meminfo)
		echo guest is up; sleep 10
		echo '<4>a later word' >/dev/kmsg; kill -STOP -1; kill -STOP \$\$" \
		--name rude --initrd "$SYMVM_CACHE/images/initramfs-symbiotic-6.1.cpio" --jail trap --log-level info --log-file "$scratch/log" \
		--console "file:$scratch/console" >"$scratch/out" 2>&1 3>&- &
	guest_pid=$!
	wait_until 120 said "guest is up"
	# A process that runs, mostly on the other vCPU than the one that is asked first.
	local busy
	busy=$(tr -d '\r' <"$scratch/console" | sed -n 's/^busy is //p')
	# Rates of all that, while the guest still runs.
	"$symvm" top rude --json --interval 1 --tasks 3 >"$scratch/top"
	jq -e --argjson busy "$busy" '.seconds > 0 and .host.cpu_percent > 0 and .host.memory > 0 and
		.errors == {} and .guest.mem_total > .guest.mem_available and .exits_per_second >= 0 and
		(.vcpus | length) == 2 and .tasks_total > 10 and (.tasks | length) == 3 and
		(.tasks[0] | .pid == $busy and .cpu_percent > 10)' "$scratch/top" || { cat "$scratch/top"; false; }
	wait_until 60 eval '"$symvm" stack rude "$busy" --json | jq -e ".running and .in_user"'

	# The kernel log, exact in JSON and escaped in the terminal, while all of user space is stopped.
	local count sum
	read -r count sum _ < <(tr -d '\r' <"$scratch/console" | sed -n 's/^log of //p')
	[ "$count" -gt 20 ]
	lab/limit 200 "$symvm" dmesg rude --follow >"$scratch/dmesg" 2>&1 3>&- &
	wait_until 120 grep -q 'a later word' "$scratch/dmesg"
	kill $!
	grep -qF 'cry\x1b[31mX' "$scratch/dmesg"
	run ! grep -q $'[\x01-\x08\x0b-\x1f\x7f]' "$scratch/dmesg"
	"$symvm" dmesg rude --json >"$scratch/dmesg.json"
	[[ $(jq -r '.lines[].text' "$scratch/dmesg.json" | head -n "$count" | md5sum) = "$sum "* ]]
	jq -e '.complete and .lost == 0 and (.lines[] | select(.text | contains("a later word")) | .level == 4)' \
		"$scratch/dmesg.json"

	# Kernel stacks: of a kernel thread and of a process, as the guest's /proc showed them.
	local pid slept channel waits
	while read -r pid channel sum _; do
		slept=$pid waits=$channel
		"$symvm" stack rude "$pid" --json >"$scratch/stack.json"
		[[ $(jq -r '.frames[]' "$scratch/stack.json" | md5sum) = "$sum "* ]]
		jq -e --arg channel "$channel" '.wait_channel == $channel and (.frames | length > 1)' "$scratch/stack.json"
		"$symvm" stack rude "$pid" | grep -qF "waits in                $channel"
	done < <(tr -d '\r' <"$scratch/console" | sed -n 's/^stack of //p')
	[ "$slept" -gt 2 ]
	run -1 "$symvm" stack rude 4000000
	[ "$output" = "symvm: stack: the guest has no task 4000000" ]

	# The processes.
	"$symvm" ps rude >"$scratch/ps"
	grep -qF 'a\x1b[31mX\x07' "$scratch/ps"
	run ! grep -q $'[\x01-\x08\x0b-\x1f\x7f]' "$scratch/ps"
	[ "$("$symvm" ps rude --json | jq '.tasks | length')" -eq $(($(wc -l <"$scratch/ps") - 1)) ]
	"$symvm" ps rude --json | jq -e '.tasks[] | select(.comm | startswith("a\u001b[31mX"))'
	"$symvm" ps rude --threads --json | jq -e --argjson pid "$slept" --arg channel "$waits" \
		'.tasks[] | select(.pid == $pid) | .args == "sleep 998" and .wait_channel == $channel'
	"$symvm" ps rude --tree --args >"$scratch/ps"
	grep -qE "^ *$slept .* +sleep 998\$" "$scratch/ps"
	grep -qE '^ *2 .* \[kthreadd\]$' "$scratch/ps"
	grep -qE '^ *[0-9]+ +2 .*   \[kworker' "$scratch/ps"
	run ! grep -q $'[\x01-\x08\x0b-\x1f\x7f]' "$scratch/ps"

	"$symvm" top rude --batch --interval 1 --tasks 1000 >"$scratch/top"
	grep -qF 'a\x1b[31mX\x07' "$scratch/top"
	run ! grep -q $'[\x01-\x08\x0b-\x1f\x7f]' "$scratch/top"

	examples/python-client/symvm_client.py ps rude | grep -qF ' a\x1b[31mX\x07'
	[[ $(examples/python-client/symvm_client.py list) == "rude "*" running" ]]

	# Its metrics: the queries of the dashboard.
	"$symvm" metrics rude >"$scratch/metrics"
	tests/lib/dashboard.py examples/grafana/symvm.json "$scratch/metrics"

	# Its memory: the total is the guest's own, the rest is within it.
	local total
	total=$(tr -d '\r' <"$scratch/console" | sed -n 's/^total is \([0-9]*\) kB$/\1/p')
	"$symvm" memory rude --json >"$scratch/memory"
	jq -e --argjson total "$total" '.guest | .mem_total == $total * 1024 and .mem_free > 0 and .anon > 0 and
		.mem_free + .anon + .file + .slab_unreclaimable < .mem_total' "$scratch/memory"
	"$symvm" memory rude >"$scratch/memory"
	run ! grep -q $'[\x01-\x08\x0b-\x1f\x7f]' "$scratch/memory"

	mv "$scratch/log" "$scratch/log.1"
	mv "$scratch/console" "$scratch/console.1"
	kill -USR1 "$("$symvm" info rude --json | jq .pid)"
	wait_until 60 grep -q 'log: opened again' "$scratch/log"
	wait_until 60 test -e "$scratch/console"
	"$symvm" stop --force rude
	wait "$guest_pid" || true
	guest_pid=
	run ! grep -vE '^20[0-9-]{8}T[0-9:.]{12}Z rude symvm: [a-z]+: ' "$scratch/log"
	[ ! -s "$scratch/out" ]
}
