#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# bats file_tags=together
# Networks, sockets and consoles of stock Debian guests, each judged from both sides.

. "$BATS_TEST_DIRNAME/../lib/guest.bash"

# start VERSION COMMAND OPTION...: start a guest in the background, its console in $scratch/console.
start() {
	local version=$1 command=$2
	shift 2
	guest_run "$version" bzimage 1 "$command" --console "file:$scratch/console" "$@" \
		>"$scratch/out" 2>"$scratch/err" 3>&- &
	guest_pid=$!
}

# finished: check the guest's status, which must be that of a command that succeeded and a power-off.
finished() {
	wait "$guest_pid" || { cat "$scratch/console" "$scratch/err" && return 1; }
	guest_pid=
	grep -q 'symvm-exit: 0' "$scratch/console" || { cat "$scratch/console" && return 1; }
}

# shows TEXT: wait until the guest's console shows it.
shows() {
	wait_until 150 grep -q "$1" "$scratch/console" || { cat "$scratch/console" "$scratch/err" && return 1; }
}

random_file() {
	mkdir -p "$scratch/www"
	head -c "$1" /dev/urandom >"$scratch/www/file"
	sum=$(sha256sum <"$scratch/www/file")
}

# dns_serve: start a name server on the loopback, to which the host's resolv.conf points. Each name has
# the address 192.0.2.77.
dns_serve() {
	/usr/bin/python3 -u - >"$scratch/dns.log" 2>&1 3>&- <<'PYTHON' &
import socket, struct
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
print("listens")
while True:
    query, peer = server.recvfrom(512)
    end = query.index(0, 12) + 5
    is_address = query[end - 4:end - 2] == b"\0\1"
    answer = query[:2] + struct.pack(">HHHHH", 0x8180, 1, is_address, 0, 0) + query[12:end]
    if is_address:
        answer += struct.pack(">HHHIH4s", 0xC00C, 1, 1, 60, 4, bytes([192, 0, 2, 77]))
    server.sendto(answer, peer)
PYTHON
	dns_pid=$!
	wait_until 60 grep -q listens "$scratch/dns.log"
	echo nameserver 127.0.0.1 >/etc/resolv.conf
}

# user VERSION: test DHCP, DNS, a download from the host, a download by the host through a forwarded port.
user() {
	random_file 2000000
	http_serve "$scratch/www"
	dns_serve
	start "$1" "set -e; ip addr show eth0; cat /etc/resolv.conf; nslookup name.test
		wget -q -O /tmp/file http://10.0.2.2:$http_port/file; sha256sum </tmp/file
		httpd -p 80 -h /tmp; echo served; until [ -e /tmp/stop ]; do
		nc -l -p 81 >/tmp/got; grep -q stop /tmp/got && touch /tmp/stop; done" \
		--net "user,host-loopback=yes,mac=52:54:00:00:00:07,forward=tcp::18080-:80,forward=tcp:127.0.0.1:18081-10.0.2.15:81"
	shows served
	grep -q 'inet 10.0.2.15/24' "$scratch/console"
	grep -q 'ether 52:54:00:00:00:07' "$scratch/console"
	grep -q 'nameserver 10.0.2.3' "$scratch/console"
	grep -q 'Address.* 192.0.2.77' "$scratch/console"
	grep -q "$sum" "$scratch/console"
	[ "$(curl -s http://127.0.0.1:18080/file | sha256sum)" = "$sum" ]
	until ! kill -0 "$guest_pid" 2>/dev/null || [ -e "$scratch/told" ]; do
		echo stop | socat -u - TCP:127.0.0.1:18081 && touch "$scratch/told"
	done
	finished
}

@test "6.1: user-mode network: DHCP, DNS, download, forwarded ports" {
	user 6.1
}

# bats test_tags=soak
@test "6.12: user-mode network: DHCP, DNS, download, forwarded ports" {
	user 6.12
}

# tap NAME VHOST: test both directions over a tap.
tap() {
	random_file 2000000
	tap_name=$1 # for teardown
	ip tuntap add "$1" mode tap
	ip addr add 192.168.77.1/24 dev "$1"
	ip link set "$1" up
	busybox httpd -f -p 192.168.77.1:18082 -h "$scratch/www" 3>&- &
	http_pid=$!
	GUEST_WORDS=symvm.net=off start 6.1 "set -e; ip addr add 192.168.77.2/24 dev eth0
		ip link set eth0 up; wget -q -O /tmp/file http://192.168.77.1:18082/file
		sha256sum </tmp/file; httpd -p 80 -h /tmp; echo served
		nc -l -p 81 >/tmp/got; ping -c 3 192.168.77.1; cat /sys/class/net/eth0/statistics/rx_errors" \
		--net "tap,name=$1,vhost=$2"
	shows served
	grep -q "$sum" "$scratch/console"
	[ "$(curl -s http://192.168.77.2/file | sha256sum)" = "$sum" ]
	wait_until 20 socat -u /dev/null TCP:192.168.77.2:81
	finished
	grep -q ' 0% packet loss' "$scratch/console"
}

@test "a tap, its frames carried by symvm" {
	tap tapuser off
}

@test "a tap, its frames carried by vhost-net" {
	[ -e /dev/vhost-net ] || skip "the host has no vhost-net"
	tap tapvhost on
}

@test "vsock: a mebibyte there and back, and a context id that is taken" {
	[ -e /dev/vhost-vsock ] || skip "the host has no vhost-vsock"
	random_file 1048576
	gcc -O2 -static -o "$scratch/vsock-echo" guest/programs/vsock-echo.c
	tar -C "$scratch" -cf "$scratch/tools" vsock-echo
	start 6.1 'tar -C /tmp -xf /dev/vda && /tmp/vsock-echo 1234' --vsock cid=77 \
		--disk "path=$scratch/tools,readonly"
	shows 'vsock-echo listens'
	run -1 lab/limit 60 "$symvm" run --kernel "$(guest_kernel 6.1 bzimage)" --vsock cid=77 </dev/null
	[[ $output == *"cid=77 is in use"* ]]
	[ "$(socat -t 30 - VSOCK-CONNECT:77:1234 <"$scratch/www/file" | sha256sum)" = "$sum" ]
	finished
}

@test "virtio-console: both directions through a socket" {
	random_file 200000
	start 6.1 'set -e; exec 5<>/dev/hvc0; stty -F /dev/hvc0 raw -echo; echo ready
		head -c 200000 <&5 >/tmp/file; sha256sum </tmp/file; cat /tmp/file >&5' \
		--virtio-console "socket:$scratch/hvc"
	shows ready
	socat -t 60 - "UNIX-CONNECT:$scratch/hvc" <"$scratch/www/file" >"$scratch/back" 3>&- &
	finished
	grep -q "$sum" "$scratch/console"
	[ "$(sha256sum <"$scratch/back")" = "$sum" ]
}
