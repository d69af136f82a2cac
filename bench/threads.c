/*
 * threads.c: several threads on one port or kqueue, against the same threads on one epoll set.
 *
 * A fixed number of bytes travels round a ring of pipes: who takes the event of a pipe reads one byte, re-arms the
 * pipe and writes the byte into the next one. With twice as many bytes as threads every thread finds work; with
 * half as many ("scarce") threads fall asleep and are woken all the time. Both pools of threads live for the whole
 * row, and the one whose turn it is not is blocked. On a kqueue the pipe is re-armed by the call that waits for the
 * next event, as programs do it.
 *
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include "kqueue.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#define PIPES 16

struct ring {
	enum side side;
	int queue; /* a port, a kqueue or an epoll set */
	int in[PIPES], out[PIPES];
};

static struct ring rings[SIDES];
static int bytes;
static sem_t finished;

/* On lines of their own, as any program would have its counters. */
static _Alignas(128) atomic_long left;   /* events until bytes are taken out of the ring */
static _Alignas(128) atomic_int in_ring; /* bytes */

/* Is false for an event without data: then nothing travels on. */
static inline bool take(const struct ring *ring, int i)
{
	char byte;

	if (read(ring->in[i], &byte, 1) == 1)
		return true;
	if (errno != EAGAIN)
		fail("read");
	return false;
}

static inline void pass_on(const struct ring *ring, int i)
{
	if (atomic_fetch_sub_explicit(&left, 1, memory_order_relaxed) > 0)
		MUST(write(ring->out[(i + 1) % PIPES], "x", 1));
	else if (atomic_fetch_sub(&in_ring, 1) == 1)
		sem_post(&finished);
}

static void *ports(void *argument)
{
	const struct ring *ring = argument;
	port_event_t event;

	for (;;) {
		int i;
		bool taken;

		MUST(port_get(ring->queue, &event, NULL));
		i = (int)(uintptr_t)event.portev_user;
		taken = take(ring, i);
		MUST(port_associate(ring->queue, PORT_SOURCE_FD, (uintptr_t)ring->in[i], POLLIN, event.portev_user));
		if (taken)
			pass_on(ring, i);
	}
	return NULL;
}

static void *kqueues(void *argument)
{
	const struct ring *ring = argument;
	struct kevent event, again;
	int changes = 0;

	for (;;) {
		int i;

		MUST(kqueue_api[ring->side].kevent(ring->queue, &again, changes, &event, 1, NULL));
		check_event(&event);
		i = (int)(uintptr_t)event.udata;
		changes = 1;
		EV_SET(&again, event.ident, EVFILT_READ, EV_ENABLE, 0, 0, event.udata);
		if (take(ring, i))
			pass_on(ring, i);
	}
	return NULL;
}

static void *base(void *argument)
{
	const struct ring *ring = argument;
	struct epoll_event event;

	for (;;) {
		int i;
		bool taken;

		MUST(epoll_wait(ring->queue, &event, 1, -1));
		i = event.data.fd;
		taken = take(ring, i);
		event = (struct epoll_event){.events = EPOLLIN | EPOLLONESHOT, .data.fd = i};
		MUST(epoll_ctl(ring->queue, EPOLL_CTL_MOD, ring->in[i], &event));
		if (taken)
			pass_on(ring, i);
	}
	return NULL;
}

static void watch(const struct ring *ring, bool kqueues, int i)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.fd = i};
	void *name = (void *)(uintptr_t)i;
	struct kevent entry;

	if (ring->side == BASE) {
		MUST(epoll_ctl(ring->queue, EPOLL_CTL_ADD, ring->in[i], &event));
	} else if (kqueues) {
		EV_SET(&entry, (uintptr_t)ring->in[i], EVFILT_READ, EV_ADD | EV_DISPATCH, 0, 0, name);
		MUST(kqueue_api[ring->side].kevent(ring->queue, &entry, 1, NULL, 0, NULL));
	} else {
		MUST(port_associate(ring->queue, PORT_SOURCE_FD, (uintptr_t)ring->in[i], POLLIN, name));
	}
}

static void make_ring(enum side side, bool kqueues)
{
	struct ring *ring = &rings[side];

	ring->side = side;
	if (side == BASE)
		MUST(ring->queue = epoll_create1(0));
	else
		MUST(ring->queue = kqueues ? kqueue_api[side].kqueue() : port_create());
	for (int i = 0; i < PIPES; i++) {
		make_pair(PIPE, &ring->in[i], &ring->out[i]);
		watch(ring, kqueues, i);
	}
}

/* arg: number of threads, number of bytes, whether kqueues. The threads end with the process. */
static void setup(const struct row *row)
{
	void *(*loop)(void *) = row->arg[2] ? kqueues : ports;
	pthread_t thread;

	bytes = row->arg[1];
	sem_init(&finished, 0, 0);
	for (enum side side = OURS; side < SIDES; side++)
		if (has_side(side))
			make_ring(side, row->arg[2]);
	for (int i = 0; i < row->arg[0]; i++)
		for (enum side side = OURS; side < SIDES; side++) {
			if (!has_side(side))
				continue;
			errno = pthread_create(&thread, NULL, side == BASE ? base : loop, &rings[side]);
			if (errno != 0)
				fail("pthread_create");
		}
}

static uint64_t turn(enum side side, long n)
{
	uint64_t start;

	atomic_store(&left, n - bytes);
	atomic_store(&in_ring, bytes);
	start = now();
	for (int i = 0; i < bytes; i++)
		MUST(write(rings[side].out[i * PIPES / bytes], "x", 1));
	while (sem_wait(&finished) != 0)
		;
	return now() - start;
}

#define THREADS(name_, what_, must_, aim_, threads_, bytes_, kqueues_) \
	{ \
		.name = name_, .what = what_, .base = "the threads in epoll_wait(1) + MOD(ONESHOT)", .must = must_, \
		.aim = aim_, .events = 1, .sides = 2, .other = kqueues_, .turns = 15, .turn_us = 20000, .two_cores = true, \
		.setup = setup, .turn = turn, .arg = {threads_, bytes_, kqueues_}, \
	}
#define ROW(name, threads, bytes, text) \
	THREADS(name, #threads " threads in port_get, port_associate, " text, 1.20, 0.90, threads, bytes, false)
#define KQUEUE_ROW(name, threads, bytes, must, aim, text) \
	THREADS(name, "EV_DISPATCH, " #threads " threads in kevent, " text, must, aim, threads, bytes, true)

const struct row thread_rows[] = {
	ROW("threads_2", 2, 4, "enough work"),
	ROW("threads_4", 4, 8, "enough work"),
	ROW("threads_8", 8, 16, "enough work"),
	ROW("threads_2_scarce", 2, 1, "half asleep"),
	ROW("threads_4_scarce", 4, 2, "half asleep"),
	ROW("threads_8_scarce", 8, 4, "half asleep"),
	{.name = NULL},
};

const struct row kq_thread_rows[] = {
	KQUEUE_ROW("kq_threads_2", 2, 4, 1.20, 0.90, "enough work"),
	KQUEUE_ROW("kq_threads_2_scarce", 2, 1, 0, 0, "half asleep"),
	{.name = NULL},
};
