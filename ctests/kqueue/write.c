/* EVFILT_WRITE (7.2). */
#include "harness.h"
#include "kqueue.h"
#include "inet.h"

static void full_and_drained(int to, int from)
{
	int kq = new_kq();
	add_write(kq, to, 0, U(1));
	expect(kq, to, EVFILT_WRITE, 0, 0, SOME, U(1));
	expect(kq, to, EVFILT_WRITE, 0, 0, SOME, U(1));
	CHECK(fill(to) > 0);
	expect_none(kq);
	CHECK(drain(from) > 0);
	expect(kq, to, EVFILT_WRITE, 0, 0, SOME, U(1));
	close(kq);
}

TEST(pipe_and_socket_pair, "K-160")
{
	int fds[2];
	make_pipe(fds);
	full_and_drained(fds[1], fds[0]);
	close_pipe(fds);
	make_pair(fds);
	full_and_drained(fds[0], fds[1]);
	close_pipe(fds);
}

TEST(tcp, "K-160")
{
	int kq = new_kq(), fds[2];
	make_tcp(fds);
	add_write(kq, fds[0], 0, U(1));
	expect(kq, fds[0], EVFILT_WRITE, 0, 0, SOME, U(1));
	size_t sent = 0, got = 0;
	for (size_t more; (more = fill(fds[0])) > 0; sent += more) /* the peer's window opens in steps */
		sleep_ms(20);
	expect_none(kq);
	while (got < sent) {
		wait_for(fds[1], POLLIN);
		got += drain(fds[1]);
	}
	expect(kq, fds[0], EVFILT_WRITE, 0, 0, SOME, U(1));
	close_pipe(fds);
	close(kq);
}

TEST(full_socket_wakes_the_sleeper_when_drained, "K-160 K-166")
{
	struct sleeper s;
	int fds[2];
	unsigned flags[] = { 0, EV_CLEAR };
	for (int i = 0; i < 2; i++) {
		int kq = new_kq();
		make_pair(fds);
		add_write(kq, fds[0], flags[i], U(1));
		expect(kq, fds[0], EVFILT_WRITE, flags[i], 0, SOME, U(1));
		fill(fds[0]);
		sleep_in(&s, kq, -1);
		drain(fds[1]);
		join_sleeper(&s, 1, 0);
		is_event(&s.list[0], fds[0], EVFILT_WRITE, flags[i], 0, SOME, U(1));
		close_pipe(fds);
		close(kq);
	}
}

TEST(space_of_a_pipe, "K-161")
{
	int kq = new_kq(), fds[2];
	make_pipe(fds);
	int capacity = fcntl(fds[1], F_GETPIPE_SZ);
	add_write(kq, fds[1], 0, U(1));
	struct kevent empty = only(kq);
	CHECK(empty.data > 0 && empty.data <= capacity);
	send_bytes(fds[1], 10000);
	struct kevent less = only(kq);
	CHECK(less.data > 0 && less.data <= empty.data - 10000);
	fill(fds[1]);
	expect_none(kq);
	read_bytes(fds[0], 1); /* less than PIPE_BUF is free */
	expect_none(kq);
	close_pipe(fds);
	close(kq);
}

TEST(lowat, "K-165")
{
	int kq = new_kq(), fds[2];
	make_pair(fds);
	add_write(kq, fds[0], 0, U(1));
	intptr_t space = only(kq).data;
	CHECK(space > 4096);
	change(kq, fds[0], EVFILT_WRITE, EV_ADD, NOTE_LOWAT, space * 4, U(2));
	expect_none(kq);
	change(kq, fds[0], EVFILT_WRITE, EV_ADD, NOTE_LOWAT, space / 2, U(3));
	expect(kq, fds[0], EVFILT_WRITE, 0, 0, SOME, U(3));
	fill(fds[0]);
	expect_none(kq);
	change(kq, fds[0], EVFILT_WRITE, EV_ADD, NOTE_LOWAT, space * 4, U(4));
	drain(fds[1]);
	expect_none(kq);
	change(kq, fds[0], EVFILT_WRITE, EV_ADD, NOTE_LOWAT, space / 2, U(5));
	expect(kq, fds[0], EVFILT_WRITE, 0, 0, SOME, U(5));
	close_pipe(fds);
	close(kq);
}

