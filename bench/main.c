/*
 * main.c: takes the name of a row, runs its sides in turns and prints one line of tab-separated results.
 *
 *   bench -l      the rows: name, unit, must, aim, what ours does, what the baseline does
 *   bench ROW     "result ROW OURS BASE VALUE TURNS", or "skip ROW REASON"
 *
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "bench.h"

#include <dlfcn.h>
#include <sched.h>
#include <stdarg.h>

#define WARM_UP 3
#define MAX_TURNS 501

static const struct row *const lists[] = {io_rows, user_rows, life_rows, thread_rows};
static const char *const units[] = {"ratio", "growth", "bytes"};
static const struct row *current;

int (*libc_close)(int fd);

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
			printf("%s\t%s\t%g\t%g\t%s\t%s\n", r->name, units[r->unit], r->must, r->aim, r->what, r->base);
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
	static const enum side plain[SIDES] = {BASE, BASE, BASE_FEW, BASE_FEW};

	return row->turn(setting("BENCH_NULL", 0) ? plain[side] : (enum side)side, n);
}

/* As many iterations for every side as make their turns `turn_us` long on the average. */
static long calibrate(const struct row *row, long turn_us)
{
	uint64_t wanted = (uint64_t)turn_us * 1000 * (uint64_t)row->sides;
	long n = 1;

	for (;;) {
		uint64_t took = 0;

		for (int side = 0; side < row->sides; side++)
			took += take_turn(row, side, n);
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
	static double cost[SIDES][MAX_TURNS], value[MAX_TURNS];
	long n = row->unit == BYTES ? 1 : calibrate(row, row->turn_us ? row->turn_us : setting("BENCH_TURN_US", 3000));
	int first = row->unit == BYTES ? 0 : -WARM_UP;

	for (int turn = first; turn < turns; turn++) {
		double here[SIDES];

		for (int i = 0; i < row->sides; i++) {
			int side = turn & 1 ? row->sides - 1 - i : i;

			here[side] = (double)take_turn(row, side, n) / ((double)n * row->events);
		}
		if (turn < 0)
			continue;
		for (int side = 0; side < row->sides; side++)
			cost[side][turn] = here[side];
		value[turn] = compared(row, here);
	}
	printf("result\t%s\t%.2f\t%.2f\t%.4f\t%d\n", row->name, median(cost[OURS], turns), median(cost[BASE], turns),
	       median(value, turns), turns);
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
	current->setup(current);
	measure(current, turns < 1 ? 1 : turns > MAX_TURNS ? MAX_TURNS : turns);
	return 0;
}
