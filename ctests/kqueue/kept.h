/*
 * kept.h: sockets with an error that a queue tells of. Include it after inet.h.
 *
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#ifndef EVSHIM_TEST_KEPT_H
#define EVSHIM_TEST_KEPT_H

enum state { RESET, RESET_WITH_DATA, REFUSED, BROKEN, BROKEN_WITH_DATA, HALF_CLOSED, DEAF, STATES };

/* A connection whose peer closed properly and answered our next bytes with a reset. */
H_UNUSED static int broken(int fds[2], size_t unread)
{
	if (unread > 0)
		send_bytes(fds[1], unread);
	CHECK_OK(shutdown(fds[1], SHUT_WR));
	wait_for(fds[0], POLLIN);
	close(fds[1]);
	sleep_ms(1);
	send_bytes(fds[0], 1);
	wait_for(fds[0], POLLHUP);
	return fds[0];
}

H_UNUSED static int make(enum state state)
{
	struct sockaddr_in address;
	int fds[2];
	if (state == REFUSED) {
		address = nobody();
		fds[0] = connecting(&address);
		wait_for(fds[0], POLLHUP);
		return fds[0];
	}
	make_tcp(fds);
	if (state == BROKEN || state == BROKEN_WITH_DATA)
		return broken(fds, state == BROKEN ? 0 : 5);
	if (state == RESET_WITH_DATA) {
		send_bytes(fds[1], 5);
		wait_for(fds[0], POLLIN);
	}
	if (state == HALF_CLOSED || state == DEAF)
		CHECK_OK(shutdown(fds[0], state == DEAF ? SHUT_RD : SHUT_WR));
	linger_zero(fds[1]);
	close(fds[1]);
	wait_for(fds[0], POLLHUP);
	return fds[0];
}

H_UNUSED static int error_of(enum state state)
{
	return state == REFUSED ? ECONNREFUSED : state == BROKEN || state == BROKEN_WITH_DATA ? EPIPE : ECONNRESET;
}

/* The same, and its error was told by the events of a queue that has both filters on it. */
H_UNUSED static int make_told(enum state state, int kq)
{
	struct kevent list[ROOM];
	int fd = make(state);
	add_read(kq, fd, 0, U(1));
	add_write(kq, fd, 0, U(2));
	for (int round = 0; round < 2; round++) {
		CHECK_EQ(harvest(kq, list, ROOM), 2);
		for (int i = 0; i < 2; i++) {
			CHECK_EQ(list[i].flags, EV_EOF);
			CHECK_EQ(list[i].fflags, (unsigned)error_of(state));
		}
	}
	return fd;
}

#endif /* EVSHIM_TEST_KEPT_H */
