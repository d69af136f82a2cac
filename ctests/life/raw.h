/*
 * raw.h: numbers that go by a raw system call, what is left of their files, and how well a sleeper sleeps.
 *
 * Everything here goes around the library on purpose. In the dlopen mode the plain close and dup do so as well.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#ifndef EVSHIM_TEST_RAW_H
#define EVSHIM_TEST_RAW_H

#include "life.h"
#include <sys/epoll.h>

#ifdef EVSHIM_TEST_DLOPEN
#define UNSEEN true /* no close at all is seen */
#else
#define UNSEEN false
#endif

#define NUMBER 500 /* what is closed and used again: above all that a test opens, below a limit of 1024 */
#define FILLER 0xf111
/* Under valgrind the child that cuts a ghost out is a process of its own, which looks for leaks when it ends. */
#define CHILDREN_COST (getenv("EVSHIM_TEST_VALGRIND") ? 4 : 1)
#define LATE_MS (1000 * slow() * CHILDREN_COST)

H_UNUSED static int raw_close(int fd) { return (int)syscall(SYS_close, fd); }
H_UNUSED static int raw_dup(int fd) { return (int)syscall(SYS_dup, fd); }
H_UNUSED static int raw_dup3(int from, int to) { return (int)syscall(SYS_dup3, from, to, 0); }

H_UNUSED static long long now_us(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000LL + ts.tv_nsec / 1000;
}

/* ------------------------------------------------------------------ a file and who else has it */

enum survivor { NOBODY, RAW_DUP, LIBC_DUP, IN_CHILD, SURVIVORS };

struct subject {
	int number;
	int peer; /* write here to make the file readable */
	int keep; /* a duplicate that lives on, or -1 */
	pid_t child;
};

/* A socket of its own at the number; whatever was there goes unseen. */
H_UNUSED static void subject_open(struct subject *s, int number)
{
	int fds[2];
	make_pair(fds);
	CHECK_EQ(raw_dup3(fds[0], number), number);
	CHECK_EQ(raw_close(fds[0]), 0);
	*s = (struct subject){ .number = number, .peer = fds[1], .keep = -1 };
}

/* A child that has this one file (at 3) and nothing else of ours but the standard descriptors. */
H_UNUSED static pid_t keep_in_child(int fd)
{
	int ready[2];
	make_pipe(ready);
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		raw_dup3(ready[1], 700);
		raw_dup3(fd, 701);
		for (int i = 3; i < 2048; i++)
			if (i != 700 && i != 701)
				raw_close(i);
		raw_dup3(701, 3);
		raw_close(701);
		syscall(SYS_write, 700, "x", 1);
		raw_close(700);
		for (;;)
			pause();
	}
	CHECK(pid > 0);
	take(ready[0]);
	close_pipe(ready);
	return pid;
}

H_UNUSED static void survive(struct subject *s, enum survivor survivor)
{
	if (survivor == RAW_DUP)
		s->keep = raw_dup(s->number);
	else if (survivor == LIBC_DUP)
		s->keep = dup(s->number);
	else if (survivor == IN_CHILD)
		s->child = keep_in_child(s->number);
	CHECK(survivor == NOBODY || s->keep >= 0 || s->child > 0);
}

/* The number goes unseen; the file lives on as asked. */
H_UNUSED static void lose(struct subject *s, enum survivor survivor)
{
	survive(s, survivor);
	CHECK_EQ(raw_close(s->number), 0);
}

/* The end of what was lost. */
H_UNUSED static void bury(struct subject *s)
{
	if (s->keep >= 0)
		close(s->keep);
	if (s->child > 0) {
		kill(s->child, SIGKILL);
		wait_child(s->child);
	}
	close(s->peer);
}

/* ------------------------------------------------------------------ cycles of a careful program */

/* True if there was a byte; false for an event that told of another file (a stray). */
H_UNUSED static bool take_any(int fd)
{
	char byte;
	ssize_t got = recv(fd, &byte, 1, MSG_DONTWAIT);
	if (got == -1 && errno != EAGAIN)
		FAIL("recv(%d): %s", fd, strerror(errno));
	return got == 1;
}

/* Events of the subject until the library has every reason to leave it armed; the last one is drained or not. */
H_UNUSED static void cycle(int port, const struct subject *s, int times, bool drained)
{
	port_event_t pe;
	for (int i = 0; i < times; i++) {
		CHECK_OK(watch(port, s->number, POLLIN));
		put(s->peer);
		CHECK_OK(port_get(port, &pe, i % 2 != 0 ? NULL : LONG_TIMEOUT));
		CHECK_EQ(pe.portev_object, s->number);
		if (drained || i < times - 1)
			take(s->number);
	}
}

enum sleep_in { IN_GET, IN_GET_LONG, IN_GETN, IN_GETN_TWO, SLEEPS };

/* One sleep of the given kind, for as long as it takes. */
H_UNUSED static unsigned sleep_in(int port, enum sleep_in how, port_event_t list[8])
{
	unsigned got = 1;
	switch (how) {
	case IN_GET: CHECK_OK(port_get(port, list, NULL)); break;
	case IN_GET_LONG: CHECK_OK(port_get(port, list, LONG_TIMEOUT)); break;
	case IN_GETN: CHECK_OK(port_getn(port, list, 8, &got, LONG_TIMEOUT)); break;
	default:
		CHECK_OK(send_value(port, FILLER)); /* so the other one is what it sleeps for */
		got = 2;
		CHECK_OK(port_getn(port, list, 8, &got, LONG_TIMEOUT));
	}
	return got;
}

/*
 * Sleeps until the number's data is here and takes it. An event without data is a stray: the program does what
 * programs do and associates again. Returns the strays.
 */
