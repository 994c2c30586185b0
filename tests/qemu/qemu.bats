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
	modprobe virtio_blk 2>/dev/null || true
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
	"$symvm" qemu --name "$name" -- qemu-system-x86_64 -accel kvm -cpu host -m 256M -nodefaults -display none \
		-no-reboot -serial "file:$scratch/console" -kernel "$(guest_kernel 6.1 bzimage)" \
		-initrd "$SYMVM_CACHE/images/initramfs-symbiotic-6.1.cpio" \
		-append "$(guest_words "$command" symvm.net=off)" "$@" </dev/null 2>"$scratch/messages" 3>&- &
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

@test "qemu, 2 vCPUs with devices in its sandbox: calls while the guest works, and a pause" {
	truncate -s 16M "$scratch/disk"
	boot two 'echo begun; while :; do dd if=/dev/urandom bs=64k count=4 2>/dev/null | sha256sum >/dev/null; done' \
		-smp 2 -drive "file=$scratch/disk,format=raw,if=virtio" -device virtio-rng-pci \
		-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny \
		-qmp "unix:$scratch/qmp,server=on,wait=off"
	wait_until 120 said '^begun'
	tests/qemu/ask_often.py "$SYMVM_RUNTIME_DIR/two.sock" 2 400
	[[ $("$symvm" call two whoami) == *'"comm"'* ]]
	qmp stop
	run ! "$symvm" call two ping 1 2
	[[ $output == *"did not answer in time"* ]]
	qmp cont
	tests/qemu/ask_often.py "$SYMVM_RUNTIME_DIR/two.sock" 2 20
	end_well two
}

# qmp COMMAND: give QEMU a command by its control socket.
qmp() {
	/usr/bin/python3 - "$scratch/qmp" "$1" <<'PYTHON'
import json, socket, sys
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
client.settimeout(300)
stream = client.makefile("rw")
stream.readline()
for command in "qmp_capabilities", sys.argv[2]:
    stream.write(json.dumps({"execute": command}) + "\n")
    stream.flush()
    while "return" not in (answer := json.loads(stream.readline())):
        if "error" in answer:
            sys.exit(str(answer))
PYTHON
}
