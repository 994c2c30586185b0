// SPDX-License-Identifier: BSD-2-Clause
/* Packets, policy, fragments and flows of the user network. */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <cmocka.h>

#include "devices/virtio/net/net_flow.h"
#include "devices/virtio/net/net_fragments.h"
#include "devices/virtio/net/net_policy.h"
#include "util/clock.h"

#define GUEST	    0x0a00020fu
#define HOST	    0x0a000202u
#define NAME_SERVER 0x0a000203u
#define ELSEWHERE   0xc0000201u /* 192.0.2.1 */

static uint8_t frame[70000];

static void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value & 0xffff);
}

/* A frame of the guest in @frame, with @contents bytes behind its IP header; its length. */
static size_t make(uint8_t protocol, uint32_t to, unsigned source_port, unsigned port,
		   size_t contents)
{
	uint8_t *ip = frame + NET_ETHERNET;

	memset(frame, 0, NET_ETHERNET + NET_IPV4 + 60);
	memcpy(frame, "\x52\x55\x0a\0\x02\x02\x52\x54\0\x12\x34\x56\x08", 13);
	ip[0] = 0x45;
	put16(ip + 2, (unsigned)(NET_IPV4 + contents));
	ip[8] = 64;
	ip[9] = protocol;
	put32(ip + 12, GUEST);
	put32(ip + 16, to);
	put16(ip + 20, source_port);
	put16(ip + 22, port);
	if (protocol == IPPROTO_UDP)
		put16(ip + 24, (unsigned)contents);
	net_ip_checksum(ip, NET_IPV4);
	return NET_ETHERNET + NET_IPV4 + contents;
}

static struct net_packet packet_of(size_t length)
{
	struct net_packet packet;

	assert_true(net_packet_parse(frame, length, &packet));
	return packet;
}

static struct net_packet udp(uint32_t to, unsigned source_port, unsigned port)
{
	return packet_of(make(IPPROTO_UDP, to, source_port, port, 20));
}

static struct net_packet tcp(uint32_t to, unsigned source_port, unsigned port, uint8_t flags)
{
	size_t length = make(IPPROTO_TCP, to, source_port, port, 20);

	frame[NET_ETHERNET + NET_IPV4 + 12] = 0x50;
	frame[NET_ETHERNET + NET_IPV4 + 13] = flags;
	return packet_of(length);
}

