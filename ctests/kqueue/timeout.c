/* Waiting (3.2): time-outs, signals, cancellation. */
#include "harness.h"
#include "kqueue.h"

static void bad_timeouts(int kq)
{
	struct timespec bad[] = { { 0, 1000000000 }, { 0, -1 }, { -1, 0 }, { 5, LONG_MAX }, { LONG_MIN, 0 } };
	struct kevent list[ROOM];
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		CHECK_ERR(kevent(kq, NULL, 0, list, ROOM, &bad[i]), EINVAL);
}

TEST(invalid_timeouts, "K-042")
{
	int kq = new_kq();
	bad_timeouts(kq);
	add_user(kq, 1, EV_CLEAR, U(1));
	trigger(kq, 1, U(1));
	bad_timeouts(kq);
	expect(kq, 1, EVFILT_USER, EV_CLEAR, 0, 0, U(1));
	close(kq);
}

TEST(changes_come_before_an_invalid_timeout, "K-043")
{
	struct timespec bad = { -1, 0 };
	struct kevent ev, add = kev(1, EVFILT_USER, EV_ADD, 0, 0, U(1)), wrong = kev(2, EVFILT_USER, EV_DELETE, 0, 0, U(2));
	int kq = new_kq();
	CHECK_ERR(kevent(kq, &add, 1, &ev, 1, &bad), EINVAL);
	drop(kq, 1, EVFILT_USER);
	/* The scan never begins: the time is not looked at. */
	CHECK_RET(kevent(kq, &wrong, 1, &ev, 1, &bad), 1);
	is_error(&ev, 2, EVFILT_USER, ENOENT, U(2));
	close(kq);
}

TEST(never_early, "K-044")
{
	struct kevent list[ROOM];
	int kq = new_kq(), fds[2];
	long ns[] = { 1, 999999, 1000001, 20500000, 100000000 };
	make_pipe(fds);
	add_read(kq, fds[0], 0, U(1));
	for (int i = 0; i < 5; i++) {
		struct timespec begin, end, timeout = { 0, ns[i] };
		clock_gettime(CLOCK_MONOTONIC, &begin);
		CHECK_RET(kevent(kq, NULL, 0, list, ROOM, &timeout), 0);
		clock_gettime(CLOCK_MONOTONIC, &end);
		long long passed = (end.tv_sec - begin.tv_sec) * 1000000000LL + end.tv_nsec - begin.tv_nsec;
		CHECK(passed >= ns[i]);
		CHECK(passed < ns[i] + 2000000000LL * slow());
	}
	close_pipe(fds);
	close(kq);
}

static long long timed_empty_wait(int kq, long ms)
{
	struct kevent list[ROOM];
	long long begin = now_ms();
	CHECK_RET(kevent(kq, NULL, 0, list, ROOM, TIMEOUT_MS(ms)), 0);
	return now_ms() - begin;
}

/* What woke the queue has gone when it is looked at: the wait goes on with the time that is left. */
TEST(stale_entry_does_not_end_the_wait, "K-103 3.2")
{
	int kq = new_kq(), fds[2];
	make_pipe(fds);
	add_read(kq, fds[0], 0, U(1));
	put(fds[1]);
	take(fds[0]);
	CHECK(timed_empty_wait(kq, 100) >= 99);
	put(fds[1]);
	expect(kq, fds[0], EVFILT_READ, 0, 0, 1, U(1));
	take(fds[0]);
	CHECK(timed_empty_wait(kq, 100) >= 99);
	close_pipe(fds);
	close(kq);
}

