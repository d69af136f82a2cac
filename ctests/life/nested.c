/*
 * Ports in ports, and ports under poll, select and epoll (R4.10, R13.1, R13.2).
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include "life.h"
#include <sys/epoll.h>

static void check_readable(int fd, bool expected)
{
	struct pollfd poller = { .fd = fd, .events = POLLIN };
	CHECK_EQ(poll(&poller, 1, 0), expected ? 1 : 0);
}

TEST(port_in_a_port, "R4.10 R13.2 T-273")
{
	int outer = port_create(), inner = port_create();
	CHECK_OK(watch(outer, inner, POLLIN));
	CHECK_EQ(pending(outer), 0);
	CHECK_OK(send_value(inner, 1));
	CHECK_FD_EVENT(outer, inner);
	CHECK_EQ(pending(inner), 1);
	CHECK_EQ(pending(outer), 0); /* R4.5 */
	CHECK_OK(send_value(inner, 2));
	CHECK_EQ(pending(outer), 0);
	CHECK_OK(watch(outer, inner, POLLIN)); /* R4.4: still readable */
	CHECK_FD_EVENT(outer, inner);
	CHECK_USER_EVENT(inner, 1);
	CHECK_USER_EVENT(inner, 2);
	CHECK_OK(watch(outer, inner, POLLIN));
	CHECK_EQ(pending(outer), 0);
	for (int i = 0; i < 1000; i++) {
		CHECK_OK(send_value(inner, (uintptr_t)i));
		CHECK_FD_EVENT(outer, inner);
		CHECK_USER_EVENT(inner, i);
		CHECK_OK(watch(outer, inner, POLLIN));
		CHECK_EQ(pending(outer), 0);
	}
	close(inner);
	CHECK_PORT_WORKS(outer);
	close(outer);
}

/* A chain of four: a descriptor's event and a user event climb to the top, and a sleeper at the top hears them. */
static void *poke(void *arg)
{
	int *target = arg;
	sleep_ms(30);
	if (target[1] >= 0)
		put(target[1]);
	else
		CHECK_OK(send_value(target[0], 0xcc));
	return NULL;
}

