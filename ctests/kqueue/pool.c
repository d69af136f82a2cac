/* A pool of workers on one queue: knotes that are delivered once, and armed again by whoever had the event. */
#include "harness.h"
#include "kqueue.h"

enum { WORKERS = 4, PIPES = 8, BYTES = 6 };

/* How a worker arms again. */
struct way {
	unsigned short added, again;
	bool along; /* with the wait, or by a call of its own */
	int room;
};

static struct pool {
	struct way way;
	int kq, fds[PIPES][2];
	long owned[PIPES], events, left, in_ring, wrong;
} pool;

/* Nobody else has the event; its byte travels on while there are turns left. */
static void work(const struct kevent *ev)
{
	int i = (int)((uintptr_t)ev->udata & 0xff);
	char byte;
	if (__atomic_fetch_add(&pool.owned[i], 1, __ATOMIC_SEQ_CST) != 0 || ev->ident != (uintptr_t)pool.fds[i][0]
		|| ev->data < 1 || ev->flags != (pool.way.added & ~EV_ADD))
		__atomic_fetch_add(&pool.wrong, 1, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&pool.events, 1, __ATOMIC_SEQ_CST);
	CHECK_RET(read(pool.fds[i][0], &byte, 1), 1);
	__atomic_fetch_sub(&pool.owned[i], 1, __ATOMIC_SEQ_CST);
	if (__atomic_fetch_sub(&pool.left, 1, __ATOMIC_SEQ_CST) > 0)
		CHECK_RET(write(pool.fds[(i + 1) % PIPES][1], "x", 1), 1);
	else
		__atomic_fetch_sub(&pool.in_ring, 1, __ATOMIC_SEQ_CST);
}

static void *worker(void *arg)
{
	struct kevent changes[ROOM], list[ROOM];
	int count = 0;
	(void)arg;
	while (__atomic_load_n(&pool.in_ring, __ATOMIC_SEQ_CST) > 0) {
		int got = kevent(pool.kq, changes, count, list, pool.way.room, TIMEOUT_MS(20));
		CHECK(got >= 0 && got <= pool.way.room);
		count = 0;
		for (int i = 0; i < got; i++) {
			struct kevent again = kev(list[i].ident, EVFILT_READ, pool.way.again, 0, 0, list[i].udata);
			CHECK((list[i].flags & EV_ERROR) == 0);
			work(&list[i]);
			if (pool.way.along)
				changes[count++] = again;
			else
				CHECK_RET(kevent(pool.kq, &again, 1, NULL, 0, NULL), 0);
		}
	}
	if (count > 0)
		CHECK_RET(kevent(pool.kq, changes, count, NULL, 0, NULL), 0);
	return NULL;
}

static void run_pool(struct way way)
{
	struct thread threads[WORKERS];
	long turns = slow() > 1 ? 2000 : 40000;
	memset(&pool, 0, sizeof pool);
	pool.way = way;
	pool.kq = new_kq();
	pool.left = turns - BYTES;
	pool.in_ring = BYTES;
	for (int i = 0; i < PIPES; i++) {
		make_pipe(pool.fds[i]);
		change(pool.kq, (uintptr_t)pool.fds[i][0], EVFILT_READ, way.added, 0, 0, U(i));
	}
	for (int i = 0; i < BYTES; i++)
		put(pool.fds[i][1]);
	for (int i = 0; i < WORKERS; i++)
		thread_start(&threads[i], worker, NULL);
	for (int i = 0; i < WORKERS; i++)
		thread_join(&threads[i]);
	CHECK_EQ(pool.wrong, 0);
	CHECK_EQ(pool.events, turns);
	expect_none(pool.kq);
	for (int i = 0; i < PIPES; i++) { /* all are armed, for one thread as well */
		put(pool.fds[i][1]);
		expect(pool.kq, pool.fds[i][0], EVFILT_READ, way.added & ~EV_ADD, 0, 1, U(i));
		expect_none(pool.kq);
		close_pipe(pool.fds[i]);
	}
	close(pool.kq);
}

TEST_LIMIT(dispatch_enabled_along_with_the_wait, "K-086 6.1 K-111", 60)
{
	run_pool((struct way){ EV_ADD | EV_DISPATCH, EV_ENABLE, true, 1 });
	run_pool((struct way){ EV_ADD | EV_DISPATCH, EV_ENABLE, true, ROOM });
}

TEST_LIMIT(dispatch_enabled_by_its_own_call, "K-086 6.1 K-111", 60)
{
	run_pool((struct way){ EV_ADD | EV_DISPATCH, EV_ENABLE, false, 1 });
	run_pool((struct way){ EV_ADD | EV_DISPATCH, EV_ENABLE, false, 3 });
}

