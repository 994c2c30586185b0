#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Errors of a user on the command line. Each gives one line that names the thing and a status that is
# not 0, and leaves nothing behind. None of these tests needs a /dev/kvm; those that do are in
# tests/guest/control.bats.

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.." || return 1
	symvm=${BUILD_DIR:-build}/symvm/symvm
	[ -x "$symvm" ] || skip "symvm is not built"
	work=$(mktemp -d)
	export SYMVM_RUNTIME_DIR=$work/state
	kernel=$work/kernel
	make_bzimage "$kernel" 65536
}

teardown() {
	[ -z "${holder:-}" ] || kill "$holder" 2>/dev/null || true
	rm -rf "$work"
}

# make_bzimage FILE SIZE: make a file whose header says that it is a whole 64-bit bzImage.
make_bzimage() {
	/usr/bin/python3 - "$1" "$2" <<'PYTHON'
import struct, sys
path, size = sys.argv[1], int(sys.argv[2])
image = bytearray(size)
image[0x1f1] = 4
struct.pack_into("<I", image, 0x1f4, (size - 5 * 512) // 16)
struct.pack_into("<H", image, 0x1fe, 0xaa55)
image[0x202:0x206] = b"HdrS"
struct.pack_into("<H", image, 0x206, 0x20f)
image[0x211] = 1
struct.pack_into("<H", image, 0x236, 3)
struct.pack_into("<I", image, 0x230, 0x200000)
struct.pack_into("<Q", image, 0x258, 0x1000000)
struct.pack_into("<I", image, 0x260, 0x2000000)
struct.pack_into("<I", image, 0x238, 2047)
open(path, "wb").write(image)
PYTHON
}

# refused STATUS WORDS COMMAND...: check that the command prints one line with the words on standard
# error, and leaves nothing behind.
refused() {
	local status_wanted=$1 words=$2
	shift 2
	run --separate-stderr timeout 200 "$symvm" "$@"
	[ "$status" -eq "$status_wanted" ] || {
		echo "status $status instead of $status_wanted: $stderr"
		return 1
	}
	[ -z "$output" ]
	[ "${#stderr_lines[@]}" -eq 1 ] || {
		printf 'not one line: %s\n' "${stderr_lines[@]}"
		return 1
	}
	[[ $stderr == "symvm: "*"$words"* ]] || {
		echo "'$words' is not in: $stderr"
		return 1
	}
	[ -z "$(ls -A "$SYMVM_RUNTIME_DIR" 2>/dev/null)" ]
}

@test "no command, an unknown one" {
	refused 2 "no command given"
	refused 2 "unknown command 'boot'" boot
	refused 2 "no command 'boot'" help boot
}

@test "help and version go to standard output, status 0" {
	for words in help --help "help run" "run --help" "stop --help" version --version; do
		run --separate-stderr "$symvm" $words
		[ "$status" -eq 0 ]
		[ -n "$output" ]
		[ -z "$stderr" ]
	done
}

@test "every command answers --help" {
	while read -r name _; do
		run --separate-stderr "$symvm" "$name" --help
		[ "$status" -eq 0 ]
		[ -z "$stderr" ]
		[ -n "$output" ]
	done < <("$symvm" help | sed -n 's/^  //p')
}

@test "run: no kernel, unknown options, surplus arguments" {
	refused 2 "--kernel FILE is missing" run
	refused 2 "unknown option '--kernle=x'" run --kernle=x
	refused 2 "--kernel needs a value" run --kernel
	refused 2 "unexpected argument 'file'" run --kernel "$kernel" file
	refused 2 "--paused takes no value" run --kernel "$kernel" --paused=yes
}

@test "run: a missing kernel" {
	refused 1 "$work/none: No such file or directory" run --kernel "$work/none"
}

@test "run: a directory, an empty file, a text as kernel" {
	refused 1 "$work: is a directory" run --kernel "$work"
	: >"$work/empty"
	refused 1 "$work/empty: is empty" run --kernel "$work/empty"
	head -c 10000 /dev/zero | tr '\0' 'x' >"$work/text"
	refused 1 "$work/text: is neither a bzImage nor an ELF file" run --kernel "$work/text"
}

@test "run: a truncated bzImage" {
	head -c 20000 "$kernel" >"$work/short"
	refused 1 "$work/short: is truncated: 20000 bytes of 65536" run --kernel "$work/short"
}

@test "run: a kernel of a wrong architecture" {
	# An ELF file for aarch64, and a bzImage without a 64-bit entry.
	printf '\177ELF\002\001\001\000\000\000\000\000\000\000\000\000\002\000\267\000\001\000\000\000' \
		>"$work/arm"
	head -c 4000 /dev/zero >>"$work/arm"
	refused 1 "$work/arm: is an ELF file for machine 183, not for x86-64" run --kernel "$work/arm"
	cp "$kernel" "$work/32bit"
	printf '\000' | dd of="$work/32bit" bs=1 seek=$((0x236)) conv=notrunc status=none
	refused 1 "$work/32bit: is a 32-bit x86 kernel" run --kernel "$work/32bit"
}

@test "run: a missing initrd, a directory as initrd" {
	refused 1 "$work/none: No such file" run --kernel "$kernel" --initrd "$work/none"
	refused 1 "$work: is a directory" run --kernel "$kernel" --initrd "$work"
}

@test "run: memory larger than the host's, none, or no number" {
	refused 1 "are more than the host's" run --kernel "$kernel" --memory 900T
	refused 2 "--memory: '0' is not a multiple of 1 MiB" run --kernel "$kernel" --memory 0
	refused 2 "--memory: 'much' is not a size" run --kernel "$kernel" --memory much
	refused 2 "--memory: '99999999T' is too large" run --kernel "$kernel" --memory 99999999T
}

@test "run: 0 or 999 CPUs" {
	refused 2 "--cpus: 0 is outside of 1 to 16" run --kernel "$kernel" --cpus 0
	refused 2 "--cpus: 999 is outside of 1 to 16" run --kernel "$kernel" --cpus 999
}

@test "run: names that are none" {
	refused 2 "'../x'" run --kernel "$kernel" --name ../x
	refused 2 "must not begin with '.'" run --kernel "$kernel" --name .x
	refused 2 "must not begin with '-'" run --kernel "$kernel" --name=-x
	refused 2 "longer than 63 bytes" run --kernel "$kernel" --name "$(printf 'n%.0s' {1..64})"
	refused 2 "only letters" run --kernel "$kernel" --name $'two\nlines'
}

# hold NAME: take the lock of that name as a live VMM does, and keep it until killed.
hold() {
	mkdir -m 700 -p "$SYMVM_RUNTIME_DIR"
	/usr/bin/python3 - "$SYMVM_RUNTIME_DIR/$1" 3>&- <<'PYTHON' &
import fcntl, os, socket, struct, sys, time
fd = os.open(sys.argv[1] + ".lock", os.O_RDWR | os.O_CREAT, 0o600)
F_OFD_SETLK = 37
fcntl.fcntl(fd, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1] + ".sock")
listener.listen()
open(sys.argv[1] + ".ready", "w").close()
while True:
    time.sleep(60)
PYTHON
	holder=$!
	for _ in $(seq 1200); do
		[ ! -e "$SYMVM_RUNTIME_DIR/$1.ready" ] || break
		sleep 0.1
	done
	rm "$SYMVM_RUNTIME_DIR/$1.ready"
}

