/*
 * libkqueue.so.0: a name for libevshim.so.0, for programs that were built with libkqueue.
 *
 * It is linked as a filter (ld -F, DT_FILTER): the loader puts libevshim.so.0 in front of it in the order in which symbols
 * are searched, also in front of the C library that the program names after -lkqueue. So kqueue and kevent are that
 * library's, and so are close, fork and the others that it interposes; a mere dependency would come after the C library.
 * What is defined here is for the linker, and for loaders that know no filters (musl): there closes are not seen, and the
 * library helps itself as in any process that does not resolve close to it.
 *
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#define _GNU_SOURCE 1
#include <dlfcn.h>
#include <errno.h>
#include <sys/event.h>

typedef int kqueue_function(void);
typedef int kevent_function(int, const struct kevent *, int, struct kevent *, int, const struct timespec *);

/* The next definition is libevshim's: nobody else has one. */
static void *next(const char *name)
{
	void *found = dlsym(RTLD_NEXT, name);

	if (found == NULL)
		errno = ENOSYS;
	return found;
}

int kqueue(void)
{
	kqueue_function *function = (kqueue_function *)next("kqueue");

	return function != NULL ? function() : -1;
}

int kevent(int kq, const struct kevent *changelist, int nchanges, struct kevent *eventlist, int nevents,
	const struct timespec *timeout)
{
	kevent_function *function = (kevent_function *)next("kevent");

	return function != NULL ? function(kq, changelist, nchanges, eventlist, nevents, timeout) : -1;
}

void libkqueue_drain_pending_close(void);

/* libkqueue's tests wait here until a thread has freed what they closed. There is no such thread: a close is complete. */
void libkqueue_drain_pending_close(void)
{
}