TEST_LIMIT(oneshot_added_again, "K-085 6.1 K-111", 60)
{
	run_pool((struct way){ EV_ADD | EV_ONESHOT, EV_ADD | EV_ONESHOT, true, 1 });
	run_pool((struct way){ EV_ADD | EV_ONESHOT, EV_ADD | EV_ONESHOT, false, ROOM });
}

/* ------------------------------------------------- numbers that are closed and used again under the workers */

static struct {
	int kq, stop;
	long seen[51]; /* how often so many bytes were told */
} churn;

static void *reader(void *arg)
{
	struct kevent change, ev;
	int count = 0;
	(void)arg;
	while (!__atomic_load_n(&churn.stop, __ATOMIC_SEQ_CST)) {
		int got = kevent(churn.kq, &change, count, &ev, 1, TIMEOUT_MS(20));
		count = 0;
		if (got == 1 && (ev.flags & EV_ERROR) == 0) {
			CHECK(ev.data >= 1 && ev.data <= 50);
			__atomic_fetch_add(&churn.seen[ev.data], 1, __ATOMIC_SEQ_CST);
			/* by now it may be closed, or another file's: then this is an error, or an event too many */
			change = kev(ev.ident, EVFILT_READ, EV_ENABLE, 0, 0, ev.udata);
			count = 1;
		}
	}
	return NULL;
}

static bool is_told(int bytes)
{
	for (int ms = 0; ms < 5000; ms++) {
		if (__atomic_load_n(&churn.seen[bytes], __ATOMIC_SEQ_CST) > 0)
			return true;
		sleep_ms(1);
	}
	return false;
}

/* Each file has bytes that nobody reads. They are told, although the number was another file's that is being armed again. */
TEST_LIMIT(numbers_are_reused_under_the_pool, "K-113 K-069 6.1", 60)
{
	struct thread threads[WORKERS];
	int rounds = slow() > 1 ? 200 : 2000;
	memset(&churn, 0, sizeof churn);
	churn.kq = new_kq();
	for (int i = 0; i < WORKERS; i++)
		thread_start(&threads[i], reader, NULL);
	for (int i = 0; i < rounds; i++) {
		int fds[2], bytes = i % 50 + 1;
		make_pipe(fds);
		for (int n = 0; n < bytes; n++)
			put(fds[1]);
		__atomic_store_n(&churn.seen[bytes], 0, __ATOMIC_SEQ_CST);
		change(churn.kq, (uintptr_t)fds[0], EVFILT_READ, EV_ADD | EV_DISPATCH, 0, 0, U(1));
		CHECK(is_told(bytes));
		close_pipe(fds);
	}
	__atomic_store_n(&churn.stop, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < WORKERS; i++)
		thread_join(&threads[i]);
	expect_none(churn.kq);
	close(churn.kq);
}

/* ------------------------------------------------- more than a look can name */

enum { MANY = 400 };

static void many(unsigned short added, unsigned short again, int along)
{
	static struct kevent changes[MANY], list[MANY + 1];
	static int fds[MANY][2];
	long long begin = now_ms();
	int kq = new_kq();
	for (int i = 0; i < MANY; i++) {
		make_pipe(fds[i]);
		put(fds[i][1]);
		changes[i] = kev((uintptr_t)fds[i][0], EVFILT_READ, added, 0, 0, U(i));
	}
	CHECK_RET(kevent(kq, changes, MANY, list, MANY + 1, ZERO_TIMEOUT), MANY);
	expect_none(kq);
	for (int round = 0; round < 3; round++) { /* nobody reads: all are ready while they are armed again */
		int got = 0;
		for (int i = 0; i < MANY; i++)
			changes[i].flags = again;
		for (int i = 0; i < MANY && along < MANY; i += along)
			CHECK_RET(kevent(kq, &changes[i], along < MANY - i ? along : MANY - i, NULL, 0, NULL), 0);
		if (along >= MANY)
			got = kevent(kq, changes, MANY, list, MANY + 1, ZERO_TIMEOUT);
		for (int part; got < MANY && (part = kevent(kq, NULL, 0, list, 60, ZERO_TIMEOUT)) > 0;)
			got += part;
		CHECK_EQ(got, MANY);
		expect_none(kq);
	}
	for (int i = 0; i < MANY; i++)
		close_pipe(fds[i]);
	close(kq);
	CHECK(now_ms() - begin < 5000LL * slow());
}

TEST_LIMIT(many_are_armed_again_while_ready, "K-085 K-086 K-105", 60)
{
	int along[] = { 1, 17, 200, MANY };
	for (int i = 0; i < 4; i++) {
		many(EV_ADD | EV_DISPATCH, EV_ENABLE, along[i]);
		many(EV_ADD | EV_ONESHOT, EV_ADD | EV_ONESHOT, along[i]);
	}
}
