/*
 * The calls that the library stands in front of are cancellation points as they were: a thread that sleeps in one ends
 * there, and its cleanup handlers run.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include "life.h"
#include <sys/select.h>
#include <sys/uio.h>

static struct {
	int empty[2], full[2], pair[2]; /* pipes with nothing to read, and no room; the second socket is both */
	volatile int cleaned;
} world;

static void clean(void *arg)
{
	(void)arg;
	world.cleaned++;
}

static void sleep_in_call(int call)
{
	static char bytes[4096];
	struct iovec part = { bytes, 1 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	struct mmsghdr messages = { .msg_hdr = message };
	struct pollfd entry = { world.empty[0], POLLIN, 0 };
	int in = world.empty[0], out = world.full[1], pair = world.pair[1];
	fd_set set;
	FD_ZERO(&set);
	FD_SET(in, &set);
	switch (call) {
	case 0: read(in, bytes, 1); break;
	case 1: readv(in, &part, 1); break;
	case 2: recv(pair, bytes, 1, 0); break;
	case 3: recvfrom(pair, bytes, 1, 0, NULL, NULL); break;
	case 4: recvmsg(pair, &message, 0); break;
	case 5: recvmmsg(pair, &messages, 1, 0, NULL); break;
	case 6: write(out, bytes, sizeof bytes); break;
	case 7: writev(out, &part, 1); break;
	case 8: send(pair, bytes, 1, 0); break;
	case 9: sendto(pair, bytes, 1, 0, NULL, 0); break;
	case 10: sendmsg(pair, &message, 0); break;
	case 11: sendmmsg(pair, &messages, 1, 0); break;
	case 12: splice(in, NULL, out, NULL, 1, 0); break;
	case 13: poll(&entry, 1, -1); break;
	case 14: ppoll(&entry, 1, NULL, NULL); break;
	case 15: select(in + 1, &set, NULL, NULL, NULL); break;
	case 16: pselect(in + 1, &set, NULL, NULL, NULL, NULL); break;
	default: FAIL("no such call");
	}
}

#define CALLS 17

static void *sleeper(void *arg)
{
	pthread_cleanup_push(clean, NULL);
	sleep_in_call((int)(uintptr_t)arg);
	pthread_cleanup_pop(0);
	return NULL;
}

static void fill_up(int fd)
{
	static const char bytes[4096];
	CHECK_OK(fcntl(fd, F_SETFL, O_NONBLOCK));
	for (size_t size = sizeof bytes; size > 0; size /= 2)
		while (write(fd, bytes, size) > 0)
			;
	CHECK_OK(fcntl(fd, F_SETFL, 0));
}

TEST_LIMIT(sleeping_calls_can_be_cancelled, "R7.12 K-053", 30)
{
	SKIP_UNDER_TSAN("its runtime does not follow a thread that is cancelled in a system call");
	SKIP_UNDER_ASAN("it takes the stack of a cancelled thread, which the next one gets, to be still in use");
	int port = port_create();
	make_pipe(world.empty);
	make_pipe(world.full);
	make_pair(world.pair);
	fill_up(world.full[1]);
	fill_up(world.pair[1]);
	CHECK_OK(watch(port, world.empty[0], POLLIN));
	for (int call = 0; call < CALLS; call++) {
		struct thread t;
		int before = world.cleaned;
		thread_start(&t, sleeper, (void *)(uintptr_t)call);
		wait_until_blocked(t.tid);
		CHECK_EQ(pthread_cancel(t.handle), 0);
		CHECK(thread_join(&t) == PTHREAD_CANCELED);
		CHECK_EQ(world.cleaned, before + 1);
	}
	CHECK_PORT_WORKS(port);
	CHECK_OK(close(port));
	close_pipe(world.empty);
	close_pipe(world.full);
	close_pipe(world.pair);
}
