/* EVFILT_WRITE (7.2): connections that come about or not, and ends that go. */
#include "harness.h"
#include "kqueue.h"
#include "inet.h"

TEST(last_reader_of_a_pipe_goes, "K-162 14.4")
{
	int kq = new_kq(), fds[2];
	signal(SIGPIPE, SIG_IGN);
	make_pipe(fds);
	add_write(kq, fds[1], 0, U(1));
	expect(kq, fds[1], EVFILT_WRITE, 0, 0, SOME, U(1));
	close(fds[0]);
	struct kevent ev = only(kq);
	is_event(&ev, fds[1], EVFILT_WRITE, EV_EOF | EV_ONESHOT, 0, ANY, U(1));
	expect_none(kq);
	CHECK_GONE(kq, fds[1], EVFILT_WRITE);
	CHECK_ERR(write(fds[1], "x", 1), EPIPE);
	close(fds[1]);
	close(kq);
}

TEST(pipe_without_a_reader, "K-163")
{
	int kq = new_kq(), fds[2];
	make_pipe(fds);
	close(fds[0]);
	CHECK_EQ(try_change(kq, (uintptr_t)fds[1], EVFILT_WRITE, EV_ADD, 0, 0, U(1)), EPIPE);
	expect_none(kq);
	CHECK_GONE(kq, fds[1], EVFILT_WRITE);
	close(fds[1]);
	close(kq);
}

TEST(connect_succeeds, "K-164")
{
	struct sockaddr_in address;
	int kq = new_kq(), listener = make_listener(&address), fd = connecting(&address);
	add_write(kq, fd, EV_ONESHOT, U(1));
	expect(kq, fd, EVFILT_WRITE, EV_ONESHOT, 0, SOME, U(1));
	CHECK_EQ(socket_error(fd), 0);
	close(accept_one(listener));
	close(fd);
	close(listener);
	close(kq);
}

TEST(connect_fails, "K-164 K-096")
{
	struct sockaddr_in address = nobody();
	struct kevent list[ROOM];
	int kq = new_kq(), fd = connecting(&address);
	wait_for(fd, POLLOUT);
	add_write(kq, fd, 0, U(1));
	add_read(kq, fd, 0, U(2));
	CHECK_EQ(harvest(kq, list, ROOM), 2);
	is_event(&list[0], fd, EVFILT_WRITE, EV_EOF, ECONNREFUSED, ANY, U(1));
	is_event(&list[1], fd, EVFILT_READ, EV_EOF, ECONNREFUSED, 0, U(2));
	CHECK_EQ(socket_error(fd), ECONNREFUSED);
	CHECK_EQ(harvest(kq, list, ROOM), 2);
	is_event(&list[0], fd, EVFILT_WRITE, EV_EOF, 0, ANY, U(1));
	is_event(&list[1], fd, EVFILT_READ, EV_EOF, 0, 0, U(2));
	close(fd);
	close(kq);
}

TEST(write_into_a_closed_peer, "K-170 14.13")
{
	struct kevent list[ROOM];
	int kq = new_kq(), fds[2];
	signal(SIGPIPE, SIG_IGN);
	make_tcp(fds);
	add_read(kq, fds[0], 0, U(1));
	add_write(kq, fds[0], 0, U(2));
	expect(kq, fds[0], EVFILT_WRITE, 0, 0, SOME, U(2));
	close(fds[1]);
	wait_for(fds[0], POLLIN);
	CHECK_EQ(harvest(kq, list, ROOM), 2);
	send_bytes(fds[0], 1);
	wait_for(fds[0], POLLHUP);
	CHECK_EQ(harvest(kq, list, ROOM), 2);
	/* FreeBSD says ECONNRESET; Linux calls it EPIPE once the peer's end of file is known. */
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(list[i].flags, EV_EOF);
		CHECK(list[i].fflags == ECONNRESET || list[i].fflags == EPIPE);
	}
	int error = (int)list[0].fflags;
	CHECK_EQ(socket_error(fds[0]), error); /* read gives the end of file that came first */
	CHECK_EQ(harvest(kq, list, ROOM), 2);
	for (int i = 0; i < 2; i++)
		is_event(&list[i], fds[0], list[i].filter, EV_EOF, 0, ANY, list[i].filter == EVFILT_READ ? U(1) : U(2));
	close(fds[0]);
	close(kq);
}

TEST(closed_peer_of_a_unix_socket, "K-170")
{
	struct kevent list[ROOM];
	int kq = new_kq(), fds[2];
	make_pair(fds);
	add_read(kq, fds[0], 0, U(1));
	add_write(kq, fds[0], 0, U(2));
	close(fds[1]);
	for (int round = 0; round < 2; round++) {
		CHECK_EQ(harvest(kq, list, ROOM), 2);
		is_event(&list[0], fds[0], EVFILT_WRITE, EV_EOF, 0, ANY, U(2));
		is_event(&list[1], fds[0], EVFILT_READ, EV_EOF, 0, 0, U(1));
	}
	close(fds[0]);
	close(kq);
}

TEST(own_shutdown_for_writing, "K-156 7.2")
{
	struct kevent list[ROOM];
	int kq = new_kq(), fds[2];
	make_pair(fds);
	add_write(kq, fds[0], 0, U(1));
	add_read(kq, fds[1], 0, U(2));
	CHECK_OK(shutdown(fds[0], SHUT_WR));
	CHECK_EQ(harvest(kq, list, ROOM), 2);
	is_event(&list[0], fds[0], EVFILT_WRITE, EV_EOF, 0, ANY, U(1));
	is_event(&list[1], fds[1], EVFILT_READ, EV_EOF, 0, 0, U(2));
	close_pipe(fds);
	close(kq);
}
