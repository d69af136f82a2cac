/* The queue itself is closed (6.2), under sleepers and with copies. */
#include "harness.h"
#include "kqueue.h"

TEST(close_wakes_the_sleepers, "K-125")
{
	enum { COUNT = 3 };
	struct sleeper s[COUNT];
	int fds[2];
	make_pipe(fds);
	for (int kind = 0; kind < 3; kind++) {
		int kq = new_kq();
		if (kind > 0)
			add_read(kq, fds[0], 0, U(1));
		if (kind > 1)
			change(kq, 1, EVFILT_TIMER, EV_ADD, NOTE_SECONDS, 1000, U(2));
		for (int i = 0; i < COUNT; i++)
			sleep_in(&s[i], kq, i == 0 ? 60000 : -1);
		long long begin = now_ms();
		CHECK_OK(close(kq));
		for (int i = 0; i < COUNT; i++)
			join_sleeper(&s[i], -1, EBADF);
		CHECK(now_ms() - begin < 1000 * slow());
		CHECK_ERR(kevent(kq, NULL, 0, NULL, 0, NULL), EBADF);
	}
	close_pipe(fds);
}

TEST(dup2_over_the_queue_wakes_the_sleepers, "K-125 6.2")
{
	struct sleeper s;
	int kq = new_kq();
	sleep_in(&s, kq, -1);
	CHECK_EQ(dup2(STDOUT_FILENO, kq), kq);
	join_sleeper(&s, -1, EBADF);
	close(kq);
}

/* Who sleeps through another number is not concerned. */
TEST(close_of_another_number, "K-018 K-125")
{
	struct sleeper s;
	int kq = new_kq(), copy = dup(kq);
	add_user(kq, 1, EV_CLEAR, U(1));
	sleep_in(&s, copy, -1);
	CHECK_OK(close(kq));
	sleep_ms(30);
	CHECK(!thread_done(&s.thread));
	trigger(copy, 1, U(2));
	join_sleeper(&s, 1, 0);
	is_event(&s.list[0], 1, EVFILT_USER, EV_CLEAR, 0, 0, U(2));
	close(copy);
}

/* The sleeper's own number goes, and the queue lives on: NetBSD gives EBADF, the others let it sleep. */
TEST(close_of_the_sleepers_number, "K-018 K-125")
{
	struct sleeper s;
	int kq = new_kq(), copy = dup(kq);
	add_user(kq, 1, EV_CLEAR, U(1));
	sleep_in(&s, kq, -1);
	CHECK_OK(close(kq));
	sleep_ms(30);
	trigger(copy, 1, U(2));
	thread_join(&s.thread);
	if (s.result == 1)
		is_event(&s.list[0], 1, EVFILT_USER, EV_CLEAR, 0, 0, U(2));
	else {
		CHECK_EQ(s.error, EBADF);
		expect(copy, 1, EVFILT_USER, EV_CLEAR, 0, 0, U(2));
	}
	close(copy);
}

TEST(descriptors_outlive_the_queue, "6.2")
{
	int kq = new_kq(), fds[2];
	make_pipe(fds);
	add_read(kq, fds[0], 0, U(1));
	add_write(kq, fds[1], 0, U(2));
	put(fds[1]);
	CHECK_OK(close(kq));
	kq = new_kq();
	expect_none(kq);
	add_read(kq, fds[0], 0, U(3));
	expect(kq, fds[0], EVFILT_READ, 0, 0, 1, U(3));
	take(fds[0]);
	put(fds[1]);
	take(fds[0]);
	close_pipe(fds);
	close(kq);
}

static int go, going;

static void *call_until_gone(void *arg)
{
	struct kevent list[ROOM], add = kev(1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, U(1));
	__atomic_fetch_add(&going, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&go, __ATOMIC_ACQUIRE))
		;
	for (;;) {
		int got = kevent(*(int *)arg, &add, 1, list, ROOM, TIMEOUT_MS(1));
		if (got == -1)
			return errno == EBADF ? arg : NULL;
	}
}

/* Callers that are on their way in, in the scan, asleep or on their way out. */
TEST_LIMIT(close_under_busy_callers, "K-125 K-124", 30)
{
	struct thread t[3];
	for (int round = 0; round < (slow() > 1 ? 20 : 200); round++) {
		int kq = new_kq();
		going = go = 0;
		for (int i = 0; i < 3; i++)
			thread_start(&t[i], call_until_gone, &kq);
		while (__atomic_load_n(&going, __ATOMIC_ACQUIRE) < 3)
			sched_yield();
		__atomic_store_n(&go, 1, __ATOMIC_RELEASE);
		for (int spin = 0; spin < round * 500; spin++)
			__asm__ volatile("" ::: "memory");
		CHECK_OK(close(kq));
		for (int i = 0; i < 3; i++)
			CHECK(thread_join(&t[i]) == &kq);
	}
}
