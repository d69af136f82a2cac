/*
 * Many threads in one port: every event exactly once (R2.3), fewest wanted first (R7.20), alerts reach all.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include "life.h"

struct waiter {
	struct thread thread;
	int port;
	unsigned wanted; /* 0: port_get */
	int result, error;
	unsigned got;
	port_event_t list[8];
};

static void *wait_once(void *arg)
{
	struct waiter *w = arg;
	w->got = w->wanted;
	errno = 0;
	w->result = w->wanted == 0 ? port_get(w->port, w->list, NULL)
				   : port_getn(w->port, w->list, 8, &w->got, NULL);
	w->error = errno;
	if (w->wanted == 0)
		w->got = w->result == 0;
	return NULL;
}

static void waiter_start(struct waiter *w, int port, unsigned wanted)
{
	memset(w, 0, sizeof *w);
	w->port = port;
	w->wanted = wanted;
	thread_start(&w->thread, wait_once, w);
	wait_until_blocked(w->thread.tid);
}

static int count_done(struct waiter *w, int count)
{
	int done = 0;
	for (int i = 0; i < count; i++)
		done += thread_done(&w[i].thread);
	return done;
}

static void wait_for_done(struct waiter *w, int count, int wanted)
{
	long long end = now_ms() + 3000LL * slow();
	while (count_done(w, count) < wanted) {
		if (now_ms() > end)
			FAIL("%d of %d waiters have returned, expected %d", count_done(w, count), count, wanted);
		sleep_ms(1);
	}
}

/* No more than `wanted` have returned even after a while. */
static void check_only(struct waiter *w, int count, int wanted)
{
	wait_for_done(w, count, wanted);
	sleep_ms(50);
	CHECK_EQ(count_done(w, count), wanted);
}

TEST(getn_waits_for_all_it_wants, "R7.1 T-185")
{
	struct waiter w;
	int port = port_create();
	waiter_start(&w, port, 2);
	CHECK_OK(send_value(port, 1));
	check_only(&w, 1, 0);
	CHECK_OK(send_value(port, 2));
	wait_for_done(&w, 1, 1);
	thread_join(&w.thread);
	CHECK_EQ(w.result, 0);
	CHECK_EQ(w.got, 2);
	CHECK_EQ((uintptr_t)w.list[0].portev_user, 1);
	close(port);
}

/* Whoever wants fewer is served, in whichever order they came. */
static void fewest_first(unsigned first, unsigned second)
{
	struct waiter w[2];
	int port = port_create(), modest = first > second, greedy = !modest;
	waiter_start(&w[0], port, first);
	waiter_start(&w[1], port, second);
	CHECK_OK(send_value(port, 1));
	check_only(w, 2, 1);
	CHECK(thread_done(&w[modest].thread));
	CHECK_EQ(w[modest].got, 1);
	CHECK_EQ(pending(port), 0);
	CHECK_OK(send_value(port, 2));
	check_only(w, 2, 1);
	CHECK_OK(send_value(port, 3));
	if (w[greedy].wanted == 3)
		CHECK_OK(send_value(port, 4));
	wait_for_done(w, 2, 2);
	for (int i = 0; i < 2; i++)
		thread_join(&w[i].thread);
	CHECK_EQ(w[greedy].got, w[greedy].wanted);
	CHECK_EQ(pending(port), 0);
	close(port);
}

TEST(fewest_wanted_first, "R7.20 Q3 T-186 T-187")
{
	fewest_first(2, 0);
	fewest_first(0, 2);
	fewest_first(3, 1);
	fewest_first(1, 3);
	fewest_first(0, 3);
}

