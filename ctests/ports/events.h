/*
 * events.h: how the tests of this directory make ports and look at events. Include it after harness.h.
 * The checks are functions with the caller's line, so that a failure points into the test.
 *
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#ifndef EVSHIM_TEST_EVENTS_H
#define EVSHIM_TEST_EVENTS_H

#include <limits.h>

/* A user value that a library cannot make up. */
#define USER(n) ((void *)((uintptr_t)0xC0FFEE00 + (uintptr_t)(n)))

/* An address in the first page and addresses that no user process can have. NULL is tested by itself. */
#define BAD_ADDRESSES                                                                                     \
	{                                                                                                 \
		(void *)8, (void *)-4096, (void *)(uintptr_t)0xffff800000000000                           \
	}

#define HERE_PARAMS const char *file, int line
#define HERE __FILE__, __LINE__

H_UNUSED static int h_new_port(HERE_PARAMS)
{
	errno = H_SENTINEL;
	int port = port_create();
	if (port < 0 || errno != H_SENTINEL)
		h_fail(file, line, "port_create: %d, errno %d", port, errno);
	return port;
}

/* A number that is not open. */
H_UNUSED static int closed_fd(void)
{
	int fd = dup(STDOUT_FILENO);
	close(fd);
	return fd;
}

H_UNUSED static void h_watch_fd(HERE_PARAMS, int port, int fd, int events, void *user)
{
	errno = H_SENTINEL;
	int result = port_associate(port, PORT_SOURCE_FD, (uintptr_t)fd, events, user);
	if (result != 0 || errno != H_SENTINEL)
		h_fail(file, line, "port_associate(%d, FD, %d, %#x): %d, errno %d", port, fd, events, result, errno);
}

/* The oldest event; waits for it. */
H_UNUSED static port_event_t h_get_one(HERE_PARAMS, int port)
{
	port_event_t pe;
	memset(&pe, 0xa5, sizeof pe);
	errno = H_SENTINEL;
	int result = port_get(port, &pe, LONG_TIMEOUT);
	if (result != 0 || errno != H_SENTINEL)
		h_fail(file, line, "port_get: %d, errno %d (%s)", result, errno, strerror(errno));
	return pe;
}

/* Takes what is there without waiting: R7.3 makes that a success, even if there is nothing. */
H_UNUSED static unsigned h_take_all(HERE_PARAMS, int port, port_event_t *list, unsigned max)
{
	unsigned count = 1;
	errno = H_SENTINEL;
	int result = port_getn(port, list, max, &count, ZERO_TIMEOUT);
	if (result != 0 || errno != H_SENTINEL || count > max)
		h_fail(file, line, "port_getn, no wait: %d, errno %d, count %u", result, errno, count);
	return count;
}

H_UNUSED static void h_expect_none(HERE_PARAMS, int port)
{
	port_event_t list[4];
	unsigned got = h_take_all(file, line, port, list, 4), queued = pending(port);
	if (got != 0)
		h_fail(file, line, "unexpected event: source %u, object %#lx, events %#x", list[0].portev_source,
			(unsigned long)list[0].portev_object, (unsigned)list[0].portev_events);
	if (queued != 0)
		h_fail(file, line, "nothing to retrieve, but %u events are said to be queued", queued);
}

H_UNUSED static void h_is_user(HERE_PARAMS, const port_event_t *pe, int events, void *user)
{
	if (pe->portev_source != PORT_SOURCE_USER || pe->portev_events != events || pe->portev_user != user)
		h_fail(file, line, "source %u, events %#x, user %p; expected a user event %#x, %p",
			pe->portev_source, (unsigned)pe->portev_events, pe->portev_user, (unsigned)events, user);
}

H_UNUSED static void h_is_alert(HERE_PARAMS, const port_event_t *pe, int events, void *user)
{
	if (pe->portev_source != PORT_SOURCE_ALERT || pe->portev_events != events || pe->portev_user != user
		|| pe->portev_object != 0)
		h_fail(file, line, "source %u, events %#x, user %p, object %#lx; expected the alert %#x, %p",
			pe->portev_source, (unsigned)pe->portev_events, pe->portev_user,
			(unsigned long)pe->portev_object, (unsigned)events, user);
}

/* An event of descriptor fd that has all bits of `events`, and none beyond `allowed` (R4.6). */
H_UNUSED static void h_is_fd(HERE_PARAMS, const port_event_t *pe, int fd, int events, int allowed, void *user)
{
	if (pe->portev_source != PORT_SOURCE_FD || pe->portev_object != (uintptr_t)fd || pe->portev_user != user
		|| (pe->portev_events & events) != events || (pe->portev_events & ~(events | allowed)) != 0)
		h_fail(file, line, "source %u, object %#lx, events %#x, user %p; expected descriptor %d, %#x, %p",
			pe->portev_source, (unsigned long)pe->portev_object, (unsigned)pe->portev_events,
			pe->portev_user, fd, (unsigned)events, user);
}

H_UNUSED static void h_get_fd(HERE_PARAMS, int port, int fd, int events, void *user)
{
	port_event_t pe = h_get_one(file, line, port);
	h_is_fd(file, line, &pe, fd, events, POLLHUP | POLLERR, user);
}

#define new_port() h_new_port(HERE)
#define watch(port, fd, events, user) h_watch_fd(HERE, port, fd, events, user)
#define unwatch(port, fd) port_dissociate(port, PORT_SOURCE_FD, (uintptr_t)(fd))
#define get_one(port) h_get_one(HERE, port)
#define take_all(port, list, max) h_take_all(HERE, port, list, max)
#define expect_none(port) h_expect_none(HERE, port)
#define is_user(pe, events, user) h_is_user(HERE, pe, events, user)
#define is_alert(pe, events, user) h_is_alert(HERE, pe, events, user)
#define is_fd(pe, fd, events, user) h_is_fd(HERE, pe, fd, events, POLLHUP | POLLERR, user)
#define get_fd(port, fd, events, user) h_get_fd(HERE, port, fd, events, user)
#define get_user(port, events, user)                                                                      \
	do {                                                                                              \
		port_event_t h_pe = get_one(port);                                                        \
		is_user(&h_pe, events, user);                                                             \
	} while (0)
#define get_alert(port, events, user)                                                                     \
	do {                                                                                              \
		port_event_t h_pe = get_one(port);                                                        \
		is_alert(&h_pe, events, user);                                                            \
	} while (0)

#endif /* EVSHIM_TEST_EVENTS_H */
