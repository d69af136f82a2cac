/* A port inside an epoll set, level-triggered and edge-triggered: section 13 for the host's own poller. */
#include "harness.h"
#include "events.h"
#include <sys/epoll.h>

static int set_with(int port, unsigned mode)
{
	struct epoll_event ev = { .events = EPOLLIN | mode, .data.fd = port };
	int set = epoll_create1(EPOLL_CLOEXEC);
	CHECK(set >= 0);
	CHECK_OK(epoll_ctl(set, EPOLL_CTL_ADD, port, &ev));
	return set;
}

/* Does the set report the port (without waiting)? */
static bool shows(int set, int port)
{
	struct epoll_event ev;
	int n = epoll_wait(set, &ev, 1, 0);
	CHECK(n >= 0);
	CHECK(n == 0 || (ev.data.fd == port && (ev.events & EPOLLIN)));
	return n == 1;
}

TEST(level_user_events, "T-271 R13.1")
{
	int port = new_port(), set = set_with(port, 0);
	for (int i = 0; i < 5; i++) {
		CHECK(!shows(set, port));
		CHECK_OK(port_send(port, i, USER(i)));
		CHECK(shows(set, port));
		CHECK(shows(set, port));
		get_user(port, i, USER(i));
		CHECK(!shows(set, port));
	}
	close(set);
	close(port);
}

TEST(level_descriptor_events, "T-271 R13.1")
{
	int port = new_port(), set = set_with(port, 0), fds[2];
	make_pipe(fds);
	for (int i = 0; i < 5; i++) {
		watch(port, fds[0], POLLIN, USER(i));
		CHECK(!shows(set, port));
		put(fds[1]);
		CHECK(shows(set, port));
		get_fd(port, fds[0], POLLIN, USER(i));
		expect_none(port);
		CHECK(!shows(set, port));
		watch(port, fds[0], POLLIN, USER(i));
		CHECK(shows(set, port));
		get_fd(port, fds[0], POLLIN, USER(i));
		take(fds[0]);
		CHECK(!shows(set, port));
	}
	close_pipe(fds);
	close(set);
	close(port);
}

TEST(edge_for_each_first_user_event, "T-271 R13.1")
{
	int port = new_port(), set = set_with(port, EPOLLET);
	CHECK(!shows(set, port));
	for (int i = 0; i < 20; i++) {
		CHECK_OK(port_send(port, i, USER(i)));
		CHECK(shows(set, port));
		get_user(port, i, USER(i));
	}
	/* Emptied without a look at the set between the sends. */
	for (int i = 0; i < 20; i++) {
		CHECK_OK(port_send(port, i, USER(i)));
		get_user(port, i, USER(i));
	}
	CHECK_OK(port_send(port, 1, USER(1)));
	CHECK(shows(set, port));
	close(set);
	close(port);
}

TEST(edge_after_an_empty_retrieval, "T-271 R13.1")
{
	int port = new_port(), set = set_with(port, EPOLLET);
	port_event_t list[4];
	for (int i = 0; i < 20; i++) {
		CHECK_OK(port_send(port, 1, USER(1)));
		CHECK_OK(port_send(port, 2, USER(2)));
		CHECK(shows(set, port));
		CHECK_EQ(take_all(port, list, 4), 2);
		expect_none(port);
		CHECK_OK(port_send(port, 3, USER(3)));
		CHECK(shows(set, port));
		get_user(port, 3, USER(3));
		expect_none(port);
		(void)shows(set, port);
	}
	close(set);
	close(port);
}

TEST(edge_for_descriptor_activity, "T-271 R13.1 R4.5")
{
	int port = new_port(), set = set_with(port, EPOLLET), fds[2];
	make_pipe(fds);
	for (int i = 0; i < 20; i++) {
		watch(port, fds[0], POLLIN, USER(i));
		expect_none(port);
		(void)shows(set, port);
		put(fds[1]);
		CHECK(shows(set, port));
		get_fd(port, fds[0], POLLIN, USER(i));
		take(fds[0]);
		expect_none(port);
	}
	close_pipe(fds);
	close(set);
	close(port);
}

TEST(edge_for_association_of_a_ready_descriptor, "T-271 R13.1 R4.4")
{
	int port = new_port(), set = set_with(port, EPOLLET), fds[2];
	make_pipe(fds);
	put(fds[1]);
	/* Retrieve, find the port empty, associate again while the pipe is still readable. */
	for (int i = 0; i < 20; i++) {
		watch(port, fds[0], POLLIN, USER(i));
		CHECK(shows(set, port));
		get_fd(port, fds[0], POLLIN, USER(i));
		expect_none(port);
		(void)shows(set, port);
	}
	close_pipe(fds);
	close(set);
	close(port);
}

TEST(edge_for_association_without_an_empty_look, "T-271 R13.1 R4.4")
{
	int port = new_port(), set = set_with(port, EPOLLET), fds[2];
	make_pipe(fds);
	put(fds[1]);
	for (int i = 0; i < 20; i++) {
		watch(port, fds[0], POLLIN, USER(i));
		CHECK(shows(set, port));
		get_fd(port, fds[0], POLLIN, USER(i));
	}
	close_pipe(fds);
	close(set);
	close(port);
}

TEST(port_in_port_in_set, "T-273 R13.2")
{
	int outer = new_port(), inner = new_port(), set = set_with(outer, EPOLLET);
	for (int i = 0; i < 10; i++) {
		watch(outer, inner, POLLIN, USER(i));
		expect_none(outer);
		(void)shows(set, outer);
		CHECK_OK(port_send(inner, i, USER(i)));
		CHECK(shows(set, outer));
		get_fd(outer, inner, POLLIN, USER(i));
		get_user(inner, i, USER(i));
	}
	close(set);
	close(inner);
	close(outer);
}

TEST(set_in_a_port, "T-068 R4.4")
{
	int port = new_port(), fds[2];
	make_pipe(fds);
	int set = set_with(fds[0], 0);
	for (int i = 0; i < 5; i++) {
		watch(port, set, POLLIN, USER(i));
		expect_none(port);
		put(fds[1]);
		get_fd(port, set, POLLIN, USER(i));
		take(fds[0]);
	}
	close(set);
	close_pipe(fds);
	close(port);
}
