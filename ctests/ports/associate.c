/* port_associate with PORT_SOURCE_FD (section 4): errors, one-shot delivery, replacement. */
#include "harness.h"
#include "events.h"
#include <sys/socket.h>

static const int other_sources[] = { 0, PORT_SOURCE_AIO, PORT_SOURCE_TIMER, PORT_SOURCE_USER,
	PORT_SOURCE_ALERT, PORT_SOURCE_MQ, 8, -1, INT_MAX, INT_MIN };

TEST(bad_port, "T-030 4.1 20")
{
	int fds[2], gone = closed_fd();
	make_pipe(fds);
	CHECK_ERR(port_associate(-1, PORT_SOURCE_FD, fds[0], POLLIN, NULL), EBADF);
	CHECK_ERR(port_associate(INT_MIN, PORT_SOURCE_FD, fds[0], POLLIN, NULL), EBADF);
	CHECK_ERR(port_associate(INT_MAX, PORT_SOURCE_FD, fds[0], POLLIN, NULL), EBADF);
	CHECK_ERR(port_associate(gone + 100, PORT_SOURCE_FD, fds[0], POLLIN, NULL), EBADF);
	CHECK_ERR(port_associate(fds[1], PORT_SOURCE_FD, fds[0], POLLIN, NULL), EBADFD);
	close_pipe(fds);
}

TEST(bad_source, "T-031 4.1")
{
	int port = new_port(), fds[2];
	make_pipe(fds);
	for (size_t i = 0; i < sizeof other_sources / sizeof other_sources[0]; i++)
		CHECK_ERR(port_associate(port, other_sources[i], fds[0], POLLIN, NULL), EINVAL);
	expect_none(port);
	close_pipe(fds);
	close(port);
}

TEST(port_is_checked_before_source_and_object, "T-032 4.1")
{
	CHECK_ERR(port_associate(-1, 0, (uintptr_t)-1, POLLIN, NULL), EBADF);
	CHECK_ERR(port_associate(STDOUT_FILENO, 0, (uintptr_t)-1, POLLIN, NULL), EBADFD);
	int port = new_port();
	CHECK_ERR(port_associate(port, PORT_SOURCE_USER, (uintptr_t)-1, POLLIN, NULL), EINVAL);
	close(port);
}

TEST(bad_object, "T-033 4.2")
{
	int port = new_port(), fds[2];
	CHECK_ERR(port_associate(port, PORT_SOURCE_FD, (uintptr_t)-1, POLLIN, NULL), EBADFD);
	CHECK_ERR(port_associate(port, PORT_SOURCE_FD, (uintptr_t)1 << 31, POLLIN, NULL), EBADFD);
	CHECK_ERR(port_associate(port, PORT_SOURCE_FD, INT_MAX, POLLIN, NULL), EBADFD);
	CHECK_ERR(port_associate(port, PORT_SOURCE_FD, closed_fd(), POLLIN, NULL), EBADFD);
	make_pipe(fds);
	/* The upper half of the object is no padding. */
	CHECK_ERR(port_associate(port, PORT_SOURCE_FD, (uintptr_t)1 << 32 | fds[0], POLLIN, NULL), EBADFD);
	put(fds[1]);
	expect_none(port);
	close_pipe(fds);
	close(port);
}

TEST(event_when_ready_later, "T-036 R4.6")
{
	int port = new_port(), fds[2];
	make_pipe(fds);
	watch(port, fds[0], POLLIN, USER(1));
	expect_none(port);
	put(fds[1]);
	port_event_t pe = get_one(port);
	is_fd(&pe, fds[0], POLLIN, USER(1));
	CHECK_EQ(pe.portev_events, POLLIN);
	close_pipe(fds);
	close(port);
}

TEST(queued_at_once_when_ready, "T-037 R4.4")
{
	int port = new_port(), fds[2];
	make_pipe(fds);
	put(fds[1]);
	watch(port, fds[0], POLLIN, USER(1));
	CHECK_EQ(pending(port), 1);
	get_fd(port, fds[0], POLLIN, USER(1));
	close_pipe(fds);
	close(port);
}

TEST(one_shot_and_again, "T-038 T-039 R4.5")
{
	int port = new_port(), fds[2];
	make_pipe(fds);
	watch(port, fds[0], POLLIN, USER(1));
	put(fds[1]);
	get_fd(port, fds[0], POLLIN, USER(1));
	put(fds[1]);
	expect_none(port);
	CHECK_ERR(port_get(port, &(port_event_t){ 0 }, TIMEOUT_MS(20)), ETIME);
	watch(port, fds[0], POLLIN, USER(2));
	get_fd(port, fds[0], POLLIN, USER(2));
	expect_none(port);
	close_pipe(fds);
	close(port);
}

