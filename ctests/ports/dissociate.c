/* port_dissociate with PORT_SOURCE_FD: order of checks and result by state of the association (4.4). */
#include "harness.h"
#include "events.h"

static const int other_sources[] = { 0, PORT_SOURCE_AIO, PORT_SOURCE_TIMER, PORT_SOURCE_USER,
	PORT_SOURCE_ALERT, PORT_SOURCE_MQ, 8, -1, INT_MAX, INT_MIN };

TEST(bad_port, "T-030 4.1 20")
{
	int fds[2], gone = closed_fd();
	make_pipe(fds);
	CHECK_ERR(unwatch(-1, fds[0]), EBADF);
	CHECK_ERR(unwatch(INT_MAX, fds[0]), EBADF);
	CHECK_ERR(unwatch(gone + 100, fds[0]), EBADF);
	CHECK_ERR(unwatch(fds[1], fds[0]), EBADFD);
	close_pipe(fds);
}

TEST(bad_source_keeps_the_association, "T-031 4.1")
{
	int port = new_port(), fds[2];
	make_pipe(fds);
	watch(port, fds[0], POLLIN, USER(1));
	for (size_t i = 0; i < sizeof other_sources / sizeof other_sources[0]; i++)
		CHECK_ERR(port_dissociate(port, other_sources[i], fds[0]), EINVAL);
	put(fds[1]);
	for (size_t i = 0; i < sizeof other_sources / sizeof other_sources[0]; i++)
		CHECK_ERR(port_dissociate(port, other_sources[i], fds[0]), EINVAL);
	get_fd(port, fds[0], POLLIN, USER(1));
	close_pipe(fds);
	close(port);
}

TEST(port_is_checked_before_source_and_object, "T-032 4.1")
{
	CHECK_ERR(port_dissociate(-1, 0, (uintptr_t)-1), EBADF);
	CHECK_ERR(port_dissociate(STDOUT_FILENO, 0, (uintptr_t)-1), EBADFD);
	int port = new_port();
	CHECK_ERR(port_dissociate(port, PORT_SOURCE_ALERT, (uintptr_t)-1), EINVAL);
	close(port);
}

TEST(fresh_port_knows_nothing, "T-034 4.4")
{
	int port = new_port(), fds[2];
	make_pipe(fds);
	CHECK_ERR(unwatch(port, fds[0]), ENOENT);
	CHECK_ERR(unwatch(port, closed_fd()), ENOENT);
	CHECK_ERR(port_dissociate(port, PORT_SOURCE_FD, INT_MAX), ENOENT);
	/* The range of the object is checked first (4.4 step 4). */
	CHECK_ERR(port_dissociate(port, PORT_SOURCE_FD, (uintptr_t)-1), EBADFD);
	CHECK_ERR(port_dissociate(port, PORT_SOURCE_FD, (uintptr_t)1 << 31), EBADFD);
	/* A failed association is none: the next line still finds a port without descriptors. */
	CHECK_ERR(port_associate(port, PORT_SOURCE_FD, closed_fd(), POLLIN, NULL), EBADFD);
	CHECK_ERR2(unwatch(port, closed_fd()), ENOENT, EBADFD);
	close_pipe(fds);
	close(port);
}

TEST(used_port_checks_the_descriptor, "T-035 4.4")
{
	int port = new_port(), a[2], b[2];
	make_pipe(a);
	make_pipe(b);
	watch(port, a[0], POLLIN, USER(1));
	CHECK_ERR(unwatch(port, closed_fd()), EBADFD);
	CHECK_ERR(unwatch(port, b[0]), ENOENT);
	CHECK_ERR(unwatch(port, a[1]), ENOENT);
	CHECK_ERR(port_dissociate(port, PORT_SOURCE_FD, (uintptr_t)1 << 32 | a[0]), EBADFD);
	CHECK_OK(unwatch(port, a[0]));
	CHECK_ERR(unwatch(port, a[0]), ENOENT);
	close_pipe(a);
	close_pipe(b);
	close(port);
}

TEST(armed, "T-043 4.4")
{
	int port = new_port(), fds[2];
	make_pipe(fds);
	watch(port, fds[0], POLLIN, USER(1));
	CHECK_OK(unwatch(port, fds[0]));
	put(fds[1]);
	expect_none(port);
	CHECK_ERR(port_get(port, &(port_event_t){ 0 }, TIMEOUT_MS(20)), ETIME);
	watch(port, fds[0], POLLIN, USER(2));
	get_fd(port, fds[0], POLLIN, USER(2));
	close_pipe(fds);
	close(port);
}

TEST(ready_since_association, "T-044 4.4")
{
	int port = new_port(), fds[2];
	make_pipe(fds);
	put(fds[1]);
	watch(port, fds[0], POLLIN, USER(1));
	CHECK_OK(unwatch(port, fds[0]));
	expect_none(port);
	CHECK_ERR(unwatch(port, fds[0]), ENOENT);
	close_pipe(fds);
	close(port);
}

TEST(became_ready_and_queued, "T-044 4.4")
{
	int port = new_port(), fds[2];
	make_pipe(fds);
	CHECK_OK(port_send(port, 1, USER(1)));
	watch(port, fds[0], POLLIN, USER(2));
	put(fds[1]);
	CHECK_OK(port_send(port, 3, USER(3)));
	CHECK_EQ(pending(port), 3);
	CHECK_OK(unwatch(port, fds[0]));
	CHECK_EQ(pending(port), 2);
	get_user(port, 1, USER(1));
	get_user(port, 3, USER(3));
	expect_none(port);
	close_pipe(fds);
	close(port);
}

TEST(already_retrieved, "T-045 4.4")
{
	int port = new_port(), fds[2];
	make_pipe(fds);
	put(fds[1]);
	for (int i = 0; i < 3; i++) {
		watch(port, fds[0], POLLIN, USER(i));
		get_fd(port, fds[0], POLLIN, USER(i));
		CHECK_ERR(unwatch(port, fds[0]), ENOENT);
		CHECK_ERR(unwatch(port, fds[0]), ENOENT);
		expect_none(port);
	}
	close_pipe(fds);
	close(port);
}

TEST(associated_again_after_retrieval, "T-045 4.4")
{
	int port = new_port(), fds[2];
	make_pipe(fds);
	put(fds[1]);
	watch(port, fds[0], POLLIN, USER(1));
	get_fd(port, fds[0], POLLIN, USER(1));
	/* Ready again (queued), then not ready (armed): dissociation succeeds in both states. */
	watch(port, fds[0], POLLIN, USER(2));
	CHECK_OK(unwatch(port, fds[0]));
	take(fds[0]);
	watch(port, fds[0], POLLIN, USER(3));
	CHECK_OK(unwatch(port, fds[0]));
	put(fds[1]);
	expect_none(port);
	close_pipe(fds);
	close(port);
}

TEST(other_number_of_the_same_file, "T-055 R4.2")
{
	int port = new_port(), fds[2];
	make_pipe(fds);
	int copy = dup(fds[0]);
	watch(port, fds[0], POLLIN, USER(1));
	CHECK_ERR(unwatch(port, copy), ENOENT);
	watch(port, copy, POLLIN, USER(2));
	CHECK_OK(unwatch(port, fds[0]));
	put(fds[1]);
	get_fd(port, copy, POLLIN, USER(2));
	expect_none(port);
	close(copy);
	close_pipe(fds);
	close(port);
}
