/*
 * A handler that interrupted a port call and does not come back for a long time, or ends its thread. Such a
 * thread holds nothing that others need: they send, get and close within bounds (R7.6, R7.22, R7.30).
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include "life.h"

static volatile int the_port, leave;
static volatile int parked, released; /* how often: a handler must not miss its release */

static void install(int sig, void (*handler)(int))
{
	struct sigaction action = { .sa_handler = handler };
	sigemptyset(&action.sa_mask);
	CHECK_OK(sigaction(sig, &action, NULL));
}

static void stay(int sig)
{
	int saved = errno, turn = ++parked;
	(void)sig;
	while (released < turn)
		sleep_ms(1);
	errno = saved;
}

struct getter {
	struct thread thread;
	unsigned wanted;
	int result, error;
	volatile unsigned got;
};

static void *get_some(void *arg)
{
	struct getter *g = arg;
	port_event_t list[8];
	g->got = g->wanted;
	errno = 0;
	g->result = g->wanted == 1 ? port_get(the_port, list, NULL)
				   : port_getn(the_port, list, g->wanted, (unsigned *)&g->got, NULL);
	g->error = errno;
	return NULL;
}

static void getter_start(struct getter *g, unsigned wanted)
{
	*g = (struct getter){ .wanted = wanted };
	thread_start(&g->thread, get_some, g);
	wait_until_blocked(g->thread.tid);
}

static void check_done_within(struct thread *t, long ms)
{
	long long end = now_ms() + ms * slow();
	while (!thread_done(t)) {
		if (now_ms() > end)
			FAIL("a thread has not returned after %ld ms", ms);
		sleep_ms(1);
	}
	thread_join(t);
}

static void park(struct getter *g)
{
	int before = parked;
	install(SIGUSR1, stay);
	pthread_kill(g->thread.handle, SIGUSR1);
	while (parked == before)
		sleep_ms(1);
}

static void release(struct getter *g, int also)
{
	released = parked;
	check_done_within(&g->thread, 1000);
	CHECK_EQ(g->result, -1);
	CHECK(g->error == EINTR || g->error == also);
}

/* A sleeper, before or after the one in the handler, gets what is sent; the parked one takes nothing. */
TEST(others_are_served_while_one_stays, "R7.6 R7.20 R7.23")
{
	for (int round = 0; round < 4; round++) {
		struct getter stuck, older, newer;
		the_port = port_create();
		getter_start(&older, 1 + round % 2);
		getter_start(&stuck, 1 + round / 2);
		getter_start(&newer, 1 + round % 2);
		park(&stuck);
		for (int i = 0; i < 2 + 2 * (round % 2); i++)
			CHECK_OK(send_value(the_port, 1));
		check_done_within(&older.thread, 1000);
		check_done_within(&newer.thread, 1000);
		CHECK_PORT_WORKS(the_port);
		release(&stuck, EINTR);
		CHECK_OK(close(the_port));
	}
}

/* The only waiter is in its handler: what is sent waits for the next caller, and the waiter says EINTR. */
TEST(event_sent_while_the_only_waiter_stays, "R7.6 R2.7")
{
	struct getter stuck;
	the_port = port_create();
	getter_start(&stuck, 1);
	park(&stuck);
	CHECK_OK(send_value(the_port, 5));
	CHECK_EQ(pending(the_port), 1);
	released = parked;
	check_done_within(&stuck.thread, 1000);
	CHECK_EQ(stuck.result, -1);
	CHECK_EQ(stuck.error, EINTR);
	CHECK_USER_EVENT(the_port, 5);
	CHECK_OK(close(the_port));
}

/* A descriptor's event does not need the parked thread either. */
TEST(descriptor_event_while_one_stays, "R7.6 T-066")
{
	struct getter stuck, other;
	int fds[2];
	make_pair(fds);
	the_port = port_create();
	CHECK_OK(watch(the_port, fds[0], POLLIN));
	getter_start(&stuck, 1);
	getter_start(&other, 1);
	park(&stuck);
	put(fds[1]);
	check_done_within(&other.thread, 1000);
	CHECK_EQ(other.result, 0);
	CHECK_OK(watch(the_port, fds[0], POLLIN));
	CHECK_FD_EVENT(the_port, fds[0]);
	release(&stuck, EINTR);
	close_pipe(fds);
	CHECK_OK(close(the_port));
}

/* close() ends the other sleepers and does not wait for a thread that cannot move; the number is reused, and the
 * thread that comes back must not mistake the newcomer for its port. */
