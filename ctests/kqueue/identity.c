/* What a knote is, and what a change makes of one (section 4). */
#include "harness.h"
#include "kqueue.h"

TEST(one_knote_for_each_filter, "K-060")
{
	struct kevent list[ROOM];
	int kq = new_kq(), fds[2];
	make_pair(fds);
	send_bytes(fds[1], 4);
	add_read(kq, fds[0], 0, U(1));
	add_write(kq, fds[0], 0, U(2));
	change(kq, fds[0], EVFILT_TIMER, EV_ADD, NOTE_SECONDS, 100, U(3));
	add_user(kq, fds[0], 0, U(4));
	CHECK_EQ(harvest(kq, list, ROOM), 2);
	is_event(&list[0], fds[0], EVFILT_READ, 0, 0, 4, U(1));
	is_event(&list[1], fds[0], EVFILT_WRITE, 0, 0, SOME, U(2));
	drop(kq, fds[0], EVFILT_READ);
	expect(kq, fds[0], EVFILT_WRITE, 0, 0, SOME, U(2));
	drop(kq, fds[0], EVFILT_WRITE);
	expect_none(kq);
	drop(kq, fds[0], EVFILT_TIMER);
	drop(kq, fds[0], EVFILT_USER);
	CHECK_GONE(kq, fds[0], EVFILT_READ);
	close_pipe(fds);
	close(kq);
}

TEST(adding_twice_modifies, "K-061")
{
	int kq = new_kq(), fds[2];
	make_pipe(fds);
	put(fds[1]);
	add_read(kq, fds[0], 0, U(1));
	add_read(kq, fds[0], 0, U(2));
	expect(kq, fds[0], EVFILT_READ, 0, 0, 1, U(2));
	drop(kq, fds[0], EVFILT_READ);
	CHECK_GONE(kq, fds[0], EVFILT_READ);
	close_pipe(fds);
	close(kq);
}

TEST(flags_of_the_first_add_stay, "K-062 K-071")
{
	unsigned flags[] = { 0, EV_CLEAR, EV_ONESHOT, EV_DISPATCH, EV_RECEIPT };
	for (int first = 0; first < 5; first++)
		for (int second = 0; second < 5; second++) {
			int kq = new_kq(), fds[2];
			make_pair(fds);
			struct kevent receipt, add;
			add = kev((uintptr_t)fds[0], EVFILT_READ, EV_ADD | flags[first], 0, 0, U(1));
			CHECK_RET(kevent(kq, &add, 1, &receipt, 1, ZERO_TIMEOUT), flags[first] == EV_RECEIPT);
			add = kev((uintptr_t)fds[0], EVFILT_READ, EV_ADD | flags[second], 0, 0, U(2));
			CHECK_RET(kevent(kq, &add, 1, &receipt, 1, ZERO_TIMEOUT), flags[second] == EV_RECEIPT);
			send_bytes(fds[1], 3);
			expect(kq, fds[0], EVFILT_READ, flags[first], 0, 3, U(2));
			if (flags[first] == 0 || flags[first] == EV_RECEIPT)
				expect(kq, fds[0], EVFILT_READ, flags[first], 0, 3, U(2));
			else
				expect_none(kq);
			close_pipe(fds);
			close(kq);
		}
}

TEST(adding_again_tests_again, "K-063")
{
	int kq = new_kq(), fds[2];
	make_pair(fds);
	send_bytes(fds[1], 3);
	add_read(kq, fds[0], EV_CLEAR, U(1));
	expect(kq, fds[0], EVFILT_READ, EV_CLEAR, 0, 3, U(1));
	expect_none(kq);
	add_read(kq, fds[0], 0, U(2));
	expect(kq, fds[0], EVFILT_READ, EV_CLEAR, 0, 3, U(2));
	expect_none(kq);
	close_pipe(fds);
	close(kq);
}

