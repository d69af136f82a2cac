/*
 * What a waiting thread answers when signals come (R7.6 to R7.8, T-180 to T-183, T-195), and that the library
 * leaves masks and dispositions alone. Handlers that use ports, jump out or stay are in handlers.c.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include "life.h"

static volatile int handled;

static void count_signal(int sig)
{
	(void)sig;
	handled++;
}

static void install(int sig, void (*handler)(int), int flags)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags };
	sigemptyset(&action.sa_mask);
	CHECK_OK(sigaction(sig, &action, NULL));
}

struct waiter {
	struct thread thread;
	int port;
	unsigned wanted; /* 0: port_get */
	const struct timespec *timeout;
	int result, error;
	unsigned nget;
	port_event_t list[4];
};

static void *wait_once(void *arg)
{
	struct waiter *w = arg;
	memset(w->list, 0xa5, sizeof w->list);
	w->nget = w->wanted;
	errno = 0;
	w->result = w->wanted == 0 ? port_get(w->port, w->list, w->timeout)
				   : port_getn(w->port, w->list, 4, &w->nget, w->timeout);
	w->error = errno;
	return NULL;
}

static void waiter_start(struct waiter *w, int port, unsigned wanted, const struct timespec *timeout)
{
	*w = (struct waiter){ .port = port, .wanted = wanted, .timeout = timeout };
	thread_start(&w->thread, wait_once, w);
	wait_until_blocked(w->thread.tid);
}

static bool untouched(const struct waiter *w)
{
	const unsigned char *byte = (const unsigned char *)w->list;
	for (size_t i = 0; i < sizeof w->list; i++)
		if (byte[i] != 0xa5)
			return false;
	return true;
}

/* Every kind of wait ends with EINTR, SA_RESTART or not, and has taken and written nothing. */
static void interrupts(int flags)
{
	const struct timespec hour = { 3600, 0 }, forever = { 0x7fffffff, 999999999 };
	const struct timespec *timeouts[] = { NULL, &hour, &forever };
	int port = port_create();
	install(SIGUSR1, count_signal, flags);
	for (int i = 0; i < 6; i++) {
		struct waiter w;
		handled = 0;
		waiter_start(&w, port, i % 2 ? 3 : 0, timeouts[i / 2]);
		pthread_kill(w.thread.handle, SIGUSR1);
		thread_join(&w.thread);
		CHECK_EQ(handled, 1);
		CHECK_EQ(w.result, -1);
		CHECK_EQ(w.error, EINTR);
		CHECK(untouched(&w));
		CHECK_EQ(w.nget, w.wanted);
	}
	CHECK_PORT_WORKS(port);
	close(port);
}

TEST(interrupted, "R7.6 T-180") { interrupts(0); }
TEST(interrupted_in_spite_of_sa_restart, "R7.7 T-181") { interrupts(SA_RESTART); }
TEST(interrupted_on_top_of_siginfo, "R7.7 T-181") { interrupts(SA_RESTART | SA_NODEFER); }

TEST(interrupted_getn_takes_nothing, "R7.6 Q14 T-182")
{
	struct waiter w;
	int port = port_create();
	install(SIGUSR1, count_signal, SA_RESTART);
	CHECK_OK(send_value(port, 42));
	waiter_start(&w, port, 3, NULL);
	pthread_kill(w.thread.handle, SIGUSR1);
	thread_join(&w.thread);
	CHECK_EQ(w.result, -1);
	CHECK_EQ(w.error, EINTR);
	CHECK_EQ(w.nget, 3);
	CHECK(untouched(&w));
	CHECK_EQ(pending(port), 1);
	CHECK_USER_EVENT(port, 42);
	close(port);
}

static volatile int send_to;

static void send_in_handler(int sig)
{
	handled += sig != 0;
	port_send(send_to, 1, (void *)0x77);
}

/* R7.6: the signal wins although its handler has queued an event; the event stays. */
TEST(signal_wins_over_an_event_of_its_handler, "R7.6")
{
	install(SIGUSR1, send_in_handler, SA_RESTART);
	for (int i = 0; i < 40; i++) {
		struct waiter w;
		send_to = port_create();
		waiter_start(&w, send_to, i % 2, NULL);
		pthread_kill(w.thread.handle, SIGUSR1);
		thread_join(&w.thread);
		CHECK_EQ(w.result, -1);
		CHECK_EQ(w.error, EINTR);
		CHECK_EQ(pending(send_to), 1);
		CHECK_USER_EVENT(send_to, 0x77);
		close(send_to);
	}
}

