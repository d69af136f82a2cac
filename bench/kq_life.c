/*
 * kq_life.c: rows about EVFILT_USER, EVFILT_TIMER, and the life of a kqueue.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include "kqueue.h"

#include <sys/resource.h>
#include <sys/timerfd.h>

#define TIMERS 10000
#define BATCH 100
#define QUEUES 4000
#define HOUR 3600

static int queues[SIDES], bell;
static struct worker workers[2];

static void make_queues(void)
{
	for (enum side side = OURS; side < SIDES; side++)
		if (has_side(side))
			MUST(queues[side] = side == BASE ? epoll_create1(0) : kqueue_api[side].kqueue());
}

static void watch(int fd, void *name)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = name};

	MUST(epoll_ctl(queues[BASE], EPOLL_CTL_ADD, fd, &event));
}

/* ---- user events within one thread ------------------------------------------------------------------------------ */

/* arg: whether an idle descriptor is watched, too */
static void setup_user(const struct row *row)
{
	int in = -1, out;

	make_queues();
	MUST(bell = eventfd(0, EFD_NONBLOCK));
	watch(bell, NULL);
	if (row->arg[0]) {
		make_pair(SOCKETPAIR, &in, &out);
		watch(in, NULL);
	}
	for (enum side side = OURS; side < SIDES; side++) {
		if (side == BASE || !has_side(side))
			continue;
		change(side, queues[side], 1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0);
		if (row->arg[0])
			change(side, queues[side], (uintptr_t)in, EVFILT_READ, EV_ADD, 0, 0);
	}
}

static uint64_t turn_user(enum side side, long n)
{
	uint64_t start = now(), value = 1;
	struct epoll_event event;
	struct kevent got;

	if (side == BASE)
		while (n-- > 0) {
			MUST(write(bell, &value, sizeof(value)));
			MUST(epoll_wait(queues[side], &event, 1, -1));
			MUST(read(bell, &value, sizeof(value)));
		}
	else
		while (n-- > 0) {
			change(side, queues[side], 1, EVFILT_USER, 0, NOTE_TRIGGER, 0);
			MUST(kqueue_api[side].kevent(queues[side], NULL, 0, &got, 1, NULL));
			check_event(&got);
		}
	return now() - start;
}

/* ---- timers ----------------------------------------------------------------------------------------------------- */

/* None of them expires while the row runs. They are spread, so that a new one finds its place among them. */
static intptr_t delay_of(long i)
{
	return HOUR + i * 7919 % HOUR;
}

static int add_timerfd(long i)
{
	struct itimerspec when = {.it_value.tv_sec = delay_of(i)};
	int fd;

	when.it_interval = when.it_value;
	MUST(fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
	MUST(timerfd_settime(fd, 0, &when, NULL));
	watch(fd, NULL);
	return fd;
}

static void add_timer(enum side side, long i)
{
	change(side, queues[side], (uintptr_t)i, EVFILT_TIMER, EV_ADD, NOTE_SECONDS, delay_of(i));
}

static void setup_timers(const struct row *row)
{
	struct rlimit limit;

	(void)row;
	/* libkqueue has a timerfd each, too. */
	if (other_side && getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max < 2 * (TIMERS + BATCH) + 64)
		other_side = false;
	need_descriptors((other_side ? 2 : 1) * (TIMERS + BATCH) + 64);
	make_queues();
	for (long i = 0; i < TIMERS; i++) {
		add_timerfd(i);
		add_timer(OURS, i);
		if (other_side)
			add_timer(OTHER, i);
	}
}

/* Only the adding is timed. */
static uint64_t turn_timers(enum side side, long n)
{
	uint64_t took = 0;
	int fds[BATCH];

	while (n-- > 0) {
		uint64_t start = now();

		for (int i = 0; i < BATCH; i++)
			if (side == BASE)
				fds[i] = add_timerfd(i);
			else
				add_timer(side, TIMERS + i);
		took += now() - start;
		for (int i = 0; i < BATCH; i++)
			if (side == BASE)
				MUST(libc_close(fds[i]));
			else
				change(side, queues[side], (uintptr_t)(TIMERS + i), EVFILT_TIMER, EV_DELETE, 0, 0);
	}
	return took;
}

/* ---- kqueues ---------------------------------------------------------------------------------------------------- */

static void setup_create(const struct row *row)
{
	(void)row;
}

/* libkqueue has no part in it: what it has to do for a close it does later, in a thread. */
static uint64_t turn_create(enum side side, long n)
{
	uint64_t start = now();
	int fd;

	if (side == OURS)
		while (n-- > 0) {
			MUST(fd = kqueue());
			MUST(close(fd));
		}
	else
		while (n-- > 0) {
			MUST(fd = epoll_create1(0));
			MUST(libc_close(fd));
		}
	return now() - start;
}

static void setup_memory(const struct row *row)
{
	(void)row;
	need_descriptors(QUEUES + 64);
	start_worker(&workers[OURS], "worker-kqueue", "memory");
	start_worker(&workers[BASE], "worker-plain", "memory");
}

static void setup_descriptors(const struct row *row)
{
	(void)row;
	need_descriptors(4 * QUEUES + 64);
	start_worker(&workers[OURS], "worker-kqueue", "descriptors");
	start_worker(&workers[BASE], "worker-plain", "descriptors");
}

static uint64_t turn_workers(enum side side, long n)
{
	(void)n;
	return ask_worker(&workers[side], QUEUES);
}

#define USER(suffix, text, must_, aim_, idle) \
	{ \
		.name = "kq_user_" suffix, .what = "EVFILT_USER: trigger, kevent; " text, \
		.base = "eventfd write + epoll_wait + read", .must = must_, .aim = aim_, .events = 1, .sides = 2, \
		.other = true, .setup = setup_user, .turn = turn_user, .arg = {idle}, \
	}

const struct row kq_life_rows[] = {
	USER("none", "no descriptor", 0.85, 0.72, 0),
	USER("idle", "one idle descriptor", 1.10, 0.75, 1),
	{
		.name = "kq_timer_add", .what = "EVFILT_TIMER: EV_ADD of one more than 10,000",
		.base = "timerfd_create + timerfd_settime + ADD", .must = 0.10, .aim = 0.05, .events = BATCH, .sides = 2,
		.other = true, .setup = setup_timers, .turn = turn_timers,
	},
	{
		.name = "kq_create_close", .what = "kqueue, close", .base = "epoll_create1 + close", .must = 2, .aim = 1.2,
		.events = 1, .sides = 2, .setup = setup_create, .turn = turn_create,
	},
	{
		.name = "kq_descriptors", .what = "descriptors of a kqueue (of 4,000) with a READ and a USER knote",
		.base = "those of an epoll set with a descriptor", .must = 1, .aim = 1, .unit = COUNT, .events = QUEUES,
		.sides = 2, .turns = 1, .setup = setup_descriptors, .turn = turn_workers,
	},
	{
		.name = "kq_memory", .what = "memory of an idle kqueue (of 4,000)", .base = "memory of an epoll set",
		.must = 1024, .aim = 307.2, .unit = BYTES, .events = QUEUES, .sides = 2, .turns = 1,
		.setup = setup_memory, .turn = turn_workers,
	},
	{.name = NULL},
};
