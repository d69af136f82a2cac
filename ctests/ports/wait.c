/* Blocked port_get and port_getn: which waiter an event wakes (R7.1, R7.20 to R7.23). */
#include "harness.h"
#include "events.h"
#include "waiter.h"

TEST(send_wakes_get, "T-184 R7.1")
{
	struct waiter w;
	int port = new_port();
	for (int i = 0; i < 50; i++) {
		start(&w, port, 0);
		CHECK_OK(port_send(port, i, USER(i)));
		join(&w, 0, 0);
		is_user(&w.list[0], i, USER(i));
	}
	expect_none(port);
	close(port);
}

TEST(getn_waits_for_all, "T-185 R7.1")
{
	struct waiter w;
	int port = new_port();
	start(&w, port, 2);
	CHECK_OK(port_send(port, 1, USER(1)));
	sleep_ms(50);
	CHECK(!thread_done(&w.thread));
	CHECK_OK(port_send(port, 2, USER(2)));
	join(&w, 0, 0);
	CHECK_EQ(w.got, 2);
	is_user(&w.list[0], 1, USER(1));
	is_user(&w.list[1], 2, USER(2));
	close(port);
}

TEST(getn_waits_for_descriptor_and_user, "T-185 R7.1")
{
	struct waiter w;
	int port = new_port(), fds[2];
	make_pipe(fds);
	watch(port, fds[0], POLLIN, USER(1));
	start(&w, port, 2);
	put(fds[1]);
	wait_until_blocked(w.thread.tid);
	sleep_ms(20);
	CHECK(!thread_done(&w.thread));
	CHECK_OK(port_send(port, 2, USER(2)));
	join(&w, 0, 0);
	CHECK_EQ(w.got, 2);
	is_fd(&w.list[0], fds[0], POLLIN, USER(1));
	is_user(&w.list[1], 2, USER(2));
	close_pipe(fds);
	close(port);
}

/* The waiter that wants one event is served first, whoever came first. */

static void check_fewest_first(bool getn_first)
{
	struct waiter get, getn;
	int port = new_port();
	if (getn_first)
		start(&getn, port, 2);
	start(&get, port, 0);
	if (!getn_first)
		start(&getn, port, 2);
	CHECK_OK(port_send(port, 1, USER(1)));
	join(&get, 0, 0);
	is_user(&get.list[0], 1, USER(1));
	sleep_ms(20);
	CHECK(!thread_done(&getn.thread));
	CHECK_OK(port_send(port, 2, USER(2)));
	CHECK_OK(port_send(port, 3, USER(3)));
	join(&getn, 0, 0);
	CHECK_EQ(getn.got, 2);
	is_user(&getn.list[0], 2, USER(2));
	is_user(&getn.list[1], 3, USER(3));
	close(port);
}

TEST(fewest_wanted_first, "T-186 R7.20")
{
	check_fewest_first(true);
}

TEST(late_getn_does_not_hide_a_waiter, "T-187 R7.20 Q3")
{
	check_fewest_first(false);
}

TEST(one_event_one_thread, "T-188 T-189 R7.23")
{
	enum { COUNT = 4 };
	struct waiter w[COUNT];
	int port = new_port(), done = 0, seen = 0;
	for (int i = 0; i < COUNT; i++)
		start(&w[i], port, 0);
	CHECK_OK(port_send(port, 0, USER(0)));
	for (long long end = now_ms() + 5000; done == 0 && now_ms() < end; sleep_ms(1))
		for (int i = 0; i < COUNT; i++)
			done += thread_done(&w[i].thread);
	sleep_ms(30);
	done = 0;
	for (int i = 0; i < COUNT; i++)
		done += thread_done(&w[i].thread);
	CHECK_EQ(done, 1);
	for (int i = 1; i < COUNT; i++)
		CHECK_OK(port_send(port, i, USER(i)));
	for (int i = 0; i < COUNT; i++) {
		join(&w[i], 0, 0);
		is_user(&w[i].list[0], w[i].list[0].portev_events, USER(w[i].list[0].portev_events));
		seen |= 1 << w[i].list[0].portev_events;
	}
	CHECK_EQ(seen, (1 << COUNT) - 1);
	expect_none(port);
	close(port);
}

TEST(descriptor_event_wakes_one_thread, "T-189 R7.23 R4.5")
{
	struct waiter a, b;
	int port = new_port(), fds[2];
	make_pipe(fds);
	watch(port, fds[0], POLLIN, USER(1));
	start(&a, port, 0);
	start(&b, port, 0);
	put(fds[1]);
	while (!thread_done(&a.thread) && !thread_done(&b.thread))
		sleep_ms(1);
	sleep_ms(30);
	CHECK(thread_done(&a.thread) != thread_done(&b.thread));
	CHECK_OK(port_send(port, 2, USER(2)));
	join(&a, 0, 0);
	join(&b, 0, 0);
	CHECK_EQ(a.list[0].portev_source + b.list[0].portev_source, PORT_SOURCE_FD + PORT_SOURCE_USER);
	close_pipe(fds);
	close(port);
}

