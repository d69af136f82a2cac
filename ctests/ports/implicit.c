/* Implicit dissociation: an association ends with its descriptor number (4.3). */
#include "harness.h"
#include "events.h"

/* A pipe whose read end has the number `at` or above. */
static void pipe_above(int fds[2], int at)
{
	int low[2];
	make_pipe(low);
	fds[0] = fcntl(low[0], F_DUPFD, at);
	fds[1] = low[1];
	CHECK(fds[0] >= at);
	close(low[0]);
}

TEST(close_while_a_duplicate_lives, "T-054 R4.20")
{
	int port = new_port(), fds[2];
	make_pipe(fds);
	int copy = dup(fds[0]);
	watch(port, fds[0], POLLIN, USER(1));
	CHECK_OK(close(fds[0]));
	put(fds[1]);
	expect_none(port);
	CHECK_ERR(unwatch(port, fds[0]), EBADFD);
	watch(port, copy, POLLIN, USER(2));
	get_fd(port, copy, POLLIN, USER(2));
	expect_none(port);
	close(copy);
	close(fds[1]);
	close(port);
}

TEST(two_numbers_two_events, "T-055 R4.2")
{
	int port = new_port(), fds[2];
	port_event_t list[4];
	make_pipe(fds);
	int copy = dup(fds[0]);
	watch(port, fds[0], POLLIN, USER(1));
	watch(port, copy, POLLIN, USER(2));
	put(fds[1]);
	CHECK_EQ(take_all(port, list, 4), 2);
	int first = list[0].portev_object == (uintptr_t)fds[0] ? 0 : 1;
	is_fd(&list[first], fds[0], POLLIN, USER(1));
	is_fd(&list[1 - first], copy, POLLIN, USER(2));
	expect_none(port);
	close(copy);
	close_pipe(fds);
	close(port);
}

TEST(close_of_a_duplicate, "T-056 R4.21")
{
	int port = new_port(), fds[2];
	port_event_t list[4];
	make_pipe(fds);
	int copy = dup(fds[0]);
	watch(port, fds[0], POLLIN, USER(1));
	watch(port, copy, POLLIN, USER(2));
	CHECK_OK(close(copy));
	put(fds[1]);
	CHECK_EQ(take_all(port, list, 4), 1);
	is_fd(&list[0], fds[0], POLLIN, USER(1));

	/* A duplicate that was never associated is of no interest at all. */
	copy = dup(fds[0]);
	watch(port, fds[0], POLLIN, USER(3));
	CHECK_OK(close(copy));
	get_fd(port, fds[0], POLLIN, USER(3));
	close_pipe(fds);
	close(port);
}

TEST(close_withdraws_the_queued_event, "T-057 R4.20")
{
	int port = new_port(), fds[2];
	make_pipe(fds);
	put(fds[1]);
	watch(port, fds[0], POLLIN, USER(1));
	CHECK_OK(port_send(port, 2, USER(2)));
	CHECK_EQ(pending(port), 2);
	CHECK_OK(close(fds[0]));
	CHECK_EQ(pending(port), 1);
	get_user(port, 2, USER(2));
	expect_none(port);
	close(fds[1]);
	close(port);
}

TEST(queued_by_activity_then_closed, "T-057 R4.20")
{
	int port = new_port(), fds[2];
	make_pipe(fds);
	int copy = dup(fds[0]);
	watch(port, fds[0], POLLIN, USER(1));
	put(fds[1]);
	CHECK_EQ(pending(port), 1);
	CHECK_OK(close(fds[0]));
	expect_none(port);
	CHECK_ERR(port_get(port, &(port_event_t){ 0 }, TIMEOUT_MS(20)), ETIME);
	close(copy);
	close(fds[1]);
	close(port);
}

TEST(dup2_over_the_number, "T-058 R4.20")
{
	int port = new_port(), a[2], b[2];
	make_pipe(a);
	make_pipe(b);
	int saved = dup(a[0]);
	watch(port, a[0], POLLIN, USER(1));
	CHECK_EQ(dup2(b[0], a[0]), a[0]);
	put(a[1]);
	expect_none(port);
	put(b[1]);
	expect_none(port);
	CHECK_ERR(unwatch(port, a[0]), ENOENT);
	watch(port, a[0], POLLIN, USER(2));
	get_fd(port, a[0], POLLIN, USER(2));
	CHECK_EQ(dup3(saved, a[0], O_CLOEXEC), a[0]);
	expect_none(port);
	watch(port, a[0], POLLIN, USER(3));
	CHECK_EQ(pending(port), 1);
	CHECK_EQ(dup3(b[0], a[0], 0), a[0]);
	expect_none(port);
	close(saved);
	close_pipe(a);
	close_pipe(b);
	close(port);
}

