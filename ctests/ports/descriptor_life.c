/* The port as a file descriptor (section 13): dup, exec, close. */
#include "harness.h"
#include "events.h"

TEST(duplicate_is_the_same_port, "T-276 R13.5")
{
	int port = new_port(), fds[2];
	int copies[] = { dup(port), fcntl(port, F_DUPFD, 50), fcntl(port, F_DUPFD_CLOEXEC, 60), dup2(port, 70),
		dup3(port, 71, O_CLOEXEC) };
	make_pipe(fds);
	CHECK_EQ(fcntl(copies[2], F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(copies[4], F_GETFD), FD_CLOEXEC);
	for (int i = 0; i < 5; i++) {
		CHECK(copies[i] >= 0);
		CHECK_OK(port_send(port, i, USER(i)));
		CHECK_EQ(pending(copies[i]), 1);
		get_user(copies[i], i, USER(i));
		CHECK_OK(port_send(copies[i], i, USER(i)));
		get_user(port, i, USER(i));
		watch(copies[i], fds[0], POLLIN, USER(i));
		put(fds[1]);
		get_fd(port, fds[0], POLLIN, USER(i));
		take(fds[0]);
		CHECK_OK(port_alert(copies[i], PORT_ALERT_SET, 1, USER(1)));
		get_alert(port, 1, USER(1));
		CHECK_OK(port_alert(port, 0, 0, NULL));
	}
	for (int i = 0; i < 5; i++)
		CHECK_OK(close(copies[i]));
	close_pipe(fds);
	close(port);
}

TEST(events_survive_the_first_number, "T-277 R13.6")
{
	int port = new_port(), copy = dup(port);
	CHECK_OK(port_send(port, 1, USER(1)));
	CHECK_OK(close(port));
	CHECK_ERR(port_send(port, 2, NULL), EBADF);
	CHECK_EQ(pending(copy), 1);
	CHECK_OK(port_send(copy, 2, USER(2)));
	get_user(copy, 1, USER(1));
	get_user(copy, 2, USER(2));
	close(copy);
}

TEST(associations_and_a_closed_duplicate, "T-278 R13.6 Q2")
{
	int port = new_port(), copy = dup(port), fds[2];
	port_event_t pe;
	make_pipe(fds);
	watch(port, fds[0], POLLIN, USER(1));
	CHECK_OK(close(copy));
	put(fds[1]);
	/* illumos has disarmed everything here (the strict_close quirk); by default the association lives. */
	if (port_get(port, &pe, TIMEOUT_MS(200)) == 0)
		is_fd(&pe, fds[0], POLLIN, USER(1));
	else
		CHECK_EQ(errno, ETIME);
	watch(port, fds[0], POLLIN, USER(2));
	get_fd(port, fds[0], POLLIN, USER(2));
	close_pipe(fds);
	close(port);
}

/* Runs a shell that looks whether descriptor fd is open in the new program: exit status 0 if so. */
static int open_after_exec(int fd)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	pid_t child = fork();
	if (child == 0) {
		execlp("test", "test", "-e", path, (char *)NULL);
		_exit(99);
	}
	return wait_child(child);
}

TEST(close_on_exec, "T-279 R13.8 R3.1")
{
	int first = new_port(), port = fcntl(first, F_DUPFD, 40);
	close(first);
	CHECK_OK(port_send(port, 1, USER(1)));
	CHECK_EQ(open_after_exec(port), 0);
	CHECK_OK(fcntl(port, F_SETFD, FD_CLOEXEC));
	CHECK_EQ(open_after_exec(port), 1);
	get_user(port, 1, USER(1));
	close(port);
}

TEST(close_frees_everything, "T-280 R13.7")
{
	int a = new_port(), fds[2];
	make_pipe(fds);
	put(fds[1]);
	watch(a, fds[0], POLLIN, USER(1));
	CHECK_OK(port_send(a, 1, NULL));
	CHECK_OK(close(a));
	int b = new_port();
	expect_none(b);
	watch(b, fds[0], POLLIN, USER(2));
	get_fd(b, fds[0], POLLIN, USER(2));
	close_pipe(fds);
	close(b);
}

TEST_LIMIT(many_lives_of_a_port, "T-280 R13.7", 30)
{
	int rounds = slow() > 1 ? 500 : 10000, fds[2], number = -1;
	make_pipe(fds);
	put(fds[1]);
	for (int i = 0; i < rounds; i++) {
		int port = new_port();
		CHECK(number == -1 || port == number);
		number = port;
		watch(port, fds[0], POLLIN, USER(i));
		watch(port, fds[1], POLLIN, USER(i));
		CHECK_OK(port_send(port, i, USER(i)));
		if (i % 2 == 0)
			get_fd(port, fds[0], POLLIN, USER(i));
		CHECK_OK(close(port));
	}
	close_pipe(fds);
}

TEST(one_descriptor_in_many_ports, "T-281 R4.9 R4.20")
{
	enum { COUNT = 100 };
	int port[COUNT], fds[2];
	make_pipe(fds);
	int saved = dup(fds[0]);
	for (int i = 0; i < COUNT; i++) {
		port[i] = new_port();
		watch(port[i], fds[0], POLLIN, USER(i));
	}
	put(fds[1]);
	for (int i = 0; i < COUNT; i += 2)
		CHECK_EQ(pending(port[i]), 1);
	CHECK_OK(close(fds[0]));
	for (int i = 0; i < COUNT; i++)
		expect_none(port[i]);
	for (int i = 0; i < COUNT; i++)
		CHECK_OK(close(port[i]));
	close(saved);
	close(fds[1]);
}
