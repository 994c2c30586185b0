// SPDX-License-Identifier: BSD-2-Clause
/* The user network's name server, in front of servers of the host that this test plays. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "devices/virtio/net/net_dns.h"
#include "devices/virtio/net/net_resolver.h"
#include "util/clock.h"

#define GUEST	    0x0a00020fu
#define NAME_SERVER 0x0a000203u
#define ROUNDS	    2000 /* of 5 ms: no machine is that slow */

static char directory[64], path[80];
static struct event_loop *loop;
static uint8_t got[70000];
static _Atomic size_t got_length, got_count, failures;
static pthread_t thread; /* runs the loop */

static void write_conf(const char *file, const char *text)
{
	FILE *stream = fopen(file, "w");

	assert_non_null(stream);
	fputs(text, stream);
	fclose(stream);
	chmod(file, 0644);
}

static void *run(void *opaque)
{
	event_loop_run(loop);
	return NULL;
}

static int make(void **state)
{
	strcpy(directory, "/tmp/symvm-dns-XXXXXX");
	if (!mkdtemp(directory) || chmod(directory, 0755) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/resolv.conf", directory);
	got_length = got_count = failures = 0;
	if (event_loop_create(&loop) < 0)
		return -1;
	return pthread_create(&thread, NULL, run, NULL);
}

static int unmake(void **state)
{
	char command[100];

	event_loop_quit(loop);
	pthread_join(thread, NULL);
	event_loop_destroy(loop);
	snprintf(command, sizeof(command), "rm -r %s", directory);
	return system(command);
}

static void take(void *opaque, const uint8_t *frame, size_t length)
{
	memcpy(got, frame, length);
	got_length = length;
	failures += length > NET_UDP_FRAME(4) && (frame[NET_UDP_FRAME(3)] & 15u) == 2;
	got_count++;
}

/* A server at 127.0.0.@last. */
static int server_open(unsigned last, uint16_t *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons(*port),
				      .sin_addr.s_addr = htonl(0x7f000000u | last)};
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
	getsockname(fd, (struct sockaddr *)&address, &length);
	*port = ntohs(address.sin_port);
	return fd;
}

static struct net_dns *dns_open(uint16_t port, size_t mtu)
{
	const struct net_dns_config config = {.loop = loop,
					      .path = path,
					      .address = NAME_SERVER,
					      .port = port,
					      .mtu = mtu,
					      .send = take};
	struct error err = {0};
	struct net_dns *dns = net_dns_create(&config, &err);

	if (!dns)
		fail_msg("%s", err.text);
	return dns;
}

struct question {
	struct net_dns *dns;
	unsigned port, id;
};

static void ask_here(void *opaque)
{
	const struct question *question = opaque;
	unsigned port = question->port, id = question->id;
	const struct net_endpoint guest = {.mac = {2, 0, 0, 0, 0, 1},
					   .address = GUEST,
					   .port = (uint16_t)port},
				  server = {.address = NAME_SERVER, .port = 53};
	uint8_t frame[NET_UDP_FRAME(19)] = {0}, *data = frame + NET_UDP_FRAME(0);
	struct net_packet packet;

	memcpy(data, "\0\0\1\0\0\1\0\0\0\0\0\0\1a\0\0\1\0\1", 19);
	data[0] = (uint8_t)(id >> 8);
	data[1] = (uint8_t)id;
	assert_true(net_packet_parse(frame, net_udp_frame(frame, 19, &guest, &server), &packet));
	net_dns_query(question->dns, &packet);
}

/* The guest asks for "a.", by query @id from @port. */
static void ask(struct net_dns *dns, unsigned port, unsigned id)
{
	struct question question = {dns, port, id};

	event_loop_call(loop, ask_here, &question);
}

static void destroy_here(void *opaque)
{
	net_dns_destroy(opaque);
}

static void dns_close(struct net_dns *dns)
{
	event_loop_call(loop, destroy_here, dns);
}

static void spin(void)
{
	usleep(5000);
}

/* A query that arrives at @fd; its peer. */
static struct sockaddr_in server_take(int fd, uint8_t *data, ssize_t *length)
{
	struct sockaddr_in peer = {0};
	socklen_t size = sizeof(peer);