TEST(queued_event_is_replaced, "T-040 R4.3")
{
	int port = new_port(), fds[2];
	port_event_t list[8];
	make_pipe(fds);
	watch(port, fds[0], POLLIN, USER('A'));
	put(fds[1]);
	CHECK_EQ(pending(port), 1);
	watch(port, fds[0], POLLIN, USER('B'));
	CHECK_EQ(pending(port), 1);
	CHECK_EQ(take_all(port, list, 8), 1);
	is_fd(&list[0], fds[0], POLLIN, USER('B'));
	expect_none(port);
	close_pipe(fds);
	close(port);
}

TEST(replacement_forgets_the_old_bits, "T-041 R4.3")
{
	int port = new_port(), fds[2];
	make_pipe(fds);
	put(fds[1]);
	watch(port, fds[0], POLLIN, USER(1));
	CHECK_EQ(pending(port), 1);
	watch(port, fds[0], POLLPRI, USER(2));
	expect_none(port);
	put(fds[1]);
	expect_none(port);
	watch(port, fds[0], POLLIN, USER(3));
	get_fd(port, fds[0], POLLIN, USER(3));
	close_pipe(fds);
	close(port);
}

TEST(replacement_moves_to_the_tail, "T-042 R4.3")
{
	int port = new_port(), a[2], b[2];
	port_event_t list[4];
	make_pipe(a);
	make_pipe(b);
	put(a[1]);
	put(b[1]);
	watch(port, a[0], POLLIN, USER('A'));
	watch(port, b[0], POLLIN, USER('B'));
	CHECK_EQ(pending(port), 2);
	watch(port, a[0], POLLIN, USER('C'));
	CHECK_EQ(take_all(port, list, 4), 2);
	is_fd(&list[0], b[0], POLLIN, USER('B'));
	is_fd(&list[1], a[0], POLLIN, USER('C'));
	close_pipe(a);
	close_pipe(b);
	close(port);
}

TEST(twice_is_once, "T-046 R4.2")
{
	int port = new_port(), fds[2];
	port_event_t list[4];
	make_pipe(fds);
	watch(port, fds[0], POLLIN, USER(1));
	watch(port, fds[0], POLLIN, USER(1));
	put(fds[1]);
	CHECK_EQ(take_all(port, list, 4), 1);
	is_fd(&list[0], fds[0], POLLIN, USER(1));
	expect_none(port);
	close_pipe(fds);
	close(port);
}

TEST(no_events_means_hang_up_only, "T-047 R4.1")
{
	int port = new_port(), fds[2];
	make_pipe(fds);
	watch(port, fds[0], 0, USER(1));
	put(fds[1]);
	expect_none(port);
	close(fds[1]);
	port_event_t pe = get_one(port);
	is_fd(&pe, fds[0], POLLHUP, USER(1));
	CHECK_EQ(pe.portev_events & POLLIN, 0);
	close(fds[0]);
	close(port);
}

TEST(data_and_hang_up_together, "T-048 R4.6")
{
	int port = new_port(), fds[2];
	make_pipe(fds);
	put(fds[1]);
	close(fds[1]);
	watch(port, fds[0], POLLIN, USER(1));
	get_fd(port, fds[0], POLLIN | POLLHUP, USER(1));
	close(fds[0]);
	close(port);
}

TEST(only_requested_bits, "T-049 R4.6")
{
	int port = new_port(), s[2];
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	watch(port, s[0], POLLOUT, USER(1));
	get_fd(port, s[0], POLLOUT, USER(1));
	put(s[1]);
	watch(port, s[0], POLLIN | POLLOUT, USER(2));
	get_fd(port, s[0], POLLIN | POLLOUT, USER(2));
	watch(port, s[0], POLLOUT, USER(3));
	port_event_t pe = get_one(port);
	CHECK_EQ(pe.portev_events, POLLOUT);
	watch(port, s[0], POLLIN, USER(4));
	pe = get_one(port);
	CHECK_EQ(pe.portev_events, POLLIN);
	close_pipe(s);
	close(port);
}

TEST(condition_that_went_away, "T-051 R4.7")
{
	int port = new_port(), fds[2];
	port_event_t pe;
	make_pipe(fds);
	watch(port, fds[0], POLLIN, USER(1));
	put(fds[1]);
	take(fds[0]);
	/* illumos delivers the stale event; a host without that memory times out. Both are fine. */
	if (port_get(port, &pe, TIMEOUT_MS(200)) == 0)
		is_fd(&pe, fds[0], POLLIN, USER(1));
	else
		CHECK_EQ(errno, ETIME);

	/* What was queued inside port_associate stays queued, whatever happens to the pipe. */
	put(fds[1]);
	watch(port, fds[0], POLLIN, USER(2));
	unsigned queued = pending(port);
	take(fds[0]);
	CHECK_EQ(pending(port), queued);
	if (queued == 1)
		get_fd(port, fds[0], POLLIN, USER(2));
	close_pipe(fds);
	close(port);
}