/* A queue of different appetites: 4, 3, 2, 1 come and are served from the smallest to the largest. */
TEST(appetites_in_order, "R7.20 R7.22")
{
	static struct waiter w[4];
	int port = port_create();
	for (int i = 0; i < 4; i++)
		waiter_start(&w[i], port, 4 - (unsigned)i);
	for (int served = 1; served <= 4; served++) {
		for (int i = 0; i < served; i++) {
			check_only(w, 4, served - 1);
			CHECK_OK(send_value(port, 1));
		}
		wait_for_done(w, 4, served);
		CHECK(thread_done(&w[4 - served].thread));
		CHECK_EQ(w[4 - served].got, served);
	}
	for (int i = 0; i < 4; i++)
		thread_join(&w[i].thread);
	CHECK_EQ(pending(port), 0);
	close(port);
}

TEST(one_event_one_return, "R7.23 T-188 T-189")
{
	static struct waiter w[4];
	int port = port_create();
	for (int i = 0; i < 4; i++)
		waiter_start(&w[i], port, 0);
	for (int sent = 1; sent <= 4; sent++) {
		CHECK_OK(send_value(port, (uintptr_t)sent));
		check_only(w, 4, sent);
	}
	for (int i = 0; i < 4; i++) {
		thread_join(&w[i].thread);
		CHECK_EQ(w[i].result, 0);
		CHECK_EQ(w[i].got, 1);
	}
	close(port);
}

#define PRODUCERS 8
#define CONSUMERS 8
#define EACH 10000

static unsigned char seen[PRODUCERS * EACH + 1];
static volatile long total;
static volatile int the_port;

static void *produce(void *arg)
{
	long first = (long)(intptr_t)arg * EACH;
	for (long i = 1; i <= EACH; i++)
		while (send_value(the_port, (uintptr_t)(first + i)) != 0) {
			CHECK_EQ(errno, EAGAIN);
			sched_yield();
		}
	return NULL;
}

/* Consumers differ in what they call and how much they want; nobody may starve the end of the run. */
static void *consume(void *arg)
{
	static const unsigned appetites[] = { 0, 1, 2, 7, 32, 0, 3, 64 };
	unsigned wanted = appetites[(intptr_t)arg % 8];
	port_event_t list[64];
	while (__atomic_load_n(&total, __ATOMIC_RELAXED) < PRODUCERS * EACH) {
		unsigned got = wanted;
		int result = wanted == 0 ? port_get(the_port, list, TIMEOUT_MS(20))
					 : port_getn(the_port, list, 64, &got, TIMEOUT_MS(20));
		if (result == -1)
			CHECK_EQ(errno, ETIME);
		if (wanted == 0)
			got = result == 0;
		for (unsigned i = 0; i < got; i++) {
			uintptr_t value = (uintptr_t)list[i].portev_user;
			CHECK(value >= 1 && value <= PRODUCERS * EACH);
			CHECK_EQ(__atomic_fetch_add(&seen[value], 1, __ATOMIC_RELAXED), 0);
		}
		__atomic_add_fetch(&total, got, __ATOMIC_RELAXED);
	}
	return NULL;
}

TEST_LIMIT(every_value_exactly_once, "R2.3 T-016", 60)
{
	static struct thread threads[PRODUCERS + CONSUMERS];
	the_port = port_create();
	for (int i = 0; i < CONSUMERS; i++)
		thread_start(&threads[i], consume, (void *)(intptr_t)i);
	for (int i = 0; i < PRODUCERS; i++)
		thread_start(&threads[CONSUMERS + i], produce, (void *)(intptr_t)i);
	for (int i = 0; i < PRODUCERS + CONSUMERS; i++)
		thread_join(&threads[i]);
	for (int i = 1; i <= PRODUCERS * EACH; i++)
		CHECK_EQ(seen[i], 1);
	CHECK_EQ(pending(the_port), 0);
	close(the_port);
}