TEST(stale_wakeup_of_a_sleeper, "K-103 3.2")
{
	struct sleeper s;
	int kq = new_kq(), fds[2];
	make_pipe(fds);
	change(kq, fds[0], EVFILT_READ, EV_ADD | EV_DISABLE, 0, 0, U(1));
	add_user(kq, 2, 0, U(2));
	long long begin = now_ms();
	sleep_in(&s, kq, 300);
	for (int i = 0; i < 20; i++) { /* a disabled knote, and one that is disarmed again at once */
		struct kevent both[2] = { kev(2, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), kev(2, EVFILT_USER, EV_CLEAR, 0, 0, NULL) };
		put(fds[1]);
		CHECK_RET(kevent(kq, both, 2, NULL, 0, NULL), 0);
		take(fds[0]);
		sleep_ms(5);
	}
	thread_join(&s.thread);
	if (s.result == 0) /* a sleeper that runs between the two changes may well see the trigger */
		CHECK(now_ms() - begin >= 299);
	else
		is_event(&s.list[0], 2, EVFILT_USER, 0, 0, 0, NULL);
	close_pipe(fds);
	close(kq);
}

TEST(very_long_timeouts, "3.2 K-044")
{
	struct timespec far[] = { { INT32_MAX, 999999999 }, { (time_t)1 << 40, 0 }, { LONG_MAX, 999999999 } };
	int kq = new_kq(), fds[2];
	make_pipe(fds);
	for (int i = 0; i < 3; i++) {
		struct kevent ev;
		change(kq, 1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 30, U(i));
		CHECK_RET(kevent(kq, NULL, 0, &ev, 1, &far[i]), 1);
		is_event(&ev, 1, EVFILT_TIMER, EV_ONESHOT | EV_CLEAR, 0, 1, U(i));
	}
	close_pipe(fds);
	close(kq);
}

/* ------------------------------------------------------------------ signals */

static volatile sig_atomic_t handled;

static void handler(int sig)
{
	(void)sig;
	handled++;
}

static void install(int sig, void (*function)(int), int flags)
{
	struct sigaction action = { .sa_flags = flags };
	action.sa_handler = function;
	CHECK_OK(sigaction(sig, &action, NULL));
}

TEST(handled_signal_ends_the_wait, "K-045")
{
	struct sleeper s;
	int kq = new_kq(), flags[] = { 0, SA_RESTART };
	for (int i = 0; i < 4; i++) {
		install(SIGUSR1, handler, flags[i % 2]);
		handled = 0;
		sleep_in(&s, kq, i < 2 ? -1 : 60000);
		CHECK_OK(pthread_kill(s.thread.handle, SIGUSR1));
		join_sleeper(&s, -1, EINTR);
		CHECK_EQ(handled, 1);
	}
	close(kq);
}

TEST(ignored_signal_does_not_end_the_wait, "K-045 3.2")
{
	struct sleeper s;
	int kq = new_kq();
	install(SIGUSR1, SIG_IGN, 0);
	add_user(kq, 1, EV_CLEAR, U(1));
	sleep_in(&s, kq, -1);
	CHECK_OK(pthread_kill(s.thread.handle, SIGUSR1));
	CHECK_OK(pthread_kill(s.thread.handle, SIGCHLD)); /* ignored by default */
	sleep_ms(30);
	CHECK(!thread_done(&s.thread));
	trigger(kq, 1, U(1));
	join_sleeper(&s, 1, 0);
	close(kq);
}

static void *change_and_sleep(void *arg)
{
	struct kevent ev, add = kev(7, EVFILT_USER, EV_ADD, 0, 0, U(7));
	int result = kevent(*(int *)arg, &add, 1, &ev, 1, NULL);
	return result == -1 && errno == EINTR ? arg : NULL;
}

TEST(changes_are_in_force_after_eintr, "K-046")
{
	struct thread t;
	int kq = new_kq();
	install(SIGUSR1, handler, SA_RESTART);
	thread_start(&t, change_and_sleep, &kq);
	wait_until_blocked(t.tid);
	CHECK_OK(pthread_kill(t.handle, SIGUSR1));
	CHECK(thread_join(&t) == &kq);
	trigger(kq, 7, U(8));
	expect(kq, 7, EVFILT_USER, 0, 0, 0, U(8));
	close(kq);
}

