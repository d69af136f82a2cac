/* port_associate while other threads wait in, or work on, the same port (section 4). */
#include "harness.h"
#include "events.h"

static int the_port, the_fd;
static port_event_t the_event;

static void *wait_for_one(void *arg)
{
	(void)arg;
	return (void *)(intptr_t)port_get(the_port, &the_event, NULL);
}

TEST(activity_wakes_a_waiter, "T-066 R4.5")
{
	struct thread t;
	int fds[2];
	the_port = new_port();
	make_pipe(fds);
	watch(the_port, fds[0], POLLIN, USER(1));
	thread_start(&t, wait_for_one, NULL);
	wait_until_blocked(t.tid);
	put(fds[1]);
	CHECK_EQ((intptr_t)thread_join(&t), 0);
	is_fd(&the_event, fds[0], POLLIN, USER(1));
	expect_none(the_port);
	close_pipe(fds);
	close(the_port);
}

TEST(association_wakes_a_waiter, "T-067 R4.4")
{
	struct thread t;
	int fds[2];
	the_port = new_port();
	make_pipe(fds);
	put(fds[1]);
	for (int i = 0; i < 20; i++) {
		thread_start(&t, wait_for_one, NULL);
		wait_until_blocked(t.tid);
		/* From the second round on this is a descriptor whose event was retrieved before. */
		watch(the_port, fds[0], POLLIN, USER(i));
		CHECK_EQ((intptr_t)thread_join(&t), 0);
		is_fd(&the_event, fds[0], POLLIN, USER(i));
	}
	close_pipe(fds);
	close(the_port);
}

TEST(association_by_waiter_set_then_activity, "R4.4 R4.5")
{
	struct thread t;
	int fds[2];
	the_port = new_port();
	make_pipe(fds);
	for (int i = 0; i < 20; i++) {
		thread_start(&t, wait_for_one, NULL);
		wait_until_blocked(t.tid);
		watch(the_port, fds[0], POLLIN, USER(i));
		CHECK(!thread_done(&t));
		put(fds[1]);
		CHECK_EQ((intptr_t)thread_join(&t), 0);
		is_fd(&the_event, fds[0], POLLIN, USER(i));
		take(fds[0]);
	}
	close_pipe(fds);
	close(the_port);
}

TEST(dissociation_leaves_a_waiter_asleep, "R4.5 4.4")
{
	struct thread t;
	int fds[2];
	the_port = new_port();
	make_pipe(fds);
	watch(the_port, fds[0], POLLIN, USER(1));
	thread_start(&t, wait_for_one, NULL);
	wait_until_blocked(t.tid);
	CHECK_OK(unwatch(the_port, fds[0]));
	put(fds[1]);
	sleep_ms(30);
	CHECK(!thread_done(&t));
	CHECK_OK(port_send(the_port, 9, USER(9)));
	CHECK_EQ((intptr_t)thread_join(&t), 0);
	is_user(&the_event, 9, USER(9));
	close_pipe(fds);
	close(the_port);
}

static long long race_end;
static int race_bad;

