/* The port as a file descriptor (section 13): poll, select, other ports, fstat. */
#include "harness.h"
#include "events.h"
#include <sys/select.h>
#include <sys/stat.h>

/* POLLIN of the port; POLLOUT may be missing (H21), nothing else may be there. */
static bool readable(int port)
{
	struct pollfd p = { port, POLLIN | POLLOUT, 0 };
	CHECK(poll(&p, 1, 0) >= 0);
	CHECK_EQ(p.revents & ~(POLLIN | POLLOUT), 0);
	return (p.revents & POLLIN) != 0;
}

TEST(poll_user_events, "T-270 R13.1")
{
	int port = new_port();
	for (int i = 0; i < 3; i++) {
		CHECK(!readable(port));
		CHECK_OK(port_send(port, 1, USER(1)));
		CHECK(readable(port));
		CHECK(readable(port));
		CHECK_OK(port_send(port, 2, USER(2)));
		get_user(port, 1, USER(1));
		CHECK(readable(port));
		get_user(port, 2, USER(2));
		CHECK(!readable(port));
	}
	close(port);
}

TEST(poll_descriptor_events, "T-270 R13.1")
{
	int port = new_port(), fds[2];
	make_pipe(fds);
	watch(port, fds[0], POLLIN, USER(1));
	CHECK(!readable(port));
	put(fds[1]);
	CHECK(readable(port));
	CHECK_EQ(pending(port), 1);
	CHECK(readable(port));
	get_fd(port, fds[0], POLLIN, USER(1));
	/* Still readable but disarmed: the port may show it until the next look, not after. */
	expect_none(port);
	CHECK(!readable(port));
	watch(port, fds[0], POLLIN, USER(2));
	CHECK(readable(port));
	CHECK_OK(unwatch(port, fds[0]));
	expect_none(port);
	CHECK(!readable(port));
	watch(port, fds[0], POLLIN, USER(3));
	CHECK(readable(port));
	close(fds[0]);
	CHECK(!readable(port));
	close(fds[1]);
	close(port);
}

TEST(poll_after_taking_part, "T-270 R13.1")
{
	int port = new_port(), a[2], b[2];
	make_pipe(a);
	make_pipe(b);
	put(a[1]);
	put(b[1]);
	watch(port, a[0], POLLIN, USER(1));
	watch(port, b[0], POLLIN, USER(2));
	get_fd(port, a[0], POLLIN, USER(1));
	take(a[0]);
	CHECK(readable(port));
	get_fd(port, b[0], POLLIN, USER(2));
	take(b[0]);
	CHECK(!readable(port));
	close_pipe(a);
	close_pipe(b);
	close(port);
}

static void *poll_main(void *arg)
{
	struct pollfd p = { *(int *)arg, POLLIN, 0 };
	return (void *)(intptr_t)(poll(&p, 1, 5000) == 1 && p.revents == POLLIN);
}

TEST(blocked_poller_wakes, "T-271 R13.1")
{
	struct thread t;
	int port = new_port(), fds[2], ready[2];
	make_pipe(fds);
	make_pipe(ready);
	put(ready[1]);
	for (int i = 0; i < 10; i++) {
		thread_start(&t, poll_main, &port);
		wait_until_blocked(t.tid);
		CHECK_OK(port_send(port, i, USER(i)));
		CHECK(thread_join(&t) != NULL);
		get_user(port, i, USER(i));
		expect_none(port);

		watch(port, fds[0], POLLIN, USER(i));
		thread_start(&t, poll_main, &port);
		wait_until_blocked(t.tid);
		put(fds[1]);
		CHECK(thread_join(&t) != NULL);
		get_fd(port, fds[0], POLLIN, USER(i));
		take(fds[0]);
		expect_none(port);

		thread_start(&t, poll_main, &port);
		wait_until_blocked(t.tid);
		watch(port, ready[0], POLLIN, USER(i));
		CHECK(thread_join(&t) != NULL);
		get_fd(port, ready[0], POLLIN, USER(i));
		expect_none(port);
	}
	close_pipe(fds);
	close_pipe(ready);
	close(port);
}

static int select_now(int port)
{
	struct timeval none = { 0, 0 };
	fd_set set;
	FD_ZERO(&set);
	FD_SET(port, &set);
	int n = select(port + 1, &set, NULL, NULL, &none);
	CHECK(n >= 0);
	return n == 1 && FD_ISSET(port, &set);
}

TEST(select_user_and_descriptor_events, "T-272 R13.1")
{
	int port = new_port(), fds[2];
	make_pipe(fds);
	CHECK_EQ(select_now(port), 0);
	CHECK_OK(port_send(port, 1, USER(1)));
	CHECK_EQ(select_now(port), 1);
	get_user(port, 1, USER(1));
	CHECK_EQ(select_now(port), 0);
	watch(port, fds[0], POLLIN, USER(2));
	CHECK_EQ(select_now(port), 0);
	put(fds[1]);
	CHECK_EQ(select_now(port), 1);
	get_fd(port, fds[0], POLLIN, USER(2));
	expect_none(port);
	CHECK_EQ(select_now(port), 0);
	close_pipe(fds);
	close(port);
}