static uint16_t sum_of(uint32_t sum, const uint8_t *data, size_t length)
{
	for (size_t i = 0; i < length; i++)
		sum += i % 2 ? data[i] : (uint32_t)(data[i] << 8);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* Over a packet with right checksums each sum is 0xffff. */
static void assert_sums(const uint8_t *answer, size_t length)
{
	const uint8_t *ip = answer + NET_ETHERNET;
	size_t inner = length - NET_ETHERNET - NET_IPV4;
	uint32_t pseudo = ip[9] == IPPROTO_ICMP ? 0 : ip[9] + (uint32_t)inner;

	if (pseudo)
		pseudo += sum_of(0, ip + 12, 8);
	assert_int_equal(sum_of(0, ip, NET_IPV4), 0xffff);
	assert_int_equal(sum_of(pseudo, ip + NET_IPV4, inner), 0xffff);
}

static void bad_packets_are_none(void **state)
{
	size_t length = make(IPPROTO_UDP, ELSEWHERE, 1, 2, 20);
	struct net_packet packet;

	assert_true(net_packet_parse(frame, length, &packet));
	assert_true(packet.has_ports);
	for (size_t cut = 0; cut < length; cut++)
		assert_false(net_packet_parse(frame, cut, &packet));
	frame[NET_ETHERNET] = 0x44;
	assert_false(net_packet_parse(frame, length, &packet));
	frame[NET_ETHERNET] = 0x4f; /* its header is longer than itself */
	assert_false(net_packet_parse(frame, length, &packet));
	frame[NET_ETHERNET] = 0x65;
	assert_false(net_packet_parse(frame, length, &packet));
	length = make(IPPROTO_TCP, ELSEWHERE, 1, 2, 19);
	assert_true(net_packet_parse(frame, length, &packet));
	assert_false(packet.has_ports);
}

static void resets_are_right(void **state)
{
	uint8_t answer[NET_ANSWER_MAX];
	struct net_packet packet = tcp(HOST, 4321, 80, NET_TCP_SYN);
	size_t length;

	put32(frame + NET_ETHERNET + NET_IPV4 + 4, 0xfffffffe);
	length = net_answer_reset(&packet, answer);
	assert_int_equal(length, NET_ETHERNET + 40);
	assert_sums(answer, length);
	assert_memory_equal(answer, "\x52\x54\0\x12\x34\x56\x52\x55\x0a\0\x02\x02\x08\0", 14);
	assert_memory_equal(answer + 26, "\x0a\0\x02\x02\x0a\0\x02\x0f", 8);
	assert_memory_equal(answer + 34, "\0\x50\x10\xe1\0\0\0\0\xff\xff\xff\xff\x50\x14", 14);
	packet = tcp(HOST, 1, 2, NET_TCP_RST);
	assert_int_equal(net_answer_reset(&packet, answer), 0);
	packet = udp(HOST, 1, 2);
	assert_int_equal(net_answer_reset(&packet, answer), 0);
}

static void errors_are_right(void **state)
{
	uint8_t answer[NET_ANSWER_MAX];
	struct net_packet packet = udp(ELSEWHERE, 1, 2);
	size_t length = net_answer_icmp(&packet, HOST, NET_UNREACHABLE, NET_CODE_PROHIBITED,
					answer);

	assert_int_equal(length, NET_ETHERNET + 20 + 8 + 28);
	assert_sums(answer, length);
	assert_memory_equal(answer + 34, "\3\15", 2);
	assert_memory_equal(answer + 42, frame + NET_ETHERNET, 28);
	/* None to a broadcast, to an error, to a later fragment. */
	packet = udp(INADDR_BROADCAST, 1, 2);
	assert_int_equal(net_answer_icmp(&packet, HOST, 3, 13, answer), 0);
	length = make(IPPROTO_ICMP, ELSEWHERE, 0x0300, 0, 20);
	packet = packet_of(length);
	assert_int_equal(net_answer_icmp(&packet, HOST, 3, 13, answer), 0);
	frame[NET_ETHERNET + NET_IPV4] = 8;
	assert_true(net_answer_icmp(&packet, HOST, 3, 13, answer) > 0);
	length = make(IPPROTO_UDP, ELSEWHERE, 1, 2, 16);
	frame[NET_ETHERNET + 7] = 1;
	packet = packet_of(length);
	assert_int_equal(net_answer_icmp(&packet, HOST, 3, 13, answer), 0);
}

static void addresses_are_changed(void **state)
{
	struct net_packet packet = tcp(NAME_SERVER, 4321, 53, NET_TCP_SYN);
	uint8_t *ip = frame + NET_ETHERNET;

	put16(ip + 36, (uint16_t)~sum_of(6 + 20 + sum_of(0, ip + 12, 8), ip + 20, 20));
	assert_sums(frame, NET_ETHERNET + 40);
	net_packet_readdress(frame, &packet, false, 0x7f000035);
	assert_memory_equal(ip + 16, "\x7f\0\0\x35", 4);
	assert_sums(frame, NET_ETHERNET + 40);
	net_packet_readdress(frame, &packet, true, 0xffffffff);
	assert_sums(frame, NET_ETHERNET + 40);
}

/* --- policy --- */

static struct net_policy policy_of(bool host_loopback, bool restricted)
{
	return (struct net_policy){.host = HOST,
				   .name_server = NAME_SERVER,
				   .host_loopback = host_loopback,
				   .restricted = restricted};
}

static void the_host_is_closed_unless_opened(void **state)
{
	static const uint32_t local[] = {HOST,	     0x7f000001, 0x7f123456, 0,
					 0x00000001, 0xa9fea9fe, 0xffffffff};
	struct net_policy closed = policy_of(false, false), open = policy_of(true, false);
	struct net_packet packet;

	for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++) {
		packet = tcp(local[i], 1000, 80, NET_TCP_SYN);
		assert_int_equal(net_policy_judge(&closed, &packet), NET_REFUSE);
		assert_int_equal(net_policy_judge(&open, &packet), NET_PASS);
		packet = tcp(local[i], 1000, 80, NET_TCP_SYN | 0xc0); /* with ECN */
		assert_int_equal(net_policy_judge(&closed, &packet), NET_REFUSE);
		packet = udp(local[i], 1000, 80);
		assert_int_equal(net_policy_judge(&closed, &packet), NET_REFUSE);
		assert_int_equal(net_policy_judge(&open, &packet), NET_PASS);
	}
	packet = tcp(ELSEWHERE, 1000, 80, NET_TCP_SYN);
	assert_int_equal(net_policy_judge(&closed, &packet), NET_PASS);
	packet = udp(ELSEWHERE, 1000, 80);
	assert_int_equal(net_policy_judge(&closed, &packet), NET_PASS);
}

