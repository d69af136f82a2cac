/*
 * stress.h: the books of stress.c. Who associated what, who sent what, and whether what comes back may come back: see
 * the numbered list there. Everything here is called by many threads at once.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#ifndef EVSHIM_TEST_STRESS_H
#define EVSHIM_TEST_STRESS_H

#include "life.h"

#define THREADS 8
#define PORTS 3
#define SLOTS 24
#define FIRST 300 /* the shared numbers are FIRST .. FIRST + SLOTS - 1: nobody gets one by chance */
#define RECORDS (1u << 16)
#define WINDOW 256 /* user events of one sender under way */
#define ALERT_EVENTS 7

enum life { UNUSED, CLAIMED, ACTIVE, OWED, DELIVERED, ENDED, DISCARDED };

struct record { /* an association, by generation */
	uintptr_t generation;
	unsigned long long end; /* when the call that ended it had returned */
	int life, port, slot, events;
};

struct slot {
	pthread_mutex_t lock;
	uintptr_t current[PORTS]; /* generation, 0: none */
	int peer, bytes;
	int ghost, ghost_peer; /* a duplicate of the file that had the number before, or -1 */
};

struct worker {
	struct thread thread;
	unsigned long long random;
	uintptr_t sent;
	int id;
};

static int ports[PORTS];
static struct slot slots[SLOTS];
static struct record records[RECORDS];
static struct worker workers[THREADS];
static uintptr_t under_way[THREADS][WINDOW]; /* sequence numbers, 0: none */
static uintptr_t next_generation = 1;
static unsigned long long now_tick = 1, since[THREADS]; /* since: a get that is not accounted for, 0: none */
static unsigned long long retrieved;

#define LOAD(x) __atomic_load_n(&(x), __ATOMIC_SEQ_CST)
#define STORE(x, v) __atomic_store_n(&(x), v, __ATOMIC_SEQ_CST)
#define ADD(x, v) __atomic_add_fetch(&(x), v, __ATOMIC_SEQ_CST)
#define SWAP(x, from, to) __atomic_compare_exchange_n(&(x), from, to, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)

static unsigned rnd(struct worker *w, unsigned below)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (unsigned)((w->random >> 11) % below);
}

/* ------------------------------------------------------------------ the records of associations */

/* An ended record may still be named by an event that a get took in time and that is not accounted for yet. */
static bool reusable(struct record *r, int life)
{
	if (life != ENDED)
		return life != CLAIMED && life != ACTIVE && life != OWED;
	for (int t = 0; t < THREADS; t++) {
		unsigned long long began = LOAD(since[t]);
		if (began != 0 && began <= LOAD(r->end))
			return false;
	}
	return true;
}

static struct record *record_of(uintptr_t generation) { return &records[generation % RECORDS]; }

static uintptr_t new_record(int port, int slot, int events)
{
	for (;;) {
		uintptr_t generation = ADD(next_generation, 1);
		struct record *r = record_of(generation);
		int life = LOAD(r->life);
		if (!reusable(r, life) || !SWAP(r->life, &life, CLAIMED))
			continue;
		STORE(r->generation, generation);
		STORE(r->end, 0);
		STORE(r->port, port);
		STORE(r->slot, slot);
		STORE(r->events, events);
		STORE(r->life, ACTIVE);
		return generation;
	}
}

/* The call that ended it has returned. */
static void end_record(uintptr_t generation)
{
	int life = ACTIVE;
	if (generation == 0)
		return;
	STORE(record_of(generation)->end, ADD(now_tick, 1));
	SWAP(record_of(generation)->life, &life, ENDED);
}

static void account_descriptor(int port, const port_event_t *pe, unsigned long long began)
{
	uintptr_t generation = (uintptr_t)pe->portev_user;
	struct record *r = record_of(generation);
	int life = LOAD(r->life), slot = LOAD(r->slot), allowed = LOAD(r->events) | POLLHUP | POLLERR;
	if (LOAD(r->generation) != generation)
		FAIL("generation %lu is long gone", (unsigned long)generation);
	if (LOAD(r->port) != port || (int)pe->portev_object != FIRST + slot)
		FAIL("generation %lu is of port %d and number %d, not of %d and %d", (unsigned long)generation,
			LOAD(r->port), FIRST + slot, port, (int)pe->portev_object);
	if (pe->portev_events == 0 || (pe->portev_events & ~allowed) != 0)
		FAIL("events %#x of %#x", (unsigned)pe->portev_events, (unsigned)allowed);
	do {
		if (life == DELIVERED)
			FAIL("number %d reports twice", FIRST + slot);
		if (life == DISCARDED)
			FAIL("number %d reports, and dissociate had discarded it", FIRST + slot);
		if (life == ENDED && LOAD(r->end) < began)
			FAIL("number %d reports after its association ended (%llu, get began at %llu)", FIRST + slot,
				LOAD(r->end), began);
	} while (!SWAP(r->life, &life, DELIVERED));
}

static void account(int port, const port_event_t *pe, unsigned long long began)
{
	uintptr_t value = (uintptr_t)pe->portev_user, sequence = value / THREADS;
	uintptr_t expected = sequence;
	switch (pe->portev_source) {
	case PORT_SOURCE_FD: account_descriptor(port, pe, began); break;
	case PORT_SOURCE_USER:
		if (!SWAP(under_way[value % THREADS][sequence % WINDOW], &expected, 0))
			FAIL("user event %lu of thread %lu is not under way", (unsigned long)sequence,
				(unsigned long)(value % THREADS));
		CHECK_EQ(pe->portev_events, port + 1);
		break;
	case PORT_SOURCE_ALERT:
		CHECK_EQ(pe->portev_events, ALERT_EVENTS);
		return;
	default: FAIL("source %d", pe->portev_source);
	}
	ADD(retrieved, 1);
}

#endif /* EVSHIM_TEST_STRESS_H */
