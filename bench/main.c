/*
 * main.c: takes the name of a row, runs its sides in turns and prints one line of tab-separated results.
 *
 *   bench -l      the rows: name, unit, must, aim, what ours does, what the baseline does, whether libkqueue can, too
 *   bench ROW     "result ROW OURS BASE VALUE TURNS [LIBKQUEUE OURS/LIBKQUEUE]", or "skip ROW REASON"
 *
 * BENCH_LIBKQUEUE names the library for the side OTHER.
 *
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "kqueue.h"

#include <dlfcn.h>
#include <sched.h>
#include <stdarg.h>

#define WARM_UP 3
#define MAX_TURNS 501

static const struct row *const lists[] = {
	io_rows, user_rows, life_rows, thread_rows, kq_io_rows, kq_life_rows, kq_thread_rows,
};
static const char *const units[] = {"ratio", "growth", "bytes", "count"};
static const struct row *current;

int (*libc_close)(int fd);
bool other_side;
struct kqueue_api kqueue_api[SIDES] = {[OURS] = {kqueue, kevent}};

void fail(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", current ? current->name : "bench", what, strerror(errno));
	exit(1);
}

void skip(const char *format, ...)
{
	va_list words;

	printf("skip\t%s\t", current->name);
	va_start(words, format);
	vprintf(format, words);
	va_end(words);
	putchar('\n');
	exit(0);
}

static long setting(const char *name, long otherwise)
{
	const char *text = getenv(name);

	return text && *text ? atol(text) : otherwise;
}

static void list_rows(void)
{
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		for (const struct row *r = lists[i]; r->name; r++)
			printf("%s\t%s\t%g\t%g\t%s\t%s\t%d\n", r->name, units[r->unit], r->must, r->aim, r->what, r->base,
			       r->other);
}

static const struct row *find_row(const char *name)
{
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		for (const struct row *r = lists[i]; r->name; r++)
			if (strcmp(r->name, name) == 0)
				return r;
	return NULL;
}

/* The last cores that we may use: the first one serves most interrupts. */
static void pin(int cores)
{
	cpu_set_t all, ours;
	int left = cores;

	if (sched_getaffinity(0, sizeof(all), &all) != 0)
		fail("sched_getaffinity");
	CPU_ZERO(&ours);
	for (int cpu = CPU_SETSIZE - 1; cpu >= 0 && left > 0; cpu--)
		if (CPU_ISSET(cpu, &all)) {
			CPU_SET(cpu, &ours);
			left--;
		}
	if (left > 0)
		skip("needs %d cores, and there are %d", cores, CPU_COUNT(&all));
	if (sched_setaffinity(0, sizeof(ours), &ours) != 0)
		fail("sched_setaffinity");
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, int n)
{
	qsort(values, (size_t)n, sizeof(*values), by_value);
	return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* BENCH_NULL=1 gives the baseline's work to both: what the ratio is then off from 1 is the error of the method. */
static uint64_t take_turn(const struct row *row, int side, long n)
{
	static const enum side plain[SIDES] = {BASE, BASE, BASE_FEW, BASE_FEW, BASE};

	return row->turn(setting("BENCH_NULL", 0) ? plain[side] : (enum side)side, n);
}

/* The sides that take part, in order; returns their number. */
static int list_sides(const struct row *row, int *list)
{
	int n = 0;

	while (n < row->sides) {
		list[n] = n;
		n++;
	}
	if (other_side)
		list[n++] = OTHER;
	return n;
}

/* As many iterations for every side as make their turns `turn_us` long on the average. */
static long calibrate(const struct row *row, long turn_us)
{
	int list[SIDES], sides = list_sides(row, list);
	uint64_t wanted = (uint64_t)turn_us * 1000 * (uint64_t)sides;
	long n = 1;

	for (;;) {
		uint64_t took = 0;

		for (int i = 0; i < sides; i++)
			took += take_turn(row, list[i], n);
		if (took >= wanted / 2 || n >= 1 << 24) {
			long fit = (long)((double)n * (double)wanted / (double)(took ? took : 1));
			return fit > 0 ? fit : 1;
		}
		n *= 2;
	}
}

static double compared(const struct row *row, const double *cost)
{
	switch (row->unit) {
	case GROWTH: return cost[OURS] / cost[OURS_FEW] / (cost[BASE] / cost[BASE_FEW]);
	case BYTES: return cost[OURS] - cost[BASE];
	default: return cost[OURS] / cost[BASE];
	}
}

/* The value is compared within each turn: what disturbs one turn does not disturb the median. The order of the
 * sides changes from turn to turn, so that none of them always finds the caches of the same predecessor. */
static void measure(const struct row *row, int turns)
{
	static double cost[SIDES][MAX_TURNS], value[MAX_TURNS], other[MAX_TURNS];
	bool timed = row->unit != BYTES && row->unit != COUNT;
	long n = timed ? calibrate(row, row->turn_us ? row->turn_us : setting("BENCH_TURN_US", 3000)) : 1;
	int list[SIDES], sides = list_sides(row, list), first = timed ? -WARM_UP : 0;

	for (int turn = first; turn < turns; turn++) {
		double here[SIDES];

		for (int i = 0; i < sides; i++) {
			int side = list[turn & 1 ? sides - 1 - i : i];

			here[side] = (double)take_turn(row, side, n) / ((double)n * row->events);
		}
		if (turn < 0)
			continue;
		for (int i = 0; i < sides; i++)
			cost[list[i]][turn] = here[list[i]];
		value[turn] = compared(row, here);
		if (other_side)
			other[turn] = here[OURS] / here[OTHER];
	}
	printf("result\t%s\t%.2f\t%.2f\t%.4f\t%d", row->name, median(cost[OURS], turns), median(cost[BASE], turns),
	       median(value, turns), turns);
	if (other_side)
		printf("\t%.2f\t%.4f", median(cost[OTHER], turns), median(other, turns));
	putchar('\n');
}

/* Its own calls go to the C library, not to what this library interposes. */
static void open_libkqueue(const char *path)
{
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
	struct kqueue_api *api = &kqueue_api[OTHER];

	if (!library)
		skip("%s", dlerror());
	*(void **)&api->kqueue = dlsym(library, "kqueue");
	*(void **)&api->kevent = dlsym(library, "kevent");
	if (!api->kqueue || !api->kevent)
		skip("%s lacks kqueue or kevent", path);
	other_side = true;
}

int main(int argc, char **argv)
{
	void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
	int turns;

	if (argc == 2 && strcmp(argv[1], "-l") == 0) {
		list_rows();
		return 0;
	}
	current = argc == 2 ? find_row(argv[1]) : NULL;
	if (!current) {
		fprintf(stderr, "usage: bench -l | ROW\n");
		return 2;
	}
	libc_close = libc ? (int (*)(int))dlsym(libc, "close") : NULL;
	if (!libc_close)
		skip("the C library's own close was not found");
	pin(current->two_cores ? 2 : 1);
	alarm((unsigned)setting("BENCH_LIMIT", 60)); /* a lost event must not hang the run */
	turns = current->turns ? current->turns : (int)setting("BENCH_TURNS", 41);
	if (current->other && getenv("BENCH_LIBKQUEUE") && !setting("BENCH_NULL", 0))
		open_libkqueue(getenv("BENCH_LIBKQUEUE"));
	current->setup(current);
	measure(current, turns < 1 ? 1 : turns > MAX_TURNS ? MAX_TURNS : turns);
	return 0;
}
