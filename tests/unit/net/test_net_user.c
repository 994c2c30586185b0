// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/virtio/net/net.h"
#include "devices/virtio/net/net_forward.h"
#include "devices/virtio/net/net_packet.h"

#include "driver.h"

static void forwards_are_parsed(void **state)
{
	struct net_forward forward;
	struct error err;

	assert_int_equal(net_forward_parse("tcp:127.0.0.2:8080-:80", 0x0a00020f, &forward, &err),
			 0);
	assert_false(forward.udp);
	assert_int_equal(ntohl(forward.host.s_addr), 0x7f000002);
	assert_int_equal(forward.host_port, 8080);
	assert_int_equal(ntohl(forward.guest.s_addr), 0x0a00020f);
	assert_int_equal(forward.guest_port, 80);
	assert_int_equal(net_forward_parse("udp::1-10.0.2.20:65535", 0x0a00020f, &forward, &err),
			 0);
	assert_true(forward.udp);
	assert_int_equal(ntohl(forward.host.s_addr), INADDR_LOOPBACK);
	assert_int_equal(forward.host_port, 1);
	assert_int_equal(ntohl(forward.guest.s_addr), 0x0a000214);
	assert_int_equal(forward.guest_port, 65535);
}

static void bad_forwards_are_refused(void **state)
{
	static const char *const bad[] = {"",
					  "tcp",
					  "tcp:",
					  "sctp::1-:1",
					  "tcp::1",
					  "tcp::1-",
					  "tcp::-:1",
					  "tcp::0-:1",
					  "tcp::1-:0",
					  "tcp::65536-:1",
					  "tcp::1-:123456",
					  "tcp::-1-:1",
					  "tcp::1-:1x",
					  "tcp:1.2.3:1-:1",
					  "tcp:host:1-:1",
					  "tcp::1-1",
					  "tcp:1-:1",
					  "tcp::+1-:1",
					  "tcp::1-: 1",
					  "tcp::1-:1:1",
					  "tcp:1.2.3.4.5.6.7.8.9.0:1-:1",
					  "tcp::99999999999-:1"};
	struct net_forward forward;
	struct error err;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		err.text[0] = '\0';
		if (net_forward_parse(bad[i], 0x0a00020f, &forward, &err) != -EINVAL)
			fail_msg("%s was taken", bad[i]);
		assert_non_null(strstr(err.text, "forward="));
	}
}

static void bad_options_are_refused(void **state)
{
	static const struct {
		const char *argument, *words;
	} bad[] = {
		{"user,mtu=100", "576 to 65520"},
		{"user,mtu=65521", "576 to 65520"},
		{"user,mac=zz", "mac=zz"},
		{"user,fwd=1", "'fwd'"},
		{"user,host-loopback=on", "yes or no"},
		{"user,restrict=1", "yes or no"},
		{"user,flows=5", "16 to 4096"},
		{"user,flows=5000", "16 to 4096"},
		{"user,forward=tcp::1-:x", "1-:x"},
		{"user,mac=02:00:00:00:00:01,mac=1", "twice"},
		{"tap", "name=... is missing"},
		{"tap,name=aaaaaaaaaaaaaaaa", "15 characters"},
		{"tap,name=a,vhost=maybe", "vhost=maybe"},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *text = driver_create("net", bad[i].argument);

		if (!text || !strstr(text, bad[i].words))
			fail_msg("%s: %s", bad[i].argument, text ? text : "was taken");
		driver_destroy();
	}
}

static void a_taken_port_is_named(void **state)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	char argument[64];
	const char *text;

	assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
	assert_int_equal(listen(fd, 1), 0);
	getsockname(fd, (struct sockaddr *)&address, &length);
	snprintf(argument, sizeof(argument), "user,forward=tcp::%u-:80", ntohs(address.sin_port));
	text = driver_create("net", argument);
	assert_non_null(text);
	assert_non_null(strstr(text, "in use"));
	driver_destroy();
	close(fd);
}

static const uint8_t guest_mac[6] = {2, 0, 0, 0, 0, 1};

