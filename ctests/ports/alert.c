/* port_alert (section 8). Alerts across processes (T-212, T-213) are not in here. */
#include "harness.h"
#include "events.h"
#include "waiter.h"

static void clear(int port)
{
	CHECK_OK(port_alert(port, PORT_ALERT_SET, 0, NULL));
}

TEST(every_get_returns_the_alert, "T-200 R8.3 R8.5")
{
	int port = new_port();
	port_event_t pe;
	CHECK_OK(port_alert(port, PORT_ALERT_SET, 7, USER(7)));
	for (int i = 0; i < 5; i++)
		get_alert(port, 7, USER(7));
	CHECK_OK(port_get(port, &pe, NULL));
	is_alert(&pe, 7, USER(7));
	CHECK_OK(port_get(port, &pe, ZERO_TIMEOUT));
	is_alert(&pe, 7, USER(7));
	clear(port);
	expect_none(port);
	close(port);
}

TEST(getn_returns_one_alert, "T-200 R8.3 R8.5")
{
	int port = new_port();
	port_event_t list[8];
	for (int i = 0; i < 3; i++)
		CHECK_OK(port_send(port, i, USER(i)));
	CHECK_OK(port_alert(port, PORT_ALERT_SET, -1, NULL));
	for (unsigned want = 1; want <= 8; want++) {
		unsigned n = want;
		CHECK_OK(port_getn(port, list, 8, &n, NULL));
		CHECK_EQ(n, 1);
		is_alert(&list[0], -1, NULL);
	}
	clear(port);
	CHECK_EQ(take_all(port, list, 8), 3);
	is_user(&list[2], 2, USER(2));
	close(port);
}

static void join_with_alert(struct waiter *w, int events, void *user)
{
	join(w, 0, 0);
	CHECK_EQ(w->got, w->want == 0 ? 0 : 1);
	is_alert(&w->list[0], events, user);
}

TEST(alert_wakes_everybody, "T-201 R8.3")
{
	struct waiter w[4];
	int port = new_port();
	for (int i = 0; i < 4; i++)
		start(&w[i], port, i == 3 ? 4 : 0);
	CHECK_OK(port_alert(port, PORT_ALERT_SET, 1, USER(1)));
	for (int i = 0; i < 4; i++)
		join_with_alert(&w[i], 1, USER(1));
	clear(port);
	expect_none(port);
	close(port);
}

TEST(update_only_once, "T-202 R8.2")
{
	int port = new_port();
	CHECK_OK(port_alert(port, PORT_ALERT_UPDATE, 1, USER(1)));
	CHECK_ERR(port_alert(port, PORT_ALERT_UPDATE, 2, USER(2)), EBUSY);
	get_alert(port, 1, USER(1));
	clear(port);
	CHECK_OK(port_alert(port, PORT_ALERT_UPDATE, 3, USER(3)));
	get_alert(port, 3, USER(3));
	CHECK_OK(port_alert(port, PORT_ALERT_UPDATE, 0, NULL));
	expect_none(port);
	close(port);
}

TEST(set_overwrites, "T-203 R8.2")
{
	int port = new_port();
	CHECK_OK(port_alert(port, PORT_ALERT_SET, 1, USER(1)));
	get_alert(port, 1, USER(1));
	CHECK_OK(port_alert(port, PORT_ALERT_SET, 2, USER(2)));
	get_alert(port, 2, USER(2));
	get_alert(port, 2, USER(2));
	CHECK_OK(port_alert(port, PORT_ALERT_UPDATE, 0, NULL));
	expect_none(port);
	close(port);
}

