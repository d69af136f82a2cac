/*
 * kq_io.c: rows about EVFILT_READ.
 *
 * A ping: the peer of one of N descriptors, each in turn, has written a byte; wait, read, re-arm if that is the row's
 * way. In the rows "burst" all N have a byte when the wait begins. What is to be re-armed goes along with the next
 * wait, as programs do it: a changelist costs kqueue no call of its own.
 *
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "kqueue.h"

#include <sys/socket.h>

#define MAX_ACTIVE 100
#define IDLE 9000

/* How descriptors are watched, and re-armed after an event. */
enum way { LEVEL, ONESHOT, DISPATCH };

static const unsigned short added[] = {EV_ADD, EV_ADD | EV_ONESHOT, EV_ADD | EV_DISPATCH};
static const unsigned short rearmed[] = {0, EV_ADD | EV_ONESHOT, EV_ENABLE};

/* Each side has descriptors of its own: one that two sets watch would pay for both at each write. */
struct group {
	int queue; /* a kqueue or an epoll set */
	int in[MAX_ACTIVE], out[MAX_ACTIVE];
	struct kevent changes[MAX_ACTIVE]; /* for the next kevent() */
	int nchanges;
};

static struct group groups[SIDES];
static int active, step; /* descriptors, and how many of them get a byte at a time */
static enum way way;

/* A short read: the descriptor is drained. */
static inline void drain(int fd)
{
	char buffer[64];

	MUST(read(fd, buffer, sizeof(buffer)));
}

static inline void control(int set, int operation, uint32_t events, int fd)
{
	struct epoll_event event = {.events = events, .data.fd = fd};

	MUST(epoll_ctl(set, operation, fd, &event));
}

/* ---- turns ------------------------------------------------------------------------------------------------------ */

static inline int kqueue_round(enum side side, struct group *group)
{
	struct kevent list[MAX_ACTIVE];
	int got;

	MUST(got = kqueue_api[side].kevent(group->queue, group->changes, group->nchanges, list, active, NULL));
	group->nchanges = 0;
	for (int i = 0; i < got; i++) {
		check_event(&list[i]);
		drain((int)list[i].ident);
		if (rearmed[way])
			EV_SET(&group->changes[group->nchanges++], list[i].ident, EVFILT_READ, rearmed[way], 0, 0, NULL);
	}
	return got;
}

static inline int epoll_round(const struct group *group)
{
	struct epoll_event list[MAX_ACTIVE];
	int got;

	MUST(got = epoll_wait(group->queue, list, active, -1));
	for (int i = 0; i < got; i++) {
		drain(list[i].data.fd);
		if (way != LEVEL)
			control(group->queue, EPOLL_CTL_MOD, EPOLLIN | EPOLLONESHOT, list[i].data.fd);
	}
	return got;
}

/* One iteration handles every active descriptor once. */
static uint64_t turn_ping(enum side side, long rounds)
{
	struct group *group = &groups[side];
	uint64_t start = now();

	while (rounds-- > 0)
		for (int first = 0; first < active; first += step) {
			for (int i = first; i < first + step; i++)
				MUST(write(group->out[i], "x", 1));
			for (int done = 0; done < step;)
				done += side == BASE ? epoll_round(group) : kqueue_round(side, group);
		}
	return now() - start;
}

/* Nothing is there, and the call says so. */
static uint64_t turn_empty(enum side side, long n)
{
	static const struct timespec zero;
	const struct group *group = &groups[side];
	struct epoll_event events[MAX_ACTIVE];
	struct kevent list[MAX_ACTIVE];
	uint64_t start = now();

	if (side == BASE)
		while (n-- > 0)
			MUST(epoll_wait(group->queue, events, active, 0));
	else
		while (n-- > 0)
			MUST(kqueue_api[side].kevent(group->queue, NULL, 0, list, active, &zero));
	return now() - start;
}

static uint64_t turn_add_delete(enum side side, long n)
{
	int queue = groups[side].queue, fd = groups[side].in[0];
	struct epoll_event event = {.events = EPOLLIN};
	uint64_t start = now();

	if (side == BASE)
		while (n-- > 0) {
			MUST(epoll_ctl(queue, EPOLL_CTL_ADD, fd, &event));
			MUST(epoll_ctl(queue, EPOLL_CTL_DEL, fd, NULL));
		}
	else
		while (n-- > 0) {
			change(side, queue, (uintptr_t)fd, EVFILT_READ, EV_ADD, 0, 0);
			change(side, queue, (uintptr_t)fd, EVFILT_READ, EV_DELETE, 0, 0);
		}
	return now() - start;
}

static uint64_t turn_disable_enable(enum side side, long n)
{
	int queue = groups[side].queue, fd = groups[side].in[0];
	uint64_t start = now();

	if (side == BASE)
		while (n-- > 0) {
			control(queue, EPOLL_CTL_MOD, 0, fd);
			control(queue, EPOLL_CTL_MOD, EPOLLIN, fd);
		}
	else
		while (n-- > 0) {
			change(side, queue, (uintptr_t)fd, EVFILT_READ, EV_DISABLE, 0, 0);
			change(side, queue, (uintptr_t)fd, EVFILT_READ, EV_ENABLE, 0, 0);
		}
	return now() - start;
}

/* ---- setup ------------------------------------------------------------------------------------------------------ */

