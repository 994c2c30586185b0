# SPDX-License-Identifier: BSD-2-Clause
# Sourced by the bats files that boot Debian guests under symvm, inside the lab.

bats_require_minimum_version 1.5.0
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
. scripts/common.sh
. tests/lib/clock.bash
symvm=${BUILD_DIR:-$SYMVM_ROOT/build}/symvm/symvm
expect=$SYMVM_ROOT/tests/lib/expect
scratch=$SYMVM_SCRATCH/$BATS_TEST_NUMBER
mkdir -p "$scratch"

# guest_kernel SERIES bzimage|pvh: print the path of that kernel.
guest_kernel() {
	case $2 in
	bzimage) echo "$SYMVM_CACHE/kernels/$1/vmlinuz" ;;
	pvh) echo "$SYMVM_CACHE/kernels/$1/vmlinux" ;;
	esac
}

# guest_words COMMAND [WORD]...: print a kernel command line that runs the shell command.
guest_words() {
	local command=$1
	shift
	echo "console=ttyS0 quiet panic=1 symvm.cmd=$(printf %s "$command" | base64 -w0) $*"
}

# guest_run VERSION START CPUS COMMAND [SYMVM OPTION]...: boot the small image, run COMMAND in it.
guest_run() {
	local version=$1 start=$2 cpus=$3 command=$4
	shift 4
	lab/limit "${GUEST_LIMIT:-240}" "$symvm" run --kernel "$(guest_kernel "$version" "$start")" \
		--initrd "$SYMVM_CACHE/images/initramfs-$version.cpio" --cpus "$cpus" --memory 256M \
		--append "$(guest_words "$command" ${GUEST_WORDS:-})" "$@" </dev/null
}

# said WORDS: test whether the guest's console, kept in a file, shows them.
said() {
	grep -q "$1" "$scratch/console"
}

# http_serve DIRECTORY: serve it on a free port of the loopback, set http_port.
http_serve() {
	/usr/bin/python3 -u - "$1" >"$scratch/http.log" 2>&1 3>&- <<'PYTHON' &
import functools, http.server, sys
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1])
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
print("port", server.server_port)
server.serve_forever()
PYTHON
	http_pid=$!
	wait_until 60 grep -q '^port' "$scratch/http.log"
	http_port=$(sed -n 's/^port //p' "$scratch/http.log")
}

teardown() {
	[ -z "${http_pid:-}" ] || kill "$http_pid" 2>/dev/null || true
	[ -z "${dns_pid:-}" ] || kill "$dns_pid" 2>/dev/null || true
	[ -z "${guest_pid:-}" ] || kill -KILL "$guest_pid" 2>/dev/null || true
	[ -z "${tap_name:-}" ] || ip link del "$tap_name" 2>/dev/null || true
	umount "$scratch/small" 2>/dev/null || true
	rm -rf "$scratch"
}
