/*
 * kqueue.h: how the tests of this directory change queues and look at events. Include it after harness.h.
 * The checks are functions with the caller's line, so that a failure points into the test.
 *
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#ifndef EVSHIM_TEST_KQUEUE_H
#define EVSHIM_TEST_KQUEUE_H

#include <limits.h>
#include <sys/event.h>
#include <sys/socket.h>
#include <sys/types.h>

/* A user value that a library cannot make up; all 64 bits are used (K-073). */
#define U(n) ((void *)(uintptr_t)(0xC0FFEE5A00000000ULL + (uintptr_t)(n)))
/* For the data of an expected event: greater than 0, as free space differs between systems; or not looked at. */
#define SOME INTPTR_MIN
#define ANY (INTPTR_MIN + 1)
#define ROOM 8 /* of the lists of events in these tests */

#define HERE_PARAMS const char *file, int line
#define HERE __FILE__, __LINE__

H_UNUSED static int h_new_kq(HERE_PARAMS)
{
	errno = H_SENTINEL;
	int kq = kqueue();
	if (kq < 0 || errno != H_SENTINEL)
		h_fail(file, line, "kqueue: %d, errno %d (%s)", kq, errno, strerror(errno));
	return kq;
}

/* A number that is not open. */
H_UNUSED static int closed_fd(void)
{
	int fd = dup(STDOUT_FILENO);
	close(fd);
	return fd;
}

H_UNUSED static struct kevent kev(uintptr_t ident, int filter, unsigned flags, unsigned fflags, intptr_t data,
	void *udata)
{
	struct kevent ev;
	EV_SET(&ev, ident, (short)filter, (unsigned short)flags, fflags, data, udata);
	return ev;
}

/* One change without room for events: 0, or the errno with which the call failed. */
H_UNUSED static int try_change(int kq, uintptr_t ident, int filter, unsigned flags, unsigned fflags, intptr_t data,
	void *udata)
{
	struct kevent ev = kev(ident, filter, flags, fflags, data, udata);
	int result = kevent(kq, &ev, 1, NULL, 0, NULL);
	return result == 0 ? 0 : result == -1 ? errno : -1;
}

H_UNUSED static void h_change(HERE_PARAMS, int kq, uintptr_t ident, int filter, unsigned flags, unsigned fflags,
	intptr_t data, void *udata)
{
	errno = H_SENTINEL;
	int error = try_change(kq, ident, filter, flags, fflags, data, udata);
	if (error != 0 || errno != H_SENTINEL)
		h_fail(file, line, "change of %ld, filter %d, flags %#x: %s", (long)ident, filter, flags,
			error == 0 ? "errno touched" : error < 0 ? "not 0, not -1" : strerror(error));
}

/* What is there, without waiting. The rest of the list stays as it was. */
H_UNUSED static int h_harvest(HERE_PARAMS, int kq, struct kevent *list, int max)
{
	memset(list, 0xa5, sizeof *list * (size_t)max);
	errno = H_SENTINEL;
	int got = kevent(kq, NULL, 0, list, max, ZERO_TIMEOUT);
	if (got < 0 || got > max || errno != H_SENTINEL)
		h_fail(file, line, "kevent(%d), no wait: %d, errno %d (%s)", kq, got, errno, strerror(errno));
	return got;
}

H_UNUSED static void h_say(char *text, size_t size, const struct kevent *ev)
{
	snprintf(text, size, "ident %ld, filter %d, flags %#x, fflags %#x, data %ld, udata %p", (long)ev->ident,
		ev->filter, ev->flags, ev->fflags, (long)ev->data, ev->udata);
}

H_UNUSED static void h_expect_none(HERE_PARAMS, int kq)
{
	struct kevent list[ROOM];
	char text[256];
	if (h_harvest(file, line, kq, list, ROOM) == 0)
		return;
	h_say(text, sizeof text, list);
	h_fail(file, line, "unexpected event: %s", text);
}

