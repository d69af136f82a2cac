/* EVFILT_USER (8.5). */
#include "harness.h"
#include "kqueue.h"
#include <sys/time.h>

#define user(kq, ident, flags, fflags, data, udata) change(kq, ident, EVFILT_USER, flags, fflags, data, udata)

TEST(trigger_shows_what_was_given_last, "K-280")
{
	int kq = new_kq();
	user(kq, 5, EV_ADD, 0x3, 9, U(1));
	expect_none(kq);
	user(kq, 5, 0, NOTE_TRIGGER, 7, U(2));
	expect(kq, 5, EVFILT_USER, 0, 0x3, 7, U(2));
	expect(kq, 5, EVFILT_USER, 0, 0x3, 7, U(2));
	user(kq, 5, 0, 0, 8, U(3));
	expect(kq, 5, EVFILT_USER, 0, 0x3, 8, U(3));
	user(kq, 5, 0, 0, INTPTR_MAX, NULL);
	expect(kq, 5, EVFILT_USER, 0, 0x3, INTPTR_MAX, NULL);
	close(kq);
}

TEST(operations_on_fflags, "K-281")
{
	int kq = new_kq();
	struct {
		unsigned change, result;
	} step[] = { { NOTE_FFCOPY | 0xf0f0, 0xf0f0 }, { NOTE_FFOR | 0x0f0f, 0xffff }, { NOTE_FFAND | 0x00ff, 0xff },
		{ NOTE_FFNOP | 0xabc, 0xff }, { NOTE_FFCOPY | 0x3effffff, 0xffffff }, { NOTE_FFAND | 0x3e000001, 1 },
		{ NOTE_FFOR | 0x3e000000, 1 }, { NOTE_FFCOPY, 0 } };
	user(kq, 1, EV_ADD | EV_CLEAR, 0, 0, U(0));
	for (int i = 0; i < 8; i++) {
		user(kq, 1, 0, NOTE_TRIGGER | step[i].change, 0, U(i));
		expect(kq, 1, EVFILT_USER, EV_CLEAR, step[i].result, 0, U(i));
	}
	/* Without a trigger they only change what is stored. */
	user(kq, 1, 0, NOTE_FFOR | 0x10, 0, U(8));
	expect_none(kq);
	user(kq, 1, 0, NOTE_TRIGGER | NOTE_FFOR | 0x2, 0, U(9));
	expect(kq, 1, EVFILT_USER, EV_CLEAR, 0x12, 0, U(9));
	close(kq);
}

TEST(fflags_of_the_first_add, "K-281 14.8")
{
	int kq = new_kq();
	user(kq, 1, EV_ADD | EV_CLEAR, 0x34, 0, U(1));
	user(kq, 1, 0, NOTE_TRIGGER, 0, U(1));
	expect(kq, 1, EVFILT_USER, EV_CLEAR, 0x34, 0, U(1));
	/* With control bits: FreeBSD shows them, OpenBSD masks them. */
	user(kq, 2, EV_ADD | EV_CLEAR, NOTE_FFCOPY | 0x12, 0, U(2));
	user(kq, 2, 0, NOTE_TRIGGER, 0, U(2));
	CHECK_EQ(only(kq).fflags & NOTE_FFLAGSMASK, 0x12);
	close(kq);
}

TEST(clear_and_level, "K-282 K-288")
{
	struct kevent list[ROOM];
	int kq = new_kq();
	user(kq, 1, EV_ADD | EV_CLEAR, 0, 0, U(1));
	user(kq, 2, EV_ADD, 0, 0, U(2));
	for (int round = 0; round < 2; round++) {
		trigger(kq, 1, U(1));
		trigger(kq, 1, U(1));
		trigger(kq, 2, U(2));
		CHECK_EQ(harvest(kq, list, ROOM), 2);
		expect(kq, 2, EVFILT_USER, 0, 0, 0, U(2));
		expect(kq, 2, EVFILT_USER, 0, 0, 0, U(2));
		user(kq, 2, EV_CLEAR, 0, 0, U(2));
		expect_none(kq);
	}
	close(kq);
}