static void what_the_network_itself_needs_passes(void **state)
{
	for (unsigned i = 0; i < 4; i++) {
		struct net_policy policy = policy_of(i & 1, i & 2);
		struct net_packet packet = udp(INADDR_BROADCAST, 68, 67);

		assert_int_equal(net_policy_judge(&policy, &packet), NET_PASS);
		packet = udp(HOST, 68, 67);
		assert_int_equal(net_policy_judge(&policy, &packet), NET_PASS);
		packet = packet_of(make(IPPROTO_ICMP, HOST, 0x0800, 0, 20));
		assert_int_equal(net_policy_judge(&policy, &packet), NET_PASS);
		/* Of a connection that a forward accepted. */
		packet = tcp(HOST, 80, 40000, NET_TCP_SYN | NET_TCP_ACK);
		assert_int_equal(net_policy_judge(&policy, &packet), NET_PASS);
		packet = tcp(HOST, 80, 40000, NET_TCP_ACK);
		assert_int_equal(net_policy_judge(&policy, &packet), NET_PASS);
	}
}

/* 10.0.2.3 is the host's name server, which may be 127.0.0.1: port 53 alone. */
static void the_name_server_is_no_way_around(void **state)
{
	struct net_policy policy = policy_of(false, false), restricted = policy_of(true, true);
	struct net_packet packet = udp(NAME_SERVER, 1000, 53);

	assert_int_equal(net_policy_judge(&policy, &packet), NET_DNS);
	assert_int_equal(net_policy_judge(&restricted, &packet), NET_REFUSE);
	packet = udp(NAME_SERVER, 1000, 5353);
	assert_int_equal(net_policy_judge(&policy, &packet), NET_REFUSE);
	packet = tcp(NAME_SERVER, 1000, 53, NET_TCP_SYN);
	assert_int_equal(net_policy_judge(&policy, &packet), NET_DNS);
	packet = tcp(NAME_SERVER, 1000, 80, NET_TCP_SYN);
	assert_int_equal(net_policy_judge(&policy, &packet), NET_REFUSE);
}

static void a_restricted_guest_reaches_nothing(void **state)
{
	static const uint32_t all[] = {HOST, ELSEWHERE, 0x08080808, 0x7f000001, 0xe0000001};
	struct net_policy policy = policy_of(true, true);
	struct net_packet packet;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		packet = tcp(all[i], 1000, 80, NET_TCP_SYN);
		assert_int_equal(net_policy_judge(&policy, &packet), NET_REFUSE);
		packet = udp(all[i], 1000, 53);
		assert_int_equal(net_policy_judge(&policy, &packet), NET_REFUSE);
		if (all[i] == HOST)
			continue;
		packet = packet_of(make(IPPROTO_ICMP, all[i], 0x0800, 0, 20));
		assert_int_equal(net_policy_judge(&policy, &packet), NET_REFUSE);
	}
}

/* The guest may answer only peers that sent a packet through a forward. */
static void answers_of_udp_forwards_pass(void **state)
{
	for (unsigned restricted = 0; restricted < 2; restricted++) {
		struct net_policy policy = policy_of(false, restricted);
		struct net_forward forward;
		struct net_packet packet;
		struct error err;

		assert_int_equal(net_forward_parse("udp::9-:7", GUEST, &forward, &err), 0);
		net_policy_forward(&policy, &forward);
		packet = udp(HOST, 7, 40000);
		assert_int_equal(net_policy_judge(&policy, &packet), NET_REFUSE);
		packet.source = HOST;
		packet.destination = GUEST;
		packet.source_port = 40000;
		packet.destination_port = 7;
		net_policy_incoming(&policy, &packet);
		packet = udp(HOST, 7, 40000);
		assert_int_equal(net_policy_judge(&policy, &packet), NET_PASS);
		packet = udp(HOST, 7, 40001);
		assert_int_equal(net_policy_judge(&policy, &packet), NET_REFUSE);
		packet = udp(HOST, 8, 40000);
		assert_int_equal(net_policy_judge(&policy, &packet), NET_REFUSE);
	}
}

/* --- fragments --- */

static uint8_t contents[65536];