/* Sends @frame, waits until the guest got one, and returns its length. */
static size_t exchange(const uint8_t *frame, size_t length, uint8_t *answer, size_t room)
{
	uint8_t request[NET_HEADER_SIZE + 1500] = {0};
	struct vring_used_elem used;
	uint64_t gpa = driver_memory(2000);

	memcpy(request + NET_HEADER_SIZE, frame, length);
	driver_add_in(NET_QUEUE_RX, gpa, 2000);
	driver_add_out(NET_QUEUE_TX, request, (uint32_t)(NET_HEADER_SIZE + length));
	driver_kick(NET_QUEUE_TX);
	assert_true(driver_take_used(NET_QUEUE_TX, &used));
	assert_true(driver_take_used(NET_QUEUE_RX, &used));
	assert_in_range(used.len, NET_HEADER_SIZE + NET_FRAME_MIN, NET_HEADER_SIZE + room);
	memcpy(answer, memory_translate(NULL, gpa + NET_HEADER_SIZE, used.len - NET_HEADER_SIZE),
	       used.len - NET_HEADER_SIZE);
	return used.len - NET_HEADER_SIZE;
}

static void the_host_answers_arp(void **state)
{
	uint8_t request[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0,  1, 8, 6,
			       0,    1,	   8,	 0,    6,    4,	   0, 1, 2, 0, 0,  0, 0, 1,
			       10,   0,	   2,	 15,   0,    0,	   0, 0, 0, 0, 10, 0, 2, 2};
	uint8_t answer[1500];

	assert_null(driver_create("net", "user,mac=02:00:00:00:00:01"));
	driver_start(1ull << VIRTIO_NET_F_MRG_RXBUF | 1ull << VIRTIO_NET_F_MTU);
	assert_true(exchange(request, sizeof(request), answer, sizeof(answer)) >= 42);
	assert_memory_equal(answer, guest_mac, 6);
	assert_int_equal(answer[21], 2); /* a reply */
	assert_memory_equal(answer + 28, request + 38, 4);
	driver_destroy();
}

