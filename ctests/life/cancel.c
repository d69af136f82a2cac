/*
 * Threads that are cancelled or end while others wait. port_get is no cancellation point (R7.12): a pending
 * cancellation may show as EINTR and must never cost an event.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include "life.h"

static volatile int the_port, posted, entered;
static volatile long taken, ended;

#define MANY ((void *)1)  /* port_getn instead of port_get */
#define ASYNC ((void *)1) /* the thread may be cancelled anywhere */

static void *get_until_cancelled(void *arg)
{
	port_event_t list[4];
	for (;;) {
		unsigned got = 1;
		int result = arg == NULL ? port_get(the_port, list, TIMEOUT_MS(20))
					 : port_getn(the_port, list, 4, &got, TIMEOUT_MS(20));
		if (result == -1 && errno != ETIME && errno != EINTR)
			FAIL("errno %d (%s)", errno, strerror(errno));
		if (arg == NULL || (result == -1 && errno == EINTR))
			got = result == 0;
		__atomic_add_fetch(&taken, (long)got, __ATOMIC_RELAXED);
		entered = 1;
		pthread_testcancel();
	}
}

static void check_cancelled(struct thread *t)
{
	CHECK(thread_join(t) == PTHREAD_CANCELED);
}

/* Waiters are cancelled one after another under traffic, and the count comes out even. */
TEST_LIMIT(deferred_cancellation_loses_nothing, "R7.12 R2.3", 30)
{
	struct thread threads[4];
	long sent = 0;
	the_port = port_create();
	for (int i = 0; i < 4; i++)
		thread_start(&threads[i], get_until_cancelled, i % 2 ? MANY : NULL);
	for (int round = 0; round < 200; round++) {
		struct thread *victim = &threads[round % 4];
		for (int i = 0; i < 20; i++, sent++)
			CHECK_OK(send_value(the_port, 1));
		pthread_cancel(victim->handle);
		CHECK_OK(send_value(the_port, 1));
		sent++;
		check_cancelled(victim);
		thread_start(victim, get_until_cancelled, round % 3 ? MANY : NULL);
	}
	for (int i = 0; i < 4; i++) {
		pthread_cancel(threads[i].handle);
		check_cancelled(&threads[i]);
	}
	CHECK_EQ(taken + (long)drain(the_port), sent);
	close(the_port);
}

static void *three_gets_with_a_pending_cancellation(void *arg)
{
	port_event_t list[4];
	unsigned got = 2;
	while (!posted)
		;
	/* no cancellation point from here on */
	CHECK_OK(port_get(the_port, list, NULL));
	CHECK_OK(port_getn(the_port, list + 1, 2, &got, NULL));
	CHECK_EQ(got, 2);
	CHECK_ERR2(port_get(the_port, list + 3, TIMEOUT_MS(20)), ETIME, EINTR);
	taken = 3;
	pthread_testcancel();
	return arg;
}

TEST(port_get_is_no_cancellation_point, "R7.12")
{
	struct thread t;
	the_port = port_create();
	for (int i = 0; i < 3; i++)
		CHECK_OK(send_value(the_port, 1));
	thread_start(&t, three_gets_with_a_pending_cancellation, NULL);
	pthread_cancel(t.handle);
	posted = 1;
	check_cancelled(&t);
	CHECK_EQ(taken, 3);
	close(the_port);
}

static void *wait_without_end(void *arg)
{
	port_event_t pe;
	int type;
	pthread_setcanceltype(arg == NULL ? PTHREAD_CANCEL_DEFERRED : PTHREAD_CANCEL_ASYNCHRONOUS, &type);
	while (port_get(the_port, &pe, NULL) == 0)
		;
	return (void *)(intptr_t)errno;
}

/* A deferred cancellation of a sleeper: it goes on sleeping or says EINTR, and the next event wakes it. */
TEST(deferred_cancellation_of_a_sleeper, "R7.12")
{
	struct thread t;
	the_port = port_create();
	thread_start(&t, wait_without_end, NULL);
	wait_until_blocked(t.tid);
	pthread_cancel(t.handle);
	sleep_ms(50);
	CHECK_OK(send_value(the_port, 1));
	CHECK_OK(close(the_port));
	void *result = thread_join(&t);
	CHECK(result == PTHREAD_CANCELED || (intptr_t)result == EBADF || (intptr_t)result == EINTR);
}

