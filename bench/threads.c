/*
 * threads.c: several threads on one port, against the same threads on one epoll set.
 *
 * A fixed number of bytes travels round a ring of pipes: who takes the event of a pipe reads one byte, re-arms the
 * pipe and writes the byte into the next one. With twice as many bytes as threads every thread finds work; with
 * half as many ("scarce") threads fall asleep and are woken all the time. Both pools of threads live for the whole
 * row, and the one whose turn it is not is blocked.
 *
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include "bench.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#define PIPES 16

struct ring {
	int queue; /* a port or an epoll set */
	int in[PIPES], out[PIPES];
};

static struct ring rings[2];
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

static void *ours(void *argument)
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

/* arg: number of threads, number of bytes. The threads end with the process. */
static void setup(const struct row *row)
{
	pthread_t thread;

	bytes = row->arg[1];
	sem_init(&finished, 0, 0);
	MUST(rings[OURS].queue = port_create());
	MUST(rings[BASE].queue = epoll_create1(0));
	for (int i = 0; i < PIPES; i++) {
		struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.fd = i};

		make_pair(PIPE, &rings[OURS].in[i], &rings[OURS].out[i]);
		make_pair(PIPE, &rings[BASE].in[i], &rings[BASE].out[i]);
		MUST(port_associate(rings[OURS].queue, PORT_SOURCE_FD, (uintptr_t)rings[OURS].in[i], POLLIN,
				    (void *)(uintptr_t)i));
		MUST(epoll_ctl(rings[BASE].queue, EPOLL_CTL_ADD, rings[BASE].in[i], &event));
	}
	for (int i = 0; i < row->arg[0]; i++)
		for (int side = OURS; side <= BASE; side++) {
			errno = pthread_create(&thread, NULL, side == OURS ? ours : base, &rings[side]);
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

#define ROW(name_, threads_, bytes_, text) \
	{ \
		.name = name_, .what = #threads_ " threads in port_get, port_associate, " text, \
		.base = "the threads in epoll_wait(1) + MOD(ONESHOT)", .must = 1.20, .aim = 0.90, .events = 1, .sides = 2, \
		.turns = 15, .turn_us = 20000, .two_cores = true, .setup = setup, .turn = turn, .arg = {threads_, bytes_}, \
	}

const struct row thread_rows[] = {
	ROW("threads_2", 2, 4, "enough work"),
	ROW("threads_4", 4, 8, "enough work"),
	ROW("threads_8", 8, 16, "enough work"),
	ROW("threads_2_scarce", 2, 1, "half asleep"),
	ROW("threads_4_scarce", 4, 2, "half asleep"),
	ROW("threads_8_scarce", 8, 4, "half asleep"),
	{.name = NULL},
};
