/*
 * Queued signals, and many signals at once, that arrive inside the library. It must not show that they waited for a
 * call's end (R6.3, R7.6): real-time signals come in the order in which they were sent (T-333 has the same of
 * signalfd), with their values, and none is lost however many are pending.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include "postponed.h"
#include <spawn.h>

extern char **environ;

#define RT (SIGRTMIN + 1)

/* ------------------------------------------------------------------ in order */

static volatile int code, from;

static void check_order(int sig, siginfo_t *info, void *context)
{
	if (context == NULL || sig != RT || info->si_code != code || info->si_pid != from
		|| info->si_value.sival_int != (int)busy.handled)
		FAIL("signal %d, code %d, from %d, value %d; expected %d, %d, %d, %d", sig, info->si_code, info->si_pid,
			info->si_value.sival_int, RT, code, from, (int)busy.handled);
	use_the_port(sig);
}

/* From another process: bursts with pauses, so that some come together and some alone. */
static void queue_from_a_process(pid_t to, long count)
{
	struct sender s = { .seed = 7 };
	while (s.sent < count) {
		for (unsigned left = 1 + dice(&s, 16); left > 0 && s.sent < count; left--) {
			while (sigqueue(to, RT, (union sigval){ .sival_int = (int)s.sent }) == -1) {
				if (errno != EAGAIN)
					_exit(1);
				sleep_ms(1);
			}
			s.sent++;
		}
		dawdle(dice(&s, 40000));
	}
	_exit(0);
}

static void in_order_from_a_process(int flags)
{
	SKIP_UNDER_VALGRIND("queues signals itself and delivers them between its time slices");
	const long count = 20000 / slow();
	busy_begin();
	code = SI_QUEUE;
	install(RT, check_order, SA_SIGINFO | flags);
	sigset_t rt;
	sigemptyset(&rt);
	sigaddset(&rt, RT);
	CHECK_OK(sigprocmask(SIG_BLOCK, &rt, NULL)); /* until it is known who sends */
	pid_t me = getpid(), pid = fork();
	from = pid;
	CHECK_OK(sigprocmask(SIG_UNBLOCK, &rt, NULL));
	if (pid == 0) {
		while (h_state(me, me) == 'S')
			;
		queue_from_a_process(me, count);
	}
	for (long long end = now_ms() + 20000L * slow(); handled() < count;) {
		busy_turn();
		if (now_ms() > end)
			FAIL("%ld of %ld signals came", handled(), count);
	}
	CHECK_EQ(wait_child(pid), 0);
	CHECK_EQ(handled(), count);
	CHECK_EQ(busy.sent_by_handler, count);
	busy_end();
}

TEST_LIMIT(in_order_from_a_process, "R6.3 R7.6 T-333", 30) { in_order_from_a_process(SA_RESTART); }

/* The same to the thread alone: these have a queue of their own. */
static void *bursts_to_the_thread(void *arg)
{
	struct sender *s = arg;
	while (!s->stop) {
		for (unsigned left = 1 + dice(s, 16); left > 0; left--) {
			union sigval value = { .sival_int = (int)s->sent };
			CHECK_EQ(pthread_sigqueue(s->to, RT, value), 0);
			s->sent++;
		}
		sender_wait(s, s->sent);
	}
	return NULL;
}

TEST_LIMIT(in_order_to_one_thread, "R6.3 R7.6 T-333", 30)
{
	SKIP_UNDER_VALGRIND("queues signals itself and delivers them between its time slices");
	struct sender sender;
	busy_begin();
	code = SI_QUEUE;
	from = getpid();
	install(RT, check_order, SA_SIGINFO | SA_RESTART);
	sender_start(&sender, bursts_to_the_thread);
	for (long long end = now_ms() + 1500; now_ms() < end;)
		busy_turn();
	sender_stop(&sender);
	CHECK_EQ(busy.handled, sender.sent);
	busy_end();
}

