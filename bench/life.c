/*
 * life.c: rows about the life of ports, associations and descriptors.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include "bench.h"

#include <fcntl.h>

#define CLOSES 200
#define PORTS 4000

static int port, set, target;
static struct worker workers[2];

/* ---- associate + dissociate, create + close --------------------------------------------------------------------- */

static void setup_association(const struct row *row)
{
	int out;

	(void)row;
	make_pair(PIPE, &target, &out);
	MUST(port = port_create());
	MUST(set = epoll_create1(0));
}

static uint64_t turn_association(enum side side, long n)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT};
	uint64_t start = now();

	if (side == OURS)
		while (n-- > 0) {
			MUST(port_associate(port, PORT_SOURCE_FD, (uintptr_t)target, POLLIN, NULL));
			MUST(port_dissociate(port, PORT_SOURCE_FD, (uintptr_t)target));
		}
	else
		while (n-- > 0) {
			MUST(epoll_ctl(set, EPOLL_CTL_ADD, target, &event));
			MUST(epoll_ctl(set, EPOLL_CTL_DEL, target, NULL));
		}
	return now() - start;
}

/* arg: whether another port exists. The first one of a process sets up what all of them share. */
static void setup_create(const struct row *row)
{
	if (row->arg[0])
		MUST(port_create());
}

static uint64_t turn_create(enum side side, long n)
{
	uint64_t start = now();
	int fd;

	if (side == OURS)
		while (n-- > 0) {
			MUST(fd = port_create());
			MUST(close(fd));
		}
	else
		while (n-- > 0) {
			MUST(fd = epoll_create1(0));
			MUST(libc_close(fd));
		}
	return now() - start;
}

/* ---- close() of a descriptor that the library has nothing to do with -------------------------------------------- */

static void setup_close(const struct row *row)
{
	setup_association(row);
	need_descriptors(CLOSES + 64);
	MUST(port_associate(port, PORT_SOURCE_FD, (uintptr_t)target, POLLIN, NULL));
	MUST(target = open("/dev/null", O_RDONLY | O_CLOEXEC));
}

/* Only the closes are timed. Duplicates: their close does not pay for the end of a file. */
static uint64_t turn_close(enum side side, long n)
{
	uint64_t took = 0;
	int fds[CLOSES];

	while (n-- > 0) {
		uint64_t start;

		for (int i = 0; i < CLOSES; i++)
			MUST(fds[i] = dup(target));
		start = now();
		if (side == OURS)
			for (int i = 0; i < CLOSES; i++)
				MUST(close(fds[i]));
		else
			for (int i = 0; i < CLOSES; i++)
				MUST(libc_close(fds[i]));
		took += now() - start;
	}
	return took;
}

/* ---- what needs processes of its own: see worker.c -------------------------------------------------------------- */

static uint64_t turn_workers(enum side side, long n)
{
	return ask_worker(&workers[side], (uint64_t)n);
}

static void setup_fork(const struct row *row)
{
	(void)row;
	need_descriptors(1200);
	start_worker(&workers[OURS], "worker-ports", "fork");
	start_worker(&workers[BASE], "worker-plain", "fork");
}

static void setup_memory(const struct row *row)
{
	(void)row;
	need_descriptors(PORTS + 64);
	start_worker(&workers[OURS], "worker-ports", "memory");
	start_worker(&workers[BASE], "worker-plain", "memory");
}

static uint64_t turn_memory(enum side side, long n)
{
	(void)n;
	return ask_worker(&workers[side], PORTS);
}

const struct row life_rows[] = {
	{
		.name = "assoc_dissoc", .what = "port_associate, port_dissociate of one descriptor",
		.base = "EPOLL_CTL_ADD + DEL", .must = 1.15, .aim = 0.30, .events = 1, .sides = 2,
		.setup = setup_association, .turn = turn_association,
	},
	{
		.name = "create_close", .what = "port_create, close", .base = "epoll_create1 + close", .must = 2, .aim = 1.2,
		.events = 1, .sides = 2, .setup = setup_create, .turn = turn_create, .arg = {0},
	},
	{
		.name = "create_close_second", .what = "port_create, close where another port exists",
		.base = "epoll_create1 + close", .events = 1, .sides = 2, .setup = setup_create, .turn = turn_create,
		.arg = {1},
	},
	{
		.name = "port_memory", .what = "memory of an idle port (of 4,000)", .base = "memory of an epoll set",
		.must = 1024, .aim = 307.2, .unit = BYTES, .events = PORTS, .sides = 2, .turns = 1,
		.setup = setup_memory, .turn = turn_memory,
	},
	{
		.name = "close_other", .what = "close of a descriptor that no port watches",
		.base = "the C library's close", .must = 1.02, .aim = 1.00, .events = CLOSES, .sides = 2, .turns = 101,
		.setup = setup_close, .turn = turn_close,
	},
	{
		.name = "fork_exit", .what = "fork, _exit, waitpid; 100 ports, 1,000 associations",
		.base = "the same with 100 epoll sets, without the library", .must = 1.10, .aim = 1.00, .events = 1,
		.sides = 2, .turn_us = 5000, .setup = setup_fork, .turn = turn_workers,
	},
	{.name = NULL},
};
