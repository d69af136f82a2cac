/* EVFILT_TIMER (8.4): periods, counts, settings. Changes of a timer and absolute ones are in timer_change.c. */
#include "harness.h"
#include "kqueue.h"

#define add_timer(kq, ident, flags, fflags, data, udata)                                                  \
	change(kq, ident, EVFILT_TIMER, EV_ADD | (flags), fflags, data, udata)

/* The count is right if it fits the time that has passed; a busy machine may be late. */
static void h_count_fits(HERE_PARAMS, intptr_t count, long long passed_ms, long period_ms)
{
	/* Between the clock and the timer lies what a call takes. */
	if (count < passed_ms / period_ms - slow() || count > passed_ms / period_ms + 1)
		h_fail(file, line, "%ld expirations in %lld ms of a period of %ld ms", (long)count, passed_ms, period_ms);
}
#define count_fits(count, passed, period) h_count_fits(HERE, count, passed, period)

TEST(periodic, "K-260 K-072")
{
	int kq = new_kq();
	long long begin = now_ms();
	add_timer(kq, 1, 0, 0, 50, U(1));
	expect_none(kq);
	struct kevent first = only(kq);
	is_event(&first, 1, EVFILT_TIMER, EV_CLEAR, 0, SOME, U(1));
	CHECK(now_ms() - begin >= 49);
	sleep_ms(520);
	struct kevent second = only(kq);
	is_event(&second, 1, EVFILT_TIMER, EV_CLEAR, 0, SOME, U(1));
	count_fits(first.data + second.data, now_ms() - begin, 50);
	expect_none(kq);
	close(kq);
}

/* The period is counted from the deadline before, not from the retrieval: 40 late retrievals do not add up. */
TEST(no_drift, "K-260 8.4")
{
	int kq = new_kq();
	intptr_t count = 0;
	add_timer(kq, 1, 0, 0, 10, U(1));
	long long begin = now_ms();
	while (now_ms() - begin < 400) {
		count += only(kq).data;
		sleep_ms(3);
	}
	count_fits(count, now_ms() - begin, 10);
	close(kq);
}

TEST(oneshot, "K-261")
{
	struct kevent list[ROOM];
	int kq = new_kq();
	add_timer(kq, 1, EV_ONESHOT, 0, 20, U(1));
	CHECK_RET(kevent(kq, NULL, 0, list, ROOM, LONG_TIMEOUT), 1);
	is_event(&list[0], 1, EVFILT_TIMER, EV_ONESHOT | EV_CLEAR, 0, 1, U(1));
	CHECK_GONE(kq, 1, EVFILT_TIMER);
	add_timer(kq, 1, EV_ONESHOT, 0, 10, U(2));
	sleep_ms(60);
	expect(kq, 1, EVFILT_TIMER, EV_ONESHOT | EV_CLEAR, 0, 1, U(2));
	CHECK_RET(kevent(kq, NULL, 0, list, ROOM, TIMEOUT_MS(40)), 0);
	close(kq);
}

TEST(units, "K-262 K-273")
{
	struct {
		unsigned unit;
		intptr_t data;
	} same[] = { { NOTE_SECONDS, 1 }, { 0, 1000 }, { NOTE_MSECONDS, 1000 }, { NOTE_USECONDS, 1000000 },
		{ NOTE_NSECONDS, 1000000000 } };
	int kq = new_kq(), seen = 0;
	long long begin = now_ms();
	for (int i = 0; i < 5; i++)
		add_timer(kq, i, EV_ONESHOT, same[i].unit, same[i].data, U(i));
	while (seen != 31) {
		struct kevent ev;
		CHECK_RET(kevent(kq, NULL, 0, &ev, 1, LONG_TIMEOUT), 1);
		is_event(&ev, ev.ident, EVFILT_TIMER, EV_ONESHOT | EV_CLEAR, 0, 1, U(ev.ident));
		CHECK(now_ms() - begin >= 999);
		seen |= 1 << ev.ident;
	}
	CHECK(now_ms() - begin < 1500 * slow());
	close(kq);
}

