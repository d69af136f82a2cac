/* EVFILT_TIMER (8.4): what changes make of a running timer, and deadlines of the wall clock. */
#include "harness.h"
#include "kqueue.h"

#define add_timer(kq, ident, flags, fflags, data, udata)                                                  \
	change(kq, ident, EVFILT_TIMER, EV_ADD | (flags), fflags, data, udata)

TEST(added_again_it_starts_afresh, "K-266")
{
	struct kevent list[ROOM];
	int kq = new_kq();
	intptr_t again[] = { 100, 30, 10 }; /* longer, equal, shorter */
	for (int i = 0; i < 3; i++) {
		add_timer(kq, 1, 0, 0, 30, U(1));
		sleep_ms(40); /* one expiration pends */
		long long begin = now_ms();
		add_timer(kq, 1, 0, 0, again[i], U(2));
		if (i == 0)
			expect_none(kq);
		CHECK_RET(kevent(kq, NULL, 0, list, ROOM, LONG_TIMEOUT), 1);
		is_event(&list[0], 1, EVFILT_TIMER, EV_CLEAR, 0, SOME, U(2));
		CHECK(now_ms() - begin >= again[i] - 1);
		CHECK(list[0].data <= (now_ms() - begin) / again[i] + 1);
		drop(kq, 1, EVFILT_TIMER);
	}
	close(kq);
}

TEST(flags_of_the_first_add_stay, "K-266 14.15")
{
	int kq = new_kq();
	add_timer(kq, 1, 0, NOTE_SECONDS, 1000, U(1));
	add_timer(kq, 1, EV_ONESHOT, 0, 10, U(2));
	for (int i = 0; i < 2; i++) {
		struct kevent ev = only(kq);
		is_event(&ev, 1, EVFILT_TIMER, EV_CLEAR, 0, SOME, U(2));
	}
	drop(kq, 1, EVFILT_TIMER);
	close(kq);
}

TEST(one_shot_added_again, "K-266")
{
	int kq = new_kq();
	add_timer(kq, 1, EV_ONESHOT, NOTE_SECONDS, 1000, U(1));
	add_timer(kq, 1, 0, NOTE_USECONDS, 10000, U(2));
	expect(kq, 1, EVFILT_TIMER, EV_ONESHOT | EV_CLEAR, 0, 1, U(2));
	CHECK_GONE(kq, 1, EVFILT_TIMER);
	/* Expired, not retrieved, added again: the expiration is lost. */
	add_timer(kq, 1, EV_ONESHOT, 0, 1, U(3));
	sleep_ms(10);
	add_timer(kq, 1, EV_ONESHOT, 0, 60, U(4));
	expect_none(kq);
	expect(kq, 1, EVFILT_TIMER, EV_ONESHOT | EV_CLEAR, 0, 1, U(4));
	close(kq);
}

/* The call succeeds, and the error comes as an event. */
TEST(bad_time_in_a_second_add, "K-263 14.15")
{
	int kq = new_kq();
	add_timer(kq, 1, 0, 0, 10, U(1));
	add_timer(kq, 1, 0, 0, -1, U(2));
	struct kevent ev = only(kq);
	CHECK_EQ(ev.ident, 1);
	CHECK_EQ(ev.filter, EVFILT_TIMER);
	CHECK_EQ(ev.flags & EV_ERROR, EV_ERROR);
	CHECK_EQ(ev.data, EINVAL);
	CHECK(ev.udata == U(2));
	drop(kq, 1, EVFILT_TIMER);
	expect_none(kq);
	close(kq);
}

/* Only EV_ADD sets a timer: other changes replace udata and leave it running. */
TEST(changes_without_add, "8.4 K-065")
{
	int kq = new_kq();
	add_timer(kq, 1, EV_ONESHOT, 0, 30, U(1));
	change(kq, 1, EVFILT_TIMER, EV_ENABLE, NOTE_SECONDS, 1000, U(2));
	change(kq, 1, EVFILT_TIMER, 0, NOTE_SECONDS, 1000, U(3));
	expect(kq, 1, EVFILT_TIMER, EV_ONESHOT | EV_CLEAR, 0, 1, U(3));
	close(kq);
}

TEST(deleted_timer_is_silent, "K-067 8.4")
{
	struct kevent list[ROOM];
	int kq = new_kq();
	add_timer(kq, 1, 0, 0, 10, U(1));
	add_timer(kq, 2, 0, 0, 10, U(2));
	drop(kq, 1, EVFILT_TIMER);
	sleep_ms(20);
	drop(kq, 2, EVFILT_TIMER);
	CHECK_RET(kevent(kq, NULL, 0, list, ROOM, TIMEOUT_MS(40)), 0);
	CHECK_GONE(kq, 1, EVFILT_TIMER);
	close(kq);
}