struct getter {
	struct thread thread;
	volatile int got;
};

static void *get_one(void *arg)
{
	struct getter *g = arg;
	port_event_t pe;
	g->got = port_get(the_port, &pe, NULL) == 0;
	return NULL;
}

/* Asynchronous cancellation tears the thread out of its sleep: those who stay behind get every event. */
TEST_LIMIT(asynchronous_cancellation_of_sleepers, "R7.12 R7.23", 30)
{
	for (int round = 0; round < 50; round++) {
		struct thread victims[2];
		struct getter others[2];
		the_port = port_create();
		thread_start(&victims[0], wait_without_end, ASYNC);
		thread_start(&others[0].thread, get_one, &others[0]);
		thread_start(&victims[1], wait_without_end, ASYNC);
		thread_start(&others[1].thread, get_one, &others[1]);
		for (int i = 0; i < 2; i++) {
			wait_until_blocked(victims[i].tid);
			wait_until_blocked(others[i].thread.tid);
		}
		for (int i = 0; i < 2; i++) {
			pthread_cancel(victims[i].handle);
			check_cancelled(&victims[i]);
		}
		long long start = now_ms();
		for (int i = 0; i < 2; i++)
			CHECK_OK(send_value(the_port, 1));
		for (int i = 0; i < 2; i++) {
			thread_join(&others[i].thread);
			CHECK_EQ(others[i].got, 1);
		}
		CHECK(now_ms() - start < 1000LL * slow());
		CHECK_PORT_WORKS(the_port);
		CHECK_OK(close(the_port));
	}
}

static void *look_and_leave(void *arg)
{
	port_event_t pe;
	int value = (int)(intptr_t)arg;
	if (value % 3 == 0)
		port_get(the_port, &pe, TIMEOUT_MS(1));
	else
		port_get(the_port, &pe, ZERO_TIMEOUT);
	if (value % 2)
		pthread_exit(arg);
	ended++;
	return arg;
}

/* Threads come, look and end, a thousand of them; the sleepers are not disturbed and nothing piles up. */
TEST_LIMIT(threads_come_and_go, "R7.20 R2.3", 30)
{
	struct getter sleepers[2];
	the_port = port_create();
	for (int i = 0; i < 2; i++) {
		thread_start(&sleepers[i].thread, get_one, &sleepers[i]);
		wait_until_blocked(sleepers[i].thread.tid);
	}
	for (int i = 0; i < 1000; i++) {
		struct thread t;
		thread_start(&t, look_and_leave, (void *)(intptr_t)i);
		CHECK_EQ((intptr_t)thread_join(&t), i);
	}
	for (int i = 0; i < 2; i++)
		CHECK(!thread_done(&sleepers[i].thread));
	for (int i = 0; i < 2; i++)
		CHECK_OK(send_value(the_port, 1));
	for (int i = 0; i < 2; i++) {
		thread_join(&sleepers[i].thread);
		CHECK_EQ(sleepers[i].got, 1);
	}
	CHECK_PORT_WORKS(the_port);
	close(the_port);
}

static void *work_on_a_small_stack(void *arg)
{
	int port = port_create(), fds[2];
	make_pair(fds);
	CHECK_OK(watch(port, fds[0], POLLIN));
	put(fds[1]);
	CHECK_FD_EVENT(port, fds[0]);
	CHECK_PORT_WORKS(port);
	close(fds[0]);
	close(fds[1]);
	close(port);
	return arg;
}

/* The smallest stack that the system allows, plus what this test's own checks need. */
TEST(small_thread_stack, "R7.1")
{
	pthread_attr_t attr;
	pthread_t handle;
	void *result = NULL;
	pthread_attr_init(&attr);
	CHECK_EQ(pthread_attr_setstacksize(&attr, (size_t)sysconf(_SC_THREAD_STACK_MIN) + 16384), 0);
	for (int i = 0; i < 50; i++) {
		CHECK_EQ(pthread_create(&handle, &attr, work_on_a_small_stack, MANY), 0);
		CHECK_EQ(pthread_join(handle, &result), 0);
		CHECK(result == MANY);
	}
}
