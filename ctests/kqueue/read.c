/* EVFILT_READ on pipes and UNIX sockets (7.1). The other objects are in read_*.c. */
#include "harness.h"
#include "kqueue.h"
#include <sys/un.h>

/* What was written is the data, what was read is gone from it, and nothing is left of an empty one. */
static void follows_the_data(int from, int to)
{
	int kq = new_kq();
	add_read(kq, from, 0, U(1));
	expect_none(kq);
	send_bytes(to, 10);
	expect(kq, from, EVFILT_READ, 0, 0, 10, U(1));
	expect(kq, from, EVFILT_READ, 0, 0, 10, U(1));
	read_bytes(from, 4);
	expect(kq, from, EVFILT_READ, 0, 0, 6, U(1));
	send_bytes(to, 1000);
	expect(kq, from, EVFILT_READ, 0, 0, 1006, U(1));
	read_bytes(from, 1006);
	expect_none(kq);
	close(kq);
}

TEST(pipe_and_socket_pair, "K-140")
{
	int fds[2];
	make_pipe(fds);
	follows_the_data(fds[0], fds[1]);
	close_pipe(fds);
	make_pair(fds);
	follows_the_data(fds[0], fds[1]);
	follows_the_data(fds[1], fds[0]);
	close_pipe(fds);
}

TEST(datagrams_of_a_socket_pair, "K-140 K-153")
{
	int kq = new_kq(), fds[2];
	char bytes[64];
	CHECK_OK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, fds));
	add_read(kq, fds[0], 0, U(1));
	expect_none(kq);
	send_bytes(fds[1], 7);
	expect(kq, fds[0], EVFILT_READ, 0, 0, 7, U(1));
	CHECK_RET(read(fds[0], bytes, 3), 3); /* the rest of the datagram goes with it */
	expect_none(kq);
	CHECK_RET(send(fds[1], bytes, 0, 0), 0);
	expect(kq, fds[0], EVFILT_READ, 0, 0, 0, U(1));
	CHECK_RET(recv(fds[0], bytes, 8, 0), 0);
	expect_none(kq);
	close_pipe(fds);
	close(kq);
}

TEST(unix_listener, "K-142")
{
	int kq = new_kq(), listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), client[3], server[3];
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	socklen_t length = sizeof name;
	CHECK_OK(bind(listener, (struct sockaddr *)&name, sizeof(sa_family_t))); /* a name that the kernel picks */
	CHECK_OK(getsockname(listener, (struct sockaddr *)&name, &length));
	CHECK_OK(listen(listener, 8));
	add_read(kq, listener, 0, U(1));
	expect_none(kq);
	for (int i = 0; i < 3; i++) {
		client[i] = socket(AF_UNIX, SOCK_STREAM, 0);
		CHECK_OK(connect(client[i], (struct sockaddr *)&name, length));
		expect(kq, listener, EVFILT_READ, 0, 0, i + 1, U(1));
	}
	for (int i = 0; i < 3; i++) {
		server[i] = accept(listener, NULL, NULL);
		CHECK(server[i] >= 0);
		if (i < 2)
			expect(kq, listener, EVFILT_READ, 0, 0, 2 - i, U(1));
	}
	expect_none(kq);
	for (int i = 0; i < 3; i++) {
		close(client[i]);
		close(server[i]);
	}
	close(listener);
	close(kq);
}

TEST(lowat_on_a_socket, "K-143")
{
	int kq = new_kq(), fds[2];
	make_pair(fds);
	change(kq, fds[0], EVFILT_READ, EV_ADD, NOTE_LOWAT, 8, U(1));
	send_bytes(fds[1], 7);
	expect_none(kq);
	send_bytes(fds[1], 1);
	expect(kq, fds[0], EVFILT_READ, 0, 0, 8, U(1));
	read_bytes(fds[0], 5);
	expect_none(kq);
	close(fds[1]);
	expect(kq, fds[0], EVFILT_READ, EV_EOF, 0, 3, U(1));
	close(fds[0]);
	close(kq);
}

