/*
 * What the tests are linked with in the dlopen mode, instead of the library: it loads the library RTLD_LOCAL, so
 * nothing of the program's resolves to it and it sees no close, dup or fork at all.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include <dlfcn.h>
#include <port.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/event.h>

static void *library;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* At the first call and not in a constructor: the process that reports must not load it. */
static void load(void)
{
	library = dlopen(EVSHIM_TEST_LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (library == NULL) {
		fprintf(stderr, "%s\n", dlerror());
		abort();
	}
}

/* Every test begins with port_create or kqueue; so the look-up never happens first in a signal handler. */
static void *find(const char *name)
{
	pthread_once(&once, load);
	void *at = dlsym(library, name);
	if (at == NULL)
		abort();
	return at;
}

/* Two threads may look one name up at the same time: both find the same. */
#define NEXT(name)                                                                                        \
	static __typeof__(name) *next;                                                                    \
	__typeof__(name) *at = __atomic_load_n(&next, __ATOMIC_RELAXED);                                  \
	if (at == NULL) {                                                                                 \
		at = (__typeof__(name) *)find(#name);                                                     \
		__atomic_store_n(&next, at, __ATOMIC_RELAXED);                                            \
	}

int port_create(void)
{
	NEXT(port_create)
	return at();
}

int port_associate(int port, int source, uintptr_t object, int events, void *user)
{
	NEXT(port_associate)
	return at(port, source, object, events, user);
}

int port_dissociate(int port, int source, uintptr_t object)
{
	NEXT(port_dissociate)
	return at(port, source, object);
}

int port_send(int port, int events, void *user)
{
	NEXT(port_send)
	return at(port, events, user);
}

int port_sendn(int ports[], int errors[], uint_t nent, int events, void *user)
{
	NEXT(port_sendn)
	return at(ports, errors, nent, events, user);
}

int port_get(int port, port_event_t *pe, const struct timespec *timeout)
{
	NEXT(port_get)
	return at(port, pe, timeout);
}

int port_getn(int port, port_event_t list[], uint_t max, uint_t *nget, const struct timespec *timeout)
{
	NEXT(port_getn)
	return at(port, list, max, nget, timeout);
}

int port_alert(int port, int flags, int events, void *user)
{
	NEXT(port_alert)
	return at(port, flags, events, user);
}

int kqueue(void)
{
	NEXT(kqueue)
	return at();
}

int kqueue1(int flags)
{
	NEXT(kqueue1)
	return at(flags);
}

int kqueuex(unsigned flags)
{
	NEXT(kqueuex)
	return at(flags);
}

int kevent(int kq, const struct kevent *changes, int nchanges, struct kevent *events, int nevents,
	const struct timespec *timeout)
{
	NEXT(kevent)
	return at(kq, changes, nchanges, events, nevents, timeout);
}

int kevent64(int kq, const struct kevent64_s *changes, int nchanges, struct kevent64_s *events, int nevents,
	unsigned flags, const struct timespec *timeout)
{
	NEXT(kevent64)
	return at(kq, changes, nchanges, events, nevents, flags, timeout);
}
