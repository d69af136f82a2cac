/* EV_DISABLE, EV_ONESHOT, EV_CLEAR, EV_DISPATCH, EV_EOF (section 5). */
#include "harness.h"
#include "kqueue.h"

#define disable(kq, fd) change(kq, fd, EVFILT_READ, EV_DISABLE, 0, 0, U(1))
#define enable(kq, fd) change(kq, fd, EVFILT_READ, EV_ENABLE, 0, 0, U(1))

TEST(disabled_knote_is_not_delivered, "K-080 K-084")
{
	int kq = new_kq(), fds[2];
	make_pipe(fds);
	put(fds[1]);
	add_read(kq, fds[0], 0, U(1));
	disable(kq, fds[0]);
	expect_none(kq);
	disable(kq, fds[0]);
	expect_none(kq);
	enable(kq, fds[0]);
	enable(kq, fds[0]);
	expect(kq, fds[0], EVFILT_READ, 0, 0, 1, U(1));
	/* Disabled and enabled with nothing between: as if nothing had been. */
	disable(kq, fds[0]);
	enable(kq, fds[0]);
	expect(kq, fds[0], EVFILT_READ, 0, 0, 1, U(1));
	close_pipe(fds);
	close(kq);
}

TEST(condition_that_came_while_disabled, "K-081")
{
	int kq = new_kq(), fds[2];
	make_pair(fds);
	unsigned settings[] = { 0, EV_CLEAR };
	for (int i = 0; i < 2; i++) {
		add_read(kq, fds[0], settings[i] | EV_DISABLE, U(1));
		send_bytes(fds[1], 5);
		expect_none(kq);
		enable(kq, fds[0]);
		expect(kq, fds[0], EVFILT_READ, settings[i], 0, 5, U(1));
		disable(kq, fds[0]);
		read_bytes(fds[0], 5);
		send_bytes(fds[1], 6);
		read_bytes(fds[0], 6);
		enable(kq, fds[0]);
		expect_none(kq);
		send_bytes(fds[1], 1);
		expect(kq, fds[0], EVFILT_READ, settings[i], 0, 1, U(1));
		read_bytes(fds[0], 1);
		drop(kq, fds[0], EVFILT_READ);
	}
	close_pipe(fds);
	close(kq);
}

TEST(recorded_while_disabled, "K-082")
{
	int kq = new_kq();
	add_user(kq, 1, EV_CLEAR | EV_DISABLE, U(1));
	trigger(kq, 1, U(1));
	trigger(kq, 1, U(1));
	expect_none(kq);
	change(kq, 1, EVFILT_USER, EV_ENABLE, 0, 0, U(2));
	expect(kq, 1, EVFILT_USER, EV_CLEAR, 0, 0, U(2));
	expect_none(kq);
	close(kq);
}

TEST(add_does_not_enable_a_disabled_knote, "K-083 14.5")
{
	int kq = new_kq(), fds[2];
	make_pipe(fds);
	put(fds[1]);
	add_read(kq, fds[0], EV_DISABLE, U(1));
	expect_none(kq);
	add_read(kq, fds[0], 0, U(2));
	expect_none(kq);
	add_read(kq, fds[0], EV_ENABLE, U(3));
	expect(kq, fds[0], EVFILT_READ, 0, 0, 1, U(3));
	add_read(kq, fds[0], EV_DISABLE, U(4));
	expect_none(kq);
	close_pipe(fds);
	close(kq);
}

