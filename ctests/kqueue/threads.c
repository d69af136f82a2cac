/* Several threads at one queue (6.1). */
#include "harness.h"
#include "kqueue.h"

TEST(one_trigger_goes_to_one_sleeper, "K-110 K-283")
{
	enum { COUNT = 3 };
	struct sleeper s[COUNT];
	int kq = new_kq(), served = 0;
	add_user(kq, 1, EV_CLEAR, U(1));
	for (int i = 0; i < COUNT; i++)
		sleep_in(&s[i], kq, 400L * slow());
	trigger(kq, 1, U(1));
	for (int i = 0; i < COUNT; i++) {
		thread_join(&s[i].thread);
		CHECK(s[i].result == 0 || s[i].result == 1);
		served += s[i].result;
	}
	CHECK_EQ(served, 1);
	expect_none(kq);
	close(kq);
}

/* Data, EV_ONESHOT or EV_DISPATCH or EV_CLEAR: whoever sleeps, one thread has it. */
TEST(one_arrival_goes_to_one_sleeper, "K-086 6.1")
{
	unsigned flags[] = { EV_ONESHOT, EV_DISPATCH, EV_CLEAR };
	for (int round = 0; round < 9; round++) {
		struct sleeper a, b;
		int kq = new_kq(), fds[2];
		make_pair(fds);
		add_read(kq, fds[0], flags[round % 3], U(1));
		sleep_in(&a, kq, 100L * slow());
		sleep_in(&b, kq, 100L * slow());
		put(fds[1]);
		thread_join(&a.thread);
		thread_join(&b.thread);
		CHECK_EQ(a.result + b.result, 1);
		is_event(a.result == 1 ? &a.list[0] : &b.list[0], fds[0], EVFILT_READ, flags[round % 3], 0, 1, U(1));
		expect_none(kq);
		if (flags[round % 3] == EV_ONESHOT)
			CHECK_GONE(kq, fds[0], EVFILT_READ);
		close_pipe(fds);
		close(kq);
	}
}

struct poller {
	int kq, fd, misses;
};

static void *poll_1000_times(void *arg)
{
	struct poller *p = arg;
	for (int i = 0; i < 1000; i++) {
		struct kevent list[2];
		int got = kevent(p->kq, NULL, 0, list, 2, ZERO_TIMEOUT);
		p->misses += got != 1 || list[0].ident != (uintptr_t)p->fd;
	}
	return NULL;
}

TEST_LIMIT(level_event_for_every_thread, "K-111", 20)
{
	struct thread t[2];
	struct poller p[2];
	int kq = new_kq(), fds[2];
	make_pipe(fds);
	put(fds[1]);
	add_read(kq, fds[0], 0, U(1));
	for (int i = 0; i < 2; i++) {
		p[i] = (struct poller){ .kq = kq, .fd = fds[0] };
		thread_start(&t[i], poll_1000_times, &p[i]);
	}
	for (int i = 0; i < 2; i++) {
		thread_join(&t[i]);
		CHECK_EQ(p[i].misses, 0);
	}
	close_pipe(fds);
	close(kq);
}

TEST(changes_wake_a_sleeper, "K-112")
{
	struct sleeper s;
	int kq = new_kq(), fds[2];
	make_pipe(fds);
	put(fds[1]);
	sleep_in(&s, kq, -1);
	add_read(kq, fds[0], EV_DISPATCH, U(1));
	join_sleeper(&s, 1, 0);
	is_event(&s.list[0], fds[0], EVFILT_READ, EV_DISPATCH, 0, 1, U(1));
	sleep_in(&s, kq, -1);
	change(kq, fds[0], EVFILT_READ, EV_ENABLE, 0, 0, U(2));
	join_sleeper(&s, 1, 0);
	is_event(&s.list[0], fds[0], EVFILT_READ, EV_DISPATCH, 0, 1, U(2));
	sleep_in(&s, kq, -1);
	change(kq, 3, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 10, U(3));
	join_sleeper(&s, 1, 0);
	is_event(&s.list[0], 3, EVFILT_TIMER, EV_ONESHOT | EV_CLEAR, 0, 1, U(3));
	close_pipe(fds);
	close(kq);
}

TEST(changes_of_wishes_wake_a_sleeper, "K-112 K-064")
{
	struct sleeper s;
	int kq = new_kq(), fds[2];
	make_pair(fds);
	send_bytes(fds[1], 5);
	change(kq, fds[0], EVFILT_READ, EV_ADD, NOTE_LOWAT, 10, U(1));
	change(kq, 2, EVFILT_TIMER, EV_ADD, NOTE_SECONDS, 1000, U(2));
	sleep_in(&s, kq, -1);
	change(kq, fds[0], EVFILT_READ, EV_ADD, NOTE_LOWAT, 5, U(1));
	join_sleeper(&s, 1, 0);
	is_event(&s.list[0], fds[0], EVFILT_READ, 0, 0, 5, U(1));
	drop(kq, fds[0], EVFILT_READ);
	sleep_in(&s, kq, -1);
	change(kq, 2, EVFILT_TIMER, EV_ADD, 0, 10, U(3)); /* an earlier deadline than the one slept for */
	join_sleeper(&s, 1, 0);
	is_event(&s.list[0], 2, EVFILT_TIMER, EV_CLEAR, 0, SOME, U(3));
	close_pipe(fds);
	close(kq);
}

