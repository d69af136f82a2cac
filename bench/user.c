/*
 * user.c: rows about user events, within one thread.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include "bench.h"

#define BATCH 100

static int port, set, bell;

static uint64_t base_events(long events)
{
	uint64_t start = now(), value = 1;
	struct epoll_event event;

	while (events-- > 0) {
		MUST(write(bell, &value, sizeof(value)));
		MUST(epoll_wait(set, &event, 1, -1));
		MUST(read(bell, &value, sizeof(value)));
	}
	return now() - start;
}

static uint64_t turn_single(enum side side, long n)
{
	port_event_t event;
	uint64_t start;

	if (side == BASE)
		return base_events(n);
	start = now();
	while (n-- > 0) {
		MUST(port_send(port, 1, NULL));
		MUST(port_get(port, &event, NULL));
	}
	return now() - start;
}

static uint64_t turn_batch(enum side side, long n)
{
	port_event_t list[BATCH];
	uint64_t start;

	if (side == BASE)
		return base_events(n * BATCH);
	start = now();
	while (n-- > 0) {
		uint_t got = BATCH;

		for (int i = 0; i < BATCH; i++)
			MUST(port_send(port, 1, NULL));
		MUST(port_getn(port, list, BATCH, &got, NULL));
		if (got != BATCH) {
			errno = ENOMSG;
			fail("fewer events than were sent");
		}
	}
	return now() - start;
}

/* arg: whether an idle descriptor is watched, too */
static void setup(const struct row *row)
{
	struct epoll_event event = {.events = EPOLLIN};
	int in, out;

	MUST(port = port_create());
	MUST(set = epoll_create1(0));
	MUST(bell = eventfd(0, EFD_NONBLOCK));
	MUST(epoll_ctl(set, EPOLL_CTL_ADD, bell, &event));
	if (row->arg[0]) {
		make_pair(SOCKETPAIR, &in, &out);
		MUST(port_associate(port, PORT_SOURCE_FD, (uintptr_t)in, POLLIN, NULL));
		MUST(epoll_ctl(set, EPOLL_CTL_ADD, in, &event));
	}
}

#define ROW(name_, what_, must_, aim_, n, turn_, idle) \
	{ \
		.name = name_, .what = what_, .base = "eventfd write + epoll_wait + read", .must = must_, .aim = aim_, \
		.events = n, .sides = 2, .setup = setup, .turn = turn_, .arg = {idle}, \
	}

const struct row user_rows[] = {
	ROW("send_get", "port_send, port_get; one idle descriptor", 1.10, 0.75, 1, turn_single, 1),
	ROW("send_batch_none", "100 port_send, one port_getn; no descriptor", 0.15, 0.08, BATCH, turn_batch, 0),
	ROW("send_batch_idle", "100 port_send, one port_getn; one idle descriptor", 0.50, 0.42, BATCH, turn_batch, 1),
	{.name = NULL},
};
