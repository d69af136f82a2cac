/* EVFILT_READ on TCP and UDP (7.1), and the errors that events carry (K-095). */
#include "harness.h"
#include "kqueue.h"
#include "inet.h"

/* A socket that was added before it listens is a listener all the same. */
TEST(listening_after_it_was_added, "K-141")
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t length = sizeof address;
	int kq = new_kq(), listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_OK(bind(listener, (void *)&address, length));
	CHECK_OK(getsockname(listener, (void *)&address, &length));
	add_read(kq, listener, 0, U(1));
	expect_none(kq);
	CHECK_OK(listen(listener, 8));
	expect_none(kq);
	CHECK_OK(connect(client, (void *)&address, length));
	expect(kq, listener, EVFILT_READ, 0, 0, 1, U(1));
	close(client);
	close(listener);
	close(kq);
}

TEST(tcp_data, "K-140")
{
	int kq = new_kq(), fds[2];
	make_tcp(fds);
	for (int i = 0; i < 2; i++) {
		add_read(kq, fds[i], 0, U(i));
		expect_none(kq);
		send_bytes(fds[!i], 10);
		expect(kq, fds[i], EVFILT_READ, 0, 0, 10, U(i));
		read_bytes(fds[i], 4);
		expect(kq, fds[i], EVFILT_READ, 0, 0, 6, U(i));
		read_bytes(fds[i], 6);
		expect_none(kq);
	}
	close_pipe(fds);
	close(kq);
}

TEST(tcp_clear, "K-087 K-140")
{
	int kq = new_kq(), fds[2];
	make_tcp(fds);
	add_read(kq, fds[0], EV_CLEAR, U(1));
	for (int i = 1; i <= 3; i++) {
		send_bytes(fds[1], 5);
		expect(kq, fds[0], EVFILT_READ, EV_CLEAR, 0, 5 * i, U(1));
		expect_none(kq);
	}
	read_bytes(fds[0], 3);
	expect_none(kq);
	close(fds[1]);
	expect(kq, fds[0], EVFILT_READ, EV_CLEAR | EV_EOF, 0, 12, U(1));
	expect_none(kq);
	close(fds[0]);
	close(kq);
}

/* The peer's kernel says when it likes (40 ms, as a rule) that it has seen the end of our side: that is no arrival. */
TEST(acknowledged_end_is_no_arrival, "K-087 K-156")
{
	for (int added_first = 0; added_first < 2; added_first++) {
		int kq = new_kq(), fds[2];
		make_tcp(fds);
		for (int i = 0; i < 3; i++) { /* a conversation, so that the acknowledgement is a late one */
			send_bytes(fds[0], 1);
			wait_for(fds[1], POLLIN);
			read_bytes(fds[1], 1);
			send_bytes(fds[1], 1);
			wait_for(fds[0], POLLIN);
			read_bytes(fds[0], 1);
		}
		send_bytes(fds[1], 5);
		wait_for(fds[0], POLLIN);
		if (added_first) {
			add_read(kq, fds[0], EV_CLEAR, U(1));
			expect(kq, fds[0], EVFILT_READ, EV_CLEAR, 0, 5, U(1));
		}
		CHECK_OK(shutdown(fds[0], SHUT_WR));
		if (!added_first) {
			add_read(kq, fds[0], EV_CLEAR, U(1));
			expect(kq, fds[0], EVFILT_READ, EV_CLEAR, 0, 5, U(1));
		}
		for (int i = 0; i < 5; i++) {
			sleep_ms(30);
			expect_none(kq);
		}
		read_bytes(fds[0], 2);
		send_bytes(fds[1], 2); /* as many as before, and yet an arrival */
		expect(kq, fds[0], EVFILT_READ, EV_CLEAR, 0, 5, U(1));
		expect_none(kq);
		send_bytes(fds[1], 2);
		expect(kq, fds[0], EVFILT_READ, EV_CLEAR, 0, 7, U(1));
		CHECK_OK(shutdown(fds[1], SHUT_WR));
		expect(kq, fds[0], EVFILT_READ, EV_CLEAR | EV_EOF, 0, 7, U(1));
		expect_none(kq);
		close_pipe(fds);
		close(kq);
	}
}

/* What has arrived before the end of one's own side is told of after it. */
TEST(arrival_before_the_own_end, "K-087 K-156")
{
	int kq = new_kq(), fds[2];
	make_tcp(fds);
	add_read(kq, fds[0], EV_CLEAR, U(1));
	send_bytes(fds[1], 1);
	expect(kq, fds[0], EVFILT_READ, EV_CLEAR, 0, 1, U(1));
	send_bytes(fds[1], 3);
	sleep_ms(5);
	CHECK_OK(shutdown(fds[0], SHUT_WR));
	expect(kq, fds[0], EVFILT_READ, EV_CLEAR, 0, 4, U(1));
	expect_none(kq);
	send_bytes(fds[1], 3);
	sleep_ms(5);
	CHECK_OK(shutdown(fds[0], SHUT_WR)); /* for the second time */
	expect(kq, fds[0], EVFILT_READ, EV_CLEAR, 0, 7, U(1));
	expect_none(kq);
	close_pipe(fds);
	close(kq);
}