TEST(both_flags, "T-204 R8.1 R8.2")
{
	int port = new_port();
	CHECK_ERR(port_alert(port, PORT_ALERT_INVALID, 1, NULL), EINVAL);
	CHECK_ERR(port_alert(port, PORT_ALERT_INVALID | 8, 1, NULL), EINVAL);
	CHECK_ERR(port_alert(port, -1, 1, NULL), EINVAL);
	expect_none(port);
	CHECK_OK(port_alert(port, PORT_ALERT_INVALID, 0, NULL));
	CHECK_OK(port_alert(port, PORT_ALERT_SET, 1, USER(1)));
	CHECK_ERR(port_alert(port, PORT_ALERT_INVALID, 2, NULL), EINVAL);
	get_alert(port, 1, USER(1));
	CHECK_OK(port_alert(port, PORT_ALERT_INVALID, 0, NULL));
	expect_none(port);
	close(port);
}

TEST(other_flags_mean_set, "T-205 R8.2")
{
	static const int flags[] = { 0, 4, PORT_ALERT_UPDATE | 4, PORT_ALERT_SET | 8, 0x40000000 };
	int port = new_port();
	CHECK_OK(port_alert(port, PORT_ALERT_SET, 100, USER(100)));
	for (int i = 0; i < 5; i++) {
		CHECK_OK(port_alert(port, flags[i], i + 1, USER(i)));
		get_alert(port, i + 1, USER(i));
	}
	CHECK_OK(port_alert(port, 0, 0, USER(9)));
	expect_none(port);
	close(port);
}

TEST(clear_without_alert, "T-206 R8.1")
{
	int port = new_port();
	for (int flags = -1; flags < 6; flags++)
		CHECK_OK(port_alert(port, flags, 0, USER(1)));
	CHECK_OK(port_send(port, 1, USER(1)));
	clear(port);
	get_user(port, 1, USER(1));
	close(port);
}

TEST(events_wait_for_the_end_of_the_alert, "T-207 R6.2 R8.6")
{
	int port = new_port(), fds[2];
	make_pipe(fds);
	CHECK_OK(port_send(port, 1, USER(1)));
	watch(port, fds[0], POLLIN, USER(2));
	CHECK_OK(port_alert(port, PORT_ALERT_SET, 7, USER(7)));
	put(fds[1]);
	get_alert(port, 7, USER(7));
	CHECK_EQ(pending(port), 2);
	CHECK_OK(port_send(port, 3, USER(3)));
	get_alert(port, 7, USER(7));
	clear(port);
	get_user(port, 1, USER(1));
	get_fd(port, fds[0], POLLIN, USER(2));
	get_user(port, 3, USER(3));
	expect_none(port);
	close_pipe(fds);
	close(port);
}

TEST(association_during_an_alert, "R8.5 R4.4")
{
	int port = new_port(), fds[2];
	make_pipe(fds);
	put(fds[1]);
	CHECK_OK(port_alert(port, PORT_ALERT_SET, 7, USER(7)));
	watch(port, fds[0], POLLIN, USER(1));
	CHECK_EQ(pending(port), 1);
	get_alert(port, 7, USER(7));
	CHECK_OK(unwatch(port, fds[0]));
	CHECK_EQ(pending(port), 0);
	watch(port, fds[0], POLLIN, USER(2));
	clear(port);
	get_fd(port, fds[0], POLLIN, USER(2));
	close_pipe(fds);
	close(port);
}

TEST(alert_is_not_counted, "T-208 R8.5")
{
	int port = new_port();
	CHECK_OK(port_alert(port, PORT_ALERT_SET, 7, USER(7)));
	CHECK_EQ(pending(port), 0);
	CHECK_OK(port_send(port, 1, NULL));
	CHECK_OK(port_send(port, 2, NULL));
	CHECK_EQ(pending(port), 2);
	clear(port);
	CHECK_EQ(pending(port), 2);
	close(port);
}

