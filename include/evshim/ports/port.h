/*
 * <port.h>: illumos event ports. Link with `pkg-config --libs evshim-ports`.
 *
 * Every function returns -1 and sets errno on failure, and leaves errno alone on success.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#ifndef EVSHIM_PORT_H
#define EVSHIM_PORT_H

#include <sys/port.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A new port: the lowest free descriptor, without FD_CLOEXEC. EAGAIN, EMFILE. */
int port_create(void);

/* Watch `object` of `source`; one-shot, replaces what was there. EBADF, EBADFD, EINVAL, EAGAIN, ENOMEM. */
int port_associate(int port, int source, uintptr_t object, int events, void *user);

/* Stop watching; a queued event is withdrawn. EBADF, EBADFD, EINVAL, ENOENT, EACCES. */
int port_dissociate(int port, int source, uintptr_t object);

/* Queue a user event. Async-signal-safe. EBADF, EBADFD, EAGAIN, ENOMEM. */
int port_send(int port, int events, void *user);

/* The same for `nent` ports; the number of successes, errors[] only if some failed. EINVAL, EFAULT. */
int port_sendn(int ports[], int errors[], uint_t nent, int events, void *user);

/* Retrieve one event; a null time-out waits. EBADF, EBADFD, EFAULT, EINVAL, ETIME, EINTR. */
int port_get(int port, port_event_t *pe, const struct timespec *timeout);

/* Wait for *nget events and retrieve up to `max`; max 0 asks how many are queued. ETIME may carry events. */
int port_getn(int port, port_event_t list[], uint_t max, uint_t *nget, const struct timespec *timeout);

/* Enter (events != 0) or leave (0) alert mode, which wakes every waiter. EBADF, EBADFD, EINVAL, EBUSY. */
int port_alert(int port, int flags, int events, void *user);

#ifdef __cplusplus
}
#endif

#endif /* EVSHIM_PORT_H */