/* Gives fragment [@from, @to) of a datagram with @id of @total bytes; true: it is whole. */
static bool fragment(struct net_fragments *fragments, unsigned id, unsigned from, unsigned to,
		     unsigned total, uint64_t now, size_t *answered)
{
	size_t length = make(IPPROTO_UDP, ELSEWHERE, 0, 0, to - from), whole_length;
	uint8_t *ip = frame + NET_ETHERNET, answer[NET_ANSWER_MAX];
	struct net_packet packet;
	const uint8_t *whole;
	bool done;

	memcpy(ip + NET_IPV4, contents + from, to - from);
	put16(ip + 4, id);
	put16(ip + 6, from / 8 | (to < total ? 0x2000 : 0));
	packet = packet_of(length);
	done = net_fragments_add(fragments, &packet, now, HOST, &whole, &whole_length, answer,
				 answered);
	if (done) {
		assert_int_equal(whole_length, NET_ETHERNET + NET_IPV4 + total);
		assert_memory_equal(whole + NET_ETHERNET + NET_IPV4, contents, total);
		assert_true(net_packet_parse(whole, whole_length, &packet));
		assert_false(net_packet_is_fragment(&packet));
	}
	return done;
}

static int fill(void **state)
{
	for (size_t i = 0; i < sizeof(contents); i++)
		contents[i] = (uint8_t)(i * 7 + i / 251);
	return 0;
}

static void fragments_come_in_any_order(void **state)
{
	struct net_fragments *fragments = net_fragments_create();
	size_t answered;

	assert_false(fragment(fragments, 1, 1480, 2960, 4000, 0, &answered));
	assert_false(fragment(fragments, 1, 2960, 4000, 4000, 0, &answered));
	assert_false(fragment(fragments, 2, 0, 8, 16, 0, &answered));
	assert_false(fragment(fragments, 1, 1480, 2960, 4000, 0, &answered)); /* twice */
	assert_true(fragment(fragments, 1, 0, 1480, 4000, 0, &answered));
	assert_true(fragment(fragments, 2, 8, 16, 16, 0, &answered));
	assert_false(fragment(fragments, 3, 0, 65000, 65515, 0, &answered));
	assert_true(fragment(fragments, 3, 65000, 65515, 65515, 0, &answered));
	assert_int_equal(net_fragments_bytes(fragments), 0);
	assert_int_equal(net_fragments_dropped(fragments), 0);
	net_fragments_destroy(fragments);
}

static void contradictions_are_dropped(void **state)
{
	struct net_fragments *fragments = net_fragments_create();
	size_t answered;

	/* Beyond 65535. */
	assert_false(fragment(fragments, 1, 65528, 65536, 65536, 0, &answered));
	assert_int_equal(net_fragments_dropped(fragments), 1);
	/* An end before what is there. */
	assert_false(fragment(fragments, 2, 800, 1600, 4000, 0, &answered));
	assert_false(fragment(fragments, 2, 0, 8, 8, 0, &answered));
	assert_int_equal(net_fragments_dropped(fragments), 2);
	/* Two ends. */
	assert_false(fragment(fragments, 3, 8, 16, 16, 0, &answered));
	assert_false(fragment(fragments, 3, 8, 32, 32, 0, &answered));
	assert_int_equal(net_fragments_dropped(fragments), 3);
	assert_int_equal(net_fragments_bytes(fragments), 0);
	net_fragments_destroy(fragments);
}

/* The attack of poc_frag: only first fragments, each of another datagram. */
static void a_flood_of_fragments_is_bounded(void **state)
{
	struct net_fragments *fragments = net_fragments_create();
	size_t answered, answers = 0;

	for (unsigned i = 0; i < 40000; i++) {
		assert_false(fragment(fragments, i, 0, 64, 128, i, &answered));
		assert_true(net_fragments_bytes(fragments) <= NET_DATAGRAMS * 65600);
		answers += answered != 0;
	}
	assert_int_equal(net_fragments_dropped(fragments), 40000 - NET_DATAGRAMS);
	/* The guest gets an answer for each dropped datagram. */
	assert_int_equal(answers, 40000 - NET_DATAGRAMS);
	/* A datagram that comes then still becomes whole. */
	assert_false(fragment(fragments, 50000, 0, 64, 128, 50000, &answered));
	assert_true(fragment(fragments, 50000, 64, 128, 128, 50001, &answered));
	net_fragments_destroy(fragments);
}

static void old_fragments_are_given_up(void **state)
{
	struct net_fragments *fragments = net_fragments_create();
	uint64_t late = (NET_FRAGMENT_SECONDS + 1) * NS_PER_SECOND;
	size_t answered;

	assert_false(fragment(fragments, 1, 0, 64, 128, 0, &answered));
	assert_false(fragment(fragments, 1, 64, 128, 128, late, &answered));
	assert_true(answered > 0);
	assert_int_equal(net_fragments_dropped(fragments), 1);
	net_fragments_destroy(fragments);
}