@test "run: a name already taken" {
	hold taken
	run --separate-stderr "$symvm" run --kernel "$kernel" --name taken
	[ "$status" -eq 1 ]
	[ "${#stderr_lines[@]}" -eq 1 ]
	[[ $stderr == "symvm: the name 'taken' is taken by a running VM" ]]
	# The files of the other VM did not change.
	[ -S "$SYMVM_RUNTIME_DIR/taken.sock" ]
	[ -e "$SYMVM_RUNTIME_DIR/taken.lock" ]
}

@test "run: a stale socket is replaced silently, and gone afterwards" {
	hold dead
	kill -KILL "$holder"
	wait "$holder" 2>/dev/null || true
	[ -S "$SYMVM_RUNTIME_DIR/dead.sock" ]
	# The message is about the next problem, so the name was accepted.
	refused 1 "$work/none: No such file" run --kernel "$work/none" --name dead
}

@test "a killed VMM is not listed and cannot be asked" {
	hold dead
	kill -KILL "$holder"
	wait "$holder" 2>/dev/null || true
	run --separate-stderr "$symvm" list
	[ "$status" -eq 0 ]
	[ "${#lines[@]}" -eq 1 ]
	run --separate-stderr "$symvm" info dead
	[ "$status" -eq 1 ]
	[[ $stderr == "symvm: info: no VM named 'dead' is running" ]]
}

@test "run: a state directory that cannot be used" {
	mkdir -m 777 "$work/open"
	chmod 777 "$work/open"
	SYMVM_RUNTIME_DIR=$work/open refused 1 "must belong to you" run --kernel "$kernel"
	SYMVM_RUNTIME_DIR=$work/no/where refused 1 "$work/no/where" run --kernel "$kernel"
	SYMVM_RUNTIME_DIR=$kernel run --separate-stderr "$symvm" run --kernel "$kernel"
	[ "$status" -eq 1 ]
	[[ $stderr == "symvm: cannot open the state directory"* ]]
}

@test "run: a log file that can't be written" {
	refused 1 "$work/none/log': No such file" run --kernel "$kernel" --log-file "$work/none/log"
}

@test "clients: no such VM, no name, a bad name, too much" {
	for command in info metrics pause resume stop; do
		refused 1 "no VM named 'ghost' is running" "$command" ghost
		refused 2 "NAME is missing" "$command"
		refused 2 "VM name 'a/b'" "$command" a/b
		refused 2 "unexpected argument 'two'" "$command" one two
		refused 2 "unknown option '--loud'" "$command" --loud
	done
	refused 2 "--timeout: 'soon'" stop ghost --timeout soon
	refused 2 "--timeout: '-1'" stop ghost --timeout -1
}

