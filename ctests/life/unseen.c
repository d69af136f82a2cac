/*
 * Descriptors that change behind the library's back: raw system calls stand for closes inside the C library and in
 * code that was loaded before it. Promised there: no event is lost for good, nothing spins, nothing of the program's
 * is touched; one event of a number that was closed unseen may still come.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include "life.h"
#include <sys/epoll.h>
#include <sys/uio.h>

static int raw_close(int fd) { return (int)syscall(SYS_close, fd); }
static int raw_dup3(int from, int to) { return (int)syscall(SYS_dup3, from, to, 0); }

enum sleep_in { IN_GET, IN_GETN, IN_POLL, IN_EPOLL, IN_EPOLL_EDGE, IN_OUTER_PORT, SLEEPS };

static void *put_later(void *arg)
{
	sleep_ms(100);
	put(*(int *)arg);
	return NULL;
}

/* Waits for the port's event in one of the ways in which programs wait, at most two seconds. */
static void sleep_until_readable(int port, enum sleep_in how)
{
	struct pollfd poller = { .fd = port, .events = POLLIN };
	struct epoll_event event = { .events = EPOLLIN | (how == IN_EPOLL_EDGE ? EPOLLET : 0) };
	int outer = -1;
	switch (how) {
	case IN_POLL: CHECK_EQ(poll(&poller, 1, 2000), 1); break;
	case IN_EPOLL:
	case IN_EPOLL_EDGE:
		outer = epoll_create1(EPOLL_CLOEXEC);
		CHECK_OK(epoll_ctl(outer, EPOLL_CTL_ADD, port, &event));
		CHECK_EQ(epoll_wait(outer, &event, 1, 2000), 1);
		break;
	case IN_OUTER_PORT:
		outer = port_create();
		CHECK_OK(watch(outer, port, POLLIN));
		CHECK_FD_EVENT(outer, port);
		break;
	default: break;
	}
	if (outer >= 0)
		close(outer);
}

/* Closed and opened again unseen; the program associates the number as if nothing had been there. */
static void reused_unseen(enum sleep_in how, bool ready, bool duplicate)
{
	int port = port_create(), old[2], new[2];
	port_event_t list[4];
	struct thread t;
	make_pair(old);
	make_pair(new);
	CHECK_RET(dup2(old[0], 80), 80);
	CHECK_OK(watch(port, 80, POLLIN));
	if (ready) {
		put(old[1]);
		CHECK_FD_EVENT(port, 80);
		take(old[0]);
		CHECK_OK(watch(port, 80, POLLIN));
	}
	if (!duplicate)
		close(old[0]);
	CHECK_EQ(raw_close(80), 0);
	CHECK_EQ(raw_dup3(new[0], 80), 80);
	CHECK_OK(watch(port, 80, POLLIN));
	thread_start(&t, put_later, &new[1]);
	sleep_until_readable(port, how);
	if (how == IN_GETN)
		CHECK_EQ(harvest(port, list, 4, 2000), 1);
	else
		CHECK_FD_EVENT(port, 80);
	thread_join(&t);
	take(80);
	CHECK_OK(watch(port, 80, POLLIN));
	CHECK_EQ(pending(port), 0);
	CHECK_OK(unwatch(port, 80));
	CHECK_OK(close(80));
	if (duplicate)
		close(old[0]);
	close(old[1]);
	close_pipe(new);
	CHECK_PORT_WORKS(port);
	close(port);
}

static void reused_unseen_everywhere(bool ready, bool duplicate)
{
	for (int how = 0; how < SLEEPS; how++)
		reused_unseen((enum sleep_in)how, ready, duplicate);
}

TEST_LIMIT(reused_unseen_armed, "R4.23 T-059", 30) { reused_unseen_everywhere(false, false); }
TEST_LIMIT(reused_unseen_after_its_event, "R4.23 T-059", 30) { reused_unseen_everywhere(true, false); }
TEST_LIMIT(reused_unseen_with_a_duplicate, "R4.23 T-059", 30) { reused_unseen_everywhere(false, true); }
TEST_LIMIT(reused_unseen_with_a_duplicate_after_its_event, "R4.23", 30) { reused_unseen_everywhere(true, true); }

static long cpu_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (long)(ts.tv_sec * 1000 + ts.tv_nsec / 1000000);
}

/* The old file lives on in a duplicate and becomes readable: at most one stray event, and no spinning. */
static void ghost(bool reused, bool associated_again)
{
	int port = port_create(), old[2], new[2], strays = 0;
	port_event_t list[4];
	make_pair(old);
	make_pair(new);
	CHECK_RET(dup2(old[0], 80), 80);
	CHECK_OK(watch(port, 80, POLLIN));
	CHECK_EQ(raw_close(80), 0);
	if (reused)
		CHECK_EQ(raw_dup3(new[0], 80), 80);
	if (associated_again)
		CHECK_OK(watch(port, 80, POLLIN));
	put(old[1]);
	long before = cpu_ms();
	long long end = now_ms() + 600;
	while (now_ms() < end) {
		for (unsigned got = harvest(port, list, 4, 100); got > 0; got--, strays++)
			CHECK_EQ(list[got - 1].portev_object, 80);
	}
	if (strays > 1)
		FAIL("%d stray events", strays);
	if (cpu_ms() - before > 200L * slow())
		FAIL("%ld ms of processor time in 600 ms of waiting", cpu_ms() - before);
	if (reused) {
		CHECK_OK(watch(port, 80, POLLIN));
		strays = (int)harvest(port, list, 4, 0);
		CHECK(strays <= 1);
		CHECK_OK(watch(port, 80, POLLIN));
		put(new[1]);
		CHECK_FD_EVENT(port, 80);
		CHECK_OK(close(80));
	}
	put(old[1]);
	CHECK(drain(port) <= 1);
	CHECK_PORT_WORKS(port);
	close(port);
	close_pipe(old);
	close_pipe(new);
}

