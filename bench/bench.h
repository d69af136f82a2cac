/*
 * bench.h: the frame of the measurements.
 *
 * A row compares this library ("ours") with raw epoll that does the same work with the fewest system calls
 * ("base"). The two take turns of a few milliseconds inside one process, so that whatever changes the speed of
 * the machine changes both. A row runs in a process of its own; run.py starts it several times.
 *
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#ifndef EVSHIM_BENCH_H
#define EVSHIM_BENCH_H

#include <errno.h>
#include <port.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* The *_FEW sides are the yardstick of a row about growth: the same loop where little is idle. OTHER is the loop of a
 * row about kqueue over libkqueue, where that is installed. */
enum side { OURS, BASE, OURS_FEW, BASE_FEW, OTHER, SIDES };

/* What the first column of numbers and the limits mean. */
enum unit {
	RATIO,  /* nanoseconds per event; ours / base */
	GROWTH, /* nanoseconds per event; (ours / ours_few) / (base / base_few) */
	BYTES,  /* bytes per object; ours - base */
	COUNT,  /* things per object; ours / base */
};

struct row {
	const char *name;
	const char *what; /* what ours does */
	const char *base; /* the calls of the baseline */
	double must, aim; /* 0: for information only */
	enum unit unit;
	int events;       /* per iteration: results are per event */
	int sides;        /* 2, or 4 for GROWTH */
	bool other;       /* and OTHER if it is there */
	int turns;        /* 0: the usual number */
	int turn_us;      /* 0: the usual length */
	bool two_cores;   /* not pinned to one */
	void (*setup)(const struct row *row);
	uint64_t (*turn)(enum side side, long iterations); /* nanoseconds taken */
	int arg[4];       /* for setup */
};

/* One list per file, ended by a row without a name. */
extern const struct row io_rows[], user_rows[], life_rows[], thread_rows[];
extern const struct row kq_io_rows[], kq_life_rows[], kq_thread_rows[];

/* The C library's own functions: by their plain names this program would get the library's interposers. */
extern int (*libc_close)(int fd);

/* Does the row that runs have the side OTHER? Its setup may take that back. */
extern bool other_side;

static inline uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void fail(const char *what) __attribute__((noreturn)); /* with errno */
void skip(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* Every call of a measurement must succeed, on both sides; the compare costs them the same. */
#define MUST(call) \
	do { \
		if (__builtin_expect((call) < 0, 0)) \
			fail(#call); \
	} while (0)

/* Raises the soft limit of descriptors, or skips the row where the hard one forbids it. */
void need_descriptors(long count);

enum kind { PIPE, SOCKETPAIR, TCP };
void make_pair(enum kind kind, int *in, int *out);

/* A program of bench/worker.c that measures where the other side of the row must not be. */
struct worker {
	int to, from;
};
void start_worker(struct worker *worker, const char *program, const char *role);
uint64_t ask_worker(const struct worker *worker, uint64_t iterations);

#endif /* EVSHIM_BENCH_H */