TEST(port_in_port, "T-273 R4.10 R13.2")
{
	int a = new_port(), b = new_port(), fds[2];
	make_pipe(fds);
	for (int i = 0; i < 5; i++) {
		watch(a, b, POLLIN, USER('b'));
		expect_none(a);
		CHECK_OK(port_send(b, i, USER(i)));
		get_fd(a, b, POLLIN, USER('b'));
		CHECK_EQ(pending(b), 1);
		watch(a, b, POLLIN, USER('c'));
		get_fd(a, b, POLLIN, USER('c'));
		get_user(b, i, USER(i));
		expect_none(a);
		/* The inner port's descriptor event arrives in the same way. */
		watch(b, fds[0], POLLIN, USER('f'));
		watch(a, b, POLLIN, USER('d'));
		expect_none(a);
		put(fds[1]);
		get_fd(a, b, POLLIN, USER('d'));
		get_fd(b, fds[0], POLLIN, USER('f'));
		take(fds[0]);
		expect_none(b);
	}
	watch(a, b, POLLIN, USER('e'));
	CHECK_OK(unwatch(a, b));
	watch(a, b, POLLIN, USER('e'));
	CHECK_OK(port_send(b, 1, NULL));
	CHECK_OK(close(b));
	expect_none(a);
	close_pipe(fds);
	close(a);
}

static void *get_main(void *arg)
{
	static port_event_t pe;
	return port_get(*(int *)arg, &pe, NULL) == 0 ? &pe : NULL;
}

TEST(inner_port_wakes_a_waiter, "T-273 R13.2")
{
	struct thread t;
	int a = new_port(), b = new_port();
	for (int i = 0; i < 10; i++) {
		watch(a, b, POLLIN, USER(i));
		thread_start(&t, get_main, &a);
		wait_until_blocked(t.tid);
		CHECK_OK(port_send(b, i, USER(i)));
		port_event_t *pe = thread_join(&t);
		CHECK(pe != NULL);
		is_fd(pe, b, POLLIN, USER(i));
		get_user(b, i, USER(i));
	}
	close(a);
	close(b);
}

TEST(read_and_write_fail, "T-274 R13.4")
{
	int port = new_port();
	char byte = 0;
	CHECK_OK(port_send(port, 1, USER(1)));
	CHECK_ERR2(read(port, &byte, 1), EBADF, EINVAL);
	CHECK_ERR2(write(port, &byte, 1), EBADF, EINVAL);
	get_user(port, 1, USER(1));
	close(port);
}

TEST(status_of_a_port, "T-275 R13.3")
{
	int port = new_port(), fds[2];
	struct stat st;
	CHECK_OK(fstat(port, &st));
	CHECK_EQ(st.st_mode, S_IFPORT);
	CHECK(S_ISPORT(st.st_mode));
	CHECK_EQ(st.st_size, 0);
	CHECK_EQ(st.st_uid, getuid());
	CHECK_EQ(st.st_gid, getgid());
	for (int i = 1; i <= 3; i++) {
		CHECK_OK(port_send(port, i, USER(i)));
		CHECK_OK(fstat(port, &st));
		CHECK_EQ(st.st_size, i);
	}
	make_pipe(fds);
	watch(port, fds[0], POLLIN, USER(4));
	put(fds[1]);
	CHECK_OK(fstat(port, &st));
	CHECK_EQ(st.st_size, 4);
	int copy = dup(port);
	CHECK_OK(fstat(copy, &st));
	CHECK_EQ(st.st_mode, S_IFPORT);
	CHECK_EQ(st.st_size, 4);
	close(copy);
	/* Other descriptors are what they were. */
	CHECK_OK(fstat(fds[0], &st));
	CHECK(S_ISFIFO(st.st_mode));
	CHECK_EQ(pending(port), 4);
	close_pipe(fds);
	CHECK_OK(close(port));
	CHECK_ERR(fstat(port, &st), EBADF);
}

TEST(look_through_proc, "T-282")
{
	int port = new_port(), fds[2];
	char path[64], target[64];
	struct stat st;
	make_pipe(fds);
	watch(port, fds[0], POLLIN, USER(1));
	snprintf(path, sizeof path, "/proc/self/fd/%d", port);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(lstat(path, &st), 0);
		CHECK(readlink(path, target, sizeof target) > 0);
		(void)!stat(path, &st);
	}
	put(fds[1]);
	get_fd(port, fds[0], POLLIN, USER(1));
	close_pipe(fds);
	close(port);
}