TEST(long_waits_end_with_the_event, "T-192 T-193 R7.11")
{
	struct thread t;
	struct waiter w;
	int port = new_port();
	for (int i = 0; i < 2; i++) {
		w = (struct waiter){ .port = port, .want = i, .max = 8, .timeout_ms = i == 0 ? 3600000 : LONG_MAX };
		thread_start(&t, waiter_main, &w);
		wait_until_blocked(t.tid);
		sleep_ms(20);
		CHECK_OK(port_send(port, i, USER(i)));
		thread_join(&t);
		CHECK_EQ(w.result, 0);
		is_user(&w.list[0], i, USER(i));
	}
	close(port);
}

TEST(several_getn_with_different_needs, "T-186 R7.20 R7.23")
{
	struct waiter two, three;
	int port = new_port();
	start(&three, port, 3);
	start(&two, port, 2);
	CHECK_OK(port_send(port, 1, USER(1)));
	CHECK_OK(port_send(port, 2, USER(2)));
	join(&two, 0, 0);
	CHECK_EQ(two.got, 2);
	is_user(&two.list[0], 1, USER(1));
	is_user(&two.list[1], 2, USER(2));
	CHECK(!thread_done(&three.thread));
	for (int i = 3; i <= 5; i++)
		CHECK_OK(port_send(port, i, USER(i)));
	join(&three, 0, 0);
	CHECK_EQ(three.got, 3);
	is_user(&three.list[2], 5, USER(5));
	expect_none(port);
	close(port);
}

TEST(rest_of_a_retrieval_wakes_the_next, "R7.22")
{
	struct waiter get, getn;
	int port = new_port();
	start(&getn, port, 2);
	start(&get, port, 0);
	/* One call posts three: one for port_get, and the two that remain satisfy port_getn. */
	int ports[] = { port, port, port };
	CHECK_EQ(port_sendn(ports, NULL, 3, 1, USER(1)), 3);
	thread_join(&getn.thread);
	CHECK_EQ(getn.result, 0);
	if (getn.got == 3) /* it was faster and took everything: R7.1 */
		CHECK_OK(port_send(port, 1, USER(1)));
	join(&get, 0, 0);
	expect_none(port);
	close(port);
}

TEST(getn_times_out_beside_others, "T-170 R7.2 R7.11")
{
	struct waiter timed, forever;
	int port = new_port(), fds[2];
	make_pipe(fds);
	watch(port, fds[0], POLLIN, USER(1));
	start(&forever, port, 4);
	timed = (struct waiter){ .port = port, .want = 2, .max = 8, .timeout_ms = 100L * slow() };
	long long begin = now_ms();
	thread_start(&timed.thread, waiter_main, &timed);
	wait_until_blocked(timed.thread.tid);
	put(fds[1]);
	join(&timed, -1, ETIME);
	CHECK(now_ms() - begin >= 100L * slow() - 1 && now_ms() - begin < 3000 * slow());
	CHECK_EQ(timed.got, 1);
	is_fd(&timed.list[0], fds[0], POLLIN, USER(1));
	CHECK(!thread_done(&forever.thread));
	for (int i = 0; i < 4; i++)
		CHECK_OK(port_send(port, i, USER(i)));
	join(&forever, 0, 0);
	CHECK_EQ(forever.got, 4);
	close_pipe(fds);
	close(port);
}

static struct {
	int port;
	int sent, taken, bad;
} crowd;

enum { TO_SEND = 20000 };

static void *crowd_taker(void *arg)
{
	unsigned want = (unsigned)(uintptr_t)arg;
	while (__atomic_load_n(&crowd.taken, __ATOMIC_ACQUIRE) < TO_SEND) {
		port_event_t list[8];
		unsigned n = want;
		int result = port_getn(crowd.port, list, 8, &n, TIMEOUT_MS(50));
		if ((result != 0 && errno != ETIME) || n > 8)
			__atomic_add_fetch(&crowd.bad, 1, __ATOMIC_RELAXED);
		else
			__atomic_add_fetch(&crowd.taken, n, __ATOMIC_ACQ_REL);
	}
	return NULL;
}

TEST_LIMIT(mixed_needs_lose_nothing, "T-186 R7.2 R7.10 R7.22", 30)
{
	struct thread taker[4];
	crowd.port = new_port();
	for (uintptr_t i = 0; i < 4; i++)
		thread_start(&taker[i], crowd_taker, (void *)(i + 1));
	for (int i = 0; i < TO_SEND; i++) {
		CHECK_OK(port_send(crowd.port, i, USER(i)));
		if (i % 64 == 0)
			sched_yield();
	}
	for (int i = 0; i < 4; i++)
		thread_join(&taker[i]);
	CHECK_EQ(crowd.bad, 0);
	CHECK_EQ(crowd.taken, TO_SEND);
	expect_none(crowd.port);
	close(crowd.port);
}
