/* env: EVSHIM_KEEP_ERRORS=0 */
/* modes: shared static preload dlopen */
/* The program does not want its errors taken, or its calls do not reach the library: events tell of the end alone. */
#include "harness.h"
#include "kqueue.h"
#include "inet.h"

TEST(error_stays_in_the_kernel, "K-095")
{
	struct kevent list[ROOM];
	struct sockaddr_in address = nobody();
	int kq = new_kq(), fds[2], refused = connecting(&address);
	char byte;
	make_tcp(fds);
	linger_zero(fds[1]);
	close(fds[1]);
	wait_for(fds[0], POLLHUP);
	add_read(kq, fds[0], 0, U(1));
	add_write(kq, fds[0], 0, U(2));
	add_write(kq, refused, 0, U(3));
	wait_for(refused, POLLHUP);
	for (int round = 0; round < 2; round++) {
		CHECK_EQ(harvest(kq, list, ROOM), 3);
		for (int i = 0; i < 3; i++) {
			CHECK_EQ(list[i].flags, EV_EOF);
			CHECK_EQ(list[i].fflags, 0);
		}
		wait_for(fds[0], POLLERR);
	}
	CHECK_ERR(read(fds[0], &byte, 1), ECONNRESET);
	CHECK_EQ(socket_error(refused), ECONNREFUSED);
	close(refused);
	close(fds[0]);
	close(kq);
}

TEST(end_of_sending, "K-156 K-170")
{
	int kq = new_kq(), fds[2];
	make_tcp(fds);
	add_write(kq, fds[0], 0, U(1));
	expect(kq, fds[0], EVFILT_WRITE, 0, 0, SOME, U(1));
	CHECK_OK(shutdown(fds[1], SHUT_WR));
	wait_for(fds[0], POLLIN);
	expect(kq, fds[0], EVFILT_WRITE, 0, 0, SOME, U(1));
	drop(kq, fds[0], EVFILT_WRITE);
	CHECK_OK(shutdown(fds[0], SHUT_WR));
	add_write(kq, fds[0], 0, U(1));
	expect(kq, fds[0], EVFILT_WRITE, EV_EOF, 0, ANY, U(1));
	close_pipe(fds);
	close(kq);
}