static void watch(enum side side, int fd)
{
	if (side == BASE)
		control(groups[side].queue, EPOLL_CTL_ADD, EPOLLIN | (way == LEVEL ? 0u : EPOLLONESHOT), fd);
	else
		change(side, groups[side].queue, (uintptr_t)fd, EVFILT_READ, added[way], 0, 0);
}

/* arg: kind, number of active descriptors, how many get a byte at a time (0: one); way */
static void setup(const struct row *row)
{
	active = row->arg[1];
	step = row->arg[2] ? row->arg[2] : 1;
	way = (enum way)row->arg[3];
	need_descriptors(6 * active + 64);
	for (enum side side = OURS; side < SIDES; side++) {
		struct group *group = &groups[side];

		if (!has_side(side))
			continue;
		MUST(group->queue = side == BASE ? epoll_create1(0) : kqueue_api[side].kqueue());
		for (int i = 0; i < active; i++) {
			make_pair((enum kind)row->arg[0], &group->in[i], &group->out[i]);
			watch(side, group->in[i]);
		}
	}
}

/* Both ends of socket pairs that nobody writes to. The sides share them: a descriptor where nothing happens costs
 * nothing to share. */
static void setup_idle(const struct row *row)
{
	int ends[2];

	setup(row);
	need_descriptors(IDLE + 6 * active + 128);
	for (int i = 0; i < IDLE; i++) {
		if (i % 2 == 0)
			MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
		for (enum side side = OURS; side < SIDES; side++)
			if (has_side(side))
				watch(side, ends[i % 2]);
	}
}

static void setup_unwatched(const struct row *row)
{
	setup(row);
	control(groups[BASE].queue, EPOLL_CTL_DEL, 0, groups[BASE].in[0]);
	for (enum side side = OURS; side < SIDES; side++)
		if (side != BASE && has_side(side))
			change(side, groups[side].queue, (uintptr_t)groups[side].in[0], EVFILT_READ, EV_DELETE, 0, 0);
}

#define LEVEL_BASE "epoll_wait(all), level-triggered"
#define PING(suffix, kind_, text, must_, aim_, setup_) \
	{ \
		.name = "kq_ping_" suffix, .what = "kevent, one byte at a time, " text, .base = LEVEL_BASE, .must = must_, \
		.aim = aim_, .events = 10, .sides = 2, .other = true, .setup = setup_, .turn = turn_ping, \
		.arg = {kind_, 10, 1, LEVEL}, \
	}
#define REARM(suffix, text, step_, way_, must_, aim_) \
	{ \
		.name = "kq_" suffix, .what = text, .base = "epoll_wait(all) + MOD(ONESHOT)", .must = must_, .aim = aim_, \
		.events = 10, .sides = 2, .other = true, .setup = setup, .turn = turn_ping, .arg = {PIPE, 10, step_, way_}, \
	}
#define CHANGES(suffix, text, base_, must_, aim_, setup_, turn_) \
	{ \
		.name = "kq_" suffix, .what = text, .base = base_, .must = must_, .aim = aim_, .events = 1, .sides = 2, \
		.other = true, .setup = setup_, .turn = turn_, .arg = {PIPE, 1, 1, LEVEL}, \
	}

const struct row kq_io_rows[] = {
	PING("pipe", PIPE, "10 pipes", 1.35, 1.26, setup),
	PING("socketpair", SOCKETPAIR, "10 socketpairs", 1.20, 1.15, setup),
	PING("tcp", TCP, "10 tcp", 1.10, 1.08, setup),
	PING("pipe_idle", PIPE, "10 pipes, 9,000 idle", 1.30, 1.19, setup_idle),
	PING("socketpair_idle", SOCKETPAIR, "10 socketpairs, 9,000 idle", 1.18, 1.10, setup_idle),
	PING("tcp_idle", TCP, "10 tcp, 9,000 idle", 1.13, 1.08, setup_idle),
	{
		.name = "kq_burst_pipe", .what = "kevent, 10 pipes, a byte in each", .base = LEVEL_BASE, .events = 10,
		.sides = 2, .other = true, .setup = setup, .turn = turn_ping, .arg = {PIPE, 10, 10, LEVEL},
	},
	REARM("oneshot", "EV_ONESHOT, re-added by the next kevent", 1, ONESHOT, 1.10, 1.00),
	REARM("dispatch", "EV_DISPATCH, re-enabled by the next kevent", 1, DISPATCH, 1.10, 1.00),
	REARM("oneshot_burst", "the first with 10 events at once", 10, ONESHOT, 0, 0),
	REARM("dispatch_burst", "the second with 10 events at once", 10, DISPATCH, 0, 0),
	CHANGES("add_delete", "EV_ADD, EV_DELETE of one descriptor", "EPOLL_CTL_ADD + DEL", 1.15, 0.30, setup_unwatched,
		turn_add_delete),
	CHANGES("disable_enable", "EV_DISABLE, EV_ENABLE of one descriptor", "MOD(0) + MOD(IN)", 1.20, 0.30, setup,
		turn_disable_enable),
	{
		.name = "kq_empty", .what = "kevent that finds nothing; 10 idle pipes", .base = "epoll_wait, time-out 0",
		.must = 1.25, .aim = 1.12, .events = 1, .sides = 2, .other = true, .setup = setup, .turn = turn_empty,
		.arg = {PIPE, 10, 1, LEVEL},
	},
	{.name = NULL},
};