TEST(alert_of_a_moment, "T-209 R8.4")
{
	struct waiter w[3];
	int port = new_port();
	for (int i = 0; i < 20; i++) {
		for (int j = 0; j < 3; j++)
			start(&w[j], port, j);
		/* Overwritten and cleared before the threads can run: each still has the first one's data. */
		CHECK_OK(port_alert(port, PORT_ALERT_SET, i + 1, USER(i)));
		CHECK_OK(port_alert(port, PORT_ALERT_SET, 1000, USER(1000)));
		clear(port);
		for (int j = 0; j < 3; j++)
			join_with_alert(&w[j], i + 1, USER(i));
	}
	expect_none(port);
	close(port);
}

TEST(bad_port, "T-210 R8.1 20")
{
	int fds[2];
	make_pipe(fds);
	CHECK_ERR(port_alert(-1, PORT_ALERT_SET, 1, NULL), EBADF);
	CHECK_ERR(port_alert(closed_fd(), PORT_ALERT_SET, 1, NULL), EBADF);
	CHECK_ERR(port_alert(fds[0], PORT_ALERT_SET, 1, NULL), EBADFD);
	/* Also where the rest of the call would fail, or do nothing. */
	CHECK_ERR(port_alert(-1, PORT_ALERT_INVALID, 1, NULL), EBADF);
	CHECK_ERR(port_alert(fds[0], PORT_ALERT_INVALID, 1, NULL), EBADFD);
	CHECK_ERR(port_alert(-1, 0, 0, NULL), EBADF);
	CHECK_ERR(port_alert(fds[0], 0, 0, NULL), EBADFD);
	close_pipe(fds);
}

TEST(alert_is_not_readable, "T-211 R8.8")
{
	int port = new_port();
	struct pollfd p = { port, POLLIN, 0 };
	CHECK_OK(port_alert(port, PORT_ALERT_SET, 1, NULL));
	CHECK_EQ(poll(&p, 1, 0), 0);
	get_alert(port, 1, NULL);
	CHECK_EQ(poll(&p, 1, 0), 0);
	CHECK_OK(port_send(port, 1, NULL));
	CHECK_EQ(poll(&p, 1, 0), 1);
	get_alert(port, 1, NULL);
	CHECK_EQ(poll(&p, 1, 0), 1);
	clear(port);
	CHECK_EQ(poll(&p, 1, 0), 1);
	get_user(port, 1, NULL);
	CHECK_EQ(poll(&p, 1, 0), 0);
	close(port);
}

/* The network poller of the Go run-time system: many threads want to break one wait. */
static struct {
	int port;
	int first, busy, other;
} breakers;

static void *break_poller(void *arg)
{
	(void)arg;
	if (port_alert(breakers.port, PORT_ALERT_UPDATE, POLLHUP, &breakers.port) == 0)
		__atomic_add_fetch(&breakers.first, 1, __ATOMIC_RELAXED);
	else if (errno == EBUSY)
		__atomic_add_fetch(&breakers.busy, 1, __ATOMIC_RELAXED);
	else
		__atomic_add_fetch(&breakers.other, 1, __ATOMIC_RELAXED);
	return NULL;
}

TEST(one_of_many_breaks_the_wait, "T-214 R8.2 R8.3")
{
	enum { COUNT = 8 };
	struct thread t[COUNT];
	struct waiter w;
	breakers.port = new_port();
	for (int round = 0; round < 10; round++) {
		breakers.first = breakers.busy = breakers.other = 0;
		start(&w, breakers.port, 2);
		for (int i = 0; i < COUNT; i++)
			thread_start(&t[i], break_poller, NULL);
		for (int i = 0; i < COUNT; i++)
			thread_join(&t[i]);
		CHECK_EQ(breakers.first, 1);
		CHECK_EQ(breakers.busy, COUNT - 1);
		CHECK_EQ(breakers.other, 0);
		join_with_alert(&w, POLLHUP, &breakers.port);
		CHECK_OK(port_alert(breakers.port, 0, 0, NULL));
	}
	expect_none(breakers.port);
	close(breakers.port);
}

#define BREAKS 10000

