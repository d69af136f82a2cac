/*
 * kq-wheel: a scheduler of jobs that do no more than tell when they ran; all the time-keeping is the kqueue's.
 *
 *   kq-wheel [-d TIME] [job...] [< commands]
 *
 *   NAME=every:TIME     again and again           TIME is a number with ns, us, ms or s behind it
 *   NAME=after:TIME     once
 *   NAME=at:+TIME       once, by the clock on the wall: it moves when that is set
 *   NAME=at:TIME        the same, since 1970
 *   pause NAME          what expires meanwhile is counted, and told at "resume NAME"
 *   stop NAME
 *
 * Jobs can be given anew, as a command too: the timer starts afresh. It ends after -d, or when no job is left and the
 * commands have ended; and fails if a job ran too early.
 *
 *   kq-wheel -d 2s tick=every:500ms fast=every:1500us once=after:1s alarm=at:+700ms
 *
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#define _DEFAULT_SOURCE 1 /* glibc, musl: POSIX names in -std=c99 */

#include <sys/types.h>
#include <sys/event.h>
#include <sys/time.h>

#include <err.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MOST 64
#define BATCH 16
#define THE_END 0 /* the timer of -d; the jobs' are 1, 2, ... */

/* With FreeBSD's flag the end of a regular file is told of; without it only what can be read. */
#ifndef NOTE_FILE_POLL
#define NOTE_FILE_POLL 0
#endif

/* FreeBSD and NetBSD report an absolute timer until it is deleted, macOS once: EV_ONESHOT makes them one. */
#ifndef NOTE_ABSTIME
#define NOTE_ABSTIME NOTE_ABSOLUTE
#endif

struct job {
	char name[32];
	enum { FREE, ARMED, OVER } state;
	uintptr_t timer;         /* its number: a new one each time that it is armed */
	clockid_t clock;
	long long begin, length; /* nanoseconds: it is due at begin + n * length */
	enum { RUNS, PAUSED, RESUMED } pause;
	unsigned long long runs, events;
	long long latest;        /* the most that an event was late; not of what was paused */
};

static struct job jobs[MOST];
static int kq, early;
static long long started;

