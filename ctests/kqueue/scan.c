/* The scan (section 6): order, fairness, what has gone meanwhile. */
#include "harness.h"
#include "kqueue.h"

static void add_ready_pipe(int kq, int fds[2], unsigned flags, int n)
{
	make_pipe(fds);
	add_read(kq, fds[0], flags, U(n));
	put(fds[1]);
}

TEST(level_knotes_go_round, "K-100")
{
	enum { COUNT = 10 };
	struct kevent list[ROOM];
	int kq = new_kq(), fds[COUNT][2], next = 0;
	for (int i = 0; i < COUNT; i++)
		add_ready_pipe(kq, fds[i], 0, i);
	for (int call = 0; call < 20; call++) {
		CHECK_EQ(harvest(kq, list, 3), 3);
		for (int i = 0; i < 3; i++, next = (next + 1) % COUNT)
			is_event(&list[i], fds[next][0], EVFILT_READ, 0, 0, 1, U(next));
	}
	for (int i = 0; i < COUNT; i++)
		close_pipe(fds[i]);
	close(kq);
}

TEST(once_in_a_call, "K-101")
{
	enum { COUNT = 5, MANY = 1000 };
	static struct kevent list[MANY];
	int kq = new_kq(), fds[COUNT][2];
	for (int i = 0; i < COUNT; i++)
		add_ready_pipe(kq, fds[i], 0, i);
	add_user(kq, 1, 0, U(COUNT));
	trigger(kq, 1, U(COUNT));
	for (int call = 0; call < 10; call++) {
		CHECK_EQ(harvest(kq, list, MANY), COUNT + 1);
		for (int i = 0; i < COUNT; i++)
			is_event(&list[i], fds[i][0], EVFILT_READ, 0, 0, 1, U(i));
		is_event(&list[COUNT], 1, EVFILT_USER, 0, 0, 0, U(COUNT));
	}
	for (int i = 0; i < COUNT; i++)
		close_pipe(fds[i]);
	close(kq);
}

TEST(order_of_activation, "K-102")
{
	struct kevent list[ROOM];
	int kq = new_kq(), fds[3][2], order[] = { 2, 0, 1 };
	for (int i = 0; i < 3; i++) {
		make_pair(fds[i]);
		add_read(kq, fds[i][0], EV_CLEAR, U(i));
	}
	for (int round = 1; round <= 3; round++) {
		for (int i = 0; i < 3; i++)
			put(fds[order[i]][1]);
		CHECK_EQ(harvest(kq, list, ROOM), 3);
		for (int i = 0; i < 3; i++)
			is_event(&list[i], fds[order[i]][0], EVFILT_READ, EV_CLEAR, 0, round, U(order[i]));
	}
	for (int i = 0; i < 3; i++)
		close_pipe(fds[i]);
	close(kq);
}

TEST(order_among_filters, "K-102 section 6")
{
	struct kevent list[ROOM];
	int kq = new_kq(), a[2], b[2];
	make_pair(a);
	make_pair(b);
	add_read(kq, a[0], 0, U(1));
	add_read(kq, b[0], 0, U(2));
	add_user(kq, 3, EV_CLEAR, U(3));
	add_user(kq, 4, EV_CLEAR, U(4));
	trigger(kq, 4, U(4));
	put(b[1]);
	trigger(kq, 3, U(3));
	put(a[1]);
	change(kq, 5, EVFILT_TIMER, EV_ADD | EV_ONESHOT, NOTE_USECONDS, 1, U(5));
	sleep_ms(5);
	trigger(kq, 4, U(4)); /* queued already: it does not move */
	CHECK_EQ(harvest(kq, list, ROOM), 5);
	is_event(&list[0], 4, EVFILT_USER, EV_CLEAR, 0, 0, U(4));
	is_event(&list[1], b[0], EVFILT_READ, 0, 0, 1, U(2));
	is_event(&list[2], 3, EVFILT_USER, EV_CLEAR, 0, 0, U(3));
	is_event(&list[3], a[0], EVFILT_READ, 0, 0, 1, U(1));
	is_event(&list[4], 5, EVFILT_TIMER, EV_ONESHOT | EV_CLEAR, 0, 1, U(5));
	close_pipe(a);
	close_pipe(b);
	close(kq);
}