/* A disabled knote on a descriptor that has hung up must not keep anybody busy. */
TEST(disabled_knote_at_end_of_file_costs_nothing, "K-080 9.4")
{
	struct kevent list[ROOM];
	struct timespec before, after;
	int kq = new_kq(), fds[2];
	make_pair(fds);
	add_read(kq, fds[0], 0, U(1));
	add_write(kq, fds[0], EV_DISABLE, U(2));
	disable(kq, fds[0]);
	close(fds[1]);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
	CHECK_RET(kevent(kq, NULL, 0, list, ROOM, TIMEOUT_MS(300)), 0);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
	CHECK((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 < 100 * slow());
	enable(kq, fds[0]);
	expect(kq, fds[0], EVFILT_READ, EV_EOF, 0, 0, U(1));
	close(fds[0]);
	close(kq);
}

TEST(oneshot, "K-085")
{
	int kq = new_kq(), fds[2];
	make_pipe(fds);
	send_bytes(fds[1], 5);
	add_read(kq, fds[0], EV_ONESHOT, U(1));
	expect(kq, fds[0], EVFILT_READ, EV_ONESHOT, 0, 5, U(1));
	expect_none(kq);
	CHECK_GONE(kq, fds[0], EVFILT_READ);
	CHECK_EQ(try_change(kq, (uintptr_t)fds[0], EVFILT_READ, EV_ENABLE, 0, 0, NULL), ENOENT);
	add_read(kq, fds[0], 0, U(2));
	expect(kq, fds[0], EVFILT_READ, 0, 0, 5, U(2));
	close_pipe(fds);
	close(kq);
}

TEST(disabled_oneshot_is_not_used_up, "K-085 section 5")
{
	int kq = new_kq(), fds[2];
	make_pipe(fds);
	add_read(kq, fds[0], EV_ONESHOT | EV_DISABLE, U(1));
	put(fds[1]);
	expect_none(kq);
	enable(kq, fds[0]);
	expect(kq, fds[0], EVFILT_READ, EV_ONESHOT, 0, 1, U(1));
	CHECK_GONE(kq, fds[0], EVFILT_READ);
	close_pipe(fds);
	close(kq);
}

static void clear_reports_arrivals(int from, int to)
{
	int kq = new_kq();
	add_read(kq, from, EV_CLEAR, U(1));
	send_bytes(to, 10);
	expect(kq, from, EVFILT_READ, EV_CLEAR, 0, 10, U(1));
	expect_none(kq);
	send_bytes(to, 5);
	expect(kq, from, EVFILT_READ, EV_CLEAR, 0, 15, U(1));
	expect_none(kq);
	send_bytes(to, 1);
	send_bytes(to, 1);
	expect(kq, from, EVFILT_READ, EV_CLEAR, 0, 17, U(1));
	expect_none(kq);
	close(kq);
}

TEST(clear_on_a_pipe, "K-087")
{
	int fds[2];
	make_pipe(fds);
	clear_reports_arrivals(fds[0], fds[1]);
	close_pipe(fds);
}

TEST(clear_on_a_socket, "K-087 K-089")
{
	int kq = new_kq(), fds[2];
	make_pair(fds);
	clear_reports_arrivals(fds[0], fds[1]);
	drain(fds[0]);
	add_read(kq, fds[0], EV_CLEAR, U(1));
	send_bytes(fds[1], 10);
	expect(kq, fds[0], EVFILT_READ, EV_CLEAR, 0, 10, U(1));
	read_bytes(fds[0], 3);
	expect_none(kq);
	read_bytes(fds[0], 7);
	expect_none(kq);
	fill(fds[1]);
	expect(kq, fds[0], EVFILT_READ, EV_CLEAR, 0, SOME, U(1));
	expect_none(kq);
	read_bytes(fds[0], 4096);
	expect_none(kq);
	send_bytes(fds[1], 1);
	expect(kq, fds[0], EVFILT_READ, EV_CLEAR, 0, SOME, U(1));
	close_pipe(fds);
	close(kq);
}

/* Each direction has its own arrivals: what moves WRITE is no news for READ, and the other way round. */
TEST(clear_of_read_beside_a_level_write, "K-087 9.2 9.3")
{
	struct kevent list[ROOM];
	int kq = new_kq(), fds[2];
	make_pair(fds);
	add_read(kq, fds[0], EV_CLEAR, U(1));
	add_write(kq, fds[0], 0, U(2));
	expect(kq, fds[0], EVFILT_WRITE, 0, 0, SOME, U(2));
	send_bytes(fds[1], 1);
	CHECK_EQ(harvest(kq, list, ROOM), 2);
	for (int i = 0; i < 3; i++)
		expect(kq, fds[0], EVFILT_WRITE, 0, 0, SOME, U(2));
	fill(fds[0]);
	expect_none(kq);
	drain(fds[1]);
	expect(kq, fds[0], EVFILT_WRITE, 0, 0, SOME, U(2));
	close_pipe(fds);
	close(kq);
}

TEST(clear_and_end_of_file, "K-088")
{
	int kq = new_kq(), fds[2];
	make_pair(fds);
	add_read(kq, fds[0], EV_CLEAR, U(1));
	send_bytes(fds[1], 10);
	expect(kq, fds[0], EVFILT_READ, EV_CLEAR, 0, 10, U(1));
	close(fds[1]);
	expect(kq, fds[0], EVFILT_READ, EV_CLEAR | EV_EOF, 0, 10, U(1));
	expect_none(kq);
	read_bytes(fds[0], 4);
	expect_none(kq);
	drain(fds[0]);
	expect_none(kq);
	add_read(kq, fds[0], 0, U(2));
	expect(kq, fds[0], EVFILT_READ, EV_CLEAR | EV_EOF, 0, 0, U(2));
	close(fds[0]);
	close(kq);
}

TEST(dispatch, "K-091")
{
	int kq = new_kq(), fds[2];
	make_pipe(fds);
	send_bytes(fds[1], 10);
	add_read(kq, fds[0], EV_DISPATCH, U(1));
	expect(kq, fds[0], EVFILT_READ, EV_DISPATCH, 0, 10, U(1));
	expect_none(kq);
	add_read(kq, fds[0], 0, U(1)); /* EV_ADD does not enable (14.5) */
	expect_none(kq);
	enable(kq, fds[0]);
	expect(kq, fds[0], EVFILT_READ, EV_DISPATCH, 0, 10, U(1));
	read_bytes(fds[0], 4);
	enable(kq, fds[0]);
	expect(kq, fds[0], EVFILT_READ, EV_DISPATCH, 0, 6, U(1));
	drain(fds[0]);
	enable(kq, fds[0]);
	expect_none(kq);
	put(fds[1]);
	expect(kq, fds[0], EVFILT_READ, EV_DISPATCH, 0, 1, U(1));
	drop(kq, fds[0], EVFILT_READ); /* it is still there */
	close_pipe(fds);
	close(kq);
}

TEST(forceoneshot, "K-093")
{
	int kq = new_kq(), fds[2];
	make_pipe(fds);
	add_read(kq, fds[0], 0, U(1));
	expect_none(kq);
	change(kq, fds[0], EVFILT_READ, EV_FORCEONESHOT, 0, 0, U(2));
	expect(kq, fds[0], EVFILT_READ, EV_ONESHOT, 0, 0, U(2));
	CHECK_GONE(kq, fds[0], EVFILT_READ);
	expect_none(kq);
	close_pipe(fds);
	close(kq);
}

static void end_of_file_repeats(int from, int to)
{
	int kq = new_kq();
	add_read(kq, from, 0, U(1));
	send_bytes(to, 5);
	close(to);
	expect(kq, from, EVFILT_READ, EV_EOF, 0, 5, U(1));
	read_bytes(from, 2);
	expect(kq, from, EVFILT_READ, EV_EOF, 0, 3, U(1));
	read_bytes(from, 3);
	for (int i = 0; i < 3; i++)
		expect(kq, from, EVFILT_READ, EV_EOF, 0, 0, U(1));
	close(from);
	close(kq);
}

TEST(end_of_file_with_data, "K-094")
{
	int fds[2];
	make_pipe(fds);
	end_of_file_repeats(fds[0], fds[1]);
	make_pair(fds);
	end_of_file_repeats(fds[0], fds[1]);
}
