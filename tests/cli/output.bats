#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# The output of commands for a VM that lies. The VM is a program here that answers as a hostile guest
# would, or a VMM that a guest took over. None of these tests needs a /dev/kvm.

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.." || return 1
	symvm=${BUILD_DIR:-build}/symvm/symvm
	[ -x "$symvm" ] || skip "symvm is not built"
	work=$(mktemp -d)
	export SYMVM_RUNTIME_DIR=$work/state
	export LC_ALL=C.UTF-8
}

teardown() {
	[ -z "${vm_pid:-}" ] || kill -KILL "$vm_pid" 2>/dev/null || true
	rm -rf "$work"
}

# play NAME [MODE]: play a VM that answers each command from the JSON file $work/answers. MODE drip
# sends a byte now and then and never ends; MODE mute takes no connection; MODE raw sends the file.
play() {
	mkdir -m 700 -p "$SYMVM_RUNTIME_DIR"
	/usr/bin/python3 - "$SYMVM_RUNTIME_DIR/$1" "$work/answers" "${2:-answer}" 3>&- <<'PYTHON' &
import fcntl, json, os, socket, struct, sys, time
place, answers, mode = sys.argv[1:]
lock = os.open(place + ".lock", os.O_RDWR | os.O_CREAT, 0o600)
F_OFD_SETLK = 37
fcntl.fcntl(lock, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
listener = socket.socket(socket.AF_UNIX)
listener.bind(place + ".sock")
listener.listen(0 if mode == "mute" else 10)
if mode == "mute":
    queued = socket.socket(socket.AF_UNIX)
    queued.connect(place + ".sock")
open(place + ".ready", "w").close()
while mode != "mute":
    client, _ = listener.accept()
    try:
        line = client.makefile().readline()
        if mode == "drip":
            while True:
                client.sendall(b" ")
                time.sleep(0.5)
        if mode == "raw":
            client.sendall(open(answers, "rb").read())
        else:
            answer = json.load(open(answers)).get(json.loads(line)["command"])
            answer = answer or {"error": {"code": -5, "message": "E\x1b[31m\nsymvm: fake"}}
            client.sendall(json.dumps(answer).encode() + b"\nmore\x1b[0m")
    except OSError:
        pass
    client.close()
time.sleep(1000)
PYTHON
	vm_pid=$!
	for _ in $(seq 100); do
		[ ! -e "$SYMVM_RUNTIME_DIR/$1.ready" ] || return 0
		sleep 0.1
	done
	return 1
}

# hostile TEXT...: make every text that the VM sends one of these, in turn.
hostile() {
	/usr/bin/python3 - "$work/answers" <<'PYTHON'
import itertools, json, sys
texts = itertools.cycle([
    "\x1b]52;c;bHM=\x07", "a\rb\nc\td", "x\x7fy", "\x9b31m", "\u0085\u009d", "\u202egnp.exe",
    "\u2066\u2069\u200b\u200f\u2028\u2029\ufeff", "tab\\x1b", "\x1b[2J\x1b[H" * 400, "\U000e0041",
])
t = lambda: next(texts)
task = lambda: {"pid": 7, "ppid": 1, "uid": 0, "state": t(), "cpu": 0, "rss": 4096, "comm": t(),
                "wait_channel": t(), "args": t(), "args_cut": True, "utime_ns": 5000000, "stime_ns": 1 << 62, "kernel_thread": False}
exit_ = lambda: {"vcpu": 0, "port": 1, "write": True, "size": 1, "stack": [t(), t()],
                 "task": {"comm": t(), "pid": 1, "uid": 1, "cgroup": t()}}
device = lambda: {"name": t(), "type": t(), t(): t(), "queues": [{t(): t(), "kicks": 1}],
                  "list": [t(), 1, [[[[[[t()]]]]]]], "deep": {"a": {"b": {"c": {"d": {"e": t()}}}}}}
answers = {
    "info": {"name": t(), "pid": -1, "state": t(), "uptime_seconds": 1e308, "kernel": t(),
             "panic": t(), "memory": {"size": -1, t(): t()}, "cpus": 1 << 62, "jail": t(), "new": [t()],
             "symbiotic": {"guest_os": t(), "current_tasks": [task()], t(): 3},
             t(): {t(): t()}, "devices": [device() for _ in range(9)],
             "vcpus": [{"id": 0, "exits": {t(): 5}, "exits_total": 5, t(): 1}]},
    "ps": {"tasks": [task() for _ in range(10)] + [t(), None, 3]},
    "who": {"exits": [exit_() for _ in range(6)], "missed": 0, "complete": True},
    "exits": {"totals": {t(): {"exits": 1 << 62, "asked": 3, "unattributed": -1}}, "other": 7,
              "rows": [{"count": 5, "reason": t(), t(): t(), "port": -1, "device": t(), "queue": t(),
                        "task": {"comm": t(), "pid": 1, "cgroup": t(), "user_rip": -1},
                        "stack": [t(), t(), None]} for _ in range(6)] +
                      [{"reason": 3, "task": None}, {"address": t(), "task": t()}, None, t()]},
    "call": {"comm": t(), "text": [t() for _ in range(10)]},
    "memory_use": {"mem_total": t(), "pressure": {t(): t()},
                   "cgroups": [{"path": t(), "memory": t(), "limit": 1}, t(), None]},
    "memory": {"size": -5, "max": t(), "boot": None},
    "stack": {"pid": 1, "tgid": t(), "comm": t(), "state": t(), "cpu": -1, "running": t(),
              "wait_channel": t(), "frames": [t(), t(), None, {t(): t()}, t(), t()]},
    "swap": {"windows": [{"spill": t(), "compress": t(), "slots": {t(): 3}, "counters": {t(): 4}}
                         for _ in range(6)], "policy": {"policy": t(), "decisions": {t(): 9}}},
    "metrics": {"text": "# HELP a b\na{x=\"\\\"\\\\\"} 1\nb{x=\"\x1b[31m\x9b\u009b\"} 2\r\n"},
}
json.dump({key: {"result": value} for key, value in answers.items()}, open(sys.argv[1], "w"))
PYTHON
}

# shown FILE: check that it has only printable text and ends of lines.
shown() {
	/usr/bin/python3 - "$1" <<'PYTHON'
import sys, unicodedata
text = open(sys.argv[1], "rb").read().decode("utf-8")
for character in text:
    assert character == "\n" or unicodedata.category(character)[0] not in "CZ" or character == " ", \
        f"{character!r} in {text[:3000]!r}"
PYTHON
}

commands=("list" "info vm" "ps vm" "ps vm --tree --args --threads" "who vm --port 1" "who vm --port 1 --stack"
	"call vm whoami" "memory vm" "swap vm" "metrics vm" "exits vm" "exits vm --stack" "exits vm --folded"
	"stack vm 1" "stack vm" "exits vm --json" "top vm --batch --interval 1"
	"top vm --json --interval 1" "list --json" "info vm --json" "ps vm --json" "who vm --port 1 --json"
	"memory vm --json" "swap vm --json" "stack vm 1 --json")

@test "no command shows a VM's text raw: controls, C1, direction marks, line ends" {
	hostile
	play vm
	for command in "${commands[@]}"; do
		"$symvm" $command >"$work/out" 2>"$work/err"
		[ -s "$work/out" ]
		shown "$work/out"
		[ ! -s "$work/err" ]
	done
	LC_ALL=C "$symvm" info vm >"$work/out"
	run ! env LC_ALL=C grep -q $'[\x80-\xff]' "$work/out"
}

@test "one process is one row, one error is one row" {
	hostile
	play vm
	[ "$("$symvm" ps vm | wc -l)" -eq 14 ]
	[ "$("$symvm" list | wc -l)" -eq 2 ]
	for command in pause resume stop; do
		run --separate-stderr "$symvm" $command vm
		[ "$status" -eq 1 ]
		[ "${#stderr_lines[@]}" -eq 1 ]
		[ "$stderr" = "symvm: $command: E\\x1b[31m\\x0asymvm: fake" ]
	done
}

@test "list and info say why a guest's kernel panicked" {
	mkdir -p "$work"
	echo '{"info": {"result": {"state": "running", "pid": 1, "panic": "sysrq triggered\u001b[2J crash"}}}' \
		>"$work/answers"
	play vm
	run -0 "$symvm" list
	[[ ${lines[0]} == *NOTE* && ${lines[1]} == *'panicked: sysrq triggered'*' crash'* ]]
	[[ $output != *$'\e'* ]]
	run -0 "$symvm" info vm
	[[ $output =~ panic\ +sysrq\ triggered ]]
}

@test "JSON is exact, whatever it holds" {
	hostile
	play vm
	for command in info ps memory swap stack; do
		"$symvm" $command vm --json >"$work/out"
		run ! env LC_ALL=C grep -q $'[\x7f-\xff]' "$work/out"
		/usr/bin/python3 - "$work" $command <<'PYTHON'
import json, sys
got = json.load(open(sys.argv[1] + "/out"))
answers = json.load(open(sys.argv[1] + "/answers"))
want = answers[sys.argv[2]]["result"]
if sys.argv[2] == "memory":
    want["guest"] = answers["memory_use"]["result"]
assert got == want
PYTHON
	done
}

@test "a process name that sets the clipboard is only shown" {
	echo '{"ps": {"result": {"tasks": [{"pid": 4711, "comm": "\u001b]52;c;bHM=\u0007"}]}}}' >"$work/answers"
	play vm
	run "$symvm" ps vm
	[ "$status" -eq 0 ]
	[[ ${lines[1]} == *'\x1b]52;c;bHM=\x07' ]]
}

@test "a name with quotation marks cannot pretend to be more than a name" {
	cat >"$work/answers" <<'JSON'
{"who": {"result": {"complete": true, "exits": [{"vcpu": 0, "port": 1, "size": 1, "task":
 {"comm": "x', pid 1, uid 0", "pid": 7, "uid": 1000}}]}},
 "info": {"result": {"symbiotic": {"tasks": [{"comm": "x', pid 1", "pid": 7}]}}}}
JSON
	play vm
	run "$symvm" who vm --port 1
	[ "$output" = "vCPU 0: read of 1 bytes at port 0x1 by \"x', pid 1, uid 0\", pid 7, uid 1000" ]
	run "$symvm" info vm
	[[ $output == *"comm \"x', pid 1\", pid 7"* ]]
}

@test "exits shows shares, places and what was not attributed; folded stacks have one row each" {
	cat >"$work/answers" <<'JSON'
{"exits": {"result": {"seconds": 1.0, "sample": 100, "other": 2,
 "totals": {"io": {"exits": 20, "asked": 10, "unattributed": 1}, "doorbell": {"exits": 6, "asked": 6, "unattributed": 0}},
 "rows": [
  {"count": 8, "reason": "io", "port": 1520, "write": true, "stack": ["inner;x+0x1", "outer y\n+0x2"],
   "task": {"comm": "a;b\u001b c", "pid": 7, "user_rip": 4198400, "cgroup": "/web"}},
  {"count": 4, "reason": "doorbell", "port": 49152, "write": true, "device": "disk0", "queue": 1,
   "task": {"comm": "kworker", "pid": 9, "user_rip": 0, "cgroup": "/"}},
  {"count": 1, "reason": "mmio", "address": 4276092928, "write": false, "task": null}]}}}
JSON
	play vm
	run -0 "$symvm" exits vm
	[[ ${lines[1]} =~ ^\ +8\ +50\.0\ io\ +port\ 0x5f0\ write\ +7\ +0x401000\ /web ]]
	[[ ${lines[2]} =~ ^\ +4\ +25\.0\ doorbell\ disk0\ queue\ 1\ +9\ +0x0\ / ]]
	[[ ${lines[3]} =~ ^\ +1\ +6\.2\ mmio\ +address\ 0xfee00000\ read\ +-.*"(not attributed)" ]]
	[ "${lines[4]}" = "io: 20 exits, asked about 10, of these not attributed: 1 (10.0 %)" ]
	[ "${lines[6]}" = "others: 2 exits, whose rows did not fit" ]
	run -0 "$symvm" exits vm --folded
	[ "${lines[0]}" = 'a_b_ c;[user 0x401000];outer y_+0x2;inner_x+0x1;[io port 0x5f0 write] 8' ]
	[ "${lines[1]}" = 'kworker;[doorbell disk0 queue 1] 4' ]
	[ "${lines[2]}" = '[not attributed];[mmio address 0xfee00000 read] 1' ]
}

@test "a flame graph is well-formed, as wide as its counts, and shows no text raw" {
	hostile
	play vm
	run -0 "$symvm" exits vm --svg "$work/hostile.svg"
	shown "$work/hostile.svg"
	kill -KILL "$vm_pid"
	rm -f "$SYMVM_RUNTIME_DIR"/*
	cat >"$work/answers" <<'JSON'
{"exits": {"result": {"seconds": 10.0, "totals": {}, "rows": [
  {"count": 3, "reason": "io", "port": 1, "stack": ["b<&>\"'", "a"], "task": {"comm": "x"}},
  {"count": 1, "reason": "io", "port": 1, "stack": ["c", "a"], "task": {"comm": "x"}}]}}}
JSON
	play vm
	run -0 "$symvm" exits vm --svg "$work/small.svg"
	/usr/bin/python3 - "$work/hostile.svg" "$work/small.svg" <<'PYTHON'
import sys, xml.etree.ElementTree as tree
svg = "{http://www.w3.org/2000/svg}"
allowed = {svg + name for name in ("svg", "g", "title", "rect", "text")}
for path in sys.argv[1:]:
    boxes = {}
    for element in tree.parse(path).iter():
        assert element.tag in allowed, element.tag
        assert not any(key.lower().startswith("on") or "href" in key for key in element.attrib)
        if element.tag == svg + "g":
            boxes[element.find(svg + "title").text] = float(element.find(svg + "rect").get("width"))
assert boxes["all: 4 (100.00 %)"] == boxes["x: 4 (100.00 %)"] == boxes["a: 4 (100.00 %)"] == 1180, boxes
assert boxes["b<&>\"': 3 (75.00 %)"] == 885 and boxes["c: 1 (25.00 %)"] == 295, boxes
PYTHON
	run ! "$symvm" exits vm --svg "$work/none/x.svg"
	[[ $output == *"$work/none/x.svg: No such file or directory" ]]
}

@test "who says that doorbells cause no exits, and names their ports" {
	cat >"$work/answers" <<'JSON'
{"who": {"result": {"complete": false, "missed": 0, "exits": []}},
 "info": {"result": {"devices": [
  {"name": "disk0", "type": "virtio-blk", "doorbells": {"port": 49152, "ports": 8}},
  {"name": "net0", "type": "virtio-net", "doorbells": {"port": 49664, "ports": 8}},
  {"name": "x", "type": "y", "doorbells": {"port": -5, "ports": "z"}}]}}}
JSON
	play vm
	run --separate-stderr "$symvm" who vm --port 0xc000 --size 16
	[ "$status" -eq 1 ]
	[ "${stderr_lines[0]}" = "symvm: who: ports 0xc000 to 0xc007 are the doorbells of 'disk0': served by ioeventfd, without exits to attribute" ]
	[ "${#stderr_lines[@]}" -eq 2 ]
	run --separate-stderr "$symvm" who vm --port 0xc000 --size 16384
	[ "${#stderr_lines[@]}" -eq 3 ]
	run --separate-stderr "$symvm" who vm --port 0x3f8
	[ "${#stderr_lines[@]}" -eq 1 ]
	[ "$("$symvm" who vm --port 0xc000 --json 2>/dev/null | jq -r '.doorbells[].device')" = disk0 ]
}

@test "a VM that answers nonsense, much, or more than was asked for" {
	for nonsense in '' '{}' '[]' '{"result": 3}' '{"result": "x"}' '{"error": 1}' 'null' \
		'{"error": {"code": 7, "message": "x"}}' '{"error": {"code": -99999, "message": "x"}}' \
		'{"error": {"code": -32, "message": "gone"}}' "$(printf '[%.0s' {1..5000})"; do
		printf '%s\n' "$nonsense" >"$work/answers"
		[ -n "${vm_pid:-}" ] || play vm raw
		for command in "info vm" "ps vm" "stop vm" "metrics vm" "pause vm"; do
			run --separate-stderr timeout 300 "$symvm" $command
			[ "$status" -eq 1 ]
			[ "${#stderr_lines[@]}" -eq 1 ]
		done
		run --separate-stderr timeout 300 "$symvm" list
		[ "$status" -eq 0 ]
		[[ ${lines[1]} == "vm "*unknown* ]]
	done
	head -c 20000000 /dev/zero | tr '\0' ' ' >"$work/answers"
	run --separate-stderr timeout 300 "$symvm" info vm
	[ "$status" -eq 1 ]
	[[ $stderr == *"longer than 16 MiB" ]]
}

@test "a VM that drips its answer, or takes no connection, costs a bounded time" {
	play vm drip
	run --separate-stderr timeout 600 "$symvm" list
	[ "$status" -eq 0 ]
	[[ ${lines[1]} == "vm "*unknown*"no answer to 'info' within 2 s" ]]
	run --separate-stderr timeout 600 "$symvm" info vm
	[ "$status" -eq 1 ]
	[[ $stderr == *"no answer to 'info' within 10 s" ]]
	kill -KILL "$vm_pid"
	rm -f "$SYMVM_RUNTIME_DIR"/*
	play vm mute
	run --separate-stderr timeout 600 "$symvm" list
	[ "$status" -eq 0 ]
	[[ ${lines[1]} == "vm "*unknown* ]]
}

@test "numbers have units, and there is no raw JSON" {
	cat >"$work/answers" <<'JSON'
{"info": {"result": {"name": "vm", "pid": 12345, "state": "running", "uptime_seconds": 312.5,
 "kernel": "/boot/vmlinuz", "memory": {"size": 536870912}, "cpus": 2, "jail": {"uid": 1879048329, "gid": 1879048329},
 "symbiotic": {"guest_abi": 65538},
 "devices": [{"name": "disk0", "type": "virtio-blk", "queues": [{"requests": 1234567, "kicks": 8}],
              "read_bytes": 1610612736, "readonly": false, "port": 1016, "latency_ns": 1234567}],
 "vcpus": [{"id": 0, "exits": {"io": 1234567, "mmio": 0}, "exits_total": 1234567}]}}}
JSON
	play vm
	run "$symvm" info vm
	[ "$status" -eq 0 ]
	[[ $output == *"uptime                  5m 12s"* ]]
	[[ $output == *"memory                  512 MiB"* ]]
	[[ $output == *"  read bytes            1.5 GiB"* ]]
	[[ $output == *"  queue 0               requests 1,234,567, kicks 8"* ]]
	[[ $output == *"  latency ns            1.235 ms"* ]]
	[[ $output == *"  uid                   1879048329"*"  gid                   1879048329"* ]]
	[[ $output == *"  guest abi             0x10002"* ]]
	[[ $output == *"  port                  0x3f8"* ]]
	[[ $output == *"  readonly              no"* ]]
	[[ $output == *"  by reason             io 1,234,567"* ]]
	[[ $output != *[\{\}\"_]* ]]
}

@test "on a terminal the last column ends at the edge; elsewhere nothing is cut" {
	/usr/bin/python3 -c 'import json; print(json.dumps({"ps": {"result": {"tasks": [{"comm": "x" * 300}]}}}))' >"$work/answers"
	play vm
	"$symvm" ps vm | grep -q 'x\{300\}$'
	/usr/bin/python3 - "$symvm" <<'PYTHON'
import fcntl, os, pty, struct, sys, termios
for width in (50, 200):
    pid, fd = pty.fork()
    if pid == 0:
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        os.execl(sys.argv[1], "symvm", "ps", "vm")
    text = b""
    try:
        while piece := os.read(fd, 65536):
            text += piece
    except OSError:
        pass
    row = text.split(b"\r\n")[1]
    assert len(row) == width and row.endswith(b"xxx..."), (width, row)
    os.waitpid(pid, 0)
PYTHON
}

@test "a command that asks a VM prints by cli/output.h alone" {
	local file bad=
	for file in $(grep -lE 'cli/(client|output)\.h"' symvm/cli/*.c); do
		[ "$file" != symvm/cli/output.c ] || continue
		bad+=$(grep -nHE '(^|[^_a-z])(v?f?d?printf|f?puts|f?putc|putchar|fwrite|json_dump(f|fd|_file)|perror|write)\(.*' "$file" |
			grep -vE 'describe\.c:.*(fputs|fputc|fprintf)\(' || true)
	done
	[ -z "$bad" ] || {
		echo "$bad"
		return 1
	}
	# describe.c writes to strings in memory, which output_field() then shows.
	! grep -nE 'stdout|stderr|[^f]printf\(|[^f]puts\(' symvm/cli/describe.c | grep -v snprintf
}
