/* port_create (section 3). The limit of ports has its own program, create_limit.c. */
#include "harness.h"
#include "events.h"

TEST(plain_descriptor, "T-020 R3.1")
{
	int port = new_port();
	CHECK(port >= 0);
	int flags = fcntl(port, F_GETFD);
	CHECK(flags != -1);
	CHECK_EQ(flags & FD_CLOEXEC, 0);
	CHECK_OK(fcntl(port, F_SETFD, FD_CLOEXEC));
	CHECK_EQ(fcntl(port, F_GETFD), FD_CLOEXEC);
	CHECK_OK(close(port));
}

TEST(lowest_free_number, "R3.1")
{
	int low = dup(STDOUT_FILENO), gap = dup(STDOUT_FILENO), high = dup(STDOUT_FILENO);
	close(gap);
	/* No descriptor of the library itself may take a number that the program counts on. */
	int a = new_port();
	CHECK_EQ(a, gap);
	int free_number = closed_fd(), b = new_port();
	CHECK_EQ(b, free_number);
	watch(b, low, POLLOUT, NULL);
	CHECK_OK(port_send(b, 1, NULL));
	CHECK(closed_fd() < 900);
	close(low);
	CHECK_EQ(new_port(), low);
	CHECK_OK(close(low));
	CHECK_OK(close(high));
	CHECK_OK(close(a));
	CHECK_OK(close(b));
}

TEST(no_descriptor_left, "T-021 R3.2")
{
	struct rlimit limit, small;
	int held[256], n = 0;
	CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
	small = limit;
	small.rlim_cur = 64;
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &small));
	while (n < 256 && (held[n] = dup(STDOUT_FILENO)) >= 0)
		n++;
	CHECK(n > 0 && n < 256);
	CHECK_ERR(port_create(), EMFILE);
	CHECK_ERR(port_create(), EMFILE);
	for (int i = 0; i < n; i++)
		close(held[i]);
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
	int port = new_port();
	CHECK_OK(port_send(port, 5, USER(5)));
	get_user(port, 5, USER(5));
	close(port);
}

TEST(ports_are_independent, "T-022 R2.1")
{
	int a = new_port(), b = new_port(), fds[2];
	CHECK(a != b);
	make_pipe(fds);
	CHECK_OK(port_send(a, 1, USER(1)));
	watch(a, fds[0], POLLIN, USER(2));
	put(fds[1]);
	expect_none(b);
	CHECK_EQ(pending(a), 2);
	CHECK_OK(close(b));
	get_user(a, 1, USER(1));
	get_fd(a, fds[0], POLLIN, USER(2));
	close_pipe(fds);
	close(a);
}

TEST(number_can_be_a_port_again, "R3.1 R13.7")
{
	int fds[2], port = new_port();
	make_pipe(fds);
	put(fds[1]);
	watch(port, fds[0], POLLIN, USER(1));
	CHECK_OK(port_send(port, 1, USER(2)));
	CHECK_OK(close(port));
	CHECK_EQ(new_port(), port);
	expect_none(port);
	CHECK_ERR(unwatch(port, fds[0]), ENOENT);
	CHECK_OK(close(port));
	CHECK_ERR(port_send(port, 1, NULL), EBADF);
	close_pipe(fds);
}

TEST(many_ports, "R3.1")
{
	enum { COUNT = 200 };
	int port[COUNT];
	for (int i = 0; i < COUNT; i++)
		port[i] = new_port();
	for (int i = 0; i < COUNT; i++)
		CHECK_OK(port_send(port[i], i, USER(i)));
	for (int i = 0; i < COUNT; i++)
		get_user(port[i], i, USER(i));
	for (int i = 0; i < COUNT; i++)
		CHECK_OK(close(port[i]));
}
