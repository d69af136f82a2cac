/*
 * A handler whose signal arrived inside a port call finds everything that the kernel arranges: its alternate stack, a
 * context whose mask it may change, and with SA_RESETHAND the default disposition.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include "postponed.h"
#include <ucontext.h>

static struct {
	char stack[64 * 1024];
	volatile long off_the_stack, not_reset;
	sigset_t wished;
} frame;

/* A timer interrupts the busy thread at any place, but never more often than it gets work done. */
static timer_t timer_begin(int sig)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = sig };
	timer_t timer;
	CHECK_OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
	return timer;
}

static void timer_fire(timer_t timer, long ns)
{
	struct itimerspec once = { { 0, 0 }, { 0, ns } };
	CHECK_OK(timer_settime(timer, 0, &once, NULL));
}

/* Turns until the handler has run so many times, each time after another delay. */
static void interrupt(int sig, long times, void (*check)(void))
{
	timer_t timer = timer_begin(sig);
	for (long i = 0; i < times; i++) {
		long before = handled();
		timer_fire(timer, 20000 + i % 97 * 300);
		while (handled() == before)
			busy_turn();
		check();
	}
	timer_delete(timer);
}

static void nothing(void) {}

static void where_am_i(int sig)
{
	volatile char here;
	stack_t now;
	if (sigaltstack(NULL, &now) != 0 || !(now.ss_flags & SS_ONSTACK)
#ifndef __SANITIZE_ADDRESS__ /* it has variables elsewhere */
		|| &here < frame.stack || &here >= frame.stack + sizeof frame.stack
#endif
	)
		frame.off_the_stack++;
	use_the_port(sig);
	(void)here;
}

static void on_the_alternate_stack(int sig)
{
	stack_t stack = { .ss_sp = frame.stack, .ss_size = sizeof frame.stack };
	CHECK_OK(sigaltstack(&stack, NULL));
	busy_begin();
	install(sig, where_am_i, SA_ONSTACK | SA_RESTART);
	interrupt(sig, 3000 / slow(), nothing);
	busy_end();
	CHECK_EQ(frame.off_the_stack, 0);
}

TEST_LIMIT(alternate_stack, "R6.3", 30) { on_the_alternate_stack(SIGUSR1); }
TEST_LIMIT(alternate_stack_of_a_real_time_signal, "R6.3", 30) { on_the_alternate_stack(SIGRTMIN); }

static void change_the_mask(int sig, siginfo_t *info, void *context)
{
	(void)info;
	((ucontext_t *)context)->uc_sigmask = frame.wished;
	use_the_port(sig);
}

/* What a handler writes into the mask of its context is in force when it has returned, and stays. */
static void check_mask(void)
{
	sigset_t now;
	CHECK_OK(sigprocmask(SIG_SETMASK, NULL, &now));
	CHECK(sigismember(&now, SIGHUP) == sigismember(&frame.wished, SIGHUP));
	if (handled() % 2)
		sigdelset(&frame.wished, SIGHUP);
	else
		sigaddset(&frame.wished, SIGHUP);
}

static void mask_of_the_context(int sig)
{
	SKIP_UNDER_VALGRIND("the context has no mask there");
	sigemptyset(&frame.wished);
	busy_begin();
	install(sig, change_the_mask, SA_SIGINFO | SA_RESTART);
	interrupt(sig, 3000 / slow(), check_mask);
	busy_end();
}

TEST_LIMIT(mask_in_the_context, "R6.3", 30) { mask_of_the_context(SIGUSR1); }
TEST_LIMIT(mask_in_the_context_of_a_real_time_signal, "R6.3", 30) { mask_of_the_context(SIGRTMIN); }

static int reset_signal;

static void is_it_reset(int sig)
{
	struct sigaction now;
	if (sigaction(sig, NULL, &now) != 0 || now.sa_handler != SIG_DFL)
		frame.not_reset++;
	use_the_port(sig);
}

static void install_to_be_reset(void)
{
	install(reset_signal, is_it_reset, SA_RESETHAND | SA_RESTART);
}

static void reset_at_delivery(int sig)
{
	reset_signal = sig;
	busy_begin();
	install_to_be_reset();
	interrupt(sig, 3000 / slow(), install_to_be_reset);
	busy_end();
	CHECK_EQ(frame.not_reset, 0);
}

TEST_LIMIT(reset_at_delivery, "R6.3", 30) { reset_at_delivery(SIGUSR1); }
TEST_LIMIT(reset_at_delivery_of_a_real_time_signal, "R6.3", 30) { reset_at_delivery(SIGRTMIN); }

static void count_only(int sig)
{
	(void)sig;
	count_handled();
}

/* Two signals at the same place: one interrupts the other's handling, and neither stays blocked. */
static void two_at_once(int one, int other)
{
	sigset_t before, now;
	busy_begin();
	install(one, count_only, SA_RESTART);
	install(other, count_only, SA_RESTART);
	CHECK_OK(sigprocmask(SIG_SETMASK, NULL, &before));
	timer_t timers[2] = { timer_begin(one), timer_begin(other) };
	for (long long end = now_ms() + 2000; now_ms() < end;) {
		timer_fire(timers[0], 20000 + busy.turns % 211 * 100);
		timer_fire(timers[1], 20000 + busy.turns % 197 * 100);
		busy_turn();
		CHECK_OK(sigprocmask(SIG_SETMASK, NULL, &now));
		if (memcmp(&now, &before, 8) != 0)
			FAIL("the mask changed after %ld turns", busy.turns);
	}
	timer_delete(timers[0]);
	timer_delete(timers[1]);
	for (int i = 0; i < 2; i++) { /* none is lost */
		long so_far = handled();
		CHECK_OK(raise(i == 0 ? one : other));
		CHECK_EQ(handled(), so_far + 1);
	}
	busy_end();
}

TEST_LIMIT(two_signals_at_once, "R6.3 R7.6", 30) { two_at_once(SIGALRM, SIGUSR1); }
TEST_LIMIT(two_real_time_signals_at_once, "R6.3 R7.6", 30) { two_at_once(SIGRTMIN, SIGRTMIN + 1); }
TEST_LIMIT(two_kinds_of_signals_at_once, "R6.3 R7.6", 30) { two_at_once(SIGUSR2, SIGRTMIN + 2); }
