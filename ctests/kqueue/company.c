/* The queue in company: other interfaces of this library and of the kernel, and scarce descriptors (section 13). */
#include "harness.h"
#include "kqueue.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>

static int open_fds(void)
{
	static struct h_fds fds;
	h_list_fds(&fds);
	return fds.count;
}

/* No descriptor is free: adding needs none for a knote, or fails cleanly; what is there goes on. */
TEST(adding_without_a_free_descriptor, "K-303")
{
	struct rlimit limit, low;
	int kq = new_kq(), a[2], b[2], clean[] = { 0, EMFILE, ENOMEM };
	make_pipe(a);
	make_pair(b);
	add_read(kq, a[0], 0, U(1));
	CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
	low = limit;
	low.rlim_cur = (rlim_t)closed_fd();
	int before = open_fds();
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &low));
	struct kevent changes[] = { kev((uintptr_t)b[0], EVFILT_READ, EV_ADD, 0, 0, U(2)),
		kev((uintptr_t)b[0], EVFILT_WRITE, EV_ADD | EV_DISABLE, 0, 0, U(3)),
		kev((uintptr_t)b[0], EVFILT_EMPTY, EV_ADD | EV_DISABLE, 0, 0, U(4)), kev(5, EVFILT_USER, EV_ADD, 0, 0, U(5)),
		kev(6, EVFILT_TIMER, EV_ADD, NOTE_SECONDS, 1000, U(6)),
		kev(7, EVFILT_TIMER, EV_ADD, NOTE_SECONDS | NOTE_ABSTIME, INT32_MAX, U(7)) };
	for (int i = 0; i < 6; i++) {
		struct kevent *c = &changes[i];
		int error = try_change(kq, c->ident, c->filter, c->flags, c->fflags, c->data, c->udata);
		CHECK(error == clean[0] || error == clean[1] || error == clean[2]);
		CHECK_EQ(try_change(kq, c->ident, c->filter, EV_DELETE, 0, 0, NULL), error == 0 ? 0 : ENOENT);
	}
	put(a[1]);
	expect(kq, a[0], EVFILT_READ, 0, 0, 1, U(1));
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
	CHECK(open_fds() <= before + 4); /* of the process' own, for time and wake-ups: none a knote */
	send_bytes(b[1], 2);
	take(a[0]);
	add_read(kq, b[0], 0, U(8));
	expect(kq, b[0], EVFILT_READ, 0, 0, 2, U(8));
	close_pipe(a);
	close_pipe(b);
	close(kq);
}

TEST(no_descriptor_for_each_knote, "K-303 K-309")
{
	int kq = new_kq(), fds[2], copies[100];
	make_pair(fds);
	add_read(kq, fds[0], 0, U(0));
	change(kq, 0, EVFILT_TIMER, EV_ADD, NOTE_SECONDS, 1000, U(0));
	for (int i = 0; i < 100; i++)
		copies[i] = dup(fds[0]);
	int before = open_fds();
	for (int i = 0; i < 100; i++) {
		add_read(kq, copies[i], 0, U(i));
		add_write(kq, copies[i], EV_DISABLE, U(i));
		change(kq, i, EVFILT_TIMER, EV_ADD, NOTE_SECONDS, 1000, U(i));
		add_user(kq, i, 0, U(i));
	}
	CHECK_EQ(open_fds(), before);
	for (int i = 0; i < 100; i++)
		close(copies[i]);
	close_pipe(fds);
	close(kq);
}

/* The program's own epoll set and eventfd see what they always saw. */
TEST(beside_the_programs_own_epoll, "K-306")
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET, .data.u64 = 77 };
	int kq = new_kq(), fds[2], ep = epoll_create1(EPOLL_CLOEXEC), bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	uint64_t count = 0;
	make_pair(fds);
	CHECK_OK(epoll_ctl(ep, EPOLL_CTL_ADD, fds[0], &ev));
	add_read(kq, fds[0], EV_CLEAR, U(1));
	add_read(kq, bell, 0, U(2));
	for (int round = 1; round <= 3; round++) {
		put(fds[1]);
		CHECK_RET(epoll_wait(ep, &ev, 1, 1000), 1);
		CHECK_EQ(ev.data.u64, 77);
		CHECK_RET(epoll_wait(ep, &ev, 1, 0), 0);
		expect(kq, fds[0], EVFILT_READ, EV_CLEAR, 0, round, U(1));
		expect_none(kq);
	}
	CHECK_RET(write(bell, &(uint64_t){ 5 }, 8), 8);
	expect(kq, bell, EVFILT_READ, 0, 0, SOME, U(2));
	CHECK_RET(read(bell, &count, 8), 8);
	CHECK_EQ(count, 5);
	expect_none(kq);
	close(bell);
	close(ep);
	close_pipe(fds);
	close(kq);
}

TEST(port_in_a_queue_and_queue_in_a_port, "6.3 K-131")
{
	struct kevent list[ROOM];
	port_event_t pe;
	int kq = new_kq(), port = port_create();
	CHECK(port >= 0);
	add_read(kq, port, 0, U(1));
	expect_none(kq);
	CHECK_OK(port_send(port, 1, U(9)));
	CHECK_EQ(harvest(kq, list, ROOM), 1);
	CHECK_EQ(list[0].ident, port);
	CHECK(list[0].data > 0);
	CHECK_OK(port_get(port, &pe, ZERO_TIMEOUT));
	expect_none(kq);
	drop(kq, port, EVFILT_READ);
	CHECK_OK(port_associate(port, PORT_SOURCE_FD, (uintptr_t)kq, POLLIN, U(2)));
	CHECK_EQ(pending(port), 0);
	add_user(kq, 3, EV_CLEAR, U(3));
	trigger(kq, 3, U(3));
	CHECK_OK(port_get(port, &pe, LONG_TIMEOUT));
	CHECK_EQ(pe.portev_object, kq);
	CHECK_EQ(pe.portev_events, POLLIN);
	expect(kq, 3, EVFILT_USER, EV_CLEAR, 0, 0, U(3));
	close(port);
	close(kq);
}

TEST(one_descriptor_in_a_queue_and_a_port, "K-306 K-069")
{
	port_event_t pe;
	int kq = new_kq(), port = port_create(), fds[2];
	make_pair(fds);
	add_read(kq, fds[0], EV_CLEAR, U(1));
	CHECK_OK(port_associate(port, PORT_SOURCE_FD, (uintptr_t)fds[0], POLLIN, U(2)));
	send_bytes(fds[1], 3);
	CHECK_OK(port_get(port, &pe, LONG_TIMEOUT));
	CHECK_EQ(pe.portev_object, fds[0]);
	expect(kq, fds[0], EVFILT_READ, EV_CLEAR, 0, 3, U(1));
	CHECK_OK(port_associate(port, PORT_SOURCE_FD, (uintptr_t)fds[0], POLLIN, U(2)));
	close(fds[0]);
	expect_none(kq);
	CHECK_EQ(pending(port), 0);
	close(fds[1]);
	close(port);
	close(kq);
}