/* Every field (K-071, K-072): the flags are those of the knote without the actions, the fflags what happened. */
H_UNUSED static void h_is_event(HERE_PARAMS, const struct kevent *ev, uintptr_t ident, int filter, unsigned flags,
	unsigned fflags, intptr_t data, void *udata)
{
	struct kevent want = kev(ident, filter, flags, fflags, data, udata);
	bool right = data == ANY || (data == SOME ? ev->data > 0 : ev->data == data);
	char got[256], wanted[256];
	if (right && ev->ident == ident && ev->filter == filter && ev->flags == flags && ev->fflags == fflags
		&& ev->udata == udata)
		return;
	h_say(got, sizeof got, ev);
	h_say(wanted, sizeof wanted, &want);
	h_fail(file, line, "event: %s; expected %s%s", got, wanted,
		data == SOME ? " (data above 0)" : data == ANY ? " (data not looked at)" : "");
}

/* An error entry or receipt: EV_ERROR alone; its fflags are nobody's business (3.1, step 5). */
H_UNUSED static void h_is_error(HERE_PARAMS, const struct kevent *ev, uintptr_t ident, int filter, int error,
	void *udata)
{
	char got[256];
	h_say(got, sizeof got, ev);
	if (ev->flags != EV_ERROR || ev->ident != ident || ev->filter != filter || ev->data != error
		|| ev->udata != udata)
		h_fail(file, line, "entry: %s; expected EV_ERROR with %ld, %d, error %d, %p", got, (long)ident, filter,
			error, udata);
}

/* Waits for events; there must be exactly one. */
H_UNUSED static struct kevent h_only(HERE_PARAMS, int kq)
{
	struct kevent list[ROOM];
	char text[256];
	memset(list, 0xa5, sizeof list);
	errno = H_SENTINEL;
	int got = kevent(kq, NULL, 0, list, ROOM, LONG_TIMEOUT);
	if (got == 0)
		h_fail(file, line, "no event");
	if (got < 0 || errno != H_SENTINEL)
		h_fail(file, line, "kevent: %d, errno %d (%s)", got, errno, strerror(errno));
	h_say(text, sizeof text, &list[1]);
	if (got != 1)
		h_fail(file, line, "%d events where there should be 1; the second: %s", got, text);
	return list[0];
}

H_UNUSED static void h_expect(HERE_PARAMS, int kq, uintptr_t ident, int filter, unsigned flags, unsigned fflags,
	intptr_t data, void *udata)
{
	struct kevent ev = h_only(file, line, kq);
	h_is_event(file, line, &ev, ident, filter, flags, fflags, data, udata);
}

#define new_kq() h_new_kq(HERE)
#define change(kq, ident, ...) h_change(HERE, kq, (uintptr_t)(ident), __VA_ARGS__)
#define harvest(kq, list, max) h_harvest(HERE, kq, list, max)
#define expect_none(kq) h_expect_none(HERE, kq)
#define is_event(ev, ident, ...) h_is_event(HERE, ev, (uintptr_t)(ident), __VA_ARGS__)
#define is_error(ev, ident, filter, error, udata) h_is_error(HERE, ev, (uintptr_t)(ident), filter, error, udata)
#define only(kq) h_only(HERE, kq)
#define expect(kq, ident, ...) h_expect(HERE, kq, (uintptr_t)(ident), __VA_ARGS__)

/* The changes that most tests make. */
#define add_read(kq, fd, flags, udata) change(kq, fd, EVFILT_READ, EV_ADD | (flags), 0, 0, udata)
#define add_write(kq, fd, flags, udata) change(kq, fd, EVFILT_WRITE, EV_ADD | (flags), 0, 0, udata)
#define add_user(kq, ident, flags, udata) change(kq, ident, EVFILT_USER, EV_ADD | (flags), 0, 0, udata)
#define trigger(kq, ident, udata) change(kq, ident, EVFILT_USER, 0, NOTE_TRIGGER, 0, udata)
#define drop(kq, ident, filter) change(kq, ident, filter, EV_DELETE, 0, 0, NULL)
#define CHECK_GONE(kq, ident, filter)                                                                     \
	CHECK_EQ(try_change(kq, (uintptr_t)(ident), filter, EV_DELETE, 0, 0, NULL), ENOENT)