static uint16_t checksum(const uint8_t *data, size_t length)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < length; i += 2)
		sum += (uint32_t)(data[i] << 8 | data[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void dhcp_gives_an_address(void **state)
{
	uint8_t request[14 + 20 + 8 + 300] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,
					      0,    0,	  0,	0,    1,    8,	  0};
	uint8_t *ip = request + 14, *udp = ip + 20, *bootp = udp + 8, answer[1500];
	static const uint8_t options[] = {0x63, 0x82, 0x53, 0x63, 53, 1, 1, 255};
	uint16_t sum;

	ip[0] = 0x45;
	ip[2] = (20 + 8 + 300) >> 8;
	ip[3] = (20 + 8 + 300) & 255;
	ip[8] = 64;
	ip[9] = 17;
	memset(ip + 16, 0xff, 4);
	sum = checksum(ip, 20);
	ip[10] = sum >> 8;
	ip[11] = sum & 255;
	udp[1] = 68;
	udp[3] = 67;
	udp[4] = 308 >> 8;
	udp[5] = 308 & 255;
	bootp[0] = 1;
	bootp[1] = 1;
	bootp[2] = 6;
	memcpy(bootp + 28, guest_mac, 6);
	memcpy(bootp + 236, options, sizeof(options));
	assert_null(driver_create("net", "user,mac=02:00:00:00:00:01"));
	driver_start(1ull << VIRTIO_NET_F_MRG_RXBUF);
	assert_true(exchange(request, sizeof(request), answer, sizeof(answer)) > 14 + 20 + 8 + 240);
	assert_int_equal(answer[14 + 28], 2);
	assert_memory_equal(answer + 14 + 28 + 16, "\x0a\x00\x02\x0f", 4);
	driver_destroy();
}

static uint64_t rx_gpa; /* the receive buffer that is still the device's; 0: none */

static int start(void **state)
{
	rx_gpa = 0;
	return 0;
}

/* Sends a frame; the guest's next frame, if one comes at once. */
static size_t send_and_take(const uint8_t *frame, size_t length, uint8_t *answer)
{
	uint8_t request[NET_HEADER_SIZE + 1500] = {0};
	struct vring_used_elem used;
	uint64_t gpa = rx_gpa ? rx_gpa : driver_memory(2000);

	memcpy(request + NET_HEADER_SIZE, frame, length);
	if (!rx_gpa)
		driver_add_in(NET_QUEUE_RX, gpa, 2000);
	rx_gpa = gpa;
	driver_add_out(NET_QUEUE_TX, request, (uint32_t)(NET_HEADER_SIZE + length));
	driver_kick(NET_QUEUE_TX);
	assert_true(driver_take_used(NET_QUEUE_TX, &used));
	if (!driver_take_used(NET_QUEUE_RX, &used))
		return 0;
	rx_gpa = 0;
	memcpy(answer, memory_translate(NULL, gpa + NET_HEADER_SIZE, used.len - NET_HEADER_SIZE),
	       used.len - NET_HEADER_SIZE);
	return used.len - NET_HEADER_SIZE;
}

/* A SYN, or a datagram of 8 bytes, from the guest to @to. */
static size_t packet_make(uint8_t *frame, uint8_t protocol, const char *to, unsigned port)
{
	uint8_t *ip = frame + 14;
	size_t contents = protocol == IPPROTO_TCP ? 20 : 16;
	uint16_t sum;

	memset(frame, 0, 80);
	memcpy(frame, "\x52\x55\x0a\0\2\2\2\0\0\0\0\1\x08", 13);
	ip[0] = 0x45;
	ip[3] = (uint8_t)(20 + contents);
	ip[8] = 64;
	ip[9] = protocol;
	memcpy(ip + 12, "\x0a\0\2\x0f", 4);
	inet_pton(AF_INET, to, ip + 16);
	sum = checksum(ip, 20);
	ip[10] = sum >> 8;
	ip[11] = sum & 255;
	ip[20] = 0x10;
	ip[22] = (uint8_t)(port >> 8);
	ip[23] = (uint8_t)port;
	if (protocol == IPPROTO_UDP) {
		ip[25] = 16;
		return 14 + 36;
	}
	ip[32] = 0x50;
	ip[33] = 2;
	memcpy(ip + 40, ip + 12, 8);
	ip[49] = IPPROTO_TCP;
	ip[51] = 20;
	sum = checksum(ip + 20, 32); /* with the pseudo header behind it */
	ip[36] = sum >> 8;
	ip[37] = sum & 255;
	memset(ip + 40, 0, 12);
	return 14 + 40;
}

static json_int_t described(const char *name)
{
	json_t *object = json_object();
	json_int_t value;

	driver.device->device.ops->describe(&driver.device->device, object);
	value = json_integer_value(json_object_get(object, name));
	json_decref(object);
	return value;
}

/* A listener on the host's loopback, with @type; its port. */
static int listener(int type, unsigned *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, type | SOCK_NONBLOCK, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 4), 0);
	getsockname(fd, (struct sockaddr *)&address, &length);
	*port = ntohs(address.sin_port);
	return fd;
}

static void the_hosts_loopback_is_closed(void **state)
{
	static const char *const ways[] = {"10.0.2.2", "127.0.0.1", "0.0.0.0", "127.1.2.3",
					   "10.0.2.3"};
	uint8_t frame[80], answer[1500];
	unsigned tcp_port, udp_port;
	int tcp = listener(SOCK_STREAM, &tcp_port), udp = listener(SOCK_DGRAM, &udp_port);

	assert_null(driver_create("net", "user,mac=02:00:00:00:00:01"));
	driver_start(1ull << VIRTIO_NET_F_MRG_RXBUF);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		size_t length = packet_make(frame, IPPROTO_TCP, ways[i], tcp_port);

		assert_int_equal(send_and_take(frame, length, answer), 54);
		assert_int_equal(answer[47], NET_TCP_RST | NET_TCP_ACK);
		assert_true(accept(tcp, NULL, NULL) < 0);
		length = packet_make(frame, IPPROTO_UDP, ways[i], udp_port);
		assert_int_equal(send_and_take(frame, length, answer), 70);
		assert_int_equal(answer[34], 3);
		assert_true(recv(udp, answer, sizeof(answer), 0) < 0);
	}
	assert_int_equal(described("refused"), 2 * sizeof(ways) / sizeof(ways[0]));
	assert_int_equal(described("flows_udp"), 0);
	assert_int_equal(described("flows_tcp"), 0);
	driver_destroy();
	close(tcp);
	close(udp);
}