TEST(backlog, "K-141")
{
	struct sockaddr_in address;
	int kq = new_kq(), listener = make_listener(&address), client[3], server[3];
	add_read(kq, listener, 0, U(1));
	expect_none(kq);
	for (int i = 0; i < 3; i++) {
		client[i] = connecting(&address);
		wait_for(client[i], POLLOUT);
		expect(kq, listener, EVFILT_READ, 0, 0, i + 1, U(1));
	}
	for (int i = 0; i < 3; i++) {
		server[i] = accept_one(listener);
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

TEST(lowat_on_tcp, "K-143 K-144")
{
	int kq = new_kq(), fds[2], mark = -1;
	socklen_t length = sizeof mark;
	make_tcp(fds);
	change(kq, fds[0], EVFILT_READ, EV_ADD, NOTE_LOWAT, 8, U(1));
	send_bytes(fds[1], 7);
	wait_for(fds[0], POLLIN);
	expect_none(kq);
	send_bytes(fds[1], 1);
	expect(kq, fds[0], EVFILT_READ, 0, 0, 8, U(1));
	CHECK_OK(getsockopt(fds[0], SOL_SOCKET, SO_RCVLOWAT, &mark, &length));
	CHECK_EQ(mark, 1); /* the program's own option is as it was */
	close_pipe(fds);
	close(kq);
}

TEST(own_low_water_mark_of_the_socket, "K-144")
{
	int kq = new_kq(), fds[2], mark = 5;
	make_tcp(fds);
	CHECK_OK(setsockopt(fds[0], SOL_SOCKET, SO_RCVLOWAT, &mark, sizeof mark));
	add_read(kq, fds[0], 0, U(1));
	send_bytes(fds[1], 4);
	sleep_ms(20);
	expect_none(kq);
	send_bytes(fds[1], 1);
	expect(kq, fds[0], EVFILT_READ, 0, 0, 5, U(1));
	close_pipe(fds);
	close(kq);
}

TEST(unconnected_socket_is_silent, "K-155")
{
	struct kevent list[ROOM];
	int kq = new_kq(), fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	add_read(kq, fd, 0, U(1));
	add_write(kq, fd, 0, U(2));
	CHECK_RET(kevent(kq, NULL, 0, list, ROOM, TIMEOUT_MS(50)), 0);
	struct sockaddr_in address;
	int listener = make_listener(&address);
	CHECK(connect(fd, (struct sockaddr *)&address, sizeof address) == 0 || errno == EINPROGRESS);
	expect(kq, fd, EVFILT_WRITE, 0, 0, SOME, U(2));
	int server = accept_one(listener);
	drop(kq, fd, EVFILT_WRITE);
	expect_none(kq);
	send_bytes(server, 2);
	expect(kq, fd, EVFILT_READ, 0, 0, 2, U(1));
	close(server);
	close(listener);
	close(fd);
	close(kq);
}

TEST(udp_data, "K-140 K-152 K-153")
{
	int kq = new_kq(), fds[2];
	char bytes[64];
	make_udp(fds);
	add_read(kq, fds[0], 0, U(1));
	expect_none(kq);
	send_bytes(fds[1], 3);
	expect(kq, fds[0], EVFILT_READ, 0, 0, 3, U(1));
	send_bytes(fds[1], 5);
	struct kevent ev = only(kq);
	CHECK(ev.data == 8 || ev.data == 3); /* FIONREAD knows only the first datagram */
	CHECK_RET(read(fds[0], bytes, sizeof bytes), 3);
	expect(kq, fds[0], EVFILT_READ, 0, 0, 5, U(1));
	CHECK_RET(read(fds[0], bytes, sizeof bytes), 5);
	expect_none(kq);
	CHECK_RET(send(fds[1], bytes, 0, 0), 0);
	expect(kq, fds[0], EVFILT_READ, 0, 0, 0, U(1));
	CHECK_RET(recv(fds[0], bytes, sizeof bytes, 0), 0);
	expect_none(kq);
	close_pipe(fds);
	close(kq);
}

/* An ICMP error makes the socket readable, without EOF; the program's next call has the error (14.14). */
TEST(udp_error, "K-154 K-095")
{
	int kq = new_kq(), fds[2];
	make_udp(fds);
	add_read(kq, fds[0], 0, U(1));
	close(fds[1]);
	send_bytes(fds[0], 4);
	expect(kq, fds[0], EVFILT_READ, 0, 0, 0, U(1));
	CHECK_ERR(write(fds[0], "x", 1), ECONNREFUSED);
	expect_none(kq);
	close(fds[0]);
	close(kq);
}

/* ------------------------------------------------------------------ errors of TCP */

TEST(peer_that_closes_is_no_error, "K-145 K-170")
{
	struct kevent list[ROOM];
	int kq = new_kq(), fds[2];
	make_tcp(fds);
	add_read(kq, fds[0], 0, U(1));
	add_write(kq, fds[0], 0, U(2));
	expect(kq, fds[0], EVFILT_WRITE, 0, 0, SOME, U(2));
	close(fds[1]);
	wait_for(fds[0], POLLIN);
	CHECK_EQ(harvest(kq, list, ROOM), 2);
	is_event(&list[0], fds[0], EVFILT_WRITE, 0, 0, SOME, U(2));
	is_event(&list[1], fds[0], EVFILT_READ, EV_EOF, 0, 0, U(1));
	close(fds[0]);
	close(kq);
}

/* A pair whose peer has sent a reset that has arrived. */
static int reset_socket(void)
{
	int fds[2];
	make_tcp(fds);
	linger_zero(fds[1]);
	close(fds[1]);
	wait_for(fds[0], POLLIN);
	return fds[0];
}

/* The event tells the error, and takes nothing from the program: the next call has it, and then it is used up. */
TEST(reset_is_told_and_kept_for_read, "K-095 14.13")
{
	char byte;
	int kq = new_kq(), fd = reset_socket();
	add_read(kq, fd, 0, U(1));
	expect(kq, fd, EVFILT_READ, EV_EOF, ECONNRESET, 0, U(1));
	expect(kq, fd, EVFILT_READ, EV_EOF, ECONNRESET, 0, U(1));
	CHECK_ERR(read(fd, &byte, 1), ECONNRESET);
	expect(kq, fd, EVFILT_READ, EV_EOF, 0, 0, U(1));
	CHECK_RET(read(fd, &byte, 1), 0);
	close(fd);
	close(kq);
}

TEST(reset_while_a_knote_waits, "K-095")
{
	int kq = new_kq(), fds[2];
	make_tcp(fds);
	add_read(kq, fds[0], 0, U(1));
	expect_none(kq);
	linger_zero(fds[1]);
	close(fds[1]);
	expect(kq, fds[0], EVFILT_READ, EV_EOF, ECONNRESET, 0, U(1));
	CHECK_EQ(socket_error(fds[0]), ECONNRESET);
	CHECK_EQ(socket_error(fds[0]), 0);
	expect(kq, fds[0], EVFILT_READ, EV_EOF, 0, 0, U(1));
	close(fds[0]);
	close(kq);
}

static ssize_t by_call(int fd, int call)
{
	char byte = 'x';
	struct iovec part = { &byte, 1 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	switch (call) {
	case 0: return read(fd, &byte, 1);
	case 1: return recv(fd, &byte, 1, 0);
	case 2: return recvfrom(fd, &byte, 1, 0, NULL, NULL);
	case 3: return recvmsg(fd, &message, 0);
	case 4: return readv(fd, &part, 1);
	case 5: return write(fd, &byte, 1);
	case 6: return send(fd, &byte, 1, 0);
	case 7: return sendmsg(fd, &message, 0);
	default: return writev(fd, &part, 1);
	}
}

/* Linux would have failed each of these with the error; after that reads end and writes break. */
TEST(error_goes_to_the_first_call, "K-095")
{
	signal(SIGPIPE, SIG_IGN);
	for (int call = 0; call < 9; call++) {
		int kq = new_kq(), fd = reset_socket(), other = reset_socket();
		CHECK_EQ(by_call(other, call), -1);
		int error = errno; /* without a queue */
		add_read(kq, fd, 0, U(1));
		expect(kq, fd, EVFILT_READ, EV_EOF, ECONNRESET, 0, U(1));
		CHECK_ERR(by_call(fd, call), error);
		CHECK_EQ(by_call(fd, call), call < 5 ? 0 : -1);
		CHECK_EQ(socket_error(fd), 0);
		close(other);
		close(fd);
		close(kq);
	}
}

TEST(kept_error_does_not_outlive_the_number, "K-095")
{
	int kq = new_kq(), fd = reset_socket(), pair[2];
	add_read(kq, fd, 0, U(1));
	expect(kq, fd, EVFILT_READ, EV_EOF, ECONNRESET, 0, U(1));
	close(fd);
	make_tcp(pair);
	CHECK(pair[0] == fd || pair[1] == fd);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(socket_error(pair[i]), 0);
		send_bytes(pair[i], 1);
		wait_for(pair[!i], POLLIN);
		read_bytes(pair[!i], 1);
	}
	close_pipe(pair);
	close(kq);
}

TEST(refused_connect, "K-096 K-164 14.13")
{
	struct sockaddr_in address = nobody();
	for (int filter = EVFILT_READ; filter >= EVFILT_WRITE; filter--) {
		int kq = new_kq(), fd = connecting(&address);
		change(kq, fd, filter, EV_ADD, 0, 0, U(1));
		struct kevent ev = only(kq);
		is_event(&ev, fd, filter, EV_EOF, ECONNREFUSED, ANY, U(1));
		CHECK_EQ(socket_error(fd), ECONNREFUSED);
		CHECK_EQ(socket_error(fd), 0);
		close(fd);
		close(kq);
	}
}
