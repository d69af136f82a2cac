/*
 * waiter.h: threads that wait in port_get or port_getn, and what became of them. Include it after events.h.
 *
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#ifndef EVSHIM_TEST_WAITER_H
#define EVSHIM_TEST_WAITER_H

/* One waiting call and its outcome. */
struct waiter {
	struct thread thread;
	int port;
	unsigned want; /* 0: port_get */
	unsigned max;
	long timeout_ms; /* -1: none */
	int result, error;
	unsigned got;
	port_event_t list[8];
};

H_UNUSED static void *waiter_main(void *arg)
{
	struct waiter *w = arg;
	struct timespec ts = { w->timeout_ms / 1000, w->timeout_ms % 1000 * 1000000 };
	struct timespec *timeout = w->timeout_ms < 0 ? NULL : &ts;
	memset(w->list, 0xa5, sizeof w->list);
	w->got = w->want;
	errno = H_SENTINEL;
	w->result = w->want == 0 ? port_get(w->port, w->list, timeout)
				 : port_getn(w->port, w->list, w->max, &w->got, timeout);
	w->error = errno;
	return NULL;
}

/* Starts a waiter and sees it asleep. */
H_UNUSED static void h_start(HERE_PARAMS, struct waiter *w, int port, unsigned want)
{
	*w = (struct waiter){ .port = port, .want = want, .max = 8, .timeout_ms = -1 };
	thread_start(&w->thread, waiter_main, w);
	h_wait_until_blocked(file, line, getpid(), w->thread.tid);
}

H_UNUSED static void h_join(HERE_PARAMS, struct waiter *w, int result, int error)
{
	thread_join(&w->thread);
	if (w->result != result || w->error != (result == 0 ? H_SENTINEL : error))
		h_fail(file, line, "the call returned %d, errno %d (%s); expected %d, %s", w->result, w->error,
			w->error == H_SENTINEL ? "untouched" : strerror(w->error), result,
			result == 0 ? "errno untouched" : strerror(error));
}

#define start(w, port, want) h_start(HERE, w, port, want)
#define join(w, result, error) h_join(HERE, w, result, error)

H_UNUSED static bool untouched(const port_event_t *pe)
{
	port_event_t model;
	memset(&model, 0xa5, sizeof model);
	return memcmp(pe, &model, sizeof model) == 0;
}

#endif /* EVSHIM_TEST_WAITER_H */
