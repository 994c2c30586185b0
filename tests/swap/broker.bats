#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# bats file_tags=together
# symvm broker with real guests: what one VM needs is taken from another one that does not need it.

. "$BATS_TEST_DIRNAME/../lib/guest.bash"

setup() {
	export SYMVM_RUNTIME_DIR=$scratch/state
	mkdir -p "$scratch/state"
	chmod 700 "$scratch/state"
	socket=$scratch/state/broker.socket
	pids=()
}

teardown() {
	"$symvm" broker --list || true
	"$symvm" info idle --json | jq -c '.broker, .devices, .guest' || true
	for pid in "${pids[@]}"; do
		kill -KILL "$pid" 2>/dev/null || true
	done
	for name in idle busy; do
		wait_until 10 rmdir "$(group_of "$name")" 2>/dev/null || true
	done
	tail -n 30 "$scratch"/*.log "$scratch/idle" "$scratch/busy" || true
	rm -rf "$scratch"
}

# broker_start MIB: let a broker share so much.
broker_start() {
	"$symvm" broker --share "$1M" --recall 20 --log-level debug >>"$scratch/broker.log" 2>&1 3>&- &
	broker_pid=$!
	pids+=("$broker_pid")
	wait_until 30 asked .host
}

# asked FILTER: print what jq finds in the broker's list.
asked() {
	local answer
	answer=$("$symvm" broker --list --json 2>/dev/null) && jq -e "$1" <<<"$answer"
}

# lease NAME: print its MiB.
lease() {
	asked ".vms[] | select(.name == \"$1\").lease / 1048576 | floor"
}

# vm_start NAME: start a guest of 192 MiB that may have 1 GiB. It keeps a file in RAM that grows slowly
# after the first word, and is removed after the second one. Each VM has a control group of its own.
vm_start() {
	local name=$1 command='mkdir /fill && mount -t tmpfs -o size=900m none /fill
		echo up
		read -r word
		for i in $(seq 1 20); do
			dd if=/dev/zero of=/fill/$i bs=1M count=16 2>/dev/null || echo FAILED
			sleep 1
		done
		echo full
		read -r word
		rm /fill/*
		echo empty
		sleep 1000'

	mkfifo "$scratch/$name.words"
	mkdir "$(group_of "$name")"
	in_group "$name" "$symvm" run --name "$name" --kernel "$(guest_kernel 6.1 pvh)" \
		--initrd "$SYMVM_CACHE/images/initramfs-swap-6.1.cpio" --memory 192M,min=192M,max=1G \
		--broker "$socket" --weight 200 --append "$(guest_words "$command" symvm.net=off \
			memhp_default_state=online_movable)" <>"$scratch/$name.words" \
		>"$scratch/$name" 2>"$scratch/$name.log" 3>&- &
	vm_pid=$!
	pids+=("$vm_pid")
}

# group_of NAME: print the directory of its control group.
group_of() {
	echo "/sys/fs/cgroup/broker-$1"
}

# in_group NAME COMMAND...: run it in the control group, instead of this shell.
in_group() {
	echo 0 >"$(group_of "$1")/cgroup.procs" || exit 1
	exec "${@:2}"
}

# limit_is_set NAME: test whether symvm has limited the VM's control group, and says so.
limit_is_set() {
	local max
	max=$(cat "$(group_of "$1")/memory.max")
	[ "$max" != max ] && [ "$("$symvm" info "$1" --json | jq .jail.memory_limit)" = "$max" ]
}

# tell NAME: let the guest continue.
tell() {
	echo continue >"$scratch/$1.words"
}

# told NAME WORDS: test whether the guest's console shows them.
told() {
	tr -d '\r' <"$scratch/$1" | grep -qx "$2"
}

# has_lease NAME ge|lt MIB
has_lease() {
	[ "$(lease "$1")" "-$2" "$3" ]
}

# within_share MIB: test whether all leases and accounts together are within it, but for 2 MiB a VM.
within_share() {
	asked "([.vms[] | [.lease, .used] | max] | add) <= ($1 + 2 * (.vms | length)) * 1048576"
}

@test "two VMs, one memory: need, idleness, a killed broker, a full host, a killed VM" {
	local idle_pid

	broker_start 800
	vm_start idle
	idle_pid=$vm_pid
	wait_until 120 told idle up
	tell idle
	wait_until 120 told idle full
	run ! told idle FAILED
	has_lease idle ge 380
	# The guard of the VM and threads of KVM are in its group, and nobody else is.
	[ "$(wc -l <"$(group_of idle)/cgroup.procs")" -gt 1 ]
	limit_is_set idle
	asked '.vms[0].limited'
	within_share 800
	vm_start busy
	wait_until 120 told busy up
	has_lease busy ge 204
	within_share 800
	"$symvm" list | tee /dev/stderr | grep -q LEASE
	"$symvm" metrics busy | grep '^symvm_broker_lease_bytes'

	# The broker is killed. The VMs keep what they have, and the next broker knows it.
	kill -KILL "$broker_pid"
	wait "$broker_pid" || true
	broker_start 800
	wait_until 30 asked '[.vms[].state] == ["held", "held"]'
	has_lease idle ge 380

	# What the first one does not need any more, the second one gets when it needs it.
	tell idle
	wait_until 60 told idle empty
	tell busy
	wait_until 120 told busy full
	run ! told busy FAILED
	has_lease busy ge 380
	has_lease idle lt 400
	within_share 800
	"$symvm" broker --explain busy | tee /dev/stderr | grep '^why'

	# A third one does not fit.
	run -1 "$symvm" run --name third --kernel "$(guest_kernel 6.1 pvh)" --memory 512M \
		--broker "$socket" </dev/null
	[[ $output == *"the host is full: "*" MiB are missing"* ]]

	# One that is killed returns everything.
	kill -KILL "$vm_pid"
	wait_until 10 asked '[.vms[].name] == ["idle"]'
	kill -0 "$idle_pid"
	[ "$("$symvm" info idle --json | jq .broker.connected)" = true ]
}
