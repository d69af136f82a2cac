/*
 * fork() at bad moments: in a handler on top of a waiter, and while other threads are inside the library. The child
 * inherits whatever state those threads were in, and has to be able to use ports nevertheless (T-302).
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include "life.h"

static volatile int the_port, stop;
static volatile pid_t child;

/* What a child does with a library whose threads vanished in the middle of something. */
static int use_ports_in_child(int inherited)
{
	int fds[2], port = port_create();
	port_event_t pe;
	if (port < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
		return 1;
	if (inherited >= 0 && (port_send(inherited, 1, NULL) != -1 || (errno != EBADFD && errno != EBADF)))
		return 2;
	if (port_send(port, 1, NULL) != 0 || port_get(port, &pe, TIMEOUT_MS(1000)) != 0)
		return 3;
	if (watch(port, fds[0], POLLIN) != 0 || write(fds[1], "x", 1) != 1)
		return 4;
	if (port_get(port, &pe, TIMEOUT_MS(1000)) != 0 || (int)pe.portev_object != fds[0])
		return 5;
	if (watch(port, fds[0], POLLIN) != 0 || close(fds[0]) != 0 || pending(port) != 0)
		return 6;
	if (inherited >= 0 && close(inherited) != 0 && errno != EBADF)
		return 7;
	return close(port) == 0 ? 0 : 8;
}

static void fork_in_handler(int sig)
{
	int saved = errno;
	(void)sig;
	child = fork();
	if (child == 0)
		_exit(use_ports_in_child(the_port));
	errno = saved;
}

TEST_LIMIT(fork_in_a_handler_on_top_of_a_waiter, "T-302 R7.6", 30)
{
	struct sigaction action = { .sa_handler = fork_in_handler, .sa_flags = SA_RESTART };
	struct itimerval soon = { { 0, 0 }, { 0, 2000 } };
	port_event_t list[4];
	CHECK_OK(sigaction(SIGALRM, &action, NULL));
	the_port = port_create();
	for (int round = 0; round < 50; round++) {
		unsigned nget = 3;
		child = 0;
		CHECK_OK(setitimer(ITIMER_REAL, &soon, NULL));
		if (round % 2)
			CHECK_ERR2(port_get(the_port, list, TIMEOUT_MS(2000)), EINTR, ETIME);
		else
			CHECK_ERR2(port_getn(the_port, list, 4, &nget, TIMEOUT_MS(2000)), EINTR, ETIME);
		CHECK(child > 0);
		CHECK_EQ(wait_child(child), 0);
		CHECK_PORT_WORKS(the_port);
	}
	close(the_port);
}

static void fork_and_return(int sig)
{
	int saved = errno;
	(void)sig;
	pid_t pid = fork();
	if (pid > 0)
		child = pid;
	errno = saved;
}

/* The child returns from the handler into the interrupted call: the port is not its own any more. */
TEST(child_returns_into_the_interrupted_call, "T-302 R7.6")
{
	struct sigaction action = { .sa_handler = fork_and_return, .sa_flags = SA_RESTART };
	struct itimerval soon = { { 0, 0 }, { 0, 2000 } };
	port_event_t pe;
	CHECK_OK(sigaction(SIGALRM, &action, NULL));
	for (int round = 0; round < 20; round++) {
		pid_t self = getpid();
		the_port = port_create();
		child = -1;
		CHECK_OK(setitimer(ITIMER_REAL, &soon, NULL));
		int result = port_get(the_port, &pe, TIMEOUT_MS(3000)), error = errno;
		if (getpid() != self)
			_exit(result == -1 && (error == EINTR || error == EBADFD) ? use_ports_in_child(the_port) : 9);
		CHECK_EQ(result, -1);
		CHECK(error == EINTR || error == ETIME);
		CHECK_EQ(wait_child(child), 0);
		CHECK_PORT_WORKS(the_port);
		close(the_port);
	}
}

/* Each of eight threads does everything the interface offers, on a shared port and on ports of its own. */
static void *hammer(void *arg)
{
	int number = (int)(intptr_t)arg;
	port_event_t list[8];
	while (!stop) {
		int fds[2], own = -1;
		unsigned nget = 2;
		if (pipe2(fds, O_CLOEXEC) != 0)
			continue;
		if (number % 2)
			own = port_create();
		int port = own >= 0 ? own : the_port;
		send_value(port, 1);
		watch(port, fds[0], POLLIN);
		put(fds[1]);
		port_getn(port, list, 8, &nget, TIMEOUT_MS(1));
		port_get(port, list, ZERO_TIMEOUT);
		port_alert(port, PORT_ALERT_SET, 1, NULL);
		port_alert(port, 0, 0, NULL);
		unwatch(port, fds[0]);
		close_pipe(fds);
		if (own >= 0)
			close(own);
	}
	return NULL;
}

static void hammered_forks(int rounds, bool use_inherited)
{
	static struct thread threads[8];
	the_port = port_create();
	for (int i = 0; i < 8; i++)
		thread_start(&threads[i], hammer, (void *)(intptr_t)i);
	for (int round = 0; round < rounds; round++) {
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (pid == 0) {
			alarm(10);
			_exit(use_ports_in_child(use_inherited ? the_port : -1));
		}
		int status = wait_child(pid);
		if (status == 128 + SIGALRM)
			FAIL("the child of round %d hangs", round);
		if (status != 0)
			FAIL("the child of round %d says %d", round, status);
	}
	stop = 1;
	for (int i = 0; i < 8; i++)
		thread_join(&threads[i]);
	drain(the_port);
	CHECK_PORT_WORKS(the_port);
	close(the_port);
}

TEST_LIMIT(fork_while_eight_threads_hammer, "T-302 T-291", 90) { hammered_forks(200, false); }
TEST_LIMIT(fork_while_eight_threads_hammer_the_inherited, "T-302 T-292", 90) { hammered_forks(200, true); }

/* Sleepers in the parent do not notice a child, and the child's close does not wake them. */
static void *sleep_in_port(void *arg)
{
	port_event_t pe;
	return port_get(the_port, &pe, NULL) == 0 ? arg : NULL;
}

TEST(sleepers_do_not_notice_children, "R14.3 T-292")
{
	static struct thread sleepers[4];
	the_port = port_create();
	for (int i = 0; i < 4; i++) {
		thread_start(&sleepers[i], sleep_in_port, sleepers);
		wait_until_blocked(sleepers[i].tid);
	}
	for (int round = 0; round < 20; round++) {
		pid_t pid = fork();
		if (pid == 0) {
			if (round % 2)
				close(the_port);
			else
				dup2(STDIN_FILENO, the_port);
			_exit(use_ports_in_child(-1));
		}
		CHECK_EQ(wait_child(pid), 0);
	}
	for (int i = 0; i < 4; i++)
		CHECK(!thread_done(&sleepers[i]));
	for (int i = 0; i < 4; i++)
		CHECK_OK(send_value(the_port, 1));
	for (int i = 0; i < 4; i++)
		CHECK(thread_join(&sleepers[i]) != NULL);
	CHECK_EQ(pending(the_port), 0);
	close(the_port);
}

static void *fork_once(void *arg)
{
	(void)arg;
	pid_t pid = fork();
	if (pid == 0)
		_exit(use_ports_in_child(the_port));
	int status = wait_child(pid);
	CHECK_OK(send_value(the_port, 0xf0));
	return (void *)(intptr_t)status;
}

/* The child is created by a thread of its own while the parent's main thread sleeps in the port. */
TEST(fork_in_a_thread, "T-302")
{
	SKIP_UNDER_VALGRIND("a child of a second thread never ends");
	for (int round = 0; round < 20; round++) {
		struct thread t;
		the_port = port_create();
		thread_start(&t, fork_once, NULL);
		CHECK_USER_EVENT(the_port, 0xf0);
		CHECK_EQ((intptr_t)thread_join(&t), 0);
		close(the_port);
	}
}
