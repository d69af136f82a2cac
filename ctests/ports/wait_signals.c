/* Blocked port_get and port_getn: signals and cancellation (R7.6 to R7.12). */
#include "harness.h"
#include "events.h"
#include "waiter.h"

static volatile int signals_seen;

static void count_signal(int sig)
{
	(void)sig;
	signals_seen++;
}

static void catch_signal(int sig, int flags)
{
	struct sigaction act = { .sa_handler = count_signal, .sa_flags = flags };
	CHECK_OK(sigaction(sig, &act, NULL));
}

static void interrupt(struct waiter *w, int sig)
{
	CHECK_OK(pthread_kill(w->thread.handle, sig));
}

TEST(signal_interrupts_get, "T-180 R7.6")
{
	struct waiter w;
	int port = new_port();
	catch_signal(SIGUSR1, 0);
	start(&w, port, 0);
	interrupt(&w, SIGUSR1);
	join(&w, -1, EINTR);
	CHECK_EQ(signals_seen, 1);
	CHECK(untouched(&w.list[0]));
	close(port);
}

TEST(restart_flag_makes_no_difference, "T-181 R7.7")
{
	struct waiter get, getn;
	int port = new_port();
	catch_signal(SIGUSR1, SA_RESTART);
	start(&get, port, 0);
	interrupt(&get, SIGUSR1);
	join(&get, -1, EINTR);
	start(&getn, port, 2);
	interrupt(&getn, SIGUSR1);
	join(&getn, -1, EINTR);
	CHECK_EQ(signals_seen, 2);
	close(port);
}

TEST(signal_interrupts_a_second_waiter, "T-181 R7.7")
{
	struct waiter a, b;
	int port = new_port();
	catch_signal(SIGUSR1, SA_RESTART);
	/* Waiters may play different roles inside the library; each is interruptible. */
	start(&a, port, 0);
	start(&b, port, 0);
	interrupt(&b, SIGUSR1);
	join(&b, -1, EINTR);
	CHECK(!thread_done(&a.thread));
	start(&b, port, 0);
	interrupt(&a, SIGUSR1);
	join(&a, -1, EINTR);
	CHECK_OK(port_send(port, 1, USER(1)));
	join(&b, 0, 0);
	is_user(&b.list[0], 1, USER(1));
	close(port);
}

TEST(signal_takes_no_events, "T-182 R7.6 R7.9")
{
	struct waiter w;
	int port = new_port();
	catch_signal(SIGUSR1, SA_RESTART);
	CHECK_OK(port_send(port, 1, USER(1)));
	start(&w, port, 3);
	interrupt(&w, SIGUSR1);
	join(&w, -1, EINTR);
	CHECK_EQ(w.got, 3);
	CHECK(untouched(&w.list[0]));
	get_user(port, 1, USER(1));
	expect_none(port);
	close(port);
}

TEST(signal_keeps_descriptor_events, "T-182 R7.6")
{
	struct waiter w;
	int port = new_port(), fds[2];
	make_pipe(fds);
	catch_signal(SIGUSR1, SA_RESTART);
	watch(port, fds[0], POLLIN, USER(1));
	put(fds[1]);
	start(&w, port, 2);
	interrupt(&w, SIGUSR1);
	join(&w, -1, EINTR);
	CHECK_EQ(w.got, 2);
	CHECK_EQ(pending(port), 1);
	get_fd(port, fds[0], POLLIN, USER(1));
	close_pipe(fds);
	close(port);
}

/* A child process that waits for a while, while it gets signals that must not end the wait with success. */

static int timed_wait_child(int port)
{
	port_event_t pe;
	long ms = 300L * slow();
	long long begin = now_ms();
	int result = port_get(port, &pe, TIMEOUT_MS(ms));
	if (result == -1 && errno == ETIME)
		return now_ms() - begin >= ms - 1 ? 0 : 2;
	return result == -1 && errno == EINTR ? 3 : 4;
}

TEST(ignored_signal, "T-183 R7.6")
{
	signal(SIGUSR1, SIG_IGN);
	pid_t child = fork();
	if (child == 0)
		_exit(timed_wait_child(port_create()));
	wait_until_child_blocked(child);
	for (int i = 0; i < 5; i++)
		CHECK_OK(kill(child, SIGUSR1));
	CHECK_EQ(wait_child(child), 0);
}

TEST(stop_and_continue, "T-183 U5")
{
	pid_t child = fork();
	if (child == 0)
		_exit(timed_wait_child(port_create()));
	wait_until_child_blocked(child);
	CHECK_OK(kill(child, SIGSTOP));
	sleep_ms(20);
	CHECK_OK(kill(child, SIGCONT));
	int status = wait_child(child);
	CHECK(status == 0 || status == 3);
}

TEST(blocked_signal_stays_pending, "T-195 R7.8")
{
	sigset_t mask, now;
	port_event_t pe;
	int port = new_port();
	catch_signal(SIGUSR1, 0);
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	CHECK_OK(pthread_sigmask(SIG_BLOCK, &mask, NULL));
	CHECK_OK(raise(SIGUSR1));
	CHECK_OK(port_send(port, 1, USER(1)));
	get_user(port, 1, USER(1));
	CHECK_ERR(port_get(port, &pe, TIMEOUT_MS(20)), ETIME);
	expect_none(port);
	CHECK_OK(sigpending(&now));
	CHECK_EQ(sigismember(&now, SIGUSR1), 1);
	CHECK_EQ(signals_seen, 0);
	CHECK_OK(pthread_sigmask(SIG_UNBLOCK, &mask, NULL));
	CHECK_EQ(signals_seen, 1);
	close(port);
}

TEST(enough_events_beat_a_signal, "R7.8")
{
	sigset_t mask;
	int port = new_port();
	catch_signal(SIGUSR1, 0);
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	CHECK_OK(port_send(port, 1, USER(1)));
	CHECK_OK(pthread_sigmask(SIG_BLOCK, &mask, NULL));
	CHECK_OK(raise(SIGUSR1));
	CHECK_OK(pthread_sigmask(SIG_UNBLOCK, &mask, NULL));
	get_user(port, 1, USER(1));
	CHECK_EQ(signals_seen, 1);
	close(port);
}

TEST(cancellation_loses_nothing, "R7.12")
{
	struct waiter w;
	int port = new_port();
	start(&w, port, 0);
	CHECK_OK(pthread_cancel(w.thread.handle));
	/* port_get is no cancellation point: the thread returns with the event, or with EINTR and the event stays. */
	sleep_ms(10);
	CHECK_OK(port_send(port, 1, USER(1)));
	thread_join(&w.thread);
	if (w.result == 0) {
		is_user(&w.list[0], 1, USER(1));
	} else {
		CHECK_EQ(w.error, EINTR);
		get_user(port, 1, USER(1));
	}
	expect_none(port);
	close(port);
}