TEST(pending_event_is_not_lost_by_a_signal, "3.2 K-045")
{
	int kq = new_kq();
	install(SIGUSR1, handler, 0);
	add_user(kq, 1, EV_CLEAR, U(1));
	for (int i = 0; i < 20; i++) {
		struct sleeper s;
		sleep_in(&s, kq, -1);
		trigger(kq, 1, U(1));
		CHECK_OK(pthread_kill(s.thread.handle, SIGUSR1));
		thread_join(&s.thread);
		if (s.result == -1) {
			CHECK_EQ(s.error, EINTR);
			expect(kq, 1, EVFILT_USER, EV_CLEAR, 0, 0, U(1));
		} else {
			CHECK_EQ(s.result, 1);
			expect_none(kq);
		}
	}
	close(kq);
}

/* ------------------------------------------------------------------ cancellation */

static void cancelled_by(struct thread *t)
{
	CHECK_EQ(pthread_cancel(t->handle), 0);
	CHECK(thread_join(t) == PTHREAD_CANCELED);
}

TEST(sleeping_thread_can_be_cancelled, "K-053")
{
	struct sleeper s, other;
	int kq = new_kq();
	SKIP_UNDER_TSAN("its runtime does not follow a thread that is cancelled in a system call");
	SKIP_UNDER_ASAN("it takes the stack of a cancelled thread, which the next one gets, to be still in use");
	add_user(kq, 1, EV_CLEAR, U(1));
	for (int i = 0; i < 5; i++) {
		sleep_in(&s, kq, -1);
		sleep_in(&other, kq, -1);
		cancelled_by(&s.thread);
		CHECK(!thread_done(&other.thread));
		trigger(kq, 1, U(1));
		join_sleeper(&other, 1, 0);
		expect_none(kq);
	}
	close(kq);
}

static int go;

/* Without room nothing waits, and no pending cancellation is acted upon. */
static void *without_room(void *arg)
{
	struct kevent one = kev(1, EVFILT_USER, 0, NOTE_TRIGGER, 0, U(1));
	while (!__atomic_load_n(&go, __ATOMIC_ACQUIRE))
		;
	for (int i = 0; i < 100; i++)
		if (kevent(*(int *)arg, &one, 1, NULL, 0, NULL) != 0)
			return NULL;
	__atomic_store_n(&go, 2, __ATOMIC_RELEASE);
	pthread_testcancel();
	return NULL;
}

TEST(no_cancellation_point_without_room, "K-053")
{
	struct thread t;
	int kq = new_kq();
	SKIP_UNDER_TSAN("its runtime does not follow a thread that is cancelled");
	SKIP_UNDER_ASAN("it takes the stack of a cancelled thread, which the next one gets, to be still in use");
	add_user(kq, 1, EV_CLEAR, U(1));
	thread_start(&t, without_room, &kq);
	CHECK_EQ(pthread_cancel(t.handle), 0);
	__atomic_store_n(&go, 1, __ATOMIC_RELEASE);
	CHECK(thread_join(&t) == PTHREAD_CANCELED);
	CHECK_EQ(__atomic_load_n(&go, __ATOMIC_ACQUIRE), 2);
	expect(kq, 1, EVFILT_USER, EV_CLEAR, 0, 0, U(1));
	close(kq);
}

static void *change_then_sleep(void *arg)
{
	struct kevent ev, add = kev(5, EVFILT_USER, EV_ADD, 0, 0, U(5));
	kevent(*(int *)arg, &add, 1, &ev, 1, NULL);
	return NULL;
}

TEST(changes_of_a_cancelled_call_are_in_force, "K-053 K-046")
{
	struct thread t;
	int kq = new_kq();
	SKIP_UNDER_TSAN("its runtime does not follow a thread that is cancelled in a system call");
	SKIP_UNDER_ASAN("it takes the stack of a cancelled thread, which the next one gets, to be still in use");
	thread_start(&t, change_then_sleep, &kq);
	wait_until_blocked(t.tid);
	cancelled_by(&t);
	drop(kq, 5, EVFILT_USER);
	close(kq);
}