TEST(chain_of_ports, "R4.10 R13.2")
{
	int ports[4], fds[2];
	make_pair(fds);
	for (int i = 0; i < 4; i++)
		ports[i] = port_create();
	for (int round = 0; round < 6; round++) {
		struct thread t;
		int target[2] = { ports[3], round % 2 ? fds[1] : -1 };
		for (int i = 0; i < 3; i++)
			CHECK_OK(watch(ports[i], ports[i + 1], POLLIN));
		CHECK_OK(watch(ports[3], fds[0], POLLIN));
		thread_start(&t, poke, target);
		for (int i = 0; i < 3; i++)
			CHECK_FD_EVENT(ports[i], ports[i + 1]);
		if (round % 2) {
			CHECK_FD_EVENT(ports[3], fds[0]);
			take(fds[0]);
		} else {
			CHECK_USER_EVENT(ports[3], 0xcc);
		}
		thread_join(&t);
		for (int i = 0; i < 4; i++)
			CHECK_EQ(pending(ports[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		CHECK_PORT_WORKS(ports[i]);
		close(ports[i]);
	}
	close_pipe(fds);
}

/* epoll nests only so deep, the original has no limit: it works or it is refused, and nothing hangs. */
TEST(chain_of_twelve, "R4.10")
{
	int ports[12], linked = 1;
	for (int i = 0; i < 12; i++)
		ports[i] = port_create();
	while (linked < 12 && watch(ports[linked - 1], ports[linked], POLLIN) == 0)
		linked++;
	CHECK(linked >= 4);
	CHECK_OK(send_value(ports[linked - 1], 1));
	for (int i = 0; i + 1 < linked; i++)
		CHECK_FD_EVENT(ports[i], ports[i + 1]);
	for (int i = 0; i < 12; i++)
		close(ports[i]);
}

/* Whatever a ring means, it must neither hang nor crash. */
TEST(ring_of_ports, "R4.10")
{
	int a = port_create(), b = port_create();
	port_event_t list[8];
	CHECK_OK(watch(a, b, POLLIN));
	if (watch(b, a, POLLIN) == 0) {
		CHECK_OK(send_value(a, 1));
		harvest(b, list, 8, 100);
		harvest(a, list, 8, 100);
	} else {
		CHECK(errno != 0);
	}
	CHECK_OK(send_value(b, 2));
	CHECK_FD_EVENT(a, b);
	CHECK_OK(close(a));
	drain(b);
	CHECK_PORT_WORKS(b);
	CHECK_OK(close(b));
}

TEST(port_in_two_ports, "R4.9 R4.10 T-060")
{
	int first = port_create(), second = port_create(), inner = port_create();
	for (int i = 0; i < 50; i++) {
		CHECK_OK(watch(first, inner, POLLIN));
		CHECK_OK(watch(second, inner, POLLIN));
		CHECK_OK(send_value(inner, 1));
		CHECK_FD_EVENT(first, inner);
		CHECK_FD_EVENT(second, inner);
		CHECK_USER_EVENT(inner, 1);
		CHECK_EQ(pending(first) + pending(second), 0);
	}
	CHECK_OK(watch(first, inner, POLLIN));
	CHECK_OK(watch(second, inner, POLLIN));
	CHECK_OK(unwatch(first, inner));
	CHECK_OK(send_value(inner, 1));
	CHECK_FD_EVENT(second, inner);
	CHECK_EQ(pending(first), 0);
	close(inner);
	close(first);
	close(second);
}

/* R4.20 for ports as objects: the number goes, its queued event and its association go. */
TEST(close_of_the_inner_port, "R4.20 R4.10")
{
	for (int round = 0; round < 4; round++) {
		int outer = port_create(), inner = port_create(), copy = dup(inner);
		bool queued = round % 2, with_copy = round / 2;
		if (!with_copy)
			close(copy);
		CHECK_OK(watch(outer, inner, POLLIN));
		if (queued)
			CHECK_OK(send_value(inner, 1));
		CHECK_EQ(pending(outer), queued ? 1 : 0);
		CHECK_OK(close(inner));
		CHECK_EQ(pending(outer), 0);
		CHECK_ERR(unwatch(outer, inner), EBADFD);
		if (with_copy) {
			CHECK_OK(send_value(copy, 2));
			CHECK_EQ(pending(outer), 0);
			CHECK_OK(watch(outer, copy, POLLIN));
			CHECK_FD_EVENT(outer, copy);
			close(copy);
		}
		CHECK_PORT_WORKS(outer);
		CHECK_OK(close(outer));
	}
}

TEST(close_of_the_outer_port, "R13.7 R4.10")
{
	int inner = port_create(), fds[2];
	make_pair(fds);
	for (int i = 0; i < 200; i++) {
		int outer = port_create();
		CHECK_OK(watch(outer, inner, POLLIN));
		CHECK_OK(watch(inner, fds[0], POLLIN));
		if (i % 2)
			put(fds[1]);
		CHECK_EQ(pending(outer), i % 2);
		CHECK_OK(close(outer));
		CHECK_EQ(pending(inner), i % 2);
		if (i % 2) {
			CHECK_FD_EVENT(inner, fds[0]);
			take(fds[0]);
		}
	}
	CHECK_PORT_WORKS(inner);
	close(inner);
	close_pipe(fds);
}

static int outer_set(int port, unsigned flags)
{
	struct epoll_event event = { .events = EPOLLIN | flags, .data.fd = port };
	int set = epoll_create1(EPOLL_CLOEXEC);
	CHECK_OK(epoll_ctl(set, EPOLL_CTL_ADD, port, &event));
	return set;
}

static int wait_set(int set, int ms)
{
	struct epoll_event event;
	return epoll_wait(set, &event, 1, ms);
}

TEST(under_a_level_triggered_set, "R13.1 T-270")
{
	int port = port_create(), set = outer_set(port, 0), fds[2];
	make_pair(fds);
	for (int i = 0; i < 200; i++) {
		CHECK_EQ(wait_set(set, 0), 0);
		CHECK_OK(send_value(port, 1));
		CHECK_OK(send_value(port, 2));
		CHECK_EQ(wait_set(set, 1000), 1);
		CHECK_EQ(wait_set(set, 0), 1);
		CHECK_USER_EVENT(port, 1);
		CHECK_EQ(wait_set(set, 0), 1);
		CHECK_USER_EVENT(port, 2);
		CHECK_EQ(wait_set(set, 0), 0);
		CHECK_OK(watch(port, fds[0], POLLIN));
		CHECK_EQ(wait_set(set, 0), 0);
		put(fds[1]);
		CHECK_EQ(wait_set(set, 1000), 1);
		CHECK_FD_EVENT(port, fds[0]);
		take(fds[0]);
		CHECK_EQ(pending(port), 0);
		CHECK_EQ(wait_set(set, 0), 0);
	}
	close(set);
	close(port);
	close_pipe(fds);
}

/* Every time the queue goes from empty to not empty there is an edge, whatever was retrieved in between. */
TEST(under_an_edge_triggered_set, "R13.1 T-271")
{
	int port = port_create(), set = outer_set(port, EPOLLET), fds[2];
	port_event_t pe;
	make_pair(fds);
	wait_set(set, 0);
	for (int i = 0; i < 300; i++) {
		CHECK_OK(send_value(port, 1));
		if (wait_set(set, 1000) != 1)
			FAIL("no edge after a send, round %d", i);
		CHECK_USER_EVENT(port, 1);
		if (i % 3 == 0)
			CHECK_EQ(harvest(port, &pe, 1, 0), 0);
	}
	put(fds[1]);
	for (int i = 0; i < 300; i++) {
		wait_set(set, 0);
		CHECK_OK(watch(port, fds[0], POLLIN)); /* still readable */
		if (wait_set(set, 1000) != 1)
			FAIL("no edge after an association, round %d", i);
		CHECK_FD_EVENT(port, fds[0]);
		if (i % 2 == 0)
			CHECK_EQ(harvest(port, &pe, 1, 0), 0);
	}
	close(set);
	close(port);
	close_pipe(fds);
}

struct poker {
	int port;
	int fd; /* -1: port_send */
};

static void *poke_port(void *arg)
{
	struct poker *p = arg;
	sleep_ms(20);
	if (p->fd >= 0)
		put(p->fd);
	else
		CHECK_OK(send_value(p->port, 0xdd));
	return NULL;
}

/* Blocked in poll, select, epoll_wait: a send and a descriptor's event from another thread end it. */
TEST(sleeping_in_the_hosts_own_calls, "R13.1 T-271 T-272")
{
	int port = port_create(), fds[2], level = outer_set(port, 0), edge = outer_set(port, EPOLLET);
	make_pair(fds);
	for (int round = 0; round < 16; round++) {
		struct poker p = { port, round % 2 ? fds[1] : -1 };
		struct pollfd poller = { .fd = port, .events = POLLIN };
		struct timeval limit = { 3, 0 };
		struct thread t;
		fd_set readable;
		FD_ZERO(&readable);
		FD_SET(port, &readable);
		CHECK_OK(watch(port, fds[0], POLLIN));
		wait_set(edge, 0);
		check_readable(port, false);
		thread_start(&t, poke_port, &p);
		switch (round / 2 % 4) {
		case 0: CHECK_EQ(poll(&poller, 1, 3000), 1); break;
		case 1: CHECK_EQ(select(port + 1, &readable, NULL, NULL, &limit), 1); break;
		case 2: CHECK_EQ(wait_set(level, 3000), 1); break;
		default: CHECK_EQ(wait_set(edge, 3000), 1); break;
		}
		if (round % 2) {
			CHECK_FD_EVENT(port, fds[0]);
			take(fds[0]);
		} else {
			CHECK_USER_EVENT(port, 0xdd);
		}
		thread_join(&t);
		CHECK_EQ(pending(port), 0);
		check_readable(port, false);
	}
	close(level);
	close(edge);
	close(port);
	close_pipe(fds);
}

/* R8.8: an alert is a mode, not an event. */
TEST(alert_does_not_show_outside, "R8.8 T-211")
{
	int outer = port_create(), inner = port_create();
	CHECK_OK(watch(outer, inner, POLLIN));
	CHECK_OK(port_alert(inner, PORT_ALERT_SET, 1, NULL));
	check_readable(inner, false);
	CHECK_EQ(pending(outer), 0);
	CHECK_OK(send_value(inner, 1));
	check_readable(inner, true);
	CHECK_FD_EVENT(outer, inner);
	CHECK_OK(port_alert(inner, 0, 0, NULL));
	CHECK_USER_EVENT(inner, 1);
	close(inner);
	close(outer);
}