TEST(trigger_wakes_a_sleeper, "K-283")
{
	struct sleeper s;
	int kq = new_kq();
	user(kq, 1, EV_ADD | EV_CLEAR, 0, 0, U(0));
	for (int i = 0; i < 20; i++) {
		sleep_in(&s, kq, -1);
		user(kq, 1, 0, NOTE_TRIGGER | NOTE_FFCOPY | (unsigned)i, i, U(i));
		join_sleeper(&s, 1, 0);
		is_event(&s.list[0], 1, EVFILT_USER, EV_CLEAR, (unsigned)i, i, U(i));
		expect_none(kq);
	}
	close(kq);
}

TEST(oneshot_and_dispatch, "K-284 14.8")
{
	struct kevent list[ROOM];
	int kq = new_kq();
	user(kq, 1, EV_ADD | EV_ONESHOT, 0x7, 9, U(1));
	user(kq, 2, EV_ADD | EV_DISPATCH, 0x7, 9, U(2));
	user(kq, 1, 0, NOTE_TRIGGER, 4, U(1));
	user(kq, 2, 0, NOTE_TRIGGER, 4, U(2));
	CHECK_EQ(harvest(kq, list, ROOM), 2);
	is_event(&list[0], 1, EVFILT_USER, EV_ONESHOT, 0, 0, U(1));
	is_event(&list[1], 2, EVFILT_USER, EV_DISPATCH, 0x7, 4, U(2));
	CHECK_EQ(try_change(kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), ENOENT);
	user(kq, 2, 0, NOTE_TRIGGER, 0, U(3));
	expect_none(kq);
	user(kq, 2, EV_ENABLE, 0, 0, U(4));
	expect(kq, 2, EVFILT_USER, EV_DISPATCH, 0x7, 0, U(4));
	close(kq);
}

/* As on macOS and OpenBSD; FreeBSD and NetBSD forget the trigger. */
TEST(add_and_trigger_at_once, "K-285")
{
	struct kevent ev, add = kev(1, EVFILT_USER, EV_ADD | EV_CLEAR, NOTE_TRIGGER | 0x5, 3, U(1));
	int kq = new_kq();
	CHECK_RET(kevent(kq, &add, 1, &ev, 1, ZERO_TIMEOUT), 1);
	CHECK_EQ(ev.fflags & NOTE_FFLAGSMASK, 0x5);
	ev.fflags = 0;
	is_event(&ev, 1, EVFILT_USER, EV_CLEAR, 0, 3, U(1));
	expect_none(kq);
	CHECK_RET(kevent(kq, &add, 1, &ev, 1, ZERO_TIMEOUT), 0); /* known now: its EV_CLEAR is that of K-286 */
	add.flags = EV_ADD;
	CHECK_RET(kevent(kq, &add, 1, &ev, 1, ZERO_TIMEOUT), 1);
	expect_none(kq);
	user(kq, 2, EV_ADD | EV_DISABLE, NOTE_TRIGGER, 0, U(2));
	expect_none(kq);
	user(kq, 2, EV_ENABLE, 0, 0, U(3));
	CHECK(only(kq).udata == U(3));
	close(kq);
}

TEST(clear_in_a_change_takes_the_trigger_back, "K-286 14.8")
{
	int kq = new_kq();
	user(kq, 1, EV_ADD, 0, 0, U(1));
	user(kq, 1, 0, NOTE_TRIGGER, 0, U(2));
	expect(kq, 1, EVFILT_USER, 0, 0, 0, U(2));
	user(kq, 1, EV_CLEAR, 0, 0, U(3));
	expect_none(kq);
	user(kq, 1, EV_CLEAR, NOTE_TRIGGER, 0, U(4)); /* even with a trigger */
	expect_none(kq);
	user(kq, 1, 0, NOTE_TRIGGER, 0, U(5));
	expect(kq, 1, EVFILT_USER, 0, 0, 0, U(5));
	close(kq);
}