TEST(two_ports_watch_one_descriptor, "T-060 R4.9")
{
	int a = new_port(), b = new_port(), fds[2];
	make_pipe(fds);
	watch(a, fds[0], POLLIN, USER('a'));
	watch(b, fds[0], POLLIN, USER('b'));
	put(fds[1]);
	get_fd(a, fds[0], POLLIN, USER('a'));
	get_fd(b, fds[0], POLLIN, USER('b'));
	take(fds[0]);
	watch(a, fds[0], POLLIN, USER('a'));
	watch(b, fds[0], POLLIN, USER('b'));
	CHECK_OK(unwatch(a, fds[0]));
	put(fds[1]);
	get_fd(b, fds[0], POLLIN, USER('b'));
	expect_none(a);
	close_pipe(fds);
	close(a);
	close(b);
}

TEST_LIMIT(a_thousand_descriptors, "T-062 R7.1", 20)
{
	enum { COUNT = 1000 };
	static port_event_t list[COUNT];
	static char seen[8192];
	struct rlimit limit, wide;
	int port, fds[2], highest = 0;
	unsigned n = COUNT;
	CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
	wide = limit;
	wide.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
	if (wide.rlim_cur < COUNT + 100)
		SKIP("the hard limit of descriptors is too low");
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &wide));
	port = new_port();
	for (int i = 0; i < COUNT; i++) {
		make_pipe(fds);
		put(fds[1]);
		close(fds[1]);
		watch(port, fds[0], POLLIN, USER(fds[0]));
		highest = fds[0] > highest ? fds[0] : highest;
	}
	CHECK_EQ(pending(port), COUNT);
	CHECK_OK(port_getn(port, list, COUNT, &n, LONG_TIMEOUT));
	CHECK_EQ(n, COUNT);
	for (int i = 0; i < COUNT; i++) {
		int fd = (int)list[i].portev_object;
		is_fd(&list[i], fd, POLLIN, USER(fd));
		CHECK(fd <= highest && !seen[fd]);
		seen[fd] = 1;
	}
	for (int fd = 0; fd <= highest; fd++)
		if (seen[fd])
			CHECK_OK(close(fd));
	CHECK_OK(close(port));
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
}

TEST(user_value_is_opaque, "T-064 R4.6")
{
	void *values[] = { NULL, (void *)-1, (void *)1, (void *)(uintptr_t)0xffff800000000000 };
	int port = new_port(), fds[2];
	make_pipe(fds);
	put(fds[1]);
	for (int i = 0; i < 4; i++) {
		watch(port, fds[0], POLLIN, values[i]);
		get_fd(port, fds[0], POLLIN, values[i]);
	}
	close_pipe(fds);
	close(port);
}

TEST(level_by_association, "T-065 R4.4")
{
	int port = new_port(), fds[2];
	make_pipe(fds);
	put(fds[1]);
	for (int i = 0; i < 5000; i++) {
		watch(port, fds[0], POLLIN, USER(i));
		get_fd(port, fds[0], POLLIN, USER(i));
	}
	expect_none(port);
	take(fds[0]);
	watch(port, fds[0], POLLIN, USER(1));
	expect_none(port);
	put(fds[1]);
	get_fd(port, fds[0], POLLIN, USER(1));
	close_pipe(fds);
	close(port);
}

TEST(bits_may_change_with_each_association, "R4.3 R4.4")
{
	int port = new_port(), s[2];
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	for (int i = 0; i < 100; i++) {
		watch(port, s[0], POLLIN, USER(i));
		expect_none(port);
		watch(port, s[0], POLLOUT, USER(i));
		get_fd(port, s[0], POLLOUT, USER(i));
		watch(port, s[0], POLLIN, USER(i));
		expect_none(port);
		put(s[1]);
		get_fd(port, s[0], POLLIN, USER(i));
		take(s[0]);
	}
	close_pipe(s);
	close(port);
}

TEST(extra_bits_are_ignored, "T-069 R4.1")
{
	int port = new_port(), fds[2];
	make_pipe(fds);
	watch(port, fds[0], POLLIN | POLLPRI | POLLHUP | POLLERR | POLLNVAL, USER(1));
	expect_none(port);
	put(fds[1]);
	get_fd(port, fds[0], POLLIN, USER(1));
	watch(port, fds[0], POLLIN | POLLNVAL, USER(2));
	get_fd(port, fds[0], POLLIN, USER(2));
	take(fds[0]);
	watch(port, fds[0], -1, USER(3));
	put(fds[1]);
	port_event_t pe = get_one(port);
	CHECK(pe.portev_events & POLLIN);
	CHECK_EQ(pe.portev_events & POLLNVAL, 0);
	close_pipe(fds);
	close(port);
}
