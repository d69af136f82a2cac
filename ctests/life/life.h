/*
 * life.h: what the tests of descriptor lifetime share.
 *
 * The descriptor under attack is one end of a socket pair, and a duplicate of it stays open. The kernel alone
 * would keep such a registration, so only a library that sees the number go can pass.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#ifndef EVSHIM_TEST_LIFE_H
#define EVSHIM_TEST_LIFE_H

#include "../harness.h"
#include <sys/socket.h>
#include <sys/time.h>

#define THREADS_MAX 64

struct rig {
	int port;
	int fd;   /* the associated number */
	int keep; /* another number of the same open file */
	int peer; /* write here to make it readable */
};

H_UNUSED static void make_pair(int fds[2])
{
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == -1)
		FAIL("socketpair: %s", strerror(errno));
}

H_UNUSED static long resident_kb(void)
{
	char line[128];
	long pages = 0;
	CHECK(h_read_line("/proc/self/statm", line, sizeof line));
	CHECK_EQ(sscanf(line, "%*d %ld", &pages), 1);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* The number itself is the user value: an event of a wrong number shows up in either field. */
H_UNUSED static int watch(int port, int fd, int events)
{
	return port_associate(port, PORT_SOURCE_FD, (uintptr_t)fd, events, (void *)(uintptr_t)fd);
}

H_UNUSED static int unwatch(int port, int fd)
{
	return port_dissociate(port, PORT_SOURCE_FD, (uintptr_t)fd);
}

H_UNUSED static int send_value(int port, uintptr_t value)
{
	return port_send(port, 1, (void *)value);
}

/* Takes what is queued, waiting up to `ms` for the first; 0 when nothing came. */
H_UNUSED static unsigned harvest(int port, port_event_t *list, unsigned max, long ms)
{
	unsigned got = 1;
	if (port_getn(port, list, max, &got, TIMEOUT_MS(ms)) == -1) {
		if (errno != ETIME)
			FAIL("port_getn(%d): %s", port, strerror(errno));
		if (got > max)
			FAIL("ETIME with *nget %u of at most %u", got, max);
	}
	return got;
}

/* Discards whatever is queued. */
H_UNUSED static unsigned drain(int port)
{
	port_event_t list[64];
	unsigned total = 0, got;
	while ((got = harvest(port, list, 64, 0)) > 0)
		total += got;
	return total;
}

#define CHECK_FD_EVENT(port, number)                                                                      \
	do {                                                                                              \
		port_event_t h_pe;                                                                        \
		memset(&h_pe, 0, sizeof h_pe);                                                            \
		CHECK_OK(port_get(port, &h_pe, LONG_TIMEOUT));                                            \
		CHECK_EQ(h_pe.portev_source, PORT_SOURCE_FD);                                             \
		CHECK_EQ(h_pe.portev_object, number);                                                     \
		CHECK_EQ((uintptr_t)h_pe.portev_user, number);                                            \
	} while (0)

#define CHECK_USER_EVENT(port, value)                                                                     \
	do {                                                                                              \
		port_event_t h_pe;                                                                        \
		memset(&h_pe, 0, sizeof h_pe);                                                            \
		CHECK_OK(port_get(port, &h_pe, LONG_TIMEOUT));                                            \
		CHECK_EQ(h_pe.portev_source, PORT_SOURCE_USER);                                           \
		CHECK_EQ((uintptr_t)h_pe.portev_user, value);                                             \
	} while (0)

/* Sends through the port and gets it back: the port works and nothing else is in it. */
#define CHECK_PORT_WORKS(port)                                                                            \
	do {                                                                                              \
		CHECK_OK(send_value(port, 0x5eed));                                                       \
		CHECK_USER_EVENT(port, 0x5eed);                                                           \
		CHECK_EQ(pending(port), 0);                                                               \
	} while (0)

/* Associates r->fd, which has a byte to read (its event is queued then) or none. */
H_UNUSED static void rig_watch(struct rig *r, int fd, int peer, bool ready)
{
	r->fd = fd;
	r->peer = peer;
	r->keep = dup(fd);
	CHECK(r->keep >= 0);
	r->port = port_create();
	CHECK(r->port >= 0);
	if (ready)
		put(peer);
	CHECK_OK(watch(r->port, fd, POLLIN));
	CHECK_EQ(pending(r->port), ready ? 1 : 0);
}

H_UNUSED static void rig_open(struct rig *r, bool ready)
{
	int fds[2];
	make_pair(fds);
	rig_watch(r, fds[0], fds[1], ready);
}

/* R4.20: no event is left, none comes, and the number is unknown to the port (R4.23). */
H_UNUSED static void rig_check_purged(struct rig *r)
{
	port_event_t pe;
	CHECK_EQ(pending(r->port), 0);
	put(r->peer);
	CHECK_EQ(pending(r->port), 0);
	CHECK_EQ(harvest(r->port, &pe, 1, 0), 0);
	CHECK_ERR(unwatch(r->port, r->fd), fcntl(r->fd, F_GETFD) == -1 ? EBADFD : ENOENT);
	CHECK_OK(watch(r->port, r->keep, POLLIN));
	CHECK_FD_EVENT(r->port, r->keep);
	CHECK_EQ(pending(r->port), 0);
	CHECK_PORT_WORKS(r->port);
}

/* The association is as it was: exactly one event. */
H_UNUSED static void rig_check_alive(struct rig *r, bool ready)
{
	CHECK_EQ(pending(r->port), ready ? 1 : 0);
	put(r->peer);
	CHECK_FD_EVENT(r->port, r->fd);
	CHECK_EQ(pending(r->port), 0);
}

/* `gone`: the number does not name our socket any more. */
H_UNUSED static void rig_close(struct rig *r, bool gone)
{
	if (!gone)
		close(r->fd);
	close(r->keep);
	close(r->peer);
	close(r->port);
}

/* EBADF is what R7.30 asks for; a caller that is not yet inside may find the number gone as well. */
H_UNUSED static bool is_gone(int result)
{
	return result == -1 && (errno == EBADF || errno == EBADFD);
}

#endif /* EVSHIM_TEST_LIFE_H */
