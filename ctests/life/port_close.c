/*
 * Closing a port while threads are blocked in it (R7.30, R7.31): the usual stop signal of real programs.
 * What happens to the number afterwards is in port_reuse.c.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include "life.h"

struct waiter {
	struct thread thread;
	int port;
	unsigned wanted; /* 0: port_get, otherwise port_getn */
	bool stop_on_alert;
	int result, error;
	volatile int events; /* how many events it returned with before it ended; polled meanwhile */
	unsigned nget;
	port_event_t list[4];
};

static void *wait_to_the_end(void *arg)
{
	struct waiter *w = arg;
	do {
		memset(w->list, 0, sizeof w->list);
		w->nget = w->wanted;
		errno = 0;
		w->result = w->wanted == 0 ? port_get(w->port, w->list, NULL)
					   : port_getn(w->port, w->list, 4, &w->nget, NULL);
		w->error = errno;
		if (w->result == 0)
			w->events++;
		if (w->result == 0 && w->stop_on_alert)
			break;
	} while (w->result == 0);
	return NULL;
}

static void waiter_start(struct waiter *w, int port, unsigned wanted)
{
	memset(w, 0, sizeof *w);
	w->port = port;
	w->wanted = wanted;
	thread_start(&w->thread, wait_to_the_end, w);
}

#define CHECK_ENDED_BY_CLOSE(w)                                                                           \
	do {                                                                                              \
		thread_join(&(w)->thread);                                                                \
		CHECK_EQ((w)->result, -1);                                                                \
		if ((w)->error != EBADF && (w)->error != EBADFD)                                          \
			FAIL("the waiter got errno %d (%s)", (w)->error, strerror((w)->error));           \
		if ((w)->wanted != 0)                                                                     \
			CHECK_EQ((w)->nget, (w)->wanted); /* R7.9 */                                      \
	} while (0)

static void check_quick(long long start)
{
	if (now_ms() - start > 1000LL * slow())
		FAIL("it took %lld ms", now_ms() - start);
}

/* Closes a port with `count` waiters, `rounds` times; every second waiter wants three events. */
static void close_with_waiters(int count, int rounds, bool settled)
{
	static struct waiter w[8];
	for (int round = 0; round < rounds; round++) {
		int port = port_create();
		for (int i = 0; i < count; i++)
			waiter_start(&w[i], port, i % 2 ? 3 : 0);
		for (int i = 0; settled && i < count; i++)
			wait_until_blocked(w[i].thread.tid);
		long long start = now_ms();
		CHECK_OK(close(port));
		for (int i = 0; i < count; i++)
			CHECK_ENDED_BY_CLOSE(&w[i]);
		check_quick(start);
	}
}

TEST_LIMIT(close_with_one_waiter, "R7.30 T-190", 30) { close_with_waiters(1, 500, false); }
TEST_LIMIT(close_with_eight_waiters, "R7.30 T-190", 60) { close_with_waiters(8, 500, false); }
TEST_LIMIT(close_with_sleeping_waiters, "R7.30 T-190", 30)
{
	close_with_waiters(1, 50, true);
	close_with_waiters(8, 20, true);
}

/* Waiters with a time-out, and with descriptors of every kind behind them. */
TEST(close_with_a_timed_waiter, "R7.30 T-190")
{
	struct rig r;
	struct waiter w;
	rig_open(&r, false);
	waiter_start(&w, r.port, 2);
	put(r.peer);
	CHECK_OK(send_value(r.port, 1));
	wait_until_blocked(w.thread.tid);
	CHECK_OK(close(r.port));
	CHECK_ENDED_BY_CLOSE(&w);
	CHECK_EQ(w.events, 1);
	close(r.fd);
	close(r.keep);
	close(r.peer);
}

/* R7.9: events that were not enough stay where they are; the list is untouched. */
TEST(close_while_getn_lacks_events, "R7.30 R7.9")
{
	struct waiter w;
	int port = port_create();
	CHECK_OK(send_value(port, 1));
	waiter_start(&w, port, 3);
	wait_until_blocked(w.thread.tid);
	CHECK_OK(close(port));
	CHECK_ENDED_BY_CLOSE(&w);
	CHECK_EQ(w.list[0].portev_source, 0);
}