TEST(ghost_of_a_closed_number, "R4.20") { ghost(false, false); }
TEST(ghost_of_a_reused_number, "R4.20 R4.23") { ghost(true, false); }
TEST(ghost_beside_a_new_association, "R4.20 R4.23") { ghost(true, true); }

/* Nothing spins for sleepers either, and the port stays usable for them. */
static void *get_once(void *arg)
{
	port_event_t pe;
	int *port = arg;
	while (port_get(*port, &pe, NULL) == 0)
		if (pe.portev_source == PORT_SOURCE_USER)
			return port;
	return NULL;
}

TEST(ghost_with_sleepers, "R4.20 R7.23")
{
	struct thread sleepers[3];
	int port = port_create(), old[2];
	make_pair(old);
	CHECK_RET(dup2(old[0], 80), 80);
	CHECK_OK(watch(port, 80, POLLIN));
	for (int i = 0; i < 3; i++) {
		thread_start(&sleepers[i], get_once, &port);
		wait_until_blocked(sleepers[i].tid);
	}
	CHECK_EQ(raw_close(80), 0);
	put(old[1]);
	long before = cpu_ms();
	sleep_ms(500);
	CHECK(cpu_ms() - before < 150L * slow());
	for (int i = 0; i < 3; i++)
		CHECK_OK(send_value(port, 1));
	for (int i = 0; i < 3; i++)
		CHECK(thread_join(&sleepers[i]) == &port);
	close(port);
	close_pipe(old);
}

/* A port closed unseen: the number may be anything by now. The library must not use it, nor the old port. */
TEST(port_closed_unseen, "R7.30 R3.1")
{
	int port = port_create(), fds[2];
	port_event_t pe;
	CHECK_OK(send_value(port, 1));
	CHECK_EQ(raw_close(port), 0);
	int result = port_get(port, &pe, ZERO_TIMEOUT); /* the one event that may still come */
	CHECK(result == 0 || errno == EBADF);
	CHECK_ERR(port_get(port, &pe, ZERO_TIMEOUT), EBADF);
	CHECK_ERR(port_get(port, &pe, TIMEOUT_MS(10)), EBADF);
	CHECK_ERR(send_value(port, 1), EBADF);
	make_pair(fds);
	CHECK_EQ(fds[0], port);
	CHECK_ERR(port_get(port, &pe, ZERO_TIMEOUT), EBADFD);
	CHECK_ERR(send_value(port, 1), EBADFD);
	put(fds[1]);
	take(fds[0]);
	close_pipe(fds);
	CHECK_EQ(port_create(), port);
	CHECK_EQ(pending(port), 0);
	CHECK_PORT_WORKS(port);
	CHECK_OK(close(port));
}

/* The number of a port closed unseen becomes an epoll set of the program's. */
TEST(port_number_becomes_an_epoll_set_unseen, "R4.23")
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLONESHOT, .data.u64 = 77 };
	int port = port_create(), fds[2], other[2];
	port_event_t pe;
	make_pair(fds);
	make_pair(other);
	CHECK_OK(watch(port, fds[0], POLLIN));
	CHECK_EQ(raw_close(port), 0);
	CHECK_EQ(epoll_create1(0), port);
	CHECK_OK(epoll_ctl(port, EPOLL_CTL_ADD, other[0], &event));
	put(other[1]);
	int result = port_get(port, &pe, ZERO_TIMEOUT);
	CHECK(result == -1 && (errno == EBADFD || errno == EBADF));
	result = watch(port, fds[0], POLLIN);
	CHECK(result == -1 && (errno == EBADFD || errno == EBADF));
	result = send_value(port, 1);
	CHECK(result == -1 && (errno == EBADFD || errno == EBADF));
	event.data.u64 = 0;
	CHECK_EQ(epoll_wait(port, &event, 1, 1000), 1);
	CHECK_EQ(event.data.u64, 77);
	CHECK_OK(close(fds[0])); /* its association must not be looked for in the program's set */
	CHECK_EQ(epoll_wait(port, &event, 1, 0), 0);
	close(fds[1]);
	close_pipe(other);
	close(port);
}

/* Descriptors that arrive in messages take numbers that nobody announced. */
TEST(number_arrives_in_a_message, "R4.2 R4.23")
{
	int port = port_create(), channel[2], old[2], new[2];
	char byte = 'x', room[CMSG_SPACE(sizeof(int))];
	struct iovec data = { &byte, 1 };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = room,
		.msg_controllen = sizeof room };
	make_pair(channel);
	make_pair(old);
	make_pair(new);
	memset(room, 0, sizeof room);
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &new[0], sizeof(int));
	CHECK_EQ(sendmsg(channel[0], &message, 0), 1);
	CHECK_OK(watch(port, old[0], POLLIN));
	CHECK_EQ(raw_close(old[0]), 0);
	message.msg_controllen = sizeof room;
	CHECK_EQ(recvmsg(channel[1], &message, 0), 1);
	int got;
	memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof got);
	CHECK_EQ(got, old[0]);
	CHECK_OK(watch(port, got, POLLIN));
	put(new[1]);
	CHECK_FD_EVENT(port, got);
	close(got);
	close(old[1]);
	close_pipe(new);
	close_pipe(channel);
	close(port);
}