static void *race(void *arg)
{
	(void)arg;
	while (now_ms() < race_end) {
		if (port_associate(the_port, PORT_SOURCE_FD, the_fd, POLLIN, USER(1)) != 0)
			__atomic_add_fetch(&race_bad, 1, __ATOMIC_RELAXED);
		if (port_dissociate(the_port, PORT_SOURCE_FD, the_fd) != 0 && errno != ENOENT)
			__atomic_add_fetch(&race_bad, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void *race_taker(void *arg)
{
	port_event_t pe;
	(void)arg;
	while (now_ms() < race_end)
		if (port_get(the_port, &pe, TIMEOUT_MS(10)) == 0
			&& (pe.portev_source != PORT_SOURCE_FD || pe.portev_object != (uintptr_t)the_fd
				|| pe.portev_events != POLLIN || pe.portev_user != USER(1)))
			__atomic_add_fetch(&race_bad, 1, __ATOMIC_RELAXED);
	return NULL;
}

static void run_race(long ms, bool with_taker)
{
	struct thread a, b, c;
	int fds[2];
	the_port = new_port();
	make_pipe(fds);
	put(fds[1]);
	the_fd = fds[0];
	race_end = now_ms() + ms;
	thread_start(&a, race, NULL);
	thread_start(&b, race, NULL);
	if (with_taker) {
		thread_start(&c, race_taker, NULL);
		thread_join(&c);
	}
	thread_join(&a);
	thread_join(&b);
	CHECK_EQ(race_bad, 0);
	(void)unwatch(the_port, the_fd);
	expect_none(the_port);
	put(fds[1]);
	expect_none(the_port);
	watch(the_port, the_fd, POLLIN, USER(2));
	get_fd(the_port, the_fd, POLLIN, USER(2));
	close_pipe(fds);
	close(the_port);
}

TEST_LIMIT(race_of_associate_and_dissociate, "T-070 R4.3", 20)
{
	run_race(5000, false);
}

TEST_LIMIT(race_with_a_retriever, "T-070 R4.3 R2.3", 20)
{
	run_race(3000, true);
}

/* A pool of workers on one port: whoever gets the event serves the descriptor and associates it again. Because an
 * association is one-shot, no two workers ever serve the same descriptor. */
enum { WORKERS = 4, PIPES = 8, TOKENS = 500 };

static struct {
	int port;
	int pipes[PIPES][2];
	int busy[PIPES];
	int served, clashes, bad;
} pool;

static void *pool_worker(void *arg)
{
	port_event_t pe;
	char byte;
	(void)arg;
	while (port_get(pool.port, &pe, NULL) == 0) {
		if (pe.portev_source == PORT_SOURCE_USER)
			return NULL;
		int i = (int)(intptr_t)pe.portev_user;
		if (__atomic_exchange_n(&pool.busy[i], 1, __ATOMIC_ACQ_REL) != 0)
			__atomic_add_fetch(&pool.clashes, 1, __ATOMIC_RELAXED);
		if (read(pool.pipes[i][0], &byte, 1) == 1)
			__atomic_add_fetch(&pool.served, 1, __ATOMIC_ACQ_REL);
		else
			__atomic_add_fetch(&pool.bad, 1, __ATOMIC_RELAXED);
		__atomic_store_n(&pool.busy[i], 0, __ATOMIC_RELEASE);
		if (port_associate(pool.port, PORT_SOURCE_FD, pool.pipes[i][0], POLLIN, pe.portev_user) != 0)
			__atomic_add_fetch(&pool.bad, 1, __ATOMIC_RELAXED);
	}
	return (void *)1;
}

TEST_LIMIT(worker_pool, "R2.3 R4.5 R7.23", 30)
{
	struct thread worker[WORKERS];
	pool.port = new_port();
	for (int i = 0; i < PIPES; i++) {
		make_pipe(pool.pipes[i]);
		CHECK_OK(fcntl(pool.pipes[i][0], F_SETFL, O_NONBLOCK));
		watch(pool.port, pool.pipes[i][0], POLLIN, (void *)(intptr_t)i);
	}
	for (int i = 0; i < WORKERS; i++)
		thread_start(&worker[i], pool_worker, NULL);
	for (int t = 0; t < TOKENS; t++)
		for (int i = 0; i < PIPES; i++)
			put(pool.pipes[i][1]);
	for (long long end = now_ms() + 20000; __atomic_load_n(&pool.served, __ATOMIC_ACQUIRE) < TOKENS * PIPES;) {
		if (now_ms() > end)
			FAIL("%d of %d served", pool.served, TOKENS * PIPES);
		sleep_ms(1);
	}
	for (int i = 0; i < WORKERS; i++)
		CHECK_OK(port_send(pool.port, 0, NULL));
	for (int i = 0; i < WORKERS; i++)
		CHECK(thread_join(&worker[i]) == NULL);
	CHECK_EQ(pool.clashes, 0);
	CHECK_EQ(pool.bad, 0);
	CHECK_EQ(pool.served, TOKENS * PIPES);
	for (int i = 0; i < PIPES; i++)
		close_pipe(pool.pipes[i]);
	expect_none(pool.port);
	close(pool.port);
}