TEST(calls_that_close_nothing, "R4.20")
{
	int port = new_port(), fds[2];
	make_pipe(fds);
	watch(port, fds[0], POLLIN, USER(1));
	CHECK_EQ(dup2(fds[0], fds[0]), fds[0]);
	CHECK_ERR(dup2(-1, fds[0]), EBADF);
	CHECK_ERR(dup3(fds[0], fds[0], 0), EINVAL);
	CHECK_ERR(dup3(-1, fds[0], 0), EBADF);
	CHECK_ERR(close(-1), EBADF);
	if (close_range(fds[0], fds[0], CLOSE_RANGE_CLOEXEC) == 0)
		CHECK_EQ(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
	CHECK(close_range(fds[0], fds[0] - 1, 0) == -1);
	put(fds[1]);
	get_fd(port, fds[0], POLLIN, USER(1));
	close_pipe(fds);
	close(port);
}

TEST(reused_number_is_new, "T-059 R4.23 R4.2")
{
	int port = new_port(), a[2], b[2];
	make_pipe(a);
	watch(port, a[0], POLLIN, USER(1));
	int saved = dup(a[0]);
	close(a[0]);
	make_pipe(b);
	CHECK_EQ(b[0], a[0]);
	put(b[1]);
	expect_none(port);
	CHECK_ERR(unwatch(port, b[0]), ENOENT);
	watch(port, b[0], POLLIN, USER(2));
	get_fd(port, b[0], POLLIN, USER(2));
	take(b[0]);
	watch(port, b[0], POLLIN, USER(3));
	put(a[1]);
	expect_none(port);
	put(b[1]);
	get_fd(port, b[0], POLLIN, USER(3));
	close(saved);
	close(a[1]);
	close_pipe(b);
	close(port);
}

TEST(reused_number_many_times, "T-059 R4.23")
{
	int port = new_port(), fds[2], number = -1;
	for (int i = 0; i < 2000; i++) {
		make_pipe(fds);
		CHECK(number == -1 || fds[0] == number);
		number = fds[0];
		if (i % 3 != 0)
			CHECK_ERR(unwatch(port, fds[0]), ENOENT);
		if (i % 2 == 0)
			put(fds[1]);
		watch(port, fds[0], POLLIN, USER(i));
		if (i % 4 < 2)
			put(fds[1]);
		if (i % 4 == 0)
			get_fd(port, fds[0], POLLIN, USER(i));
		close_pipe(fds);
		if (i % 8 == 0)
			expect_none(port);
	}
	expect_none(port);
	close(port);
}

TEST(close_range_over_the_number, "T-061 R4.20")
{
	int port = new_port(), a[2], b[2], c[2];
	pipe_above(a, 100);
	pipe_above(b, 110);
	pipe_above(c, 120);
	int saved = dup(b[0]);
	watch(port, a[0], POLLIN, USER('a'));
	watch(port, b[0], POLLIN, USER('b'));
	watch(port, c[0], POLLIN, USER('c'));
	put(a[1]);
	put(b[1]);
	put(c[1]);
	CHECK_EQ(pending(port), 3);
	if (close_range(b[0], b[0] + 5, 0) != 0)
		SKIP("no close_range on this system");
	CHECK_EQ(pending(port), 2);
	CHECK_ERR(unwatch(port, b[0]), EBADFD);
	get_fd(port, a[0], POLLIN, USER('a'));
	get_fd(port, c[0], POLLIN, USER('c'));
	expect_none(port);
	close(saved);
	close(b[1]);
	close_pipe(a);
	close_pipe(c);
	close(port);
}

TEST(closefrom_the_number, "T-061 R4.20")
{
	int port = new_port(), fds[2];
	pipe_above(fds, 200);
	int saved = dup(fds[0]);
	watch(port, fds[0], POLLIN, USER(1));
	put(fds[1]);
	CHECK_EQ(pending(port), 1);
	closefrom(fds[0]);
	expect_none(port);
	CHECK_ERR(unwatch(port, fds[0]), EBADFD);
	/* The library's own descriptors, if it had any above that number, must not be missing now. */
	watch(port, saved, POLLIN, USER(2));
	get_fd(port, saved, POLLIN, USER(2));
	CHECK_OK(port_send(port, 3, USER(3)));
	get_user(port, 3, USER(3));
	close(saved);
	close(fds[1]);
	close(port);
}

TEST(fclose_of_the_number, "R4.20")
{
	int port = new_port(), fds[2];
	make_pipe(fds);
	int saved = dup(fds[0]);
	FILE *stream = fdopen(fds[0], "r");
	CHECK(stream != NULL);
	watch(port, fds[0], POLLIN, USER(1));
	put(fds[1]);
	CHECK_EQ(pending(port), 1);
	CHECK_OK(fclose(stream));
	expect_none(port);
	close(saved);
	close(fds[1]);
	close(port);
}

TEST(no_event_for_the_closing_itself, "R4.20")
{
	int port = new_port(), fds[2];
	port_event_t pe;
	make_pipe(fds);
	watch(port, fds[0], POLLIN | POLLHUP | POLLERR | POLLNVAL, USER(1));
	close(fds[0]);
	CHECK_ERR(port_get(port, &pe, TIMEOUT_MS(20)), ETIME);
	close(fds[1]);
	expect_none(port);
	close(port);
}