/* A level event wakes the next sleeper as well. */
TEST(level_event_for_every_sleeper, "6.1 K-111")
{
	struct sleeper a, b;
	int kq = new_kq(), fds[2];
	make_pipe(fds);
	add_read(kq, fds[0], 0, U(1));
	sleep_in(&a, kq, -1);
	sleep_in(&b, kq, -1);
	put(fds[1]);
	join_sleeper(&a, 1, 0);
	join_sleeper(&b, 1, 0);
	close_pipe(fds);
	close(kq);
}

/* ------------------------------------------------------------------ everything at once */

enum { PAIRS = 8, CHANGERS = 4, WAITERS = 3 };

static struct {
	int kq, pair[PAIRS][2];
	volatile int stop;
	volatile long taken;
} load;

static void *changer(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg + 1;
	unsigned flags[] = { 0, EV_CLEAR, EV_ONESHOT, EV_DISPATCH };
	while (!__atomic_load_n(&load.stop, __ATOMIC_ACQUIRE)) {
		int i = rand_r(&seed) % PAIRS, fd = load.pair[i][0], spare[2];
		switch (rand_r(&seed) % 6) {
		case 0:
		case 1:
			try_change(load.kq, (uintptr_t)fd, EVFILT_READ, EV_ADD | EV_ENABLE | flags[rand_r(&seed) % 4], 0, 0, U(i));
			break;
		case 2: try_change(load.kq, (uintptr_t)fd, EVFILT_READ, EV_DELETE, 0, 0, U(i)); break;
		case 3: /* a write to a full socket is no matter */
			if (write(load.pair[i][1], "x", 1) == -1)
				drain(fd);
			break;
		case 4: try_change(load.kq, (uintptr_t)i, EVFILT_TIMER, EV_ADD | EV_ONESHOT, NOTE_USECONDS, 50, U(i)); break;
		case 5:
			make_pair(spare);
			put(spare[1]);
			try_change(load.kq, (uintptr_t)spare[0], EVFILT_READ, EV_ADD, 0, 0, U(PAIRS));
			close_pipe(spare);
		}
	}
	return NULL;
}

static void *waiter(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&load.stop, __ATOMIC_ACQUIRE)) {
		struct kevent list[ROOM];
		int got = kevent(load.kq, NULL, 0, list, ROOM, TIMEOUT_MS(50));
		CHECK(got >= 0 && got <= ROOM);
		for (int i = 0; i < got; i++)
			CHECK((uintptr_t)list[i].udata >= (uintptr_t)U(0) && (uintptr_t)list[i].udata <= (uintptr_t)U(PAIRS));
		__atomic_fetch_add(&load.taken, got, __ATOMIC_RELAXED);
	}
	return NULL;
}

TEST_LIMIT(add_delete_close_and_wait, "K-113 6.1", 30)
{
	struct thread changers[CHANGERS], waiters[WAITERS];
	load.kq = new_kq();
	for (int i = 0; i < PAIRS; i++)
		make_pair(load.pair[i]);
	for (int i = 0; i < WAITERS; i++)
		thread_start(&waiters[i], waiter, NULL);
	for (int i = 0; i < CHANGERS; i++)
		thread_start(&changers[i], changer, (void *)(uintptr_t)i);
	sleep_ms(1500);
	__atomic_store_n(&load.stop, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < CHANGERS; i++)
		thread_join(&changers[i]);
	for (int i = 0; i < WAITERS; i++)
		thread_join(&waiters[i]);
	CHECK(load.taken > 0);
	for (int i = 0; i < PAIRS; i++)
		close_pipe(load.pair[i]);
	struct kevent list[64];
	sleep_ms(5);
	while (harvest(load.kq, list, 64) > 0) /* the timers, and nothing of the descriptors */
		CHECK_EQ(list[0].filter, EVFILT_TIMER);
	add_user(load.kq, 99, EV_CLEAR, U(99));
	trigger(load.kq, 99, U(99));
	expect(load.kq, 99, EVFILT_USER, EV_CLEAR, 0, 0, U(99));
	close(load.kq);
}

/* Each round's last trigger must be seen: no wake-up is lost between a look and the sleep. */
TEST_LIMIT(no_lost_wakeup, "K-113 K-110", 30)
{
	struct sleeper s;
	int kq = new_kq(), rounds = slow() > 1 ? 200 : 3000;
	add_user(kq, 1, EV_CLEAR, U(1));
	for (int i = 0; i < rounds; i++) {
		s = (struct sleeper){ .kq = kq, .timeout_ms = -1, .room = 1 };
		thread_start(&s.thread, sleeper_main, &s);
		for (int spin = 0; spin < i % 64 * 20; spin++)
			__asm__ volatile("" ::: "memory");
		trigger(kq, 1, U(i));
		join_sleeper(&s, 1, 0);
		is_event(&s.list[0], 1, EVFILT_USER, EV_CLEAR, 0, 0, U(i));
	}
	close(kq);
}