/* The interrupted thread alone returns. */
TEST(other_waiters_sleep_on, "R7.6 R7.23")
{
	static struct waiter w[4];
	int port = port_create();
	install(SIGUSR1, count_signal, 0);
	for (int i = 0; i < 4; i++)
		waiter_start(&w[i], port, 0, NULL);
	pthread_kill(w[2].thread.handle, SIGUSR1);
	thread_join(&w[2].thread);
	CHECK_EQ(w[2].error, EINTR);
	sleep_ms(50);
	for (int i = 0; i < 4; i++)
		CHECK(i == 2 || !thread_done(&w[i].thread));
	for (int i = 0; i < 3; i++)
		CHECK_OK(send_value(port, 1));
	for (int i = 0; i < 4; i++)
		if (i != 2) {
			thread_join(&w[i].thread);
			CHECK_EQ(w[i].result, 0);
		}
	CHECK_EQ(pending(port), 0);
	close(port);
}

/* Signals that nobody handles do not end a wait: it lasts its full time. */
TEST(ignored_signals_do_not_interrupt, "R7.6 T-183")
{
	const int ignored[] = { SIGUSR1, SIGCHLD, SIGURG, SIGWINCH, SIGCONT, SIGPIPE };
	const struct timespec wait = { 0, 300 * 1000000 };
	struct waiter w;
	int port;
	SKIP_UNDER_VALGRIND("has handlers of its own for signals that are ignored by default");
	port = port_create();
	signal(SIGUSR1, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	for (unsigned wanted = 0; wanted <= 2; wanted += 2) {
		long long start = now_ms();
		waiter_start(&w, port, wanted, &wait);
		for (int i = 0; i < 6; i++) {
			pthread_kill(w.thread.handle, ignored[i]);
			kill(getpid(), ignored[i]);
		}
		thread_join(&w.thread);
		CHECK_EQ(w.result, -1);
		CHECK(w.error == ETIME);
		CHECK(now_ms() - start >= 299);
	}
	close(port);
}

/* A stopped and continued process goes on waiting for what is left of its time. */
TEST(stop_and_continue, "T-183")
{
	pid_t pid = fork();
	if (pid == 0) {
		port_event_t pe;
		int port = port_create();
		long long start = now_ms();
		int result = port_get(port, &pe, TIMEOUT_MS(400));
		bool full = now_ms() - start >= 399;
		_exit(result == -1 && ((errno == ETIME && full) || errno == EINTR) ? 0 : 1);
	}
	wait_until_child_blocked(pid);
	CHECK_OK(kill(pid, SIGSTOP));
	int status;
	CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
	sleep_ms(100);
	CHECK_OK(kill(pid, SIGCONT));
	CHECK_EQ(wait_child(pid), 0);
}

TEST(blocked_signals_stay_pending, "T-195")
{
	sigset_t set, before;
	port_event_t pe;
	int port = port_create();
	install(SIGUSR1, count_signal, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK_OK(sigprocmask(SIG_BLOCK, &set, &before));
	handled = 0;
	raise(SIGUSR1);
	CHECK_OK(send_value(port, 1));
	CHECK_USER_EVENT(port, 1);
	long long start = now_ms();
	CHECK_ERR(port_get(port, &pe, TIMEOUT_MS(50)), ETIME);
	CHECK(now_ms() - start >= 49);
	CHECK_EQ(handled, 0);
	CHECK_OK(sigpending(&set));
	CHECK(sigismember(&set, SIGUSR1));
	CHECK_OK(sigprocmask(SIG_SETMASK, &before, NULL));
	CHECK_EQ(handled, 1);
	close(port);
}

/* R7.8: with enough events queued no storm of signals makes the call fail. */
TEST(signals_do_not_prevent_an_immediate_return, "R7.8")
{
	struct itimerval storm = { { 0, 50 * slow() }, { 0, 50 * slow() } }, calm = { { 0, 0 }, { 0, 0 } };
	int port = port_create();
	install(SIGALRM, count_signal, 0);
	handled = 0;
	CHECK_OK(setitimer(ITIMER_REAL, &storm, NULL));
	for (int i = 0; i < 100000 / slow() || handled < 500; i++) {
		port_event_t list[4];
		unsigned nget = 2;
		CHECK_OK(send_value(port, 1));
		CHECK_OK(send_value(port, 2));
		if (i % 2) {
			CHECK_OK(port_getn(port, list, 4, &nget, NULL));
			CHECK_EQ(nget, 2);
		} else {
			CHECK_OK(port_get(port, list, NULL));
			CHECK_OK(port_get(port, list, NULL));
		}
	}
	setitimer(ITIMER_REAL, &calm, NULL);
	CHECK_EQ(pending(port), 0);
	close(port);
}

/* A time-out is not prolonged by interruptions that never reach the waiting thread. */
TEST(storm_on_another_thread_does_not_prolong, "R7.11")
{
	struct itimerval storm = { { 0, 200 }, { 0, 200 } }, calm = { { 0, 0 }, { 0, 0 } };
	const struct timespec wait = { 0, 200 * 1000000 };
	sigset_t set;
	struct waiter w;
	int port = port_create();
	install(SIGALRM, count_signal, SA_RESTART);
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	long long start = now_ms();
	w = (struct waiter){ .port = port, .wanted = 2, .timeout = &wait };
	thread_start(&w.thread, wait_once, &w);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	CHECK_OK(setitimer(ITIMER_REAL, &storm, NULL));
	while (!thread_done(&w.thread))
		sleep_ms(5);
	setitimer(ITIMER_REAL, &calm, NULL);
	thread_join(&w.thread);
	CHECK_EQ(w.error, ETIME);
	CHECK(now_ms() - start >= 199);
	CHECK(now_ms() - start < 1000LL * slow());
	close(port);
}

struct disposition {
	void *handler;
	unsigned long flags;
	sigset_t mask;
};

/* Numbers that the C library keeps for itself cannot be read and are left out on both sides. */
static void read_dispositions(struct disposition *d)
{
	memset(d, 0, NSIG * sizeof *d);
	for (int sig = 1; sig < NSIG; sig++) {
		struct sigaction action;
		memset(&action, 0, sizeof action);
		if (sigaction(sig, NULL, &action) == 0) {
			d[sig].handler = (void *)(uintptr_t)action.sa_handler;
			d[sig].flags = (unsigned long)action.sa_flags;
			for (int other = 1; other < NSIG; other++)
				if (sigismember(&action.sa_mask, other) == 1)
					sigaddset(&d[sig].mask, other);
		}
	}
}

static void *use_a_port(void *arg)
{
	int port = *(int *)arg, fds[2];
	sigset_t before, after;
	pthread_sigmask(SIG_SETMASK, NULL, &before);
	make_pair(fds);
	CHECK_OK(watch(port, fds[0], POLLIN));
	put(fds[1]);
	CHECK_FD_EVENT(port, fds[0]);
	CHECK_PORT_WORKS(port);
	CHECK_OK(port_alert(port, PORT_ALERT_SET, 1, NULL));
	CHECK_OK(port_alert(port, 0, 0, NULL));
	close_pipe(fds);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	for (int sig = 1; sig < NSIG; sig++)
		CHECK_EQ(sigismember(&before, sig), sigismember(&after, sig));
	return NULL;
}

TEST(masks_and_dispositions_stay_as_they_were, "R7.6")
{
	static struct disposition before[NSIG], after[NSIG];
	struct thread thread;
	struct waiter w;
	install(SIGUSR1, count_signal, SA_RESTART | SA_NODEFER);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGUSR2, SIG_IGN);
	read_dispositions(before);
	int port = port_create();
	use_a_port(&port);
	thread_start(&thread, use_a_port, &port);
	thread_join(&thread);
	waiter_start(&w, port, 0, NULL);
	CHECK_OK(close(port));
	thread_join(&w.thread);
	if (fork() == 0)
		_exit(0);
	wait(NULL);
	read_dispositions(after);
	for (int sig = 1; sig < NSIG; sig++)
		if (memcmp(&before[sig], &after[sig], sizeof before[sig]) != 0)
			FAIL("the disposition of signal %d changed", sig);
}