static long long nanoseconds(clockid_t clock)
{
	struct timespec now;

	(void)clock_gettime(clock, &now);
	return (long long)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* A number and its unit, as fflags and data of a timer. Milliseconds, the unit of no flag, are the same everywhere. */
static int parse_time(const char *text, unsigned int *unit, long long *data, long long *length)
{
	static const struct {
		const char *name;
		unsigned int note;
		long long length;
	} units[] = {
		{"ns", NOTE_NSECONDS, 1}, {"us", NOTE_USECONDS, 1000}, {"ms", 0, 1000000},
		{"s", NOTE_SECONDS, 1000000000},
	};
	char *end;
	size_t i;

	errno = 0;
	*data = strtoll(text, &end, 10);
	for (i = 0; i < sizeof units / sizeof units[0]; i++)
		if (strcmp(end, units[i].name) == 0 && end != text && errno == 0 && *data > 0 &&
		    *data <= INT64_MAX / 4 / units[i].length) {
			*unit = units[i].note;
			*length = *data * units[i].length;
			return 0;
		}
	return -1;
}

/* One change. A refused one is -1 and errno, because there is no room for it in an event list. */
static int timer(struct job *j, int flags, unsigned int fflags, long long data)
{
	struct kevent change;

	EV_SET(&change, j != NULL ? j->timer : THE_END, EVFILT_TIMER, (unsigned short)flags, fflags, (intptr_t)data, j);
	return kevent(kq, &change, 1, NULL, 0, NULL);
}

static struct job *find(const char *name, size_t length)
{
	struct job *j, *unused = NULL;

	for (j = &jobs[MOST]; j-- > jobs;) {
		if (j->state == FREE)
			unused = j;
		else if (strlen(j->name) == length && memcmp(j->name, name, length) == 0)
			return j;
	}
	return unused;
}

/*
 * Whether a timer is one-shot is settled by its first EV_ADD, so a job that is given anew gets another timer. The new
 * number tells its events from one of the old timer that this batch may still hold.
 */
static int arm(struct job *j, const char *what)
{
	unsigned int unit;
	long long data, length;
	static uintptr_t timers = THE_END;
	int flags = EV_ADD, absolute = strncmp(what, "at:", 3) == 0, relative = absolute && what[3] == '+';
	const char *time = strchr(what, ':');

	if (time == NULL || parse_time(time + 1 + relative, &unit, &data, &length) != 0)
		return -1;
	if (absolute || strncmp(what, "after:", 6) == 0)
		flags |= EV_ONESHOT;
	else if (strncmp(what, "every:", 6) != 0)
		return -1;
	if (j->state == ARMED && timer(j, EV_DELETE, 0, 0) != 0)
		err(1, "%s: EV_DELETE", j->name);
	j->timer = ++timers;
	j->clock = absolute ? CLOCK_REALTIME : CLOCK_MONOTONIC;
	j->begin = absolute && !relative ? 0 : nanoseconds(j->clock);
	j->length = length;
	if (absolute) { /* to the microsecond, and never before it; to the second where data is too small */
		int wide = sizeof(intptr_t) == 8;

		unit = NOTE_ABSTIME | (wide ? NOTE_USECONDS : NOTE_SECONDS);
		data = wide ? (j->begin + length + 999) / 1000 : (j->begin + length + 999999999) / 1000000000;
		if (!relative && length < nanoseconds(j->clock)) /* it expires at once, and is not late */
			j->begin = nanoseconds(j->clock) - length;
	}
	j->runs = j->events = 0;
	j->pause = RUNS;
	j->latest = 0;
	if (timer(j, flags, unit, data) != 0)
		err(1, "%s: EV_ADD", j->name);
	j->state = ARMED;
	return 0;
}

/* A job on the command line, or a command on standard input. */
static int obey(const char *line)
{
	const char *equals = strchr(line, '='), *space = strchr(line, ' ');
	struct job *j;
	size_t length;

	if (equals != NULL) {
		length = (size_t)(equals - line);
		if (length == 0 || length >= sizeof j->name || (j = find(line, length)) == NULL)
			return -1;
		memcpy(j->name, line, length);
		j->name[length] = '\0';
		return arm(j, equals + 1);
	}
	if (space == NULL || (j = find(space + 1, strlen(space + 1))) == NULL || j->state != ARMED)
		return -1;
	if (strncmp(line, "stop ", 5) == 0) {
		j->state = OVER;
		return timer(j, EV_DELETE, 0, 0);
	}
	if (strncmp(line, "pause ", 6) == 0)
		j->pause = PAUSED;
	else if (strncmp(line, "resume ", 7) == 0)
		j->pause = RESUMED;
	else
		return -1;
	return timer(j, j->pause == PAUSED ? EV_DISABLE : EV_ENABLE, 0, 0);
}

/* Commands may come in pieces. Returns 0 at their end. */
static int read_commands(void)
{
	static char text[4096];
	static size_t have;
	char *line = text, *end;
	ssize_t n = read(STDIN_FILENO, text + have, sizeof text - 1 - have);

	if (n <= 0)
		return n < 0 && (errno == EINTR || errno == EAGAIN);
	have += (size_t)n;
	while ((end = memchr(line, '\n', have - (size_t)(line - text))) != NULL) {
		*end = '\0';
		if (line != end && obey(line) != 0)
			warnx("cannot do that: %s", line);
		line = end + 1;
	}
	have -= (size_t)(line - text);
	memmove(text, line, have);
	if (have == sizeof text - 1)
		errx(1, "a command is too long");
	return 1;
}

/* data is the number of expirations since the last event. */
static void on_timer(struct job *j, const struct kevent *e)
{
	long long now = nanoseconds(j->clock), late;
	unsigned long long n = (unsigned long long)e->data;

	j->runs += n;
	j->events++;
	late = now - j->begin - (long long)j->runs * j->length;
	early += late < 0;
	if (j->pause == RUNS && late > j->latest)
		j->latest = late;
	if (j->length >= 50000000) /* those that run all the time are told of at the end */
		(void)printf("%9.3f ms  %-8s x%llu, late by %.3f ms%s\n",
			(double)(nanoseconds(CLOCK_MONOTONIC) - started) / 1e6, j->name, n, (double)late / 1e6,
			j->pause != RUNS ? ", was paused" : "");
	if (j->pause == RESUMED)
		j->pause = RUNS;
	if ((e->flags & EV_ONESHOT) != 0)
		j->state = OVER; /* it is deleted */
}

static int work_left(int listening)
{
	const struct job *j;

	for (j = jobs; j < &jobs[MOST]; j++)
		if (j->state == ARMED)
			return 1;
	return listening;
}

static void run(void)
{
	struct kevent events[BATCH], change;
	int i, n, listening = 1, over = 0;

	EV_SET(&change, STDIN_FILENO, EVFILT_READ, EV_ADD, NOTE_FILE_POLL, 0, NULL);
	if (kevent(kq, &change, 1, NULL, 0, NULL) != 0)
		listening = 0; /* there is none */
	while (!over && work_left(listening)) {
		n = kevent(kq, NULL, 0, events, BATCH, NULL);
		if (n < 0 && errno != EINTR)
			err(1, "kevent");
		for (i = 0; i < n; i++) {
			struct job *j = events[i].udata;

			if (events[i].filter == EVFILT_READ) {
				if (read_commands())
					continue;
				listening = 0;
				EV_SET(&change, STDIN_FILENO, EVFILT_READ, EV_DELETE, 0, 0, NULL);
				(void)kevent(kq, &change, 1, NULL, 0, NULL);
			} else if (j == NULL) {
				over = 1;
			} else if (j->state == ARMED && events[i].ident == j->timer) {
				on_timer(j, &events[i]);
			}
		}
		(void)fflush(stdout);
	}
}

int main(int argc, char **argv)
{
	struct job *j;
	unsigned int unit = 0;
	long long data = 0, length;
	int option;

	while ((option = getopt(argc, argv, "d:")) != -1)
		if (option != 'd' || parse_time(optarg, &unit, &data, &length) != 0)
			errx(2, "usage: kq-wheel [-d TIME] [job...]");
	if ((kq = kqueue()) < 0)
		err(1, "kqueue");
	started = nanoseconds(CLOCK_MONOTONIC);
	if (data > 0 && timer(NULL, EV_ADD | EV_ONESHOT, unit, data) != 0)
		err(1, "-d");
	for (; optind < argc; optind++)
		if (obey(argv[optind]) != 0)
			errx(2, "cannot do that: %s", argv[optind]);
	run();
	for (j = jobs; j < &jobs[MOST]; j++)
		if (j->state != FREE)
			(void)printf("%s: ran %llu times in %llu events, at most %.3f ms late\n", j->name, j->runs,
				j->events, (double)j->latest / 1e6);
	if (early > 0)
		errx(1, "%d events were early", early);
	return 0;
}