TEST(disabled_knote_keeps_its_place_until_a_scan, "K-080 section 6")
{
	struct kevent list[ROOM];
	int kq = new_kq();
	for (int i = 1; i <= 2; i++) {
		add_user(kq, i, 0, U(i));
		trigger(kq, i, U(i));
	}
	change(kq, 1, EVFILT_USER, EV_DISABLE, 0, 0, U(1));
	change(kq, 1, EVFILT_USER, EV_ENABLE, 0, 0, U(1));
	CHECK_EQ(harvest(kq, list, ROOM), 2);
	CHECK_EQ(list[0].ident, 1);
	change(kq, 1, EVFILT_USER, EV_DISABLE, 0, 0, U(1));
	expect(kq, 2, EVFILT_USER, 0, 0, 0, U(2));
	change(kq, 1, EVFILT_USER, EV_ENABLE, 0, 0, U(1));
	CHECK_EQ(harvest(kq, list, ROOM), 2);
	CHECK_EQ(list[0].ident, 2);
	CHECK_EQ(list[1].ident, 1);
	close(kq);
}

/* One write makes several knotes active: the newest registration comes first (14.9). */
TEST(knotes_of_one_file, "K-121 14.9")
{
	struct kevent list[ROOM];
	int kq = new_kq(), fds[2];
	make_pipe(fds);
	int copy = dup(fds[0]);
	add_read(kq, fds[0], 0, U(1));
	add_read(kq, copy, 0, U(2));
	put(fds[1]);
	CHECK_EQ(harvest(kq, list, ROOM), 2);
	is_event(&list[0], copy, EVFILT_READ, 0, 0, 1, U(2));
	is_event(&list[1], fds[0], EVFILT_READ, 0, 0, 1, U(1));
	close(copy);
	close_pipe(fds);
	close(kq);
}

TEST(what_has_gone_is_dropped, "K-103")
{
	int kq = new_kq(), a[2], b[2];
	add_ready_pipe(kq, a, 0, 1);
	add_ready_pipe(kq, b, 0, 2);
	take(a[0]);
	expect(kq, b[0], EVFILT_READ, 0, 0, 1, U(2));
	take(b[0]);
	expect_none(kq);
	put(a[1]);
	expect(kq, a[0], EVFILT_READ, 0, 0, 1, U(1));
	close_pipe(a);
	close_pipe(b);
	close(kq);
}

TEST(thousands_of_ready_knotes, "K-105")
{
	enum { USERS = 4096, FDS = 500, ALL = USERS + FDS };
	static struct kevent list[ALL + 1];
	static int copies[FDS];
	int kq = new_kq(), fds[2];
	make_pipe(fds);
	put(fds[1]);
	for (int i = 0; i < USERS; i++) {
		add_user(kq, i, EV_CLEAR, U(i));
		trigger(kq, i, U(i));
	}
	for (int i = 0; i < FDS; i++) {
		copies[i] = dup(fds[0]);
		CHECK(copies[i] >= 0);
		add_read(kq, copies[i], 0, U(i));
	}
	CHECK_EQ(harvest(kq, list, ALL + 1), ALL);
	for (int i = 0; i < USERS; i++)
		is_event(&list[i], i, EVFILT_USER, EV_CLEAR, 0, 0, U(i));
	for (int i = 0; i < FDS; i++)
		is_event(&list[USERS + i], copies[i], EVFILT_READ, 0, 0, 1, U(i));
	CHECK_EQ(harvest(kq, list, ALL + 1), FDS);
	for (int i = 0; i < FDS; i++)
		close(copies[i]);
	expect_none(kq);
	close_pipe(fds);
	close(kq);
}

/* Room for one event, and two descriptors that are always ready: nobody starves. */
TEST(nobody_starves, "K-106 K-100")
{
	struct kevent ev;
	int kq = new_kq(), a[2], b[2], user = 0, timer = 0;
	add_ready_pipe(kq, a, 0, 1);
	add_ready_pipe(kq, b, 0, 2);
	add_user(kq, 3, EV_CLEAR, U(3));
	change(kq, 4, EVFILT_TIMER, EV_ADD, 0, 1, U(4));
	sleep_ms(5);
	for (int round = 0; round < 10; round++) {
		trigger(kq, 3, U(3));
		for (int call = 0; call < 4; call++) {
			CHECK_EQ(harvest(kq, &ev, 1), 1);
			user += ev.filter == EVFILT_USER;
			timer += ev.filter == EVFILT_TIMER;
		}
		sleep_ms(3);
	}
	CHECK(user >= 9);
	CHECK(timer >= 9);
	close_pipe(a);
	close_pipe(b);
	close(kq);
}