static void *break_again_and_again(void *arg)
{
	int *acknowledged = arg;
	for (int i = 0; i < BREAKS; i++) {
		while (port_alert(breakers.port, PORT_ALERT_UPDATE, POLLHUP, &breakers.port) != 0)
			if (errno != EBUSY)
				return (void *)1;
		while (__atomic_load_n(acknowledged, __ATOMIC_ACQUIRE) <= i)
			sched_yield();
	}
	return NULL;
}

TEST_LIMIT(break_and_clear_many_times, "T-214 R8.2 R8.5", 60)
{
	struct thread t;
	int acknowledged = 0;
	breakers.port = new_port();
	thread_start(&t, break_again_and_again, &acknowledged);
	for (int i = 0; i < BREAKS; i++) {
		port_event_t list[4];
		unsigned n = 1;
		CHECK_EQ(port_getn(breakers.port, list, 4, &n, LONG_TIMEOUT), 0);
		CHECK_EQ(n, 1);
		is_alert(&list[0], POLLHUP, &breakers.port);
		CHECK_EQ(port_alert(breakers.port, 0, 0, NULL), 0);
		__atomic_store_n(&acknowledged, i + 1, __ATOMIC_RELEASE);
	}
	CHECK(thread_join(&t) == NULL);
	expect_none(breakers.port);
	close(breakers.port);
}

/* ------------------------------------------------------------------ threads that are at work */

enum { WORKERS = 4, PIPES = 6 };

static struct {
	int port, fds[PIPES][2];
	long alerted;
} mill;

/* Bytes travel round the pipes until the alert comes. */
static void *miller(void *arg)
{
	port_event_t pe;
	(void)arg;
	for (;;) {
		char byte;
		CHECK_OK(port_get(mill.port, &pe, NULL));
		if (pe.portev_source == PORT_SOURCE_ALERT)
			break;
		int i = (int)(uintptr_t)pe.portev_user;
		bool taken = read(mill.fds[i][0], &byte, 1) == 1;
		CHECK_OK(port_associate(mill.port, PORT_SOURCE_FD, (uintptr_t)mill.fds[i][0], POLLIN, pe.portev_user));
		if (taken)
			CHECK_RET(write(mill.fds[(i + 1) % PIPES][1], "x", 1), 1);
	}
	__atomic_fetch_add(&mill.alerted, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

/* Whatever a thread is doing when the alert is set, asleep, on its way to sleep or with an event: it returns with it. */
TEST_LIMIT(alert_reaches_threads_at_work, "R8.1 R8.3 T-211", 60)
{
	int rounds = slow() > 1 ? 100 : 2000;
	mill.port = port_create();
	for (int i = 0; i < PIPES; i++) {
		make_pipe(mill.fds[i]);
		CHECK_OK(fcntl(mill.fds[i][0], F_SETFL, O_NONBLOCK));
		CHECK_OK(port_associate(mill.port, PORT_SOURCE_FD, (uintptr_t)mill.fds[i][0], POLLIN, (void *)(uintptr_t)i));
	}
	for (int round = 0; round < rounds; round++) {
		struct thread threads[WORKERS];
		mill.alerted = 0;
		if (round > rounds / 2 && round % 3 == 0)
			put(mill.fds[0][1]); /* nothing to do at first, then more and more */
		for (int i = 0; i < WORKERS; i++)
			thread_start(&threads[i], miller, NULL);
		for (int spin = 0; spin < round * 97 % 20000; spin++)
			__asm__ volatile("" ::: "memory");
		CHECK_OK(port_alert(mill.port, PORT_ALERT_SET, 1, NULL));
		for (int i = 0; i < WORKERS; i++)
			thread_join(&threads[i]);
		CHECK_EQ(mill.alerted, WORKERS);
		CHECK_OK(port_alert(mill.port, 0, 0, NULL));
	}
	for (int i = 0; i < PIPES; i++)
		close_pipe(mill.fds[i]);
	close(mill.port);
}