H_UNUSED static int await_data(int port, int number, enum sleep_in how)
{
	port_event_t list[8];
	int strays = 0;
	for (bool done = false; !done;) {
		unsigned got = sleep_in(port, how, list);
		for (unsigned i = 0; i < got; i++) {
			if (list[i].portev_source == PORT_SOURCE_USER)
				continue;
			CHECK_EQ(list[i].portev_source, PORT_SOURCE_FD);
			CHECK_EQ(list[i].portev_object, number);
			CHECK_EQ((uintptr_t)list[i].portev_user, number);
			CHECK(!done); /* one association, one event */
			done = take_any(number);
			strays += !done;
			if (!done)
				CHECK_OK(watch(port, number, POLLIN));
		}
		if (strays > 1)
			FAIL("%d stray events of one closed number", strays);
	}
	return strays;
}

/* ------------------------------------------------------------------ another thread makes it readable */

struct writer {
	struct thread thread;
	int fd;
	long delay_ms;
	long long at_us; /* when it wrote */
};

H_UNUSED static void *writer_main(void *arg)
{
	struct writer *w = arg;
	sleep_ms(w->delay_ms);
	w->at_us = now_us();
	put(w->fd);
	return NULL;
}

H_UNUSED static void write_later(struct writer *w, int fd, long delay_ms)
{
	*w = (struct writer){ .fd = fd, .delay_ms = delay_ms };
	thread_start(&w->thread, writer_main, w);
}

/* How late somebody was who has just been woken by it, in microseconds. */
H_UNUSED static long long written(struct writer *w)
{
	long long now = now_us();
	thread_join(&w->thread);
	long long late = now - w->at_us;
	if (late > LATE_MS * 1000LL)
		FAIL("%lld us late", late);
	return late;
}

#define LATES 256
struct lates {
	int count;
	long long us[LATES];
};

H_UNUSED static int h_compare(const void *a, const void *b)
{
	long long x = *(const long long *)a, y = *(const long long *)b;
	return (x > y) - (x < y);
}

H_UNUSED static void note_late(struct lates *l, long long us) { l->us[l->count++ % LATES] = us; }

/* Ten milliseconds is the promise for the worst; a busy machine gets as much again for the usual case. */
H_UNUSED static void check_usually_in_time(struct lates *l)
{
	int n = l->count < LATES ? l->count : LATES;
	qsort(l->us, (size_t)n, sizeof *l->us, h_compare);
	if (l->us[n / 2] > 30000LL * slow()) /* 10 ms, and what a busy machine adds */
		FAIL("usually %lld us late (%d times)", l->us[n / 2], n);
}

/* ------------------------------------------------------------------ how well a thread sleeps */

struct rest {
	long long cpu_us;
	long wakeups; /* voluntary context switches: each is one sleep */
};

H_UNUSED static struct rest rest_of(struct thread *t)
{
	struct rest r = { 0, 0 };
	clockid_t clock;
	struct timespec ts;
	char path[64], line[128];
	CHECK(pthread_getcpuclockid(t->handle, &clock) == 0 && clock_gettime(clock, &ts) == 0);
	r.cpu_us = ts.tv_sec * 1000000LL + ts.tv_nsec / 1000;
	snprintf(path, sizeof path, "/proc/self/task/%d/status", (int)t->tid);
	FILE *f = fopen(path, "re");
	CHECK(f != NULL);
	while (fgets(line, sizeof line, f) != NULL)
		sscanf(line, "voluntary_ctxt_switches: %ld", &r.wakeups);
	fclose(f);
	return r;
}

H_UNUSED static struct rest rest_of_self(void)
{
	struct rusage usage;
	struct timespec ts;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	CHECK_OK(getrusage(RUSAGE_THREAD, &usage));
	return (struct rest){ ts.tv_sec * 1000000LL + ts.tv_nsec / 1000, usage.ru_nvcsw };
}

/* A few looks are allowed (10 ms, the cure, the way back to sleep), a steady beat of 10 ms is not. */
#define CHECK_RESTED(before, after)                                                                       \
	do {                                                                                              \
		if ((after).cpu_us - (before).cpu_us > 6000LL * slow() * CHILDREN_COST                          \
			|| (after).wakeups - (before).wakeups > 15)                                       \
			FAIL("no rest: %lld us of processor time, %ld wake-ups",                          \
				(after).cpu_us - (before).cpu_us, (after).wakeups - (before).wakeups);    \
	} while (0)

/* Nobody of these does anything for 300 ms. */
H_UNUSED static void check_rest(struct thread *const threads[], int count)
{
	struct rest before[THREADS_MAX];
	for (int i = 0; i < count; i++)
		before[i] = rest_of(threads[i]);
	sleep_ms(300);
	for (int i = 0; i < count; i++) {
		struct rest after = rest_of(threads[i]);
		CHECK_RESTED(before[i], after);
	}
}

/* Sleeps in port_get itself, with nothing to come but strays of the number; returns how many came. */
H_UNUSED static int rest_in_get(int port, int number, long ms)
{
	port_event_t pe;
	int strays = 0;
	long long end = now_ms() + ms;
	struct rest before = rest_of_self();
	for (long long left; (left = end - now_ms()) > 0;) {
		if (port_get(port, &pe, TIMEOUT_MS(left)) == -1) {
			CHECK_EQ(errno, ETIME);
			continue;
		}
		CHECK_EQ(pe.portev_source, PORT_SOURCE_FD);
		CHECK_EQ(pe.portev_object, number);
		strays++;
	}
	struct rest after = rest_of_self();
	CHECK_RESTED(before, after);
	return strays;
}

#endif /* EVSHIM_TEST_RAW_H */