TEST(alert_reaches_every_waiter, "R8.3 T-201")
{
	static struct waiter w[32];
	int port = port_create();
	for (int i = 0; i < 32; i++)
		waiter_start(&w[i], port, (unsigned)i % 5);
	CHECK_OK(port_alert(port, PORT_ALERT_SET, 0x11, (void *)0x22));
	wait_for_done(w, 32, 32);
	for (int i = 0; i < 32; i++) {
		thread_join(&w[i].thread);
		CHECK_EQ(w[i].result, 0);
		CHECK_EQ(w[i].got, 1);
		CHECK_EQ(w[i].list[0].portev_source, PORT_SOURCE_ALERT);
		CHECK_EQ(w[i].list[0].portev_events, 0x11);
		CHECK_EQ((uintptr_t)w[i].list[0].portev_user, 0x22);
	}
	close(port);
}

/* R8.4: the alert is over before anybody has run, and the waiters report the first one all the same. */
TEST(alert_set_and_cleared_at_once, "R8.4 T-209")
{
	static struct waiter w[8];
	for (int round = 0; round < 20; round++) {
		int port = port_create();
		for (int i = 0; i < 8; i++)
			waiter_start(&w[i], port, (unsigned)i % 4);
		CHECK_OK(port_alert(port, PORT_ALERT_SET, 7, NULL));
		if (round % 2)
			CHECK_OK(port_alert(port, PORT_ALERT_SET, 8, NULL));
		CHECK_OK(port_alert(port, 0, 0, NULL));
		wait_for_done(w, 8, 8);
		for (int i = 0; i < 8; i++) {
			thread_join(&w[i].thread);
			CHECK_EQ(w[i].result, 0);
			CHECK_EQ(w[i].list[0].portev_source, PORT_SOURCE_ALERT);
			CHECK_EQ(w[i].list[0].portev_events, 7);
		}
		CHECK_PORT_WORKS(port);
		close(port);
	}
}

static pthread_barrier_t start_line, finish_line;
static volatile int alerts_ok, alerts_busy, stop_breaking;

static void *net_break(void *arg)
{
	(void)arg;
	for (;;) {
		pthread_barrier_wait(&start_line);
		if (stop_breaking)
			return NULL;
		if (port_alert(the_port, PORT_ALERT_UPDATE, POLLHUP, (void *)0xb0) == 0)
			__atomic_add_fetch(&alerts_ok, 1, __ATOMIC_RELAXED);
		else if (errno == EBUSY)
			__atomic_add_fetch(&alerts_busy, 1, __ATOMIC_RELAXED);
		else
			FAIL("port_alert: errno %d", errno);
		pthread_barrier_wait(&finish_line);
	}
}

/* The Go runtime's way of interrupting a poller, from eight threads at once. */
TEST_LIMIT(concurrent_breaks, "R8.2 T-214", 120)
{
	static struct thread threads[8];
	port_event_t list[4];
	int rounds = slow() > 1 ? 500 : 10000;
	the_port = port_create();
	pthread_barrier_init(&start_line, NULL, 9);
	pthread_barrier_init(&finish_line, NULL, 9);
	for (int i = 0; i < 8; i++)
		thread_start(&threads[i], net_break, NULL);
	for (int round = 0; round < rounds; round++) {
		unsigned nget = 1;
		alerts_ok = alerts_busy = 0;
		pthread_barrier_wait(&start_line);
		CHECK_OK(port_getn(the_port, list, 4, &nget, NULL));
		CHECK_EQ(nget, 1);
		CHECK_EQ(list[0].portev_source, PORT_SOURCE_ALERT);
		CHECK_EQ(list[0].portev_events, POLLHUP);
		CHECK_EQ((uintptr_t)list[0].portev_user, 0xb0);
		pthread_barrier_wait(&finish_line);
		CHECK_EQ(alerts_ok, 1);
		CHECK_EQ(alerts_busy, 7);
		CHECK_OK(port_alert(the_port, 0, 0, NULL));
		nget = 1;
		if (round % 100 == 0) {
			CHECK_OK(port_getn(the_port, list, 4, &nget, ZERO_TIMEOUT));
			CHECK_EQ(nget, 0);
		}
	}
	stop_breaking = 1;
	pthread_barrier_wait(&start_line);
	for (int i = 0; i < 8; i++)
		thread_join(&threads[i]);
	close(the_port);
}