TEST(close_while_one_stays, "R7.30 T-190")
{
	for (int round = 0; round < 4; round++) {
		struct getter stuck, other;
		int fds[2];
		the_port = port_create();
		getter_start(&stuck, 1 + round % 2 * 2);
		getter_start(&other, 1 + round / 2);
		park(&stuck);
		long long start = now_ms();
		CHECK_OK(close(the_port));
		CHECK(now_ms() - start < 1000LL * slow());
		check_done_within(&other.thread, 1000);
		CHECK_EQ(other.error, EBADF);
		make_pair(fds);
		CHECK(fds[0] == the_port || fds[1] == the_port);
		put(fds[0]);
		put(fds[1]);
		release(&stuck, EBADF);
		take(fds[0]);
		take(fds[1]);
		close_pipe(fds);
	}
}

/* The newcomer at the number is another port: its events are not for the thread that comes back. */
TEST(number_becomes_another_port_while_one_stays, "R7.30 R2.3")
{
	struct getter stuck;
	the_port = port_create();
	getter_start(&stuck, 1);
	park(&stuck);
	int old = the_port;
	CHECK_OK(close(old));
	CHECK_EQ(port_create(), old);
	CHECK_OK(send_value(old, 9));
	release(&stuck, EBADF);
	CHECK_USER_EVENT(old, 9);
	close(old);
}

struct hammer {
	struct thread thread;
	volatile long turns;
	volatile int *stop;
};

static void *hammer(void *arg)
{
	struct hammer *h = arg;
	port_event_t list[4];
	while (!*h->stop) {
		unsigned nget = 2;
		send_value(the_port, 1);
		send_value(the_port, 2);
		port_getn(the_port, list, 4, &nget, TIMEOUT_MS(1));
		port_get(the_port, list, ZERO_TIMEOUT);
		h->turns++;
	}
	return NULL;
}

/* Stops one of four busy threads at a random place and asks for progress from the other three. */
TEST_LIMIT(stay_anywhere_in_the_traffic, "R6.3 R7.22", 60)
{
	static struct hammer h[4];
	volatile int stop = 0;
	the_port = port_create();
	install(SIGUSR1, stay);
	for (int i = 0; i < 4; i++) {
		h[i].stop = &stop;
		thread_start(&h[i].thread, hammer, &h[i]);
	}
	long long end = now_ms() + 6000;
	for (int round = 0; round < 300 && now_ms() < end; round++) {
		struct timespec pause = { 0, (round * 7919) % 300000 };
		nanosleep(&pause, NULL);
		pthread_kill(h[round % 4].thread.handle, SIGUSR1);
		while (parked == released)
			sched_yield();
		for (int i = 0; i < 4; i++) {
			long before = h[i].turns;
			long long late = now_ms() + 2000LL * slow();
			while (i != round % 4 && h[i].turns < before + 3)
				if (now_ms() > late)
					FAIL("thread %d stands still while thread %d is in its handler, round %d",
						i, round % 4, round);
				else
					sched_yield();
		}
		CHECK_OK(send_value(the_port, 3));
		released = parked;
	}
	stop = 1;
	for (int i = 0; i < 4; i++)
		thread_join(&h[i].thread);
	drain(the_port);
	CHECK_PORT_WORKS(the_port);
	close(the_port);
}

static void end_thread(int sig)
{
	(void)sig;
	if (leave)
		pthread_exit((void *)(intptr_t)0x1ea4e);
}

/* pthread_exit in a handler on top of a waiter: the waiter's entry must not linger. */
TEST(thread_ends_in_its_handler, "R7.6 R7.23")
{
	SKIP_UNDER_TSAN("pthread_exit in a handler loads libgcc_s, and its malloc counts as unsafe there");
	install(SIGUSR1, end_thread);
	leave = 1;
	for (int round = 0; round < 50; round++) {
		struct getter gone, other;
		the_port = port_create();
		getter_start(&other, 1);
		getter_start(&gone, 1 + round % 2);
		pthread_kill(gone.thread.handle, SIGUSR1);
		CHECK_EQ((intptr_t)thread_join(&gone.thread), 0x1ea4e);
		CHECK_OK(send_value(the_port, 1));
		check_done_within(&other.thread, 1000);
		CHECK_EQ(other.result, 0);
		CHECK_PORT_WORKS(the_port);
		CHECK_OK(close(the_port));
	}
}
