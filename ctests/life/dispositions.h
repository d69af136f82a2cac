/*
 * dispositions.h: handlers that note what they see, and the comparison of what was installed with what is read back.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#ifndef EVSHIM_TEST_DISPOSITIONS_H
#define EVSHIM_TEST_DISPOSITIONS_H

#include "life.h"

#define RESTORER 0x04000000 /* the C library's own flag, which it also reads back */

/* What the last handler saw. */
static struct {
	volatile int calls, sig;
	char by; /* which handler it was */
	siginfo_t info;
	void *context, *stack;
	sigset_t mask;
} seen H_UNUSED;

static void note(char by, int sig)
{
	char here;
	seen.calls++;
	seen.by = by;
	seen.sig = sig;
	seen.stack = &here;
	pthread_sigmask(SIG_SETMASK, NULL, &seen.mask);
}

H_UNUSED static void plain_a(int sig) { note('a', sig); }
H_UNUSED static void plain_b(int sig) { note('b', sig); }
H_UNUSED static void plain_c(int sig) { note('c', sig); }

H_UNUSED static void with_info(int sig, siginfo_t *info, void *context)
{
	note('i', sig);
	seen.info = *info;
	seen.context = context;
}

H_UNUSED static sigset_t set_of(int first, int second)
{
	sigset_t set;
	sigemptyset(&set);
	if (first != 0)
		sigaddset(&set, first);
	if (second != 0)
		sigaddset(&set, second);
	return set;
}

H_UNUSED static struct sigaction action_of(void *handler, int flags, sigset_t mask)
{
	struct sigaction action;
	memset(&action, 0, sizeof action);
	action.sa_handler = (sighandler_t)handler;
	action.sa_flags = flags;
	action.sa_mask = mask;
	return action;
}

H_UNUSED static void install(int sig, void *handler, int flags, sigset_t mask)
{
	struct sigaction action = action_of(handler, flags, mask);
	CHECK_OK(sigaction(sig, &action, NULL));
}

H_UNUSED static void check_same_set(const sigset_t *a, const sigset_t *b)
{
	for (int sig = 1; sig < NSIG; sig++)
		if (sigismember(a, sig) != sigismember(b, sig))
			FAIL("signal %d: %d, expected %d", sig, sigismember(a, sig), sigismember(b, sig));
}

H_UNUSED static void check_same(const struct sigaction *got, const struct sigaction *wanted)
{
	CHECK_EQ((uintptr_t)got->sa_handler, (uintptr_t)wanted->sa_handler);
	CHECK_EQ(got->sa_flags & ~RESTORER, wanted->sa_flags);
	check_same_set(&got->sa_mask, &wanted->sa_mask);
}

H_UNUSED static void check_installed(int sig, void *handler, int flags, sigset_t mask)
{
	struct sigaction wanted = action_of(handler, flags, mask), got;
	memset(&got, 0xa5, sizeof got);
	CHECK_OK(sigaction(sig, NULL, &got));
	check_same(&got, &wanted);
}

/* What the process sends itself is delivered at once, except by valgrind. */
H_UNUSED static void wait_for_calls(int count)
{
	for (int ms = 0; seen.calls < count && getenv("EVSHIM_TEST_VALGRIND") && ms < 5000; ms++)
		sleep_ms(1);
	CHECK_EQ(seen.calls, count);
}

#endif /* EVSHIM_TEST_DISPOSITIONS_H */