	*length = -1;
	for (int i = 0; i < ROUNDS && *length < 0; i++) {
		*length = recvfrom(fd, data, 512, 0, (struct sockaddr *)&peer, &size);
		if (*length < 0)
			spin();
	}
	assert_int_equal(*length, 19);
	return peer;
}

static void server_answer(int fd, size_t extra)
{
	static uint8_t data[32768];
	ssize_t length;
	struct sockaddr_in peer = server_take(fd, data, &length);

	data[2] |= 0x80;
	sendto(fd, data, (size_t)length + extra, 0, (struct sockaddr *)&peer, sizeof(peer));
}

static void wait_for_answers(size_t count)
{
	for (int i = 0; i < ROUNDS && got_count < count; i++)
		spin();
	assert_int_equal(got_count, count);
}

static void files_are_parsed(void **state)
{
	struct net_resolvers resolvers;
	char text[64];

	write_conf(path, "# nameserver 1.1.1.1\nsearch x\nnameserver\t192.0.2.1 # it\n"
			 " nameserver 1.1.1.1\nnameserver2 1.1.1.1\nnameserver bad\r\n"
			 "nameserver 2001:db8::1\nnameserver fe80::1%lo\nnameserver 192.0.2.9");
	net_resolvers_read(path, &resolvers);
	assert_int_equal(resolvers.count, 3);
	assert_string_equal(
		inet_ntop(AF_INET, &resolvers.servers[0].in4.sin_addr, text, sizeof(text)),
		"192.0.2.1");
	assert_int_equal(ntohs(resolvers.servers[0].in4.sin_port), 53);
	assert_string_equal(
		inet_ntop(AF_INET6, &resolvers.servers[1].in6.sin6_addr, text, sizeof(text)),
		"2001:db8::1");
	assert_true(resolvers.servers[2].in6.sin6_scope_id > 0);
	write_conf(path, "");
	net_resolvers_read(path, &resolvers);
	assert_int_equal(resolvers.count, 0);
	unlink(path);
	net_resolvers_read(path, &resolvers);
	assert_int_equal(resolvers.count, 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	net_resolvers_read(path, &resolvers);
	assert_int_equal(resolvers.count, 0);
	net_resolvers_read(directory, &resolvers);
	assert_int_equal(resolvers.count, 0);
}

static void a_query_is_answered(void **state)
{
	uint16_t port = 0;
	int fd = server_open(1, &port);
	struct net_packet packet;
	struct net_dns *dns;

	write_conf(path, "nameserver 127.0.0.1\n");
	dns = dns_open(port, 1500);
	ask(dns, 4000, 77);
	server_answer(fd, 0);
	wait_for_answers(1);
	assert_true(net_packet_parse(got, got_length, &packet));
	assert_int_equal(packet.source, NAME_SERVER);
	assert_int_equal(packet.destination, GUEST);
	assert_int_equal(packet.source_port, 53);
	assert_int_equal(packet.destination_port, 4000);
	assert_memory_equal(got, "\2\0\0\0\0\1", 6);
	assert_memory_equal(got + NET_UDP_FRAME(0), "\0\x4d\x81", 3);
	assert_int_equal(net_dns_server(dns), 0x7f000001);
	/* Longer than a frame of the guest: cut, so that it asks by TCP. */
	ask(dns, 4000, 78);
	server_answer(fd, 2000);
	wait_for_answers(2);
	assert_int_equal(got_length, NET_UDP_FRAME(19));
	assert_memory_equal(got + NET_UDP_FRAME(0), "\0\x4e\x83\0\0\1\0\0\0\0\0\0\1a", 14);
	dns_close(dns);
	close(fd);
}

/* Replaced by a rename, by another symbolic link, and written in place. */
static void the_file_is_followed(void **state)
{
	char other[100], text[40];
	uint16_t port = 0;
	int fds[5];
	struct net_dns *dns;

	for (unsigned i = 0; i < 5; i++)
		fds[i] = server_open(i + 1, &port);
	write_conf(path, "nameserver 127.0.0.1\n");
	dns = dns_open(port, 1500);
	for (unsigned i = 0; i < 5; i++) {
		snprintf(other, sizeof(other), "%s/other%u", directory, i);
		snprintf(text, sizeof(text), "nameserver 127.0.0.%u\n", i + 1);
		if (i == 1 || i == 4)
			write_conf(path, text); /* in place; at last through the link */
		if (i == 2 || i == 3)
			write_conf(other, text);
		if (i == 2)
			assert_int_equal(rename(other, path), 0);
		if (i == 3) {
			assert_int_equal(unlink(path), 0);
			assert_int_equal(symlink(other, path), 0);
		}
		if (i)
			sleep(1); /* the cached list is valid for this time */
		ask(dns, 4000, i);
		server_answer(fds[i], 0);
		wait_for_answers(i + 1);
	}
	dns_close(dns);
	for (unsigned i = 0; i < 5; i++)
		close(fds[i]);
}

/* One server does not listen, one is silent: the next one answers. */
static void the_next_server_is_asked(void **state)
{
	uint16_t port = 0;
	int third = server_open(3, &port), second = server_open(2, &port);
	uint8_t data[512];
	ssize_t length;
	struct net_dns *dns;

	write_conf(path, "nameserver 127.0.0.1\nnameserver 127.0.0.2\nnameserver 127.0.0.3\n");
	dns = dns_open(port, 1500);
	ask(dns, 4000, 1);
	server_take(second, data, &length);
	ask(dns, 4000, 1);
	server_answer(third, 0);
	wait_for_answers(1);
	assert_int_equal(failures, 0);
	dns_close(dns);
	close(second);
	close(third);
}

static void without_a_server_the_guest_hears_of_it(void **state)
{
	struct net_dns *dns;

	write_conf(path, "search x\n");
	dns = dns_open(0, 1500);
	ask(dns, 4000, 1);
	wait_for_answers(1);
	assert_int_equal(failures, 1);
	assert_int_equal(net_dns_server(dns), 0);
	dns_close(dns);
}

/* A flood without answers: the guest gets an error for each query given up; others get through. */
static void a_flood_is_bounded(void **state)
{
	uint16_t port = 0;
	int silent = server_open(1, &port);
	uint8_t data[512];
	ssize_t length;
	struct net_dns *dns;

	write_conf(path, "nameserver 127.0.0.1\n");
	dns = dns_open(port, 1500);
	ask(dns, 4000, 1);
	server_take(silent, data, &length);
	/* From one port: the flood takes no room from other ports. */
	for (unsigned i = 0; i < 1000; i++)
		ask(dns, 5000, i);
	assert_int_equal(failures, 1000 - NET_DNS_PER_PORT);
	/* From many ports: the oldest queries are given up. */
	for (unsigned i = 0; i < 1000; i++)
		ask(dns, 10000 + i, 7);
	assert_int_equal(failures, 2001 - NET_DNS_MOST);
	assert_int_equal(got_count, failures);
	dns_close(dns);
	close(silent);
}

static void guesses_are_no_answers(void **state)
{
	uint16_t port = 0;
	int fd = server_open(1, &port);
	uint8_t data[512];
	ssize_t length;
	struct sockaddr_in peer;
	struct net_dns *dns;

	write_conf(path, "nameserver 127.0.0.1\n");
	dns = dns_open(port, 1500);
	ask(dns, 4000, 0x1234);
	peer = server_take(fd, data, &length);
	sendto(fd, "", 1, 0, (struct sockaddr *)&peer, sizeof(peer));
	data[1] ^= 1;
	sendto(fd, data, (size_t)length, 0, (struct sockaddr *)&peer, sizeof(peer));
	for (int i = 0; i < 10; i++)
		spin();
	assert_int_equal(got_count, 0);
	data[1] ^= 1;
	sendto(fd, data, (size_t)length, 0, (struct sockaddr *)&peer, sizeof(peer));
	wait_for_answers(1);
	dns_close(dns);
	close(fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)
	const struct CMUnitTest tests[] = {
		TEST(files_are_parsed),
		TEST(a_query_is_answered),
		TEST(the_file_is_followed),
		TEST(the_next_server_is_asked),
		TEST(without_a_server_the_guest_hears_of_it),
		TEST(a_flood_is_bounded),
		TEST(guesses_are_no_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