/* Lowers the limit so far that `room` signals can be queued: what is pending elsewhere for this user counts, too. */
static rlim_t limit_for(int room)
{
	struct rlimit limit;
	sigset_t set, before;
	rlim_t found = 0;
	sigemptyset(&set);
	sigaddset(&set, RT);
	pthread_sigmask(SIG_BLOCK, &set, &before);
	CHECK_OK(getrlimit(RLIMIT_SIGPENDING, &limit));
	for (rlim_t trial = 1; found == 0 && trial < 20000; trial++) {
		limit.rlim_cur = trial;
		CHECK_OK(setrlimit(RLIMIT_SIGPENDING, &limit));
		if (sigqueue(getpid(), RT, (union sigval){ 0 }) == 0) {
			sigtimedwait(&set, NULL, ZERO_TIMEOUT);
			found = trial - 1 + (rlim_t)room;
		}
	}
	limit.rlim_cur = found;
	CHECK_OK(setrlimit(RLIMIT_SIGPENDING, &limit));
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return found;
}

/* A signal that was accepted arrives, also when the queue is full again before the library's call ends. */
TEST_LIMIT(none_is_lost_when_the_queue_is_full, "R6.3 R7.6", 60)
{
	SKIP_UNDER_VALGRIND("queues signals itself");
	if (limit_for(4) == 0)
		SKIP("too many signals are pending for this user");
	in_order_from_a_process(SA_RESTART);
}

/* ------------------------------------------------------------------ many at once */

static const int kinds[] = { SIGUSR1, SIGUSR2, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGURG, SIGWINCH, SIGIO };
#define STANDARD 9
#define KINDS (STANDARD + 5)
static volatile long of_kind[KINDS];
static volatile long *told; /* how many were handled, for another process */

static int signal_of(int kind)
{
	return kind < STANDARD ? kinds[kind] : SIGRTMIN + 1 + kind - STANDARD;
}

static void count_kind(int sig)
{
	for (int kind = 0; kind < KINDS; kind++)
		if (signal_of(kind) == sig)
			of_kind[kind]++;
	/* Handlers of other signals may interrupt this one: no order of values here. */
	if (port_send(busy.port, 3, NULL) != 0)
		busy.failed++;
	count_handled();
	if (told != NULL)
		__atomic_add_fetch(told, 1, __ATOMIC_RELEASE);
}

static void install_all(int variant)
{
	for (int kind = 0; kind < KINDS; kind++) {
		struct sigaction action = { .sa_handler = count_kind, .sa_flags = SA_RESTART };
		if (variant == 1 || (variant == 2 && kind % 2))
			sigfillset(&action.sa_mask);
		else
			sigemptyset(&action.sa_mask);
		if (variant == 3)
			action.sa_flags |= SA_NODEFER;
		CHECK_OK(sigaction(signal_of(kind), &action, NULL));
	}
}

static void turn_among_many(void)
{
	int copy = dup(busy.fds[0]);
	CHECK_OK(watch(busy.port, copy, POLLIN));
	CHECK_OK(port_send(busy.port, 1, NULL));
	busy.sent++;
	CHECK_OK(close(copy));
	busy.taken += drain(busy.port);
}

static void many_end(long rounds, long of_real_time)
{
	sigset_t mask;
	busy.taken += drain(busy.port);
	for (int kind = 0; kind < KINDS; kind++)
		CHECK_EQ(of_kind[kind], kind < STANDARD ? rounds : rounds * of_real_time);
	CHECK_EQ(busy.taken, busy.sent + busy.handled);
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	for (int kind = 0; kind < KINDS; kind++)
		CHECK_EQ(sigismember(&mask, signal_of(kind)), 0);
	busy.taken = busy.sent;
	busy_end();
}

static void *all_kinds(void *arg)
{
	struct sender *s = arg;
	while (!s->stop) {
		for (int kind = 0; kind < KINDS; kind++)
			CHECK_EQ(pthread_kill(s->to, signal_of(kind)), 0);
		s->sent++;
		sender_wait(s, s->sent * KINDS);
	}
	return NULL;
}

