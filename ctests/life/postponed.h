/*
 * postponed.h: a thread that is busy with a port, and others that send it signals.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#ifndef EVSHIM_TEST_POSTPONED_H
#define EVSHIM_TEST_POSTPONED_H

#include "life.h"

/* The busy thread's port, and what handlers and the thread itself have done with it. */
static struct {
	int port, fds[2];
	long sent, taken;                          /* by the thread's turns */
	volatile long sent_by_handler, of_handler; /* from handlers: sent, taken */
	volatile long handled, failed;
	long turns;
} busy;

H_UNUSED static long handled(void)
{
	return __atomic_load_n(&busy.handled, __ATOMIC_ACQUIRE);
}

H_UNUSED static void count_handled(void)
{
	__atomic_fetch_add(&busy.handled, 1, __ATOMIC_RELEASE);
}

/* errno is left alone on purpose: calls that succeed do not touch it, and the interrupted thread checks that. */
H_UNUSED static void use_the_port(int sig)
{
	int copy = dup(busy.fds[1]);
	(void)sig;
	if (copy == -1 || close(copy) != 0)
		busy.failed++;
	/* A storm may be faster than the program takes: the port must not get full. */
	if (busy.sent_by_handler - busy.of_handler > 60000)
		;
	else if (port_send(busy.port, 2, (void *)(uintptr_t)busy.sent_by_handler) == 0)
		busy.sent_by_handler++;
	else
		busy.failed++;
	count_handled();
}

H_UNUSED static void install(int sig, void *handler, int flags)
{
	struct sigaction action;
	memset(&action, 0, sizeof action);
	action.sa_handler = (void (*)(int))handler;
	action.sa_flags = flags;
	CHECK_OK(sigaction(sig, &action, NULL));
}

H_UNUSED static void busy_begin(void)
{
	busy.port = port_create();
	CHECK(busy.port >= 0);
	make_pair(busy.fds);
}

/* Each sequence of values arrives without gap, and nothing twice. */
H_UNUSED static unsigned busy_take(long ms)
{
	port_event_t list[16];
	unsigned got = 1;
	if (port_getn(busy.port, list, 16, &got, TIMEOUT_MS(ms)) == -1) {
		CHECK(errno == ETIME || (errno == EINTR && ms > 0));
		got = errno == ETIME ? got : 0;
	}
	for (unsigned i = 0; i < got; i++) {
		CHECK_EQ(list[i].portev_source, PORT_SOURCE_USER);
		if (list[i].portev_events == 1)
			CHECK_EQ((uintptr_t)list[i].portev_user, busy.taken++);
		else
			CHECK_EQ((uintptr_t)list[i].portev_user, busy.of_handler++);
	}
	return got;
}

/* Every kind of section once. */
H_UNUSED static void busy_turn(void)
{
	int copy = dup(busy.fds[0]);
	CHECK(copy >= 0);
	CHECK_OK(watch(busy.port, copy, POLLIN));
	CHECK_OK(port_send(busy.port, 1, (void *)(uintptr_t)busy.sent));
	busy.sent++;
	CHECK_OK(watch(busy.port, busy.fds[0], POLLIN));
	if (busy.turns % 2)
		CHECK_OK(unwatch(busy.port, copy));
	CHECK_OK(close(copy));
	busy_take(busy.turns % 16 == 0 ? 1 : 0);
	while (busy_take(0) > 8) /* handlers may send faster than one call takes */
		;
	CHECK_OK(unwatch(busy.port, busy.fds[0]));
	busy.turns++;
}

/* All that was sent was taken, and the port is as good as new. */
H_UNUSED static void busy_end(void)
{
	while (busy_take(0) > 0)
		;
	CHECK_EQ(busy.taken, busy.sent);
	CHECK_EQ(busy.of_handler, busy.sent_by_handler);
	CHECK_EQ(busy.failed, 0);
	CHECK_PORT_WORKS(busy.port);
	CHECK_OK(watch(busy.port, busy.fds[0], POLLIN));
	put(busy.fds[1]);
	CHECK_FD_EVENT(busy.port, busy.fds[0]);
	CHECK_OK(close(busy.port));
	close_pipe(busy.fds);
}

/* A thread that sends signals to the one that starts it. */
struct sender {
	struct thread thread;
	pthread_t to;
	volatile int stop;
	long sent;
	unsigned seed;
};

H_UNUSED static unsigned dice(struct sender *s, unsigned sides)
{
	s->seed = s->seed * 1103515245u + 12345u;
	return (s->seed >> 16) % sides;
}

H_UNUSED static void dawdle(unsigned turns)
{
	for (volatile unsigned i = 0; i < turns; i++)
		;
}

/* Signals arrive in threads that do not block them: this one does. */
H_UNUSED static void sender_start(struct sender *s, void *(*body)(void *))
{
	sigset_t all, before;
	*s = (struct sender){ .to = pthread_self(), .seed = 1 };
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	thread_start(&s->thread, body, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

H_UNUSED static void sender_stop(struct sender *s)
{
	s->stop = 1;
	thread_join(&s->thread);
}

/* Until handlers have run `count` times: none is lost, and none comes when nothing was sent. */
H_UNUSED static void sender_wait(struct sender *s, long count)
{
	long long end = now_ms() + 5000L * slow();
	for (unsigned i = 1; handled() < count; i++) {
		if (i % 64 == 0)
			sched_yield();
		if (i % 65536 == 0 && now_ms() > end)
			FAIL("signal %ld of %ld was not handled", handled() + 1, count);
	}
	if (handled() > count)
		FAIL("%ld handled, %ld sent", handled(), count);
	dawdle(dice(s, 4000));
}

/* The next one when the one before was handled, at a moment that nobody knows. */
H_UNUSED static void *one_by_one(void *arg)
{
	struct sender *s = arg;
	while (!s->stop) {
		s->sent++;
		CHECK_EQ(pthread_kill(s->to, SIGUSR1), 0);
		sender_wait(s, s->sent);
	}
	return NULL;
}

#endif /* EVSHIM_TEST_POSTPONED_H */
