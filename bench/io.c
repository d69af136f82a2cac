/*
 * io.c: rows about descriptors that carry data.
 *
 * The loop that an event loop makes: the peers have written one byte to each of N descriptors; take a batch of
 * events, read each descriptor, re-arm it. Reads and writes are part of the measured time on both sides. The rows
 * "stay_*" leave them out: there every descriptor just stays readable.
 *
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "bench.h"

#include <sys/socket.h>

#define MAX_ACTIVE 100
#define IDLE 9000

/* Each side has descriptors of its own: one that two epoll sets watch would pay for both at each write. */
struct group {
	int queue; /* a port or an epoll set */
	int in[MAX_ACTIVE], out[MAX_ACTIVE];
};

static struct group groups[SIDES];
static int active;

static void feed(const struct group *group)
{
	for (int i = 0; i < active; i++)
		MUST(write(group->out[i], "x", 1));
}

/* Fewer bytes than asked for: the descriptor is drained, and an edge-triggered loop needs no second read. */
static inline void drain(int fd)
{
	char buffer[64];

	MUST(read(fd, buffer, sizeof(buffer)));
}

static inline void associate(int port, int fd)
{
	MUST(port_associate(port, PORT_SOURCE_FD, (uintptr_t)fd, POLLIN, NULL));
}

static inline void control(int set, int operation, uint32_t events, int fd)
{
	struct epoll_event event = {.events = events, .data.fd = fd};

	MUST(epoll_ctl(set, operation, fd, &event));
}

/* ---- turns: one iteration handles every active descriptor once -------------------------------------------------- */

static void ours_batch(const struct group *group, bool io)
{
	port_event_t list[MAX_ACTIVE];
	uint_t got;

	for (int done = 0; done < active; done += (int)got) {
		got = 1;
		MUST(port_getn(group->queue, list, (uint_t)active, &got, NULL));
		for (uint_t i = 0; i < got; i++) {
			if (io)
				drain((int)list[i].portev_object);
			associate(group->queue, (int)list[i].portev_object);
		}
	}
}

static void ours_single(const struct group *group, bool io)
{
	port_event_t event;

	for (int done = 0; done < active; done++) {
		MUST(port_get(group->queue, &event, NULL));
		if (io)
			drain((int)event.portev_object);
		associate(group->queue, (int)event.portev_object);
	}
}

static void oneshot(const struct group *group, int batch, bool io)
{
	struct epoll_event list[MAX_ACTIVE];
	int got;

	for (int done = 0; done < active; done += got) {
		MUST(got = epoll_wait(group->queue, list, batch, -1));
		for (int i = 0; i < got; i++) {
			if (io)
				drain(list[i].data.fd);
			control(group->queue, EPOLL_CTL_MOD, EPOLLIN | EPOLLONESHOT, list[i].data.fd);
		}
	}
}

static void edge(const struct group *group)
{
	struct epoll_event list[MAX_ACTIVE];
	int got;

	for (int done = 0; done < active; done += got) {
		MUST(got = epoll_wait(group->queue, list, active, -1));
		for (int i = 0; i < got; i++)
			drain(list[i].data.fd);
	}
}

static uint64_t turn_batch(enum side side, long rounds)
{
	const struct group *group = &groups[side];
	uint64_t start = now();

	while (rounds-- > 0) {
		feed(group);
		if (side == OURS || side == OURS_FEW)
			ours_batch(group, true);
		else
			oneshot(group, active, true);
	}
	return now() - start;
}

static uint64_t turn_edge(enum side side, long rounds)
{
	const struct group *group = &groups[side];
	uint64_t start = now();

	while (rounds-- > 0) {
		feed(group);
		if (side == OURS)
			ours_batch(group, true);
		else
			edge(group);
	}
	return now() - start;
}

static uint64_t turn_single(enum side side, long rounds)
{
	const struct group *group = &groups[side];
	uint64_t start = now();

	while (rounds-- > 0) {
		feed(group);
		if (side == OURS)
			ours_single(group, true);
		else
			oneshot(group, 1, true);
	}
	return now() - start;
}

static uint64_t turn_stay(enum side side, long rounds)
{
	const struct group *group = &groups[side];
	uint64_t start = now();

	while (rounds-- > 0) {
		if (side == OURS)
			ours_batch(group, false);
		else
			oneshot(group, active, false);
	}
	return now() - start;
}

static uint64_t turn_stay_single(enum side side, long rounds)
{
	const struct group *group = &groups[side];
	uint64_t start = now();

	while (rounds-- > 0) {
		if (side == OURS)
			ours_single(group, false);
		else
			oneshot(group, 1, false);
	}
	return now() - start;
}

/* ---- setup ------------------------------------------------------------------------------------------------------ */

static void make_group(enum side side, enum kind kind, uint32_t base_events)
{
	struct group *group = &groups[side];
	bool ours = side == OURS || side == OURS_FEW;

	MUST(group->queue = ours ? port_create() : epoll_create1(0));
	for (int i = 0; i < active; i++) {
		make_pair(kind, &group->in[i], &group->out[i]);
		if (ours)
			associate(group->queue, group->in[i]);
		else
			control(group->queue, EPOLL_CTL_ADD, base_events, group->in[i]);
	}
}