enum { SENDERS = 4, TRIGGERS = 25000 };

static void *sender(void *arg)
{
	for (int i = 0; i < TRIGGERS / slow(); i++)
		if (try_change(*(int *)arg, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, U(1)) != 0)
			return NULL;
	return arg;
}

/* Triggers merge, but an event follows the last of them. */
TEST_LIMIT(storm_of_triggers, "K-287", 30)
{
	struct thread t[SENDERS];
	struct kevent ev;
	int kq = new_kq();
	long events = 0;
	user(kq, 1, EV_ADD | EV_CLEAR, 0, 0, U(0));
	for (int i = 0; i < SENDERS; i++)
		thread_start(&t[i], sender, &kq);
	for (int running = 1; running;) {
		running = 0;
		for (int i = 0; i < SENDERS; i++)
			running |= !thread_done(&t[i]);
		int got = kevent(kq, NULL, 0, &ev, 1, TIMEOUT_MS(20));
		CHECK(got == 0 || got == 1);
		events += got;
	}
	for (int i = 0; i < SENDERS; i++)
		CHECK(thread_join(&t[i]) == &kq);
	CHECK(events >= 1 && events <= (long)SENDERS * TRIGGERS);
	kevent(kq, NULL, 0, &ev, 1, ZERO_TIMEOUT);
	expect_none(kq);
	trigger(kq, 1, U(2));
	expect(kq, 1, EVFILT_USER, EV_CLEAR, 0, 0, U(2));
	close(kq);
}

/* ------------------------------------------------------------------ in a handler */

static int handlers_kq;
static volatile sig_atomic_t handled, refused;

static void trigger_in_handler(int sig)
{
	int saved = errno;
	(void)sig;
	if (try_change(handlers_kq, 1, EVFILT_USER, 0, NOTE_TRIGGER, 0, U(1)) != 0)
		refused++;
	handled++;
	errno = saved;
}

/* A handler that interrupts kevent anywhere triggers the same queue: no deadlock, and no trigger is lost. */
TEST_LIMIT(trigger_from_a_signal_handler, "K-312", 30)
{
	struct kevent ev;
	struct sigaction action = { .sa_flags = SA_RESTART };
	action.sa_handler = trigger_in_handler;
	handlers_kq = new_kq();
	user(handlers_kq, 1, EV_ADD | EV_CLEAR, 0, 0, U(0));
	CHECK_OK(sigaction(SIGALRM, &action, NULL));
	struct itimerval often = { { 0, 300 }, { 0, 300 } }, never = { { 0, 0 }, { 0, 0 } };
	CHECK_OK(setitimer(ITIMER_REAL, &often, NULL));
	for (long long end = now_ms() + 700; now_ms() < end;) {
		change(handlers_kq, 2, EVFILT_USER, EV_ADD, 0, 0, U(2));
		int got = kevent(handlers_kq, NULL, 0, &ev, 1, ZERO_TIMEOUT);
		CHECK(got >= 0 || errno == EINTR);
		drop(handlers_kq, 2, EVFILT_USER);
	}
	CHECK_OK(setitimer(ITIMER_REAL, &never, NULL));
	CHECK(handled > 0);
	CHECK_EQ(refused, 0);
	kevent(handlers_kq, NULL, 0, &ev, 1, ZERO_TIMEOUT);
	raise(SIGALRM);
	CHECK_RET(kevent(handlers_kq, NULL, 0, &ev, 1, ZERO_TIMEOUT), 1);
	is_event(&ev, 1, EVFILT_USER, EV_CLEAR, 0, 0, U(1));
	close(handlers_kq);
}