/* ------------------------------------------------------------------ absolute */

static long long wall_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* FreeBSD's: one expiration, which is reported by every call until the timer is deleted. */
TEST(abstime_is_level, "K-264")
{
	int kq = new_kq();
	long long deadline = wall_ms() + 100;
	add_timer(kq, 1, 0, NOTE_ABSTIME, deadline, U(1));
	expect_none(kq);
	for (int i = 0; i < 3; i++) {
		expect(kq, 1, EVFILT_TIMER, 0, 0, 1, U(1));
		CHECK(wall_ms() >= deadline);
	}
	CHECK(wall_ms() < deadline + 1000 * slow());
	drop(kq, 1, EVFILT_TIMER);
	expect_none(kq);
	close(kq);
}

TEST(abstime_with_clear_or_oneshot, "K-264 8.4")
{
	struct kevent list[ROOM];
	int kq = new_kq();
	add_timer(kq, 1, EV_CLEAR, NOTE_ABSTIME, wall_ms() + 20, U(1));
	expect(kq, 1, EVFILT_TIMER, EV_CLEAR, 0, 1, U(1));
	CHECK_RET(kevent(kq, NULL, 0, list, ROOM, TIMEOUT_MS(40)), 0);
	drop(kq, 1, EVFILT_TIMER);
	add_timer(kq, 2, EV_ONESHOT, NOTE_ABSTIME, wall_ms() + 20, U(2));
	struct kevent ev = only(kq);
	CHECK_EQ(ev.flags & ~EV_CLEAR, EV_ONESHOT);
	CHECK_EQ(ev.data, 1);
	CHECK_GONE(kq, 2, EVFILT_TIMER);
	close(kq);
}

/* libkqueue's and macOS's: delivered once, then gone. */
TEST(absolute_is_a_one_shot, "K-264")
{
	int kq = new_kq();
	long long deadline = wall_ms() + 60;
	add_timer(kq, 1, 0, NOTE_ABSOLUTE, deadline, U(1));
	struct kevent ev = only(kq);
	CHECK(wall_ms() >= deadline);
	CHECK_EQ(ev.ident, 1);
	CHECK_EQ(ev.filter, EVFILT_TIMER);
	CHECK_EQ(ev.flags & ~(EV_ONESHOT | EV_CLEAR), 0);
	CHECK_EQ(ev.fflags, 0);
	CHECK_EQ(ev.data, 1);
	CHECK(ev.udata == U(1));
	expect_none(kq);
	CHECK_GONE(kq, 1, EVFILT_TIMER);
	close(kq);
}

TEST(units_of_deadlines, "K-264 K-262")
{
	int kq = new_kq();
	long long deadline = wall_ms() + 50;
	add_timer(kq, 1, 0, NOTE_ABSTIME | NOTE_SECONDS, deadline / 1000 + 100, U(1));
	add_timer(kq, 2, 0, NOTE_ABSTIME | NOTE_USECONDS, deadline * 1000, U(2));
	add_timer(kq, 3, 0, NOTE_ABSOLUTE | NOTE_NSECONDS, deadline * 1000000, U(3));
	for (int seen = 0; seen != 3;) {
		struct kevent ev;
		CHECK_RET(kevent(kq, NULL, 0, &ev, 1, LONG_TIMEOUT), 1);
		CHECK(wall_ms() >= deadline);
		CHECK(ev.ident == 2 || ev.ident == 3);
		seen |= ev.ident == 2 ? 1 : 2;
	}
	close(kq);
}

TEST(deadline_in_the_past, "K-265")
{
	int kq = new_kq();
	intptr_t past[] = { 0, 1, 1000, wall_ms() - 1 };
	for (int i = 0; i < 4; i++) {
		add_timer(kq, i, 0, NOTE_ABSTIME, past[i], U(i));
		expect(kq, i, EVFILT_TIMER, 0, 0, 1, U(i));
		drop(kq, i, EVFILT_TIMER);
		add_timer(kq, i, 0, NOTE_ABSOLUTE, past[i], U(i));
		CHECK_EQ(only(kq).data, 1);
		CHECK_GONE(kq, i, EVFILT_TIMER);
	}
	close(kq);
}

TEST(deadline_moved, "K-266 K-264")
{
	int kq = new_kq();
	add_timer(kq, 1, 0, NOTE_ABSTIME, 1, U(1));
	expect(kq, 1, EVFILT_TIMER, 0, 0, 1, U(1));
	long long deadline = wall_ms() + 60;
	add_timer(kq, 1, 0, NOTE_ABSTIME, deadline, U(2));
	expect_none(kq);
	expect(kq, 1, EVFILT_TIMER, 0, 0, 1, U(2));
	CHECK(wall_ms() >= deadline);
	drop(kq, 1, EVFILT_TIMER);
	close(kq);
}
