/*
 * sleep.h: compiled into the player of the traces before everything else. The sleeps of a sequence end at deadlines
 * that count from its first one, so that what the operations between them take does not add up.
 *
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#ifndef EVSHIM_ORACLE_SLEEP_H
#define EVSHIM_ORACLE_SLEEP_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <time.h>
#include <unistd.h>

static inline int evshim_oracle_sleep(unsigned us)
{
	static struct timespec deadline;
	if (us < 1000) { /* not of the sequence: a pause for the loopback */
		struct timespec pause = { 0, us * 1000L };
		return nanosleep(&pause, NULL);
	}
	if (deadline.tv_sec == 0)
		clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_nsec += us % 1000000 * 1000L;
	deadline.tv_sec += us / 1000000 + deadline.tv_nsec / 1000000000;
	deadline.tv_nsec %= 1000000000;
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &deadline, NULL) != 0)
		;
	return 0;
}
#define usleep(us) evshim_oracle_sleep(us)

#endif /* EVSHIM_ORACLE_SLEEP_H */
