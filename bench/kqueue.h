/*
 * kqueue.h: what the rows about kqueue share.
 *
 * The side OTHER runs the same code over libkqueue, whose structures are the same. It is loaded at run time, for its
 * functions have the names of this library's.
 *
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#ifndef EVSHIM_BENCH_KQUEUE_H
#define EVSHIM_BENCH_KQUEUE_H

#include "bench.h"

#include <sys/event.h>

struct kqueue_api {
	int (*kqueue)(void);
	int (*kevent)(int kq, const struct kevent *changes, int nchanges, struct kevent *events, int nevents,
		      const struct timespec *timeout);
};

/* By side. BASE has none. */
extern struct kqueue_api kqueue_api[];

/* The sides of a row about kqueue: is there libkqueue, too? */
static inline bool has_side(enum side side)
{
	return side == OURS || side == BASE || (side == OTHER && other_side);
}

/* An entry that tells of an error is none of the events that a turn waits for. */
static inline void check_event(const struct kevent *event)
{
	if (__builtin_expect(event->flags & EV_ERROR, 0)) {
		errno = (int)event->data;
		fail("kevent: a change");
	}
}

/* One change and no room for events: an error of the change is that of the call. */
static inline void change(enum side side, int kq, uintptr_t ident, short filter, unsigned short flags,
			  unsigned int fflags, intptr_t data)
{
	struct kevent entry;

	EV_SET(&entry, ident, filter, flags, fflags, data, NULL);
	MUST(kqueue_api[side].kevent(kq, &entry, 1, NULL, 0, NULL));
}

#endif /* EVSHIM_BENCH_KQUEUE_H */