TEST(lowat_wakes_a_sleeper_only_when_reached, "K-143")
{
	struct sleeper s;
	int kq = new_kq(), fds[2], other = new_kq();
	make_pair(fds);
	change(kq, fds[0], EVFILT_READ, EV_ADD, NOTE_LOWAT, 100, U(1));
	add_read(other, fds[0], 0, U(2)); /* the wish is the knote's own */
	sleep_in(&s, kq, -1);
	for (int sent = 0; sent < 99; sent += 33)
		send_bytes(fds[1], 33);
	sleep_ms(30);
	CHECK(!thread_done(&s.thread));
	expect(other, fds[0], EVFILT_READ, 0, 0, 99, U(2));
	send_bytes(fds[1], 1);
	join_sleeper(&s, 1, 0);
	is_event(&s.list[0], fds[0], EVFILT_READ, 0, 0, 100, U(1));
	close_pipe(fds);
	close(kq);
	close(other);
}

TEST(lowat_on_a_pipe_is_ignored, "K-143 14.1")
{
	int kq = new_kq(), fds[2];
	make_pipe(fds);
	change(kq, fds[0], EVFILT_READ, EV_ADD, NOTE_LOWAT, 8, U(1));
	send_bytes(fds[1], 7);
	expect(kq, fds[0], EVFILT_READ, 0, 0, 7, U(1));
	close_pipe(fds);
	close(kq);
}

TEST(own_low_water_mark_of_the_socket, "K-144")
{
	int kq = new_kq(), fds[2], mark = 5, seen = 0;
	socklen_t length = sizeof seen;
	make_pair(fds);
	CHECK_OK(setsockopt(fds[0], SOL_SOCKET, SO_RCVLOWAT, &mark, sizeof mark));
	add_read(kq, fds[0], 0, U(1));
	send_bytes(fds[1], 4);
	expect_none(kq);
	send_bytes(fds[1], 1);
	expect(kq, fds[0], EVFILT_READ, 0, 0, 5, U(1));
	CHECK_OK(getsockopt(fds[0], SOL_SOCKET, SO_RCVLOWAT, &seen, &length));
	CHECK_EQ(seen, 5);
	change(kq, fds[0], EVFILT_READ, EV_ADD, NOTE_LOWAT, 2, U(2)); /* overrides it */
	read_bytes(fds[0], 3);
	expect(kq, fds[0], EVFILT_READ, 0, 0, 2, U(2));
	close_pipe(fds);
	close(kq);
}

TEST(shutdown_of_unix_sockets, "K-145")
{
	int kq = new_kq(), fds[2];
	make_pair(fds);
	add_read(kq, fds[0], 0, U(1));
	send_bytes(fds[1], 4);
	CHECK_OK(shutdown(fds[1], SHUT_WR));
	expect(kq, fds[0], EVFILT_READ, EV_EOF, 0, 4, U(1));
	read_bytes(fds[0], 4);
	expect(kq, fds[0], EVFILT_READ, EV_EOF, 0, 0, U(1));
	send_bytes(fds[0], 3); /* the other direction is open */
	add_read(kq, fds[1], 0, U(2));
	drop(kq, fds[0], EVFILT_READ);
	expect(kq, fds[1], EVFILT_READ, 0, 0, 3, U(2));
	close_pipe(fds);
	close(kq);
}

TEST(own_shutdown_for_reading, "K-145 14.12")
{
	int kq = new_kq(), fds[2];
	make_pair(fds);
	add_read(kq, fds[0], 0, U(1));
	CHECK_OK(shutdown(fds[0], SHUT_RD));
	expect(kq, fds[0], EVFILT_READ, EV_EOF, 0, 0, U(1));
	close_pipe(fds);
	close(kq);
}

TEST(shutdown_both_ways, "K-156")
{
	struct kevent list[ROOM];
	int kq = new_kq(), fds[2], eof = 0;
	make_pair(fds);
	for (int i = 0; i < 2; i++)
		add_read(kq, fds[i], 0, U(i));
	CHECK_OK(shutdown(fds[0], SHUT_RDWR));
	CHECK_EQ(harvest(kq, list, ROOM), 2);
	for (int i = 0; i < 2; i++)
		eof += list[i].flags == EV_EOF && list[i].data == 0 && list[i].fflags == 0;
	CHECK_EQ(eof, 2);
	close_pipe(fds);
	close(kq);
}
