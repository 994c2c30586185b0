#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# An unmodified QEMU of Debian under `symvm qemu`: the library calls its guest, QEMU notices nothing, and
# symvm's commands ask the guest as one of symvm's own.

# bats file_tags=together

. "$BATS_TEST_DIRNAME/../lib/guest.bash"

setup() {
	export SYMVM_RUNTIME_DIR=$scratch/state
	mkdir -p "$SYMVM_RUNTIME_DIR"
	chmod 700 "$SYMVM_RUNTIME_DIR"
	qemu=/usr/bin/qemu-system-x86_64
}

# The guest's own list, by the shell alone: a process for it would be in the list.
own_list='for task in /proc/[0-9]*; do
	read -r name <$task/comm && echo "task ${task#/proc/} $name"
done
echo listed'

# boot NAME COMMAND [OPTION]...: boot the small image in QEMU, run COMMAND in it, keep its console in a file.
boot() {
	local name=$1 command=$2
	shift 2
	"$symvm" qemu --name "$name" -- "$qemu" -accel kvm -cpu host -m 256M -nodefaults -display none \
		-serial "file:$scratch/console" -kernel "$(guest_kernel 6.1 bzimage)" \
		-initrd "$SYMVM_CACHE/images/initramfs-symbiotic-6.1.cpio" \
		-append "$(guest_words "$command" symvm.net=off "${GUEST_WORDS:-}")" "$@" </dev/null 2>"$scratch/messages" 3>&- &
	guest_pid=$!
}

# tasks_of FILE: the lines `PID NAME` of the guest's own list. A task has 15 bytes of name; a kernel thread's file
# shows more. kworkers come and go and change their names.
tasks_of() {
	tr -d '\r' <"$1" | sed -nE 's/^task ([0-9]+ .{1,15}).*/\1/p' | grep -v kworker | sort -n
}

# end_well NAME: the guest has no complaint, QEMU ends by SIGTERM, and the name is free again.
end_well() {
	[[ $("$symvm" dmesg "$1") != *'Call Trace'* ]]
	run ! grep -E 'WARNING|BUG:|Oops|Call Trace|WRONG' "$scratch/console"
	[ ! -s "$scratch/messages" ] || { cat "$scratch/messages" && false; }
	kill "$guest_pid"
	wait "$guest_pid" || true
	guest_pid=
	[ -z "$(ls "$SYMVM_RUNTIME_DIR")" ]
}

@test "qemu, 1 vCPU: symvm lists it, and ps is the guest's own list" {
	boot one "$own_list; while :; do read -r line </proc/version; done"
	wait_until 120 said '^listed'
	"$symvm" list --json | jq -e '.[] | select(.name == "one" and .cpus == 1 and .state == "running")'
	tasks_of "$scratch/console" >"$scratch/own"
	"$symvm" ps one --json | jq -r '.tasks[] | "\(.pid) \(.comm)"' | grep -v kworker | sort -n >"$scratch/asked"
	diff "$scratch/own" "$scratch/asked"
	[ "$(wc -l <"$scratch/own")" -gt 20 ]
	"$symvm" dmesg one | grep 'Linux version 6.1'
	[[ $("$symvm" stack one) == *+0x* ]]
	[[ $("$symvm" info one --json | jq -r .vmm) == qemu* ]]
	tests/qemu/ask_often.py "$SYMVM_RUNTIME_DIR/one.sock" 1 300
	end_well one
}

# The guest works, and a process of it writes to a port that no device has.
work='echo begun
while :; do
	dd if=/dev/urandom bs=64k count=4 2>/dev/null | sha256sum >/dev/null
	dd if=/dev/zero of=/dev/port bs=1 count=1 seek=1520 2>/dev/null
done'

# begun COUNT: test whether the guest has begun its work so many times.
begun() {
	[ "$(grep -c '^begun' "$scratch/console")" -ge "$1" ]
}

# under_load OPTION...: boot 2 vCPUs with devices, and ask them while the guest works, is paused and is reset.
under_load() {
	truncate -s 16M "$scratch/disk"
	boot two "$work" -smp 2 -drive "file=$scratch/disk,format=raw,if=virtio" -device virtio-rng-pci \
		-qmp "unix:$scratch/qmp,server=on,wait=off" "$@"
	wait_until 120 begun 1
	tests/qemu/ask_often.py "$SYMVM_RUNTIME_DIR/two.sock" 2 400
	"$symvm" who two --port 1520 --count 3 --timeout 60000 --json | tee /dev/stderr |
		jq -e '.complete and all(.exits[]; .write and .port == 1520 and .task.comm == "dd" and .task.pid > 0)'
	qmp stop
	run ! "$symvm" call two ping 1 2
	[[ $output == *"did not answer in time"* ]]
	qmp cont
	tests/qemu/ask_often.py "$SYMVM_RUNTIME_DIR/two.sock" 2 20
	qmp system_reset
	wait_until 120 begun 2
	tests/qemu/ask_often.py "$SYMVM_RUNTIME_DIR/two.sock" 2 100
	end_well two
}

@test "qemu, 2 vCPUs with devices in its sandbox: calls and who while the guest works, a pause and a reset" {
	under_load -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
}

# bats test_tags=soak
@test "qemu of Debian's backports, q35 with an iothread and a split irqchip: the same" {
	qemu=$SYMVM_CACHE/lab/qemu/usr/bin/qemu-system-x86_64
	[ -x "$qemu" ] || skip "scripts/qemu-fetch has no newer QEMU"
	under_load -machine q35,kernel-irqchip=split -object iothread,id=io
}

# qmp COMMAND [ARGUMENTS]: give QEMU a command by its control socket, arguments in JSON; print its answer.
qmp() {
	/usr/bin/python3 - "$scratch/qmp" "$1" "${2:-{\}}" <<'PYTHON'
import json, socket, sys
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
client.settimeout(300)
stream = client.makefile("rw")
stream.readline()
for command, arguments in ("qmp_capabilities", {}), (sys.argv[2], json.loads(sys.argv[3])):
    stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
    stream.flush()
    while "return" not in (answer := json.loads(stream.readline())):
        if "error" in answer:
            sys.exit(str(answer))
print(json.dumps(answer["return"]))
PYTHON
}

# With Hyper-V's enlightenments KVM's own CPUID leaves are where symvm's are otherwise. The other QEMU knows
# no registration, until the guest notices.
@test "qemu with Hyper-V's enlightenments: calls; a guest that moves to another QEMU registers again" {
	local cpu=host,hv-relaxed,hv-vpindex,hv-time
	GUEST_WORDS=symbiotic.look_seconds=1 boot here "$work" -cpu "$cpu" -qmp "unix:$scratch/qmp,server=on,wait=off"
	wait_until 120 begun 1
	tests/qemu/ask_often.py "$SYMVM_RUNTIME_DIR/here.sock" 1 50
	qmp migrate "{\"uri\": \"exec:cat >$scratch/state-of-guest\"}"
	wait_until 120 migrated
	kill "$guest_pid"
	wait "$guest_pid" || true
	mv "$scratch/console" "$scratch/console-here"
	GUEST_WORDS=symbiotic.look_seconds=1 boot there "$work" -cpu "$cpu" -incoming "exec:cat $scratch/state-of-guest"
	wait_until 120 is_known_again
	tests/qemu/ask_often.py "$SYMVM_RUNTIME_DIR/there.sock" 1 50
	end_well there
}

is_known_again() {
	[[ $("$symvm" dmesg there 2>&1) == *'registered again'* ]]
}

migrated() {
	[[ $(qmp query-migrate) == *'"status": "completed"'* ]]
}