@test "closed standard streams: nothing else takes their place" {
	local closed
	for closed in '<&-' '>&-' '2>&-' '<&- >&- 2>&-'; do
		# symvm opens the log file first. It must not become a standard stream.
		eval "timeout 200 \$symvm run --kernel \$work/none --log-file \$work/log $closed" || status=$?
		[ "$status" -eq 1 ]
		grep -q " vm-[0-9]* symvm: error: .*$work/none: No such file" "$work/log"
		[ "$(wc -l <"$work/log")" -eq 1 ]
		rm "$work/log"
	done
	# Output that could not be written is a failure.
	run --separate-stderr bash -c "\$0 list >&-" "$symvm"
	[ "$status" -eq 1 ]
}

@test "run: publish-host and its wrong values" {
	refused 2 "--publish-host: 'maybe' is neither yes nor no" run --kernel "$kernel" --publish-host maybe
}

@test "root reaches the VMs of other users by USER/NAME; a link to another's socket does not" {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	unset SYMVM_RUNTIME_DIR
	local uid=54321 place=$work/xdg/symvm
	chmod 755 "$work"
	mkdir -p "$place"
	chmod 700 "$place"
	chown -R "$uid:$uid" "$work/xdg"
	cat >"$work/vm.py" <<'PYTHON'
import fcntl, os, socket, struct, sys
place = sys.argv[1] + "/web"
lock = os.open(place + ".lock", os.O_RDWR | os.O_CREAT, 0o600)
fcntl.fcntl(lock, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
listener = socket.socket(socket.AF_UNIX)
listener.bind(place + ".sock")
listener.listen()
while True:
    client, _ = listener.accept()
    try:
        client.makefile().readline()
        client.sendall(b'{"result": {"state": "running", "pid": 1}}\n')
    except OSError:
        pass
    client.close()
PYTHON
	setpriv --reuid $uid --regid $uid --clear-groups /usr/bin/python3 "$work/vm.py" "$place" 3>&- &
	holder=$!
	for _ in $(seq 100); do
		[ ! -S "$place/web.sock" ] || break
		sleep 0.1
	done
	[ "$("$symvm" list --all --json | jq -r '.[] | select(.name == "54321/web").state')" = running ]
	[ -z "$("$symvm" list --json | jq -r '.[] | select(.name == "54321/web").state')" ]
	"$symvm" pause 54321/web
	# symvm does not look into a directory that others may write to.
	chmod 777 "$place"
	run --separate-stderr "$symvm" pause 54321/web
	[ "$stderr" = "symvm: pause: no VM named '54321/web' is running" ]
	chmod 700 "$place"
	# The user must not be able to lead root to a VM of root.
	mkdir "$work/other"
	/usr/bin/python3 "$work/vm.py" "$work/other" 3>&- &
	other=$!
	for _ in $(seq 100); do
		[ ! -S "$work/other/web.sock" ] || break
		sleep 0.1
	done
	ln -sf "$work/other/web.sock" "$place/web.sock"
	run --separate-stderr "$symvm" pause 54321/web
	kill "$other" || true
	[ "$status" -eq 1 ]
	[[ $stderr == "symvm: pause: cannot reach 'web' in '$place': Operation not permitted" ]]
}

@test "list: nothing runs" {
	run --separate-stderr "$symvm" list --json
	[ "$status" -eq 0 ]
	[ "$output" = "[]" ]
	refused 2 "unexpected argument 'x'" list x
}

@test "doctor says one of its verdicts, and what to do" {
	run --separate-stderr "$symvm" doctor
	[ -z "$stderr" ]
	if [ "$status" -eq 0 ]; then
		[[ ${lines[0]} == "hardware KVM"* || ${lines[0]} == "the lab"* ]]
		[ "${lines[-1]}" = "guests can run here" ]
	else
		[ "$status" -eq 1 ]
		[[ $output == *"do: "* ]]
		[ "${lines[-1]}" = "guests cannot run here directly" ]
	fi
}

@test "the manual names every command and every option" {
	local name options missing=
	while read -r name _; do
		grep -qE "^\.B[RI]? \"?(symvm )?$name|\"?[ ,|]\"? ?$name" docs/reference/symvm.1 || missing+=" $name"
		options=$("$symvm" "$name" --help | grep -oE -- '--[a-z][a-z-]+' | sort -u)
		for option in $options; do
			[ "$option" = --help ] ||
				grep -qF -- "${option//-/\\-}" docs/reference/symvm.1 || missing+=" $name:$option"
		done
	done < <("$symvm" help | sed -n 's/^  //p')
	[ -z "$missing" ] || {
		echo "not in docs/reference/symvm.1:$missing"
		return 1
	}
}

@test "run: memory that may grow, wrongly" {
	refused 2 "--memory: max=128M is less than 256M" run --kernel "$kernel" --memory 256M,max=128M
	refused 2 "--memory: '257M' is not a multiple of 2 MiB, as max= requires" run --kernel "$kernel" --memory 257M,max=1G
	refused 2 "--memory: 'lots' is not a size" run --kernel "$kernel" --memory 256M,max=lots
	refused 1 "max=943718400 MiB are more than the host's" run --kernel "$kernel" --memory 256M,max=900T
}