/* ------------------------------------------------------------------ descriptors */

H_UNUSED static void make_pair(int fds[2])
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == -1)
		FAIL("socketpair: %s", strerror(errno));
}

H_UNUSED static void send_bytes(int fd, size_t count)
{
	static const char zeros[65536];
	if (write(fd, zeros, count) != (ssize_t)count)
		FAIL("write(%d, %zu): %s", fd, count, strerror(errno));
}

H_UNUSED static void read_bytes(int fd, size_t count)
{
	char bytes[65536];
	ssize_t got = read(fd, bytes, count);
	if (got != (ssize_t)count)
		FAIL("read(%d, %zu): %zd (%s)", fd, count, got, strerror(errno));
}

H_UNUSED static void set_nonblocking(int fd)
{
	CHECK_OK(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK));
}

/* Writes until nothing goes in any more: how many bytes went. */
H_UNUSED static size_t fill(int fd)
{
	static const char zeros[4096];
	size_t total = 0;
	set_nonblocking(fd);
	for (size_t piece = sizeof zeros; piece > 0; piece /= 64)
		for (ssize_t got; (got = write(fd, zeros, piece)) > 0;)
			total += (size_t)got;
	return total;
}

/* Reads until nothing is left: how many bytes came. */
H_UNUSED static size_t drain(int fd)
{
	char bytes[65536];
	size_t total = 0;
	set_nonblocking(fd);
	for (ssize_t got; (got = read(fd, bytes, sizeof bytes)) > 0;)
		total += (size_t)got;
	return total;
}

H_UNUSED static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLRDNORM | POLLOUT };
	int ready = poll(&p, 1, 0);
	CHECK(ready == 0 || ready == 1);
	CHECK_EQ(p.revents & ~(POLLIN | POLLRDNORM), 0);
	return p.revents != 0;
}

/* ------------------------------------------------------------------ sleepers */

/* One waiting call in a thread of its own, and its outcome. */
struct sleeper {
	struct thread thread;
	int kq;
	long timeout_ms; /* -1: none */
	int room, result, error;
	struct kevent list[ROOM];
};

H_UNUSED static void *sleeper_main(void *arg)
{
	struct sleeper *s = arg;
	struct timespec ts = { s->timeout_ms / 1000, s->timeout_ms % 1000 * 1000000 };
	memset(s->list, 0xa5, sizeof s->list);
	errno = H_SENTINEL;
	s->result = kevent(s->kq, NULL, 0, s->list, s->room, s->timeout_ms < 0 ? NULL : &ts);
	s->error = errno;
	return NULL;
}

/* Starts a sleeper and sees it asleep. */
H_UNUSED static void h_sleep_in(HERE_PARAMS, struct sleeper *s, int kq, long timeout_ms)
{
	*s = (struct sleeper){ .kq = kq, .timeout_ms = timeout_ms, .room = ROOM };
	thread_start(&s->thread, sleeper_main, s);
	h_wait_until_blocked(file, line, getpid(), s->thread.tid);
}

H_UNUSED static void h_join_sleeper(HERE_PARAMS, struct sleeper *s, int result, int error)
{
	thread_join(&s->thread);
	if (s->result != result || s->error != (result >= 0 ? H_SENTINEL : error))
		h_fail(file, line, "the sleeping call returned %d, errno %d (%s); expected %d, %s", s->result, s->error,
			s->error == H_SENTINEL ? "untouched" : strerror(s->error), result,
			result >= 0 ? "errno untouched" : strerror(error));
}

#define sleep_in(s, kq, timeout_ms) h_sleep_in(HERE, s, kq, timeout_ms)
#define join_sleeper(s, result, error) h_join_sleeper(HERE, s, result, error)

#endif /* EVSHIM_TEST_KQUEUE_H */