static void many_from_a_thread(int variant)
{
	SKIP_UNDER_VALGRIND("queues signals itself and delivers them between its time slices");
	struct sender sender;
	busy_begin();
	install_all(variant);
	sender_start(&sender, all_kinds);
	for (long long end = now_ms() + 500; now_ms() < end;)
		turn_among_many();
	sender_stop(&sender);
	many_end(sender.sent, 1);
}

TEST_LIMIT(many_from_a_thread, "R6.3 R7.6", 30) { many_from_a_thread(0); }
TEST_LIMIT(many_from_a_thread_masked, "R6.3 R7.6", 30) { many_from_a_thread(1); }
TEST_LIMIT(many_from_a_thread_some_masked, "R6.3 R7.6", 30) { many_from_a_thread(2); }
TEST_LIMIT(many_from_a_thread_nodefer, "R6.3 R7.6", 30) { many_from_a_thread(3); }

/* While a process is stopped everything becomes pending; when it goes on, all frames lie on top of each other. */
static void stop_fill_continue(pid_t to, long rounds, int of_real_time)
{
	struct sender s = { .seed = 3 };
	const long per_round = STANDARD + (KINDS - STANDARD) * of_real_time;
	for (long round = 0; round < rounds; round++) {
		kill(to, SIGSTOP);
		while (h_state(to, to) != 'T')
			if (h_state(to, to) == 0)
				_exit(1);
		for (int kind = 0; kind < KINDS; kind++)
			for (int i = 0; i < (kind < STANDARD ? 1 : of_real_time); i++)
				if (sigqueue(to, signal_of(kind), (union sigval){ 0 }) != 0)
					_exit(2);
		kill(to, SIGCONT);
		for (int ms = 0; __atomic_load_n(told, __ATOMIC_ACQUIRE) < (round + 1) * per_round; ms++) {
			if (ms > 5000 * slow())
				_exit(3);
			sleep_ms(1);
		}
		dawdle(dice(&s, 20000));
	}
	_exit(0);
}

static void many_on_continue(int variant, int of_real_time)
{
	SKIP_UNDER_VALGRIND("queues signals itself and delivers them between its time slices");
	const long rounds = 200;
	pid_t me = getpid();
	told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(told != MAP_FAILED);
	busy_begin();
	install_all(variant);
	pid_t pid = fork();
	if (pid == 0)
		stop_fill_continue(me, rounds, of_real_time);
	int status;
	while (waitpid(pid, &status, WNOHANG) == 0)
		turn_among_many();
	CHECK_EQ(WEXITSTATUS(status), 0); /* 3: something is lost */
	many_end(rounds, of_real_time);
}

TEST_LIMIT(many_on_continue, "R6.3 R7.6 T-183", 30) { many_on_continue(0, 1); }
TEST_LIMIT(many_on_continue_masked, "R6.3 R7.6 T-183", 30) { many_on_continue(1, 3); }
TEST_LIMIT(many_on_continue_some_masked, "R6.3 R7.6 T-183", 30) { many_on_continue(2, 6); }
TEST_LIMIT(many_on_continue_nodefer, "R6.3 R7.6 T-183", 30) { many_on_continue(3, 6); }

/* ------------------------------------------------------------------ spawning */

/* A program that is started under a storm blocks nothing, ignores nothing and handles nothing. */
TEST_LIMIT(spawning_under_a_storm, "R6.3 R7.6", 30)
{
	struct sender sender;
	char *const argv[] = { "grep", "-qE", "^SigBlk:.*[1-9a-f]", "/proc/self/status", NULL };
	busy_begin();
	install(SIGUSR1, use_the_port, SA_RESTART);
	sender_start(&sender, one_by_one);
	for (long long end = now_ms() + 1000; now_ms() < end;) {
		pid_t pid;
		CHECK_EQ(posix_spawnp(&pid, "grep", NULL, NULL, argv, environ), 0);
		busy_turn();
		CHECK_EQ(wait_child(pid), 1); /* no such line */
	}
	sender_stop(&sender);
	CHECK_EQ(busy.handled, sender.sent);
	busy_end();
}
