/*
 * Signals that arrive inside the library. On the original system a call is a system call: a signal waits for its end,
 * and then it is handled, once, with the program's mask (R6.3, R7.6). So under a storm the counts of senders, handlers
 * and ports agree, real-time signals keep their order, and jumping out of a handler spoils nothing.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
/* libs: -lrt */
#include "postponed.h"
#include <setjmp.h>

/* ------------------------------------------------------------------ standard signals */

static void under_one_by_one(int flags, long ms)
{
	struct sender sender;
	busy_begin();
	install(SIGUSR1, use_the_port, flags);
	sender_start(&sender, one_by_one);
	for (long long end = now_ms() + ms; now_ms() < end || handled() < 100;)
		for (int i = 0; i < 20; i++)
			busy_turn();
	sender_stop(&sender);
	CHECK_EQ(busy.handled, sender.sent);
	CHECK_EQ(busy.sent_by_handler, sender.sent);
	busy_end();
}

TEST_LIMIT(each_signal_is_handled_once, "R6.3 R7.6 T-144", 30) { under_one_by_one(SA_RESTART, 1000); }
TEST_LIMIT(each_signal_is_handled_once_nodefer, "R6.3 R7.6", 30) { under_one_by_one(SA_NODEFER, 500); }

static void timer_handler(int sig, siginfo_t *info, void *context)
{
	if (context == NULL || info->si_code != SI_TIMER || info->si_value.sival_int != 77)
		busy.failed++;
	use_the_port(sig);
}

TEST_LIMIT(a_timer, "R6.3 R7.6 T-144", 30)
{
	timer_t timer;
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 2 };
	struct itimerspec often = { { 0, 60000L * slow() }, { 0, 60000L * slow() } };
	event.sigev_value.sival_int = 77;
	busy_begin();
	install(SIGRTMIN + 2, timer_handler, SA_SIGINFO | SA_RESTART);
	CHECK_OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
	CHECK_OK(timer_settime(timer, 0, &often, NULL));
	for (long long end = now_ms() + 1000; now_ms() < end || handled() < 100;)
		busy_turn();
	CHECK_OK(timer_delete(timer));
	CHECK_EQ(busy.handled, busy.sent_by_handler);
	busy_end();
}

/* Signals of one number merge, but one arrives after the last was sent. */
static volatile long last_sent, last_seen;

