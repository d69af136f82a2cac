/* Blocked port_get and port_getn: the port is closed meanwhile (R7.30, R7.31). */
#include "harness.h"
#include "events.h"
#include "waiter.h"
#include <sched.h>

TEST(close_ends_a_wait, "T-190 R7.30")
{
	struct waiter w;
	for (unsigned want = 0; want < 3; want++) {
		int port = new_port();
		start(&w, port, want);
		long long begin = now_ms();
		CHECK_OK(close(port));
		thread_join(&w.thread);
		CHECK(now_ms() - begin < 1000 * slow());
		CHECK_EQ(w.result, -1);
		CHECK(w.error == EBADF || w.error == EBADFD);
		CHECK_EQ(w.got, want);
		CHECK(untouched(&w.list[0]));
		CHECK_ERR(port_send(port, 1, NULL), EBADF);
	}
}

TEST(close_ends_all_waits, "T-190 R7.30")
{
	enum { COUNT = 4 };
	struct waiter w[COUNT];
	int port = new_port(), fds[2];
	make_pipe(fds);
	watch(port, fds[0], POLLIN, USER(1));
	for (int i = 0; i < COUNT; i++)
		start(&w[i], port, i % 2 * 3);
	CHECK_OK(close(port));
	for (int i = 0; i < COUNT; i++) {
		thread_join(&w[i].thread);
		CHECK_EQ(w[i].result, -1);
		CHECK(w[i].error == EBADF || w[i].error == EBADFD);
	}
	close_pipe(fds);
}

TEST(dup2_over_the_port_ends_a_wait, "T-190 R7.30")
{
	struct waiter w;
	int port = new_port();
	start(&w, port, 0);
	CHECK_EQ(dup2(STDOUT_FILENO, port), port);
	thread_join(&w.thread);
	CHECK_EQ(w.result, -1);
	CHECK(w.error == EBADF || w.error == EBADFD);
	CHECK_ERR(port_send(port, 1, NULL), EBADFD);
	close(port);
}

TEST(close_of_another_number, "T-191 R7.31")
{
	struct waiter w;
	int port = new_port(), copy = dup(port);
	CHECK(copy >= 0);
	start(&w, copy, 0);
	CHECK_OK(close(port));
	sleep_ms(30);
	CHECK(!thread_done(&w.thread));
	CHECK_OK(port_send(copy, 1, USER(1)));
	join(&w, 0, 0);
	is_user(&w.list[0], 1, USER(1));
	close(copy);
}

TEST(close_of_the_waiters_number, "T-191 R7.31")
{
	struct waiter a, b;
	int port = new_port(), copy = dup(port);
	CHECK(copy >= 0);
	start(&a, port, 0);
	start(&b, copy, 0);
	CHECK_OK(close(port));
	thread_join(&a.thread);
	CHECK_EQ(a.result, -1);
	CHECK(a.error == EBADF || a.error == EBADFD);
	CHECK(!thread_done(&b.thread));
	CHECK_OK(port_send(copy, 1, USER(1)));
	join(&b, 0, 0);
	is_user(&b.list[0], 1, USER(1));
	close(copy);
}

static volatile int spin;

static void *spinner(void *arg)
{
	(void)arg;
	while (__atomic_load_n(&spin, __ATOMIC_ACQUIRE))
		;
	return NULL;
}

/* Keeps a thread on the first processor of the process, where the spinner is. */
static void keep_on_first_processor(pid_t tid)
{
	cpu_set_t all, first;
	CHECK_OK(sched_getaffinity(0, sizeof all, &all));
	CPU_ZERO(&first);
	for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&first) == 0; cpu++)
		if (CPU_ISSET(cpu, &all))
			CPU_SET(cpu, &first);
	CHECK_OK(sched_setaffinity(tid, sizeof first, &first));
}

/* A sleeper that gets the processor long after it was woken must still find out that the port is closed. */
TEST_LIMIT(close_ends_the_wait_of_a_slow_thread, "T-190 R7.30", 30)
{
	struct waiter w;
	struct thread busy;
	struct sched_param idle = { 0 };
	SKIP_UNDER_VALGRIND("valgrind runs one thread at a time, and this one keeps it busy");
	spin = 1;
	thread_start(&busy, spinner, NULL);
	keep_on_first_processor(busy.tid);
	for (unsigned round = 0; round < 30; round++) {
		int port = new_port();
		start(&w, port, round % 3);
		keep_on_first_processor(w.thread.tid);
		CHECK_OK(sched_setscheduler(w.thread.tid, SCHED_IDLE, &idle));
		CHECK_OK(close(port));
		thread_join(&w.thread);
		CHECK_EQ(w.result, -1);
		CHECK(w.error == EBADF || w.error == EBADFD);
	}
	spin = 0;
	thread_join(&busy);
}
