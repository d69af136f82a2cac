/* The queue below poll, select, epoll and other queues (6.3). */
#include "harness.h"
#include "kqueue.h"
#include <sys/epoll.h>
#include <sys/select.h>

static int selectable(int fd)
{
	fd_set read_set, write_set;
	FD_ZERO(&read_set);
	FD_ZERO(&write_set);
	FD_SET(fd, &read_set);
	FD_SET(fd, &write_set);
	int ready = select(fd + 1, &read_set, &write_set, NULL, &(struct timeval){ 0, 0 });
	CHECK(ready >= 0);
	CHECK(!FD_ISSET(fd, &write_set));
	return ready;
}

/* The three ways of asking must agree. */
static void h_queue_is(HERE_PARAMS, int kq, int ep, bool ready)
{
	struct epoll_event ev;
	bool polled = readable(kq), selected = selectable(kq) > 0, in_epoll = epoll_wait(ep, &ev, 1, 0) > 0;
	if (polled != ready || selected != ready || in_epoll != ready)
		h_fail(file, line, "poll %d, select %d, epoll %d; expected %d", polled, selected, in_epoll, ready);
}
#define queue_is(kq, ep, ready) h_queue_is(HERE, kq, ep, ready)

static int epoll_on(int kq)
{
	int ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event ev = { .events = EPOLLIN };
	CHECK_OK(epoll_ctl(ep, EPOLL_CTL_ADD, kq, &ev));
	return ep;
}

TEST(readable_while_something_is_queued, "K-130")
{
	struct kevent list[ROOM];
	int kq = new_kq(), ep = epoll_on(kq), fds[2];
	make_pair(fds);
	queue_is(kq, ep, false);
	add_user(kq, 1, EV_CLEAR, U(1));
	queue_is(kq, ep, false);
	trigger(kq, 1, U(1));
	queue_is(kq, ep, true);
	expect(kq, 1, EVFILT_USER, EV_CLEAR, 0, 0, U(1));
	queue_is(kq, ep, false);
	add_read(kq, fds[0], 0, U(2));
	queue_is(kq, ep, false);
	put(fds[1]);
	queue_is(kq, ep, true);
	take(fds[0]);
	expect_none(kq);
	queue_is(kq, ep, false);
	change(kq, 3, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 20, U(3));
	queue_is(kq, ep, false);
	sleep_ms(40);
	queue_is(kq, ep, true);
	CHECK_EQ(harvest(kq, list, ROOM), 1);
	queue_is(kq, ep, false);
	add_write(kq, fds[0], EV_CLEAR, U(4));
	queue_is(kq, ep, true);
	CHECK_EQ(harvest(kq, list, ROOM), 1);
	queue_is(kq, ep, false);
	close(ep);
	close_pipe(fds);
	close(kq);
}

TEST(nothing_to_deliver_is_not_readable, "K-130 6.3")
{
	int kq = new_kq(), ep = epoll_on(kq), fds[2];
	make_pair(fds);
	send_bytes(fds[1], 3);
	change(kq, fds[0], EVFILT_READ, EV_ADD | EV_DISABLE, 0, 0, U(1));
	queue_is(kq, ep, false);
	change(kq, fds[0], EVFILT_READ, EV_ENABLE, NOTE_LOWAT, 10, U(1));
	queue_is(kq, ep, false);
	send_bytes(fds[1], 7);
	queue_is(kq, ep, true);
	drop(kq, fds[0], EVFILT_READ);
	queue_is(kq, ep, false);
	add_read(kq, fds[0], EV_CLEAR, U(2));
	expect(kq, fds[0], EVFILT_READ, EV_CLEAR, 0, 10, U(2));
	queue_is(kq, ep, false); /* the data lies there, but has been reported */
	close(fds[0]);
	queue_is(kq, ep, false);
	close(fds[1]);
	close(ep);
	close(kq);
}

static void *poll_forever(void *arg)
{
	struct pollfd p = { .fd = *(int *)arg, .events = POLLIN };
	return poll(&p, 1, -1) == 1 && p.revents == POLLIN ? arg : NULL;
}

TEST(sleeping_poll_is_woken, "K-130")
{
	struct thread t;
	int kq = new_kq(), fds[2];
	make_pipe(fds);
	add_read(kq, fds[0], 0, U(1));
	add_user(kq, 2, 0, U(2));
	for (int way = 0; way < 3; way++) {
		struct kevent list[ROOM];
		thread_start(&t, poll_forever, &kq);
		wait_until_blocked(t.tid);
		if (way == 0)
			put(fds[1]);
		else if (way == 1)
			trigger(kq, 2, U(2));
		else
			change(kq, 3, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 10, U(3));
		CHECK(thread_join(&t) == &kq);
		CHECK_EQ(harvest(kq, list, ROOM), 1);
		if (way == 0)
			take(fds[0]);
		else if (way == 1)
			change(kq, 2, EVFILT_USER, EV_CLEAR, 0, 0, U(2));
		expect_none(kq);
	}
	close_pipe(fds);
	close(kq);
}