/* A bit that no unit or modifier of the header has. */
static unsigned unknown_bit(void)
{
	unsigned known = NOTE_SECONDS | NOTE_MSECONDS | NOTE_USECONDS | NOTE_NSECONDS | NOTE_ABSOLUTE | NOTE_ABSTIME;
#ifdef NOTE_LEEWAY
	known |= NOTE_LEEWAY | NOTE_CRITICAL | NOTE_BACKGROUND;
#endif
#ifdef NOTE_MACHTIME
	known |= NOTE_MACHTIME;
#endif
#ifdef NOTE_MACH_CONTINUOUS_TIME
	known |= NOTE_MACH_CONTINUOUS_TIME;
#endif
	unsigned bit = 0x80000000;
	while (known & bit)
		bit >>= 1;
	return bit;
}

TEST(bad_units_and_times, "K-263 K-267 14.15")
{
	int kq = new_kq();
	unsigned units[] = { NOTE_SECONDS | NOTE_USECONDS, NOTE_USECONDS | NOTE_NSECONDS, NOTE_SECONDS | NOTE_NSECONDS,
		unknown_bit() };
	for (int i = 0; i < 4; i++) {
		CHECK_EQ(try_change(kq, 1, EVFILT_TIMER, EV_ADD, units[i], 10, NULL), EINVAL);
		CHECK_GONE(kq, 1, EVFILT_TIMER);
	}
	CHECK_EQ(try_change(kq, 1, EVFILT_TIMER, EV_ADD, 0, -1, NULL), EINVAL);
	CHECK_EQ(try_change(kq, 1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, NOTE_SECONDS, INTPTR_MIN, NULL), EINVAL);
	CHECK_GONE(kq, 1, EVFILT_TIMER);
	expect_none(kq);
	close(kq);
}

TEST(zero, "K-267 14.15")
{
	int kq = new_kq();
	long long begin = now_ms();
	add_timer(kq, 1, EV_ONESHOT, NOTE_SECONDS, 0, U(1));
	expect(kq, 1, EVFILT_TIMER, EV_ONESHOT | EV_CLEAR, 0, 1, U(1));
	CHECK(now_ms() - begin < 500 * slow());
	begin = now_ms();
	add_timer(kq, 2, 0, 0, 0, U(2)); /* a period of one unit */
	sleep_ms(30);
	struct kevent ev = only(kq);
	is_event(&ev, 2, EVFILT_TIMER, EV_CLEAR, 0, SOME, U(2));
	CHECK(ev.data >= 28 && ev.data <= now_ms() - begin + 1);
	close(kq);
}

TEST(dispatch, "K-268 K-092")
{
	int kq = new_kq();
	long long begin = now_ms();
	add_timer(kq, 1, EV_DISPATCH, 0, 20, U(1));
	struct kevent first = only(kq);
	is_event(&first, 1, EVFILT_TIMER, EV_CLEAR | EV_DISPATCH, 0, SOME, U(1));
	sleep_ms(100);
	expect_none(kq);
	change(kq, 1, EVFILT_TIMER, EV_ENABLE, 0, 20, U(2));
	struct kevent second = only(kq); /* at once, with what has come together (14.15) */
	is_event(&second, 1, EVFILT_TIMER, EV_CLEAR | EV_DISPATCH, 0, SOME, U(2));
	count_fits(first.data + second.data, now_ms() - begin, 20);
	expect_none(kq);
	close(kq);
}

TEST(disabled_timer_counts, "K-269 K-082")
{
	int kq = new_kq();
	add_timer(kq, 1, 0, 0, 50, U(1));
	change(kq, 1, EVFILT_TIMER, EV_DISABLE, 0, 50, U(1));
	long long begin = now_ms();
	sleep_ms(175);
	expect_none(kq);
	change(kq, 1, EVFILT_TIMER, EV_ENABLE, 0, 50, U(2));
	struct kevent ev = only(kq);
	is_event(&ev, 1, EVFILT_TIMER, EV_CLEAR, 0, SOME, U(2));
	count_fits(ev.data, now_ms() - begin, 50);
	close(kq);
}

TEST_LIMIT(thousand_timers, "K-270", 20)
{
	enum { COUNT = 1000 };
	static intptr_t counts[COUNT];
	static struct kevent list[COUNT];
	int kq = new_kq();
	long long begin = now_ms(), passed;
	for (int i = 0; i < COUNT; i++)
		add_timer(kq, i, 0, 0, 20 + i % 100, U(i));
	long long added = now_ms(); /* the last one runs only since then */
	while ((passed = now_ms() - added) < 2000 * slow()) {
		int got = kevent(kq, NULL, 0, list, COUNT, TIMEOUT_MS(100));
		CHECK(got >= 0);
		for (int i = 0; i < got; i++) {
			CHECK(list[i].ident < COUNT && list[i].udata == U(list[i].ident));
			counts[list[i].ident] += list[i].data;
		}
	}
	int got = harvest(kq, list, COUNT);
	long long end = now_ms() - begin;
	for (int i = 0; i < got; i++)
		counts[list[i].ident] += list[i].data;
	for (int i = 0; i < COUNT; i++)
		CHECK(counts[i] >= passed / (20 + i % 100) - 2 && counts[i] <= end / (20 + i % 100) + 1);
	close(kq);
}