TEST(pending_event_and_new_wishes, "K-064 14.1")
{
	int kq = new_kq(), fds[2];
	make_pair(fds);
	send_bytes(fds[1], 10);
	add_read(kq, fds[0], 0, U(1));
	change(kq, fds[0], EVFILT_READ, EV_ADD, NOTE_LOWAT, 100, U(2));
	expect_none(kq);
	change(kq, fds[0], EVFILT_READ, 0, NOTE_LOWAT, 10, U(3)); /* without EV_ADD as well (section 4) */
	expect(kq, fds[0], EVFILT_READ, 0, 0, 10, U(3));
	change(kq, fds[0], EVFILT_READ, EV_ENABLE, NOTE_LOWAT, 11, U(4));
	expect_none(kq);
	change(kq, fds[0], EVFILT_READ, EV_ADD, 0, 0, U(5));
	expect(kq, fds[0], EVFILT_READ, 0, 0, 10, U(5));
	close_pipe(fds);
	close(kq);
}

TEST(every_change_replaces_udata, "K-065 K-073")
{
	int kq = new_kq(), fds[2];
	make_pipe(fds);
	put(fds[1]);
	add_read(kq, fds[0], 0, (void *)UINTPTR_MAX);
	expect(kq, fds[0], EVFILT_READ, 0, 0, 1, (void *)UINTPTR_MAX);
	change(kq, fds[0], EVFILT_READ, EV_DISABLE, 0, 0, U(2));
	change(kq, fds[0], EVFILT_READ, EV_ENABLE, 0, 0, NULL);
	expect(kq, fds[0], EVFILT_READ, 0, 0, 1, NULL);
	change(kq, fds[0], EVFILT_READ, 0, 0, 0, U(3));
	expect(kq, fds[0], EVFILT_READ, 0, 0, 1, U(3));
	change(kq, 5, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 20, U(4));
	change(kq, 5, EVFILT_TIMER, EV_ENABLE, 0, 0, U(5));
	drop(kq, fds[0], EVFILT_READ);
	expect(kq, 5, EVFILT_TIMER, EV_ONESHOT | EV_CLEAR, 0, 1, U(5));
	close_pipe(fds);
	close(kq);
}

/* The manual of FreeBSD 14; the measured kernel is older than the flag (14.7). */
TEST(keepudata, "K-066")
{
	int kq = new_kq();
	CHECK_EQ(try_change(kq, 1, EVFILT_USER, EV_ADD | EV_KEEPUDATA, 0, 0, U(1)), EINVAL);
	CHECK_GONE(kq, 1, EVFILT_USER);
	add_user(kq, 1, 0, U(1));
	change(kq, 1, EVFILT_USER, EV_ENABLE | EV_KEEPUDATA, NOTE_TRIGGER, 0, U(2));
	expect(kq, 1, EVFILT_USER, 0, 0, 0, U(1));
	change(kq, 1, EVFILT_USER, EV_ADD | EV_KEEPUDATA, 0, 0, NULL);
	expect(kq, 1, EVFILT_USER, 0, 0, 0, U(1));
	change(kq, 1, EVFILT_USER, 0, 0, 0, U(3));
	expect(kq, 1, EVFILT_USER, 0, 0, 0, U(3));
	close(kq);
}

TEST(delete_takes_back_what_is_pending, "K-067")
{
	int kq = new_kq(), fds[2];
	make_pipe(fds);
	put(fds[1]);
	add_read(kq, fds[0], 0, U(1));
	drop(kq, fds[0], EVFILT_READ);
	add_user(kq, 2, 0, U(2));
	trigger(kq, 2, U(2));
	drop(kq, 2, EVFILT_USER);
	change(kq, 3, EVFILT_TIMER, EV_ADD, 0, 1, U(3));
	sleep_ms(5);
	drop(kq, 3, EVFILT_TIMER);
	expect_none(kq);
	CHECK_EQ(try_change(kq, 2, EVFILT_USER, 0, NOTE_TRIGGER, 0, NULL), ENOENT);
	add_user(kq, 2, 0, U(4)); /* starts from nothing */
	expect_none(kq);
	close_pipe(fds);
	close(kq);
}

