// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>

/* For its parsers. */
#include "devices/virtio/net_user.c"

#include "driver.h"

static void forwards_are_parsed(void **state)
{
	struct forward forward;
	struct error err;

	assert_int_equal(parse_forward("tcp:127.0.0.2:8080-:80", &forward, &err), 0);
	assert_false(forward.udp);
	assert_int_equal(ntohl(forward.host.s_addr), 0x7f000002);
	assert_int_equal(forward.host_port, 8080);
	assert_int_equal(ntohl(forward.guest.s_addr), 0x0a00020f);
	assert_int_equal(forward.guest_port, 80);
	assert_int_equal(parse_forward("udp::1-10.0.2.20:65535", &forward, &err), 0);
	assert_true(forward.udp);
	assert_int_equal(ntohl(forward.host.s_addr), LOOPBACK);
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
	struct forward forward;
	struct error err;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		err.text[0] = '\0';
		if (parse_forward(bad[i], &forward, &err) != -EINVAL)
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
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(LOOPBACK)};
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

static void what_begins_a_flow(void **state)
{
	uint8_t frame[60] = {[12] = 0x08, [14] = 0x45};

	frame[23] = IPPROTO_UDP;
	assert_true(net_flow_begins(frame, sizeof(frame)));
	assert_false(net_flow_begins(frame, 33));
	frame[13] = 0x06; /* ARP */
	assert_false(net_flow_begins(frame, sizeof(frame)));
	frame[13] = 0;
	frame[23] = IPPROTO_TCP;
	assert_false(net_flow_begins(frame, sizeof(frame)));
	frame[47] = 0x02; /* SYN */
	assert_true(net_flow_begins(frame, sizeof(frame)));
	assert_false(net_flow_begins(frame, 47));
	frame[47] = 0x12;
	assert_false(net_flow_begins(frame, sizeof(frame)));
	frame[21] = 1; /* a later fragment */
	assert_true(net_flow_begins(frame, sizeof(frame)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forwards_are_parsed),
		cmocka_unit_test(bad_forwards_are_refused),
		cmocka_unit_test(bad_options_are_refused),
		cmocka_unit_test(a_taken_port_is_named),
		cmocka_unit_test(what_begins_a_flow),
		cmocka_unit_test(the_host_answers_arp),
		cmocka_unit_test(dhcp_gives_an_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
