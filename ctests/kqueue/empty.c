/* EVFILT_EMPTY (7.3): everything that was written has left. */
#include "harness.h"
#include "kqueue.h"
#include "inet.h"

TEST(idle_socket, "K-175")
{
	int kq = new_kq(), tcp[2], pair[2];
	make_tcp(tcp);
	make_pair(pair);
	change(kq, tcp[0], EVFILT_EMPTY, EV_ADD, 0, 0, U(1));
	expect(kq, tcp[0], EVFILT_EMPTY, 0, 0, 0, U(1));
	expect(kq, tcp[0], EVFILT_EMPTY, 0, 0, 0, U(1));
	drop(kq, tcp[0], EVFILT_EMPTY);
	CHECK_GONE(kq, tcp[0], EVFILT_EMPTY);
	change(kq, pair[0], EVFILT_EMPTY, EV_ADD | EV_ONESHOT, 0, 0, U(2));
	expect(kq, pair[0], EVFILT_EMPTY, EV_ONESHOT, 0, 0, U(2));
	CHECK_GONE(kq, pair[0], EVFILT_EMPTY);
	close_pipe(tcp);
	close_pipe(pair);
	close(kq);
}

static size_t stuff(int fd)
{
	size_t sent = 0;
	for (size_t more; (more = fill(fd)) > 0; sent += more)
		sleep_ms(20);
	return sent;
}

static void read_all(int fd, size_t count)
{
	while (count > 0) {
		wait_for(fd, POLLIN);
		count -= drain(fd);
	}
}

TEST(not_before_the_last_byte_has_left, "K-175")
{
	struct sleeper s;
	int kq = new_kq(), fds[2];
	make_tcp(fds);
	size_t sent = stuff(fds[0]);
	change(kq, fds[0], EVFILT_EMPTY, EV_ADD | EV_CLEAR, 0, 0, U(1));
	change(kq, fds[0], EVFILT_READ, EV_ADD, 0, 0, U(2)); /* another filter of the same descriptor */
	expect_none(kq);
	sleep_in(&s, kq, -1);
	sleep_ms(100);
	CHECK(!thread_done(&s.thread));
	read_all(fds[1], sent);
	join_sleeper(&s, 1, 0);
	is_event(&s.list[0], fds[0], EVFILT_EMPTY, EV_CLEAR, 0, 0, U(1));
	close_pipe(fds);
	close(kq);
}

TEST(disabled, "K-175 K-080")
{
	int kq = new_kq(), fds[2];
	make_tcp(fds);
	change(kq, fds[0], EVFILT_EMPTY, EV_ADD | EV_DISABLE, 0, 0, U(1));
	expect_none(kq);
	size_t sent = stuff(fds[0]);
	change(kq, fds[0], EVFILT_EMPTY, EV_ENABLE, 0, 0, U(1));
	expect_none(kq);
	read_all(fds[1], sent);
	expect(kq, fds[0], EVFILT_EMPTY, 0, 0, 0, U(1));
	CHECK_OK(close(fds[0]));
	expect_none(kq);
	close(fds[1]);
	close(kq);
}

TEST(listener, "K-175 7.3")
{
	struct sockaddr_in address;
	int kq = new_kq(), listener = make_listener(&address);
	change(kq, listener, EVFILT_EMPTY, EV_ADD, 0, 0, U(1));
	expect(kq, listener, EVFILT_EMPTY, 0, 0, 0, U(1));
	close(listener);
	close(kq);
}

TEST(not_a_socket, "7.3")
{
	int kq = new_kq(), fds[2], null = open("/dev/null", O_RDWR);
	make_pipe(fds);
	CHECK_EQ(try_change(kq, (uintptr_t)fds[1], EVFILT_EMPTY, EV_ADD, 0, 0, U(1)), EINVAL);
	CHECK_EQ(try_change(kq, (uintptr_t)null, EVFILT_EMPTY, EV_ADD, 0, 0, U(1)), EINVAL);
	expect_none(kq);
	close(null);
	close_pipe(fds);
	close(kq);
}