TEST(add_and_delete_together, "K-068 14.5")
{
	int kq = new_kq();
	change(kq, 1, EVFILT_USER, EV_ADD | EV_DELETE, 0, 0, U(1));
	trigger(kq, 1, U(2));
	expect(kq, 1, EVFILT_USER, 0, 0, 0, U(2));
	change(kq, 1, EVFILT_USER, EV_ADD | EV_DELETE, 0, 0, U(3));
	CHECK_GONE(kq, 1, EVFILT_USER);
	expect_none(kq);
	close(kq);
}

TEST(two_queues_watch_one_descriptor, "K-069")
{
	int a = new_kq(), b = new_kq(), fds[2];
	make_pair(fds);
	add_read(a, fds[0], EV_CLEAR, U(1));
	add_read(b, fds[0], EV_CLEAR, U(2));
	send_bytes(fds[1], 5);
	expect(a, fds[0], EVFILT_READ, EV_CLEAR, 0, 5, U(1));
	expect_none(a);
	expect(b, fds[0], EVFILT_READ, EV_CLEAR, 0, 5, U(2));
	expect_none(b);
	drop(a, fds[0], EVFILT_READ);
	send_bytes(fds[1], 1);
	expect(b, fds[0], EVFILT_READ, EV_CLEAR, 0, 6, U(2));
	expect_none(a);
	close_pipe(fds);
	close(a);
	close(b);
}

TEST(same_user_ident_in_two_queues, "K-069 8.5")
{
	int a = new_kq(), b = new_kq();
	add_user(a, 1, EV_CLEAR, U(1));
	add_user(b, 1, EV_CLEAR, U(2));
	trigger(a, 1, U(1));
	expect_none(b);
	expect(a, 1, EVFILT_USER, EV_CLEAR, 0, 0, U(1));
	close(a);
	trigger(b, 1, U(2));
	expect(b, 1, EVFILT_USER, EV_CLEAR, 0, 0, U(2));
	close(b);
}

/* What an event shows: the settings of the knote without the actions, and what happened instead of the wishes. */
TEST(flags_and_fflags_of_events, "K-071 K-072")
{
	int kq = new_kq(), fds[2];
	make_pair(fds);
	send_bytes(fds[1], 9);
	unsigned settings[] = { 0, EV_CLEAR, EV_ONESHOT, EV_DISPATCH, EV_CLEAR | EV_DISPATCH, EV_CLEAR | EV_ONESHOT };
	for (int i = 0; i < 6; i++) {
		change(kq, fds[0], EVFILT_READ, EV_ADD | EV_ENABLE | settings[i], NOTE_LOWAT, 4, U(1));
		expect(kq, fds[0], EVFILT_READ, settings[i], 0, 9, U(1));
		change(kq, 1, EVFILT_TIMER, EV_ADD | EV_ENABLE | settings[i], NOTE_USECONDS, 10, U(2));
		try_change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_DELETE, 0, 0, NULL);
		struct kevent ev = only(kq);
		is_event(&ev, 1, EVFILT_TIMER, settings[i] | EV_CLEAR, 0, SOME, U(2));
		try_change(kq, 1, EVFILT_TIMER, EV_DELETE, 0, 0, NULL);
		change(kq, 1, EVFILT_USER, EV_ADD | EV_ENABLE | settings[i], 0, 0, U(3));
		trigger(kq, 1, U(3));
		expect(kq, 1, EVFILT_USER, settings[i], 0, 0, U(3));
		try_change(kq, 1, EVFILT_USER, EV_DELETE, 0, 0, NULL);
		expect_none(kq);
	}
	close_pipe(fds);
	close(kq);
}