TEST(count_of_the_inner_queue, "K-131")
{
	struct kevent list[ROOM];
	int inner = new_kq(), outer = new_kq();
	for (int i = 1; i <= 2; i++)
		add_user(inner, i, EV_CLEAR, U(i));
	add_read(outer, inner, 0, U(9));
	expect_none(outer);
	for (int i = 1; i <= 2; i++) {
		trigger(inner, i, U(i));
		expect(outer, inner, EVFILT_READ, 0, 0, i, U(9));
		expect(outer, inner, EVFILT_READ, 0, 0, i, U(9));
	}
	CHECK_EQ(harvest(inner, list, ROOM), 2);
	expect_none(outer);
	trigger(inner, 1, U(1));
	close(inner);
	expect_none(outer);
	close(outer);
}

TEST(clear_on_an_inner_queue, "K-131")
{
	struct kevent list[ROOM];
	int inner = new_kq(), outer = new_kq();
	for (int i = 1; i <= 2; i++)
		add_user(inner, i, EV_CLEAR, U(i));
	add_read(outer, inner, EV_CLEAR, U(9));
	for (int i = 1; i <= 2; i++) {
		trigger(inner, i, U(i));
		expect(outer, inner, EVFILT_READ, EV_CLEAR, 0, i, U(9));
		expect_none(outer);
	}
	CHECK_EQ(harvest(inner, list, ROOM), 2);
	expect_none(outer);
	close(inner);
	close(outer);
}

TEST(descriptors_and_timers_of_an_inner_queue, "K-131")
{
	struct kevent list[ROOM];
	int inner = new_kq(), outer = new_kq(), fds[2];
	make_pipe(fds);
	add_read(outer, inner, 0, U(9));
	add_read(inner, fds[0], 0, U(1));
	put(fds[1]);
	expect(outer, inner, EVFILT_READ, 0, 0, 1, U(9));
	CHECK_EQ(harvest(inner, list, ROOM), 1);
	expect(outer, inner, EVFILT_READ, 0, 0, 1, U(9)); /* level: it is queued again */
	take(fds[0]);
	expect_none(inner);
	expect_none(outer);
	change(inner, 2, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 10, U(2));
	expect(outer, inner, EVFILT_READ, 0, 0, 1, U(9));
	put(fds[1]);
	expect(outer, inner, EVFILT_READ, 0, 0, 2, U(9));
	close_pipe(fds);
	close(inner);
	close(outer);
}

TEST(queue_in_itself, "K-132")
{
	int kq = new_kq(), copy = dup(kq);
	CHECK_EQ(try_change(kq, (uintptr_t)kq, EVFILT_READ, EV_ADD, 0, 0, NULL), EINVAL);
	CHECK_EQ(try_change(kq, (uintptr_t)copy, EVFILT_READ, EV_ADD, 0, 0, NULL), EINVAL);
	add_user(kq, 1, EV_CLEAR, U(1));
	trigger(kq, 1, U(1));
	expect(kq, 1, EVFILT_USER, EV_CLEAR, 0, 0, U(1));
	close(copy);
	close(kq);
}

TEST(cycles, "K-134")
{
	int kq[3];
	for (int i = 0; i < 3; i++)
		kq[i] = new_kq();
	for (int i = 0; i < 3; i++) {
		int error = try_change(kq[i], (uintptr_t)kq[(i + 1) % 3], EVFILT_READ, EV_ADD, 0, 0, U(i));
		CHECK(error == 0 || (i == 2 && error == EINVAL));
	}
	struct kevent list[ROOM];
	add_user(kq[0], 1, EV_CLEAR, U(9));
	trigger(kq[0], 1, U(9));
	for (int round = 0; round < 3; round++)
		for (int i = 0; i < 3; i++) {
			int got = harvest(kq[i], list, ROOM);
			CHECK(got <= 2);
			readable(kq[i]);
		}
	for (int i = 0; i < 3; i++)
		close(kq[i]);
}

TEST(other_filters_on_a_queue, "K-135")
{
	int kq = new_kq(), outer = new_kq(), filters[] = { EVFILT_WRITE, EVFILT_VNODE, EVFILT_EMPTY };
	for (int i = 0; i < 3; i++)
		CHECK_EQ(try_change(outer, (uintptr_t)kq, filters[i], EV_ADD, 0, 0, NULL), EINVAL);
	expect_none(outer);
	close(kq);
	close(outer);
}