/* The descriptor that takes the port's place belongs to the program: nothing may be written into it. */
TEST_LIMIT(dup2_onto_a_port_with_waiters, "R7.30 R4.20", 20)
{
	static struct waiter w[4];
	for (int round = 0; round < 100; round++) {
		int port = port_create(), fds[2];
		char byte;
		make_pair(fds);
		for (int i = 0; i < 4; i++)
			waiter_start(&w[i], port, i % 2 ? 3 : 0);
		if (round % 4 == 0)
			wait_until_blocked(w[3].thread.tid);
		CHECK_RET(dup2(fds[0], port), port);
		for (int i = 0; i < 4; i++)
			CHECK_ENDED_BY_CLOSE(&w[i]);
		CHECK_ERR(send_value(port, 1), EBADFD);
		CHECK_EQ(recv(fds[1], &byte, 1, MSG_DONTWAIT), -1);
		put(fds[1]);
		CHECK_EQ(recv(port, &byte, 1, MSG_DONTWAIT), 1);
		close(port);
		close_pipe(fds);
	}
}

#ifdef __GLIBC__
TEST(close_range_over_a_port_with_waiters, "R7.30 T-061")
{
	static struct waiter w[4];
	int low = port_create(), port = fcntl(low, F_DUPFD, 200);
	CHECK_OK(close(low));
	for (int i = 0; i < 4; i++)
		waiter_start(&w[i], port, i % 2 ? 3 : 0);
	wait_until_blocked(w[3].thread.tid);
	if (close_range(200, 300, 0) != 0)
		closefrom(200);
	for (int i = 0; i < 4; i++)
		CHECK_ENDED_BY_CLOSE(&w[i]);
}
#endif

/* R7.31: only the threads that entered through the closed number return. */
TEST(close_of_one_of_two_numbers, "R7.31 T-191")
{
	static struct waiter w[8];
	int first = port_create(), second = dup(first);
	for (int i = 0; i < 8; i++)
		waiter_start(&w[i], i % 2 ? second : first, i < 4 ? 0 : 3);
	for (int i = 0; i < 8; i++)
		wait_until_blocked(w[i].thread.tid);
	CHECK_OK(close(first));
	for (int i = 0; i < 8; i += 2)
		CHECK_ENDED_BY_CLOSE(&w[i]);
	sleep_ms(50);
	for (int i = 1; i < 8; i += 2)
		CHECK(!thread_done(&w[i].thread));
	CHECK_OK(send_value(second, 1));
	while (w[1].events + w[3].events == 0)
		sleep_ms(1);
	sleep_ms(50);
	CHECK_EQ(w[1].events + w[3].events + w[5].events + w[7].events, 1);
	CHECK_OK(close(second));
	for (int i = 1; i < 8; i += 2)
		CHECK_ENDED_BY_CLOSE(&w[i]);
}

TEST(close_through_every_copy_in_turn, "R7.31 R13.5")
{
	static struct waiter w[6];
	int numbers[6] = { port_create() };
	for (int i = 1; i < 6; i++)
		numbers[i] = i % 2 ? fcntl(numbers[i - 1], F_DUPFD_CLOEXEC, 30 * i) : dup(numbers[i - 1]);
	for (int i = 0; i < 6; i++)
		waiter_start(&w[i], numbers[i], 0);
	for (int i = 0; i < 6; i++)
		wait_until_blocked(w[i].thread.tid);
	for (int i = 0; i < 6; i++) {
		CHECK_OK(close(numbers[i]));
		CHECK_ENDED_BY_CLOSE(&w[i]);
		for (int j = i + 1; j < 6; j++)
			CHECK(!thread_done(&w[j].thread));
	}
}

static volatile int handler_port;
static volatile int handler_result;

static void close_in_handler(int sig)
{
	int saved = errno;
	(void)sig;
	handler_result = close(handler_port);
	errno = saved;
}

