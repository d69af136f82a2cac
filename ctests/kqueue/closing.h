/*
 * closing.h: a watched descriptor that goes while its open file lives on. Include it after kqueue.h.
 *
 * The descriptor is one end of a socket pair, and a duplicate of it stays open. The kernel alone would keep such a
 * registration, so only a library that sees the number go can pass.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#ifndef EVSHIM_TEST_CLOSING_H
#define EVSHIM_TEST_CLOSING_H

struct rig {
	int kq;
	int fd;   /* the watched number */
	int keep; /* another number of the same open file */
	int peer; /* write here to make it readable */
};

/* A byte lies there already (the event is pending then), or none. */
H_UNUSED static void rig_open(struct rig *r, bool ready)
{
	int fds[2];
	make_pair(fds);
	r->fd = fds[0];
	r->peer = fds[1];
	r->keep = dup(fds[0]);
	r->kq = new_kq();
	if (ready)
		put(r->peer);
	add_read(r->kq, r->fd, 0, U(1));
	change(r->kq, r->fd, EVFILT_WRITE, EV_ADD | EV_DISPATCH, 0, 0, U(2));
	if (ready) {
		struct kevent list[ROOM];
		CHECK_EQ(harvest(r->kq, list, ROOM), 2);
	}
}

/* No event is left, none comes, the number is unknown to the queue, and the other one can be watched. */
H_UNUSED static void h_rig_purged(HERE_PARAMS, struct rig *r)
{
	int error = fcntl(r->fd, F_GETFD) == -1 ? EBADF : ENOENT;
	h_expect_none(file, line, r->kq);
	put(r->peer);
	h_expect_none(file, line, r->kq);
	for (int filter = EVFILT_READ; filter >= EVFILT_WRITE; filter--) {
		int got = try_change(r->kq, (uintptr_t)r->fd, filter, EV_DELETE, 0, 0, NULL);
		if (got != error)
			h_fail(file, line, "EV_DELETE of the number: errno %d, expected %d", got, error);
	}
	add_read(r->kq, r->keep, 0, U(3));
	h_expect(file, line, r->kq, (uintptr_t)r->keep, EVFILT_READ, 0, 0, ANY, U(3));
	drop(r->kq, r->keep, EVFILT_READ);
}

H_UNUSED static void rig_close(struct rig *r)
{
	close(r->keep);
	close(r->peer);
	close(r->kq);
}

#define rig_purged(r) h_rig_purged(HERE, r)

#endif /* EVSHIM_TEST_CLOSING_H */