/* Space comes back in pieces; none of them may be the one that wakes the kernel's writers. */
TEST(lowat_is_reached_bit_by_bit, "K-165")
{
	struct sleeper s;
	int kq = new_kq(), fds[2];
	make_tcp(fds);
	add_write(kq, fds[0], 0, U(1));
	intptr_t space = only(kq).data;
	change(kq, fds[0], EVFILT_WRITE, EV_ADD, NOTE_LOWAT, space / 4 * 3, U(2));
	size_t sent = 0, got = 0;
	for (size_t more; (more = fill(fds[0])) > 0; sent += more)
		sleep_ms(20);
	sleep_in(&s, kq, 5000);
	while (got < sent) {
		wait_for(fds[1], POLLIN);
		char bytes[8192];
		ssize_t piece = read(fds[1], bytes, sizeof bytes);
		CHECK(piece > 0);
		got += (size_t)piece;
	}
	join_sleeper(&s, 1, 0);
	is_event(&s.list[0], fds[0], EVFILT_WRITE, 0, 0, ANY, U(2));
	CHECK(s.list[0].data >= space / 4 * 3);
	close_pipe(fds);
	close(kq);
}

TEST(clear, "K-166 K-090")
{
	int kq = new_kq(), fds[2];
	make_pair(fds);
	add_write(kq, fds[0], EV_CLEAR, U(1));
	expect(kq, fds[0], EVFILT_WRITE, EV_CLEAR, 0, SOME, U(1));
	expect_none(kq);
	send_bytes(fds[1], 5); /* the other direction is no news */
	expect_none(kq);
	read_bytes(fds[0], 5);
	expect_none(kq);
	fill(fds[0]);
	expect_none(kq);
	drain(fds[1]);
	expect(kq, fds[0], EVFILT_WRITE, EV_CLEAR, 0, SOME, U(1));
	expect_none(kq);
	close_pipe(fds);
	close(kq);
}

TEST(clear_each_time_the_peer_reads, "K-090 14.2")
{
	int kq = new_kq(), fds[2];
	make_pair(fds);
	add_write(kq, fds[0], EV_CLEAR, U(1));
	expect(kq, fds[0], EVFILT_WRITE, EV_CLEAR, 0, SOME, U(1));
	send_bytes(fds[0], 10);
	expect_none(kq);
	read_bytes(fds[1], 10);
	expect(kq, fds[0], EVFILT_WRITE, EV_CLEAR, 0, SOME, U(1));
	expect_none(kq);
	close_pipe(fds);
	close(kq);
}

TEST(oneshot_and_dispatch, "K-085 K-091")
{
	int kq = new_kq(), fds[2];
	make_pair(fds);
	add_write(kq, fds[0], EV_ONESHOT, U(1));
	expect(kq, fds[0], EVFILT_WRITE, EV_ONESHOT, 0, SOME, U(1));
	CHECK_GONE(kq, fds[0], EVFILT_WRITE);
	add_write(kq, fds[0], EV_DISPATCH, U(2));
	for (int i = 0; i < 3; i++) {
		expect(kq, fds[0], EVFILT_WRITE, EV_DISPATCH, 0, SOME, U(2));
		expect_none(kq);
		change(kq, fds[0], EVFILT_WRITE, EV_ENABLE, 0, 0, U(2));
	}
	fill(fds[0]);
	expect_none(kq);
	close_pipe(fds);
	close(kq);
}

TEST(datagram_sockets, "K-169 7.2")
{
	int kq = new_kq(), fds[2];
	make_udp(fds);
	add_write(kq, fds[0], 0, U(1));
	expect(kq, fds[0], EVFILT_WRITE, 0, 0, SOME, U(1));
	close_pipe(fds);
	expect_none(kq);
	close(kq);
}

/* FreeBSD's pipes have two directions. Here: accepted or refused, and never an event of the other direction. */
TEST(wrong_ends_of_a_pipe, "K-171")
{
	struct kevent list[ROOM];
	int kq = new_kq(), fds[2];
	make_pipe(fds);
	int read_of_write_end = try_change(kq, (uintptr_t)fds[1], EVFILT_READ, EV_ADD, 0, 0, U(1));
	CHECK(read_of_write_end == 0 || read_of_write_end == EBADF || read_of_write_end == EINVAL);
	put(fds[1]);
	expect_none(kq);
	int write_of_read_end = try_change(kq, (uintptr_t)fds[0], EVFILT_WRITE, EV_ADD, 0, 0, U(2));
	CHECK(write_of_read_end == 0 || write_of_read_end == EBADF || write_of_read_end == EINVAL);
	CHECK(harvest(kq, list, ROOM) <= 1);
	close_pipe(fds);
	expect_none(kq);
	close(kq);
}