/* arg: kind, number of active descriptors */
static void setup_oneshot(const struct row *row)
{
	active = row->arg[1];
	need_descriptors(4 * active + 64);
	make_group(OURS, (enum kind)row->arg[0], 0);
	make_group(BASE, (enum kind)row->arg[0], EPOLLIN | EPOLLONESHOT);
}

static void setup_edge(const struct row *row)
{
	active = row->arg[1];
	need_descriptors(4 * active + 64);
	make_group(OURS, (enum kind)row->arg[0], 0);
	make_group(BASE, (enum kind)row->arg[0], EPOLLIN | EPOLLET);
}

static void setup_stay(const struct row *row)
{
	setup_oneshot(row);
	feed(&groups[OURS]);
	feed(&groups[BASE]);
}

/* Both ends of a socket pair that nobody writes to. The sides share them: a descriptor where nothing happens
 * costs nothing to share. */
static void add_idle(int count, enum side ours, enum side base)
{
	int ends[2];

	for (int i = 0; i < count; i++) {
		if (i % 2 == 0)
			MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
		associate(groups[ours].queue, ends[i % 2]);
		control(groups[base].queue, EPOLL_CTL_ADD, EPOLLIN | EPOLLONESHOT, ends[i % 2]);
	}
}

/* arg: kind, active, idle */
static void setup_growth(const struct row *row)
{
	int few = 10;

	active = row->arg[1];
	need_descriptors(row->arg[2] + 8 * active + 128);
	for (int side = 0; side < SIDES; side++)
		make_group((enum side)side, (enum kind)row->arg[0], EPOLLIN | EPOLLONESHOT);
	add_idle(few, OURS_FEW, BASE_FEW);
	add_idle(row->arg[2], OURS, BASE);
}

#define ROW(prefix, kind_name, kind, n, what_, base_, must_, aim_, setup_, turn_) \
	{ \
		.name = prefix "_" kind_name "_" #n, .what = what_ ", " kind_name ", " #n " active", .base = base_, \
		.must = must_, .aim = aim_, .events = n, .sides = 2, .setup = setup_, .turn = turn_, .arg = {kind, n}, \
	}
#define KINDS(prefix, what, base, must, aim_pipe, aim_pair, aim_tcp, setup, turn) \
	ROW(prefix, "pipe", PIPE, 10, what, base, must, aim_pipe, setup, turn), \
	ROW(prefix, "pipe", PIPE, 100, what, base, must, aim_pipe, setup, turn), \
	ROW(prefix, "socketpair", SOCKETPAIR, 10, what, base, must, aim_pair, setup, turn), \
	ROW(prefix, "socketpair", SOCKETPAIR, 100, what, base, must, aim_pair, setup, turn), \
	ROW(prefix, "tcp", TCP, 10, what, base, must, aim_tcp, setup, turn), \
	ROW(prefix, "tcp", TCP, 100, what, base, must, aim_tcp, setup, turn)

const struct row io_rows[] = {
	KINDS("assoc", "port_getn, port_associate", "epoll_wait(all) + MOD(ONESHOT)", 1.05, 0.80, 0.88, 0.94,
	      setup_oneshot, turn_batch),
	KINDS("edge", "port_getn, port_associate", "epoll_wait(all), EPOLLET", 1.45, 1.10, 1.10, 1.10, setup_edge,
	      turn_edge),
	ROW("get", "pipe", PIPE, 10, "port_get, port_associate", "epoll_wait(1) + MOD(ONESHOT)", 1.40, 1.00,
	    setup_oneshot, turn_single),
	ROW("get", "pipe", PIPE, 100, "port_get, port_associate", "epoll_wait(1) + MOD(ONESHOT)", 1.40, 1.00,
	    setup_oneshot, turn_single),
	ROW("get", "tcp", TCP, 10, "port_get, port_associate", "epoll_wait(1) + MOD(ONESHOT)", 1.40, 1.00,
	    setup_oneshot, turn_single),
	ROW("get", "tcp", TCP, 100, "port_get, port_associate", "epoll_wait(1) + MOD(ONESHOT)", 1.40, 1.00,
	    setup_oneshot, turn_single),
	{
		.name = "idle_9000", .what = "pipe, 10 active; 9,000 idle against 10 idle",
		.base = "growth of epoll_wait(all) + MOD(ONESHOT)", .must = 1.10, .aim = 1.00, .unit = GROWTH,
		.events = 10, .sides = 4, .setup = setup_growth, .turn = turn_batch, .arg = {PIPE, 10, IDLE},
	},
	KINDS("stay", "port_getn, port_associate, no I/O", "epoll_wait(all) + MOD(ONESHOT), no I/O", 0, 0, 0, 0,
	      setup_stay, turn_stay),
	ROW("stay_get", "pipe", PIPE, 100, "port_get, port_associate, no I/O", "epoll_wait(1) + MOD(ONESHOT), no I/O",
	    0, 0, setup_stay, turn_stay_single),
	{.name = NULL},
};