TEST_LIMIT(hundred_thousand_timers, "K-270 8.4", 30)
{
	enum { COUNT = 100000 };
	int kq = new_kq();
	static struct kevent list[1000];
	for (int i = 0; i < COUNT; i++)
		add_timer(kq, i, EV_ONESHOT, NOTE_SECONDS, 1000 + i, U(i));
	add_timer(kq, COUNT, EV_ONESHOT, 0, 10, U(COUNT));
	expect(kq, COUNT, EVFILT_TIMER, EV_ONESHOT | EV_CLEAR, 0, 1, U(COUNT));
	for (int i = 0; i < COUNT; i += 1000) {
		for (int j = 0; j < 1000; j++)
			list[j] = kev((uintptr_t)(i + j), EVFILT_TIMER, EV_DELETE, 0, 0, NULL);
		CHECK_RET(kevent(kq, list, 1000, NULL, 0, NULL), 0);
	}
	CHECK_GONE(kq, 0, EVFILT_TIMER);
	close(kq);
}

TEST(any_number_is_an_ident, "K-271")
{
	int kq = new_kq(), fds[2];
	make_pipe(fds);
	uintptr_t idents[] = { 0, UINTPTR_MAX, (uintptr_t)fds[0], (uintptr_t)INT_MAX + 1 };
	for (int i = 0; i < 4; i++) {
		add_timer(kq, idents[i], EV_ONESHOT, NOTE_USECONDS, 100, U(i));
		expect(kq, idents[i], EVFILT_TIMER, EV_ONESHOT | EV_CLEAR, 0, 1, U(i));
	}
	add_timer(kq, fds[0], EV_ONESHOT, 0, 30, U(5));
	close_pipe(fds); /* no business of the timer's */
	expect(kq, fds[0], EVFILT_TIMER, EV_ONESHOT | EV_CLEAR, 0, 1, U(5));
	close(kq);
}

TEST(each_queue_has_its_own, "K-272")
{
	int a = new_kq(), b = new_kq();
	add_timer(a, 1, EV_ONESHOT, 0, 10, U(1));
	add_timer(b, 1, EV_ONESHOT, NOTE_SECONDS, 1000, U(2));
	expect(a, 1, EVFILT_TIMER, EV_ONESHOT | EV_CLEAR, 0, 1, U(1));
	expect_none(b);
	close(a);
	close(b);
}

TEST(never_early, "K-273")
{
	int kq = new_kq();
	for (int i = 0; i < 30; i++) {
		struct timespec begin, end;
		intptr_t us = 100 + i * 333;
		clock_gettime(CLOCK_MONOTONIC, &begin);
		add_timer(kq, 1, EV_ONESHOT, NOTE_USECONDS, us, U(i));
		expect(kq, 1, EVFILT_TIMER, EV_ONESHOT | EV_CLEAR, 0, 1, U(i));
		clock_gettime(CLOCK_MONOTONIC, &end);
		CHECK((end.tv_sec - begin.tv_sec) * 1000000000LL + end.tv_nsec - begin.tv_nsec >= us * 1000);
	}
	close(kq);
}

TEST(very_long_periods, "K-274")
{
	intptr_t huge[] = { INTPTR_MAX, INTPTR_MAX / 1000, INTPTR_MAX / 1000000000 };
	unsigned units[] = { NOTE_SECONDS, 0, NOTE_USECONDS, NOTE_NSECONDS };
	for (int i = 0; i < 12; i++) {
		int kq = new_kq();
		int error = try_change(kq, 1, EVFILT_TIMER, EV_ADD | (i % 2 ? EV_ONESHOT : 0), units[i % 4], huge[i / 4], U(i));
		CHECK(error == 0 || error == EINVAL);
		if (i % 4 != 3 || i / 4 == 0) { /* the last ones are short in nanoseconds */
			sleep_ms(2);
			expect_none(kq);
		}
		close(kq);
	}
}