static void see_last(int sig)
{
	use_the_port(sig);
	__atomic_store_n(&last_seen, __atomic_load_n(&last_sent, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
}

static void *in_bursts(void *arg)
{
	struct sender *s = arg;
	while (!s->stop) {
		long long end = now_ms() + 5000L * slow();
		for (unsigned left = 1 + dice(s, 20); left > 0; left--) {
			__atomic_add_fetch(&last_sent, 1, __ATOMIC_RELEASE);
			CHECK_EQ(pthread_kill(s->to, SIGUSR1), 0);
			dawdle(dice(s, 200));
			s->sent++;
		}
		while (__atomic_load_n(&last_seen, __ATOMIC_ACQUIRE) != last_sent) {
			sched_yield();
			if (now_ms() > end)
				FAIL("nothing came after signal %ld; the last to be seen is %ld", last_sent, last_seen);
		}
		dawdle(dice(s, 8000)); /* the thread has to get on, too */
	}
	return NULL;
}

TEST_LIMIT(merged_signals_arrive_after_the_last, "R6.3 R7.6", 30)
{
	struct sender sender;
	busy_begin();
	install(SIGUSR1, see_last, SA_RESTART);
	sender_start(&sender, in_bursts);
	for (long long end = now_ms() + 1000; now_ms() < end;)
		busy_turn();
	sender_stop(&sender);
	CHECK(busy.handled <= sender.sent && busy.handled > 0);
	busy_end();
}

/* SA_RESETHAND: the handler runs once each time it is installed, and is the default action afterwards. */
static volatile long installed;

static void *one_an_installation(void *arg)
{
	struct sender *s = arg;
	while (!s->stop)
		if (__atomic_load_n(&installed, __ATOMIC_ACQUIRE) > s->sent) {
			dawdle(dice(s, 4000));
			s->sent++;
			CHECK_EQ(pthread_kill(s->to, SIGUSR1), 0);
			sender_wait(s, s->sent);
		} else {
			sched_yield();
		}
	return NULL;
}

TEST_LIMIT(reset_handlers_run_once, "R6.3 R7.6", 30)
{
	struct sender sender;
	struct sigaction now;
	busy_begin();
	sender_start(&sender, one_an_installation);
	for (long long end = now_ms() + 1000; now_ms() < end || installed < 20;) {
		install(SIGUSR1, use_the_port, SA_RESETHAND | (busy.turns & 1 ? SA_NODEFER : 0));
		__atomic_store_n(&installed, installed + 1, __ATOMIC_RELEASE);
		while (handled() < installed)
			busy_turn();
		CHECK_OK(sigaction(SIGUSR1, NULL, &now));
		CHECK_EQ((uintptr_t)now.sa_handler, (uintptr_t)SIG_DFL);
	}
	sender_stop(&sender);
	CHECK_EQ(busy.handled, installed);
	busy_end();
}

/* The process is sent the signal, and any of its threads may be inside the library. */
static void *own_port_turns(void *arg)
{
	struct sender *s = arg;
	sigset_t usr1;
	int port = port_create(), fds[2];
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	make_pair(fds);
	pthread_sigmask(SIG_UNBLOCK, &usr1, NULL);
	while (!s->stop) {
		int copy = dup(fds[0]);
		CHECK_OK(watch(port, copy, POLLIN));
		CHECK_OK(close(copy));
		CHECK_PORT_WORKS(port);
		s->sent++;
	}
	pthread_sigmask(SIG_BLOCK, &usr1, NULL);
	CHECK_OK(close(port));
	close_pipe(fds);
	return NULL;
}

static void *one_by_one_to_all(void *arg)
{
	struct sender *s = arg;
	while (!s->stop) {
		s->sent++;
		CHECK_OK(kill(getpid(), SIGUSR1));
		sender_wait(s, s->sent);
	}
	return NULL;
}

TEST_LIMIT(any_thread_may_be_inside, "R6.3 R7.6", 30)
{
	struct sender workers[2], sender;
	busy_begin();
	install(SIGUSR1, use_the_port, SA_RESTART);
	sender_start(&workers[0], own_port_turns);
	sender_start(&workers[1], own_port_turns);
	sender_start(&sender, one_by_one_to_all);
	for (long long end = now_ms() + 1000; now_ms() < end;)
		busy_turn();
	sender_stop(&sender);
	sender_stop(&workers[0]);
	sender_stop(&workers[1]);
	CHECK_EQ(busy.handled, sender.sent);
	busy_end();
}

/* ------------------------------------------------------------------ jumping out */

static sigjmp_buf back;
static volatile sig_atomic_t may_jump, jumps;

static void jump_sometimes(int sig)
{
	static unsigned count;
	use_the_port(sig);
	if (may_jump && ++count % 3 != 0) {
		jumps++;
		siglongjmp(back, 1);
	}
}

/* The turn that was left is cut off anywhere: values may have been sent or taken without the turn's knowing. */
static void turn_to_jump_out_of(int number)
{
	port_event_t list[16];
	unsigned nget = 1;
	port_send(busy.port, 1, NULL);
	dup2(busy.fds[0], number);
	watch(busy.port, number, POLLIN);
	port_getn(busy.port, list, 16, &nget, TIMEOUT_MS(busy.turns++ % 8 == 0 ? 1 : 0));
	if (busy.turns % 2)
		unwatch(busy.port, number);
	close(number);
}

/* The mask that sigsetjmp saved is the program's, whatever the library had blocked when the signal came. */
TEST_LIMIT(jumping_out_leaves_mask_and_port_intact, "R6.3 R7.6", 30)
{
	struct sender sender;
	sigset_t usr2, before, mask;
	busy_begin();
	sigemptyset(&usr2);
	sigaddset(&usr2, SIGUSR2);
	CHECK_OK(pthread_sigmask(SIG_BLOCK, &usr2, &before));
	install(SIGUSR1, jump_sometimes, 0);
	sender_start(&sender, one_by_one);
	for (volatile long long end = now_ms() + 1000; now_ms() < end || jumps < 20;) {
		if (sigsetjmp(back, 1) == 0) {
			may_jump = 1;
			for (int i = 0; i < 50; i++)
				turn_to_jump_out_of(200);
		}
		may_jump = 0;
		if (fcntl(200, F_GETFD) != -1)
			CHECK_OK(close(200));
		CHECK_OK(pthread_sigmask(SIG_SETMASK, NULL, &mask));
		for (int sig = 1; sig < NSIG; sig++)
			CHECK_EQ(sigismember(&mask, sig), sig == SIGUSR2 || sigismember(&before, sig) == 1);
		drain(busy.port);
	}
	sender_stop(&sender);
	CHECK_EQ(busy.handled, sender.sent);
	CHECK_OK(pthread_sigmask(SIG_SETMASK, &before, NULL));
	drain(busy.port);
	busy.of_handler = busy.sent_by_handler; /* taken by turns that did not look */
	busy_end();
}

/* ------------------------------------------------------------------ processes */

static struct {
	volatile pid_t owner;
	volatile int in_child;
} *shared;

static void tell_who(int sig)
{
	if (getpid() == shared->owner)
		use_the_port(sig);
	else
		shared->in_child++;
}

static void check_forked_child(const sigset_t *wanted)
{
	sigset_t mask;
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	for (int sig = 1; sig < NSIG; sig++)
		if (sigismember(&mask, sig) != sigismember(wanted, sig))
			_exit(3);
	for (int i = 0; i < 3; i++)
		if (close(dup(busy.fds[0])) != 0)
			_exit(4);
	_exit(0);
}

/* What is pending for the parent is not pending for the child, and both go on with the program's mask. */
TEST_LIMIT(forking_under_a_storm, "R6.3 R7.6", 30)
{
	struct sender sender;
	sigset_t mask;
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(shared != MAP_FAILED);
	shared->owner = getpid();
	busy_begin();
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	install(SIGUSR1, tell_who, SA_RESTART);
	sender_start(&sender, one_by_one);
	for (long long end = now_ms() + 1000; now_ms() < end;) {
		pid_t pid = fork();
		if (pid == 0)
			check_forked_child(&mask);
		CHECK(pid > 0);
		busy_turn();
		CHECK_EQ(wait_child(pid), 0);
	}
	sender_stop(&sender);
	CHECK_EQ(shared->in_child, 0);
	CHECK_EQ(busy.handled, sender.sent);
	busy_end();
}

/* ------------------------------------------------------------------ changing handlers meanwhile */

static void keep_installed(int sig)
{
	signal(sig, keep_installed); /* as was the custom */
	use_the_port(sig);
}

static void other_handler(int sig)
{
	use_the_port(sig);
}

/* Whatever a handler does to its own installation in between, the change that comes last counts. */
TEST_LIMIT(handlers_that_install_themselves, "R6.3 R7.6", 30)
{
	struct sender sender;
	struct sigaction now;
	busy_begin();
	signal(SIGUSR1, keep_installed);
	sender_start(&sender, one_by_one);
	for (long long end = now_ms() + 1500; now_ms() < end;)
		for (int i = 0; i < 50; i++) {
			signal(SIGUSR1, other_handler);
			CHECK_OK(sigaction(SIGUSR1, NULL, &now));
			CHECK_EQ((uintptr_t)now.sa_handler, (uintptr_t)other_handler);
			signal(SIGUSR1, keep_installed);
			if (i == 0)
				busy_turn();
		}
	sender_stop(&sender);
	CHECK_EQ(busy.handled, sender.sent);
	busy_end();
}

#define CHANGERS 3

static void changed_0(int sig) { count_handled(), (void)sig; }
static void changed_1(int sig) { count_handled(), (void)sig; }
static void changed_2(int sig) { count_handled(), (void)sig; }

static void (*const changed[CHANGERS])(int) = { changed_0, changed_1, changed_2 };
static long gone_in[CHANGERS], come_out[CHANGERS];

static void *change_handlers(void *arg)
{
	const int mine = (int)(intptr_t)arg;
	for (int i = 0; i < 20000 / slow(); i++) {
		struct sigaction action = { .sa_handler = changed[mine] }, old;
		CHECK_OK(sigaction(SIGUSR2, &action, &old));
		__atomic_add_fetch(&gone_in[mine], 1, __ATOMIC_RELAXED);
		for (int j = 0; j < CHANGERS; j++)
			if (old.sa_handler == changed[j])
				__atomic_add_fetch(&come_out[j], 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* sigaction is an exchange: a handler comes out as often as it went in, whoever else installs others meanwhile. */
TEST_LIMIT(handlers_are_exchanged, "R6.3 R7.6", 30)
{
	struct thread threads[CHANGERS];
	struct sigaction last;
	busy_begin();
	for (int i = 0; i < CHANGERS; i++)
		thread_start(&threads[i], change_handlers, (void *)(intptr_t)i);
	for (int i = 0; i < CHANGERS; i++)
		thread_join(&threads[i]);
	CHECK_OK(sigaction(SIGUSR2, NULL, &last));
	for (int i = 0; i < CHANGERS; i++)
		CHECK_EQ(come_out[i] + (last.sa_handler == changed[i]), gone_in[i]);
	busy_end();
}