/* The closing thread is itself the waiter: waiting for it would be waiting for oneself. */
TEST_LIMIT(close_in_a_handler_that_interrupted_the_waiter, "R7.30 R7.6 T-190", 20)
{
	struct sigaction action = { .sa_handler = close_in_handler };
	struct itimerval soon = { .it_value = { 0, 2000 } };
	port_event_t pe, list[4];
	CHECK_OK(sigaction(SIGALRM, &action, NULL));
	for (int round = 0; round < 100; round++) {
		unsigned nget = 3;
		handler_port = port_create();
		handler_result = -1;
		CHECK_OK(setitimer(ITIMER_REAL, &soon, NULL));
		if (round % 2)
			CHECK_ERR2(port_get(handler_port, &pe, NULL), EINTR, EBADF);
		else
			CHECK_ERR2(port_getn(handler_port, list, 4, &nget, NULL), EINTR, EBADF);
		CHECK_EQ(handler_result, 0);
		CHECK_ERR(port_get(handler_port, &pe, NULL), EBADF);
	}
	signal(SIGALRM, SIG_DFL);
}

/* The handler runs on top of one waiter, and others sleep in the same port. */
TEST_LIMIT(close_in_a_handler_with_other_waiters, "R7.30 T-190", 20)
{
	static struct waiter w[4];
	struct sigaction action = { .sa_handler = close_in_handler };
	CHECK_OK(sigaction(SIGUSR1, &action, NULL));
	for (int round = 0; round < 30; round++) {
		handler_port = port_create();
		handler_result = -1;
		for (int i = 0; i < 4; i++)
			waiter_start(&w[i], handler_port, i % 2 ? 3 : 0);
		for (int i = 0; i < 4; i++)
			wait_until_blocked(w[i].thread.tid);
		pthread_kill(w[round % 4].thread.handle, SIGUSR1);
		for (int i = 0; i < 4; i++) {
			thread_join(&w[i].thread);
			CHECK_EQ(w[i].result, -1);
			if (w[i].error != EBADF && !(i == round % 4 && w[i].error == EINTR))
				FAIL("waiter %d: errno %d", i, w[i].error);
		}
		CHECK_EQ(handler_result, 0);
	}
	signal(SIGUSR1, SIG_DFL);
}

TEST_LIMIT(mysql_stop_idiom, "R7.30 T-354", 20)
{
	for (int round = 0; round < 100; round++) {
		struct waiter w;
		int port = port_create();
		waiter_start(&w, port, 0);
		if (round % 2)
			sleep_ms(1);
		long long start = now_ms();
		CHECK_OK(close(port));
		CHECK_ENDED_BY_CLOSE(&w);
		check_quick(start);
	}
}

/* Alert and then close, with nothing in between: the thread leaves by the one or by the other. */
TEST_LIMIT(nng_stop_idiom, "R8.3 R7.30 T-355", 20)
{
	for (int round = 0; round < 200; round++) {
		struct waiter w;
		int port = port_create();
		memset(&w, 0, sizeof w);
		w.port = port;
		w.stop_on_alert = true;
		thread_start(&w.thread, wait_to_the_end, &w);
		if (round % 2)
			wait_until_blocked(w.thread.tid);
		long long start = now_ms();
		CHECK_OK(port_alert(port, PORT_ALERT_SET, 1, NULL));
		CHECK_OK(close(port));
		thread_join(&w.thread);
		check_quick(start);
		if (w.result == 0)
			CHECK_EQ(w.list[0].portev_source, PORT_SOURCE_ALERT);
		else if (w.error != EBADF && w.error != EBADFD)
			FAIL("errno %d (%s)", w.error, strerror(w.error));
	}
}

TEST(nng_barrier, "R6.1 R7.30")
{
	struct waiter w;
	int port = port_create();
	waiter_start(&w, port, 0);
	for (int i = 0; i < 100; i++)
		CHECK_OK(port_send(port, 0, &w));
	while (w.events < 100)
		sleep_ms(1);
	CHECK_OK(close(port));
	CHECK_ENDED_BY_CLOSE(&w);
	CHECK_ERR2(port_send(port, 0, NULL), EBADF, EBADFD);
}