/* --- flows --- */

static void each_kind_of_flow_has_its_bound(void **state)
{
	struct net_flow flow[NET_FLOWS_MIN];
	struct net_packet packet;
	struct net_flows flows;
	struct error err;

	assert_int_equal(net_flows_init(&flows, NET_FLOWS_MIN - 1, &err), -EINVAL);
	assert_int_equal(net_flows_init(&flows, NET_FLOWS_MAX + 1, &err), -EINVAL);
	assert_int_equal(net_flows_init(&flows, NET_FLOWS_MIN, &err), 0);
	for (unsigned i = 0; i < NET_FLOWS_MIN; i++) {
		packet = udp(ELSEWHERE, 1000 + i, 9);
		assert_false(net_flows_full(&flows, &packet));
		flow[i] = net_flows_opened(&flows, net_flow_kind(&packet), &packet);
	}
	packet = udp(ELSEWHERE, 3000, 9);
	assert_true(net_flows_full(&flows, &packet));
	/* Open flows continue; other kinds are not affected. */
	packet = udp(HOST, 1003, 77);
	assert_false(net_flows_full(&flows, &packet));
	packet.source++;
	assert_true(net_flows_full(&flows, &packet));
	packet = tcp(ELSEWHERE, 1, 80, NET_TCP_SYN);
	assert_false(net_flows_full(&flows, &packet));
	packet = packet_of(make(IPPROTO_ICMP, ELSEWHERE, 0x0800, 0, 20));
	assert_false(net_flows_full(&flows, &packet));
	net_flows_closed(&flows, &flow[3]);
	packet = udp(ELSEWHERE, 1003, 9);
	assert_false(net_flows_full(&flows, &packet));
	assert_int_equal(flows.count[NET_FLOW_UDP], NET_FLOWS_MIN - 1);
	net_flows_free(&flows);
}

static void connections_that_exist_are_never_full(void **state)
{
	struct net_packet packet;
	struct net_flows flows;
	struct error err;

	assert_int_equal(net_flows_init(&flows, NET_FLOWS_MIN, &err), 0);
	for (unsigned i = 0; i < NET_FLOWS_MIN; i++)
		net_flows_opened(&flows, NET_FLOW_TCP, NULL);
	packet = tcp(ELSEWHERE, 1, 80, NET_TCP_SYN);
	assert_true(net_flows_full(&flows, &packet));
	packet = tcp(ELSEWHERE, 1, 80, NET_TCP_ACK);
	assert_false(net_flows_full(&flows, &packet));
	packet = tcp(ELSEWHERE, 1, 80, NET_TCP_SYN | NET_TCP_ACK);
	assert_false(net_flows_full(&flows, &packet));
	net_flows_free(&flows);
}

/* All flows together leave half of the descriptors. */
static void flows_leave_descriptors(void **state)
{
	struct rlimit before, few = {.rlim_cur = 256};
	struct net_flows flows;
	struct error err;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few.rlim_max = before.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(net_flows_init(&flows, NET_FLOWS_MAX, &err), 0);
	assert_true(flows.most[NET_FLOW_TCP] + flows.most[NET_FLOW_UDP] +
			    flows.most[NET_FLOW_ICMP] <=
		    128);
	assert_true(flows.most[NET_FLOW_UDP] >= 16);
	net_flows_free(&flows);
	setrlimit(RLIMIT_NOFILE, &before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_packets_are_none),
		cmocka_unit_test(resets_are_right),
		cmocka_unit_test(errors_are_right),
		cmocka_unit_test(addresses_are_changed),
		cmocka_unit_test(the_host_is_closed_unless_opened),
		cmocka_unit_test(what_the_network_itself_needs_passes),
		cmocka_unit_test(the_name_server_is_no_way_around),
		cmocka_unit_test(a_restricted_guest_reaches_nothing),
		cmocka_unit_test(answers_of_udp_forwards_pass),
		cmocka_unit_test(fragments_come_in_any_order),
		cmocka_unit_test(contradictions_are_dropped),
		cmocka_unit_test(a_flood_of_fragments_is_bounded),
		cmocka_unit_test(old_fragments_are_given_up),
		cmocka_unit_test(each_kind_of_flow_has_its_bound),
		cmocka_unit_test(connections_that_exist_are_never_full),
		cmocka_unit_test(flows_leave_descriptors),
	};

	return cmocka_run_group_tests(tests, fill, NULL);
}