static void the_hosts_loopback_is_opened(void **state)
{
	uint8_t frame[80], answer[1500];
	unsigned tcp_port, udp_port;
	int tcp = listener(SOCK_STREAM, &tcp_port), udp = listener(SOCK_DGRAM, &udp_port);

	assert_null(driver_create("net", "user,mac=02:00:00:00:00:01,host-loopback=yes"));
	driver_start(1ull << VIRTIO_NET_F_MRG_RXBUF);
	send_and_take(frame, packet_make(frame, IPPROTO_TCP, "10.0.2.2", tcp_port), answer);
	assert_true(accept(tcp, NULL, NULL) >= 0);
	assert_int_equal(described("flows_tcp"), 1);
	assert_int_equal(described("flows_tcp_buffers"), 262144);
	send_and_take(frame, packet_make(frame, IPPROTO_UDP, "10.0.2.2", udp_port), answer);
	assert_int_equal(recv(udp, answer, sizeof(answer), 0), 8);
	assert_int_equal(described("flows_udp"), 1);
	driver_destroy();
	close(tcp);
	close(udp);
}

static void at_the_bound_the_guest_is_answered(void **state)
{
	uint8_t frame[80], answer[1500];
	unsigned port;
	int udp = listener(SOCK_DGRAM, &port);

	assert_null(driver_create("net", "user,mac=02:00:00:00:00:01,host-loopback=yes,flows=16"));
	driver.vm.log.level = -1;
	driver_start(1ull << VIRTIO_NET_F_MRG_RXBUF);
	for (unsigned i = 0; i < 20; i++) {
		size_t length = packet_make(frame, IPPROTO_UDP, "10.0.2.2", port), got;

		frame[35] = (uint8_t)i; /* source port */
		got = send_and_take(frame, length, answer);
		assert_int_equal(got != 0, i >= 16);
		if (got)
			assert_memory_equal(answer + 34, "\3\15", 2);
	}
	assert_int_equal(described("flows_udp"), 16);
	assert_int_equal(described("flows_refused"), 4);
	/* It does not affect an open flow. */
	packet_make(frame, IPPROTO_UDP, "10.0.2.2", port);
	assert_int_equal(send_and_take(frame, 50, answer), 0);
	driver_destroy();
	close(udp);
}

static void fragments_are_put_together(void **state)
{
	uint8_t frame[80], answer[1500], *ip = frame + 14;
	unsigned port;
	uint16_t sum;
	int udp = listener(SOCK_DGRAM, &port);

	assert_null(driver_create("net", "user,mac=02:00:00:00:00:01,host-loopback=yes"));
	driver_start(1ull << VIRTIO_NET_F_MRG_RXBUF);
	for (unsigned part = 0; part < 2; part++) {
		size_t length = packet_make(frame, IPPROTO_UDP, "10.0.2.2", port);

		if (part == 0) {
			ip[6] = 0x20;
			ip[25] = 24; /* 8 bytes more will come */
		} else {
			memset(ip + 20, 'x', 16);
			ip[7] = 2;
			ip[3] = 28;
			length = 14 + 28;
		}
		ip[10] = ip[11] = 0;
		sum = checksum(ip, 20);
		ip[10] = sum >> 8;
		ip[11] = sum & 255;
		assert_int_equal(send_and_take(frame, length, answer), 0);
		assert_int_equal(described("fragments_bytes") > 0, part == 0);
	}
	assert_int_equal(recv(udp, answer, sizeof(answer), 0), 16);
	assert_memory_equal(answer + 8, "xxxxxxxx", 8);
	driver_destroy();
	close(udp);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forwards_are_parsed),
		cmocka_unit_test(bad_forwards_are_refused),
		cmocka_unit_test(bad_options_are_refused),
		cmocka_unit_test(a_taken_port_is_named),
		cmocka_unit_test_setup(the_hosts_loopback_is_closed, start),
		cmocka_unit_test_setup(the_hosts_loopback_is_opened, start),
		cmocka_unit_test_setup(at_the_bound_the_guest_is_answered, start),
		cmocka_unit_test_setup(fragments_are_put_together, start),
		cmocka_unit_test(the_host_answers_arp),
		cmocka_unit_test(dhcp_gives_an_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
