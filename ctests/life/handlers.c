/*
 * Handlers that use the port they interrupted, jump out of it, or never return. On the original system a call
 * is a system call: a handler can never find the port half changed (R6.3, R7.6).
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include "life.h"
#include <setjmp.h>

static volatile int the_port;
static sigjmp_buf back;
static volatile sig_atomic_t may_jump, jumps;
static volatile long handled, sent_by_handler, taken_by_handler;

static void install(int sig, void (*handler)(int), int flags)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags };
	sigemptyset(&action.sa_mask);
	CHECK_OK(sigaction(sig, &action, NULL));
}

static void storm(long us)
{
	struct itimerval timer = { { 0, us }, { 0, us } };
	CHECK_OK(setitimer(ITIMER_REAL, &timer, NULL));
}

static void jump_back(int sig)
{
	(void)sig;
	if (!may_jump)
		return;
	may_jump = 0;
	jumps++;
	siglongjmp(back, 1);
}

/* A waiter that nothing but the alert wakes: it wants more events than ever come. */
#define TOO_MANY 200000

static void *wait_for_alert(void *arg)
{
	port_event_t *list = calloc(TOO_MANY, sizeof *list);
	unsigned nget = TOO_MANY;
	int result = port_getn(*(volatile int *)arg, list, TOO_MANY, &nget, NULL);
	bool alerted = result == 0 && nget == 1 && list[0].portev_source == PORT_SOURCE_ALERT;
	free(list);
	return alerted ? arg : NULL;
}

static void *get_one(void *arg)
{
	port_event_t pe;
	return port_get(*(volatile int *)arg, &pe, LONG_TIMEOUT) == 0 ? arg : NULL;
}

/* The signal is for the calling thread alone. */
static void start_elsewhere(struct thread *t, void *(*body)(void *), void *arg)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	thread_start(t, body, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* The port serves this thread and others, and earlier sleepers still hear the alert. */
static void check_port_after(struct thread *sleepers, int count)
{
	struct thread late;
	drain(the_port);
	CHECK_PORT_WORKS(the_port);
	start_elsewhere(&late, get_one, (void *)&the_port);
	wait_until_blocked(late.tid);
	CHECK_OK(send_value(the_port, 1));
	CHECK(thread_join(&late) != NULL);
	CHECK_EQ(pending(the_port), 0);
	for (int i = 0; i < count; i++)
		CHECK(!thread_done(&sleepers[i]));
	CHECK_OK(port_alert(the_port, PORT_ALERT_SET, 1, NULL));
	for (int i = 0; i < count; i++)
		CHECK(thread_join(&sleepers[i]) != NULL);
	CHECK_OK(port_alert(the_port, 0, 0, NULL));
	CHECK_PORT_WORKS(the_port);
	CHECK_OK(close(the_port));
}

/* `everywhere`: the handler may also hit port_send and the calls that find an event at once. */
static void jump_out(int wanted, bool everywhere)
{
	struct thread sleepers[2];
	port_event_t list[4];
	the_port = port_create();
	for (int i = 0; i < 2; i++)
		start_elsewhere(&sleepers[i], wait_for_alert, (void *)&the_port);
	install(SIGALRM, jump_back, 0);
	storm(500);
	while (jumps < wanted) {
		unsigned nget = 2;
		if (sigsetjmp(back, 1) != 0)
			continue;
		may_jump = everywhere;
		for (int i = 0; i < 20; i++) {
			send_value(the_port, 1);
			send_value(the_port, 2);
			nget = 2;
			port_getn(the_port, list, 4, &nget, TIMEOUT_MS(1));
			send_value(the_port, 3);
			port_get(the_port, list, TIMEOUT_MS(1));
		}
		may_jump = 1;
		port_get(the_port, list, NULL);
		nget = 3;
		port_getn(the_port, list, 4, &nget, NULL);
		may_jump = 0;
	}
	storm(0);
	check_port_after(sleepers, 2);
}

TEST_LIMIT(siglongjmp_out_of_waits, "R7.6", 60) { jump_out(2000, false); }
TEST_LIMIT(siglongjmp_out_of_everything, "R7.6 R6.3", 60) { jump_out(2000, true); }

/* Jumping out with descriptors in play: afterwards associations work as on the first day. */
TEST_LIMIT(siglongjmp_out_of_a_wait_with_descriptors, "R7.6 R4.5", 60)
{
	struct thread sleepers[2];
	port_event_t pe;
	int fds[2];
	make_pair(fds);
	the_port = port_create();
	for (int i = 0; i < 2; i++)
		start_elsewhere(&sleepers[i], wait_for_alert, (void *)&the_port);
	install(SIGALRM, jump_back, 0);
	storm(500);
	while (jumps < 500) {
		if (sigsetjmp(back, 1) != 0)
			continue;
		CHECK_EQ(watch(the_port, fds[0], POLLIN), 0);
		put(fds[1]);
		if (port_get(the_port, &pe, TIMEOUT_MS(5000)) == 0)
			CHECK_EQ(pe.portev_object, fds[0]);
		take(fds[0]);
		CHECK_EQ(watch(the_port, fds[0], POLLIN), 0);
		may_jump = 1;
		port_get(the_port, &pe, NULL);
		may_jump = 0;
	}
	storm(0);
	drain(the_port);
	CHECK_OK(watch(the_port, fds[0], POLLIN));
	put(fds[1]);
	CHECK_FD_EVENT(the_port, fds[0]);
	check_port_after(sleepers, 2);
	close_pipe(fds);
}

static void send_from_handler(int sig)
{
	int saved = errno;
	(void)sig;
	handled++;
	if (port_send(the_port, 2, (void *)(uintptr_t)sent_by_handler) == 0)
		sent_by_handler++;
	errno = saved;
}

/* T-144: every value of the handler and of the loop comes exactly once and in order. */
TEST_LIMIT(port_send_in_a_handler, "R6.3 T-144", 60)
{
	port_event_t list[16];
	long sent = 0, seen = 0, handler_seen = 0, loops = 0;
	the_port = port_create();
	install(SIGALRM, send_from_handler, SA_RESTART);
	storm(40);
	while (loops++ < 100000 || handled < 5000) {
		unsigned nget = 1;
		CHECK_OK(port_send(the_port, 1, (void *)(uintptr_t)sent));
		sent++;
		while (port_getn(the_port, list, 16, &nget, NULL) == -1)
			CHECK_EQ(errno, EINTR);
		for (unsigned i = 0; i < nget; i++)
			if (list[i].portev_events == 1)
				CHECK_EQ((uintptr_t)list[i].portev_user, seen++);
			else
				CHECK_EQ((uintptr_t)list[i].portev_user, handler_seen++);
	}
	storm(0);
	for (unsigned got; (got = harvest(the_port, list, 16, 0)) > 0;)
		for (unsigned i = 0; i < got; i++)
			*(list[i].portev_events == 1 ? &seen : &handler_seen) += 1;
	CHECK_EQ(seen, sent);
	CHECK_EQ(handler_seen, sent_by_handler);
	CHECK(handler_seen >= 1000);
	close(the_port);
}

static void take_from_handler(int sig)
{
	port_event_t pe, list[4];
	unsigned nget = 1;
	int saved = errno;
	(void)sig;
	handled++;
	if (port_get(the_port, &pe, ZERO_TIMEOUT) == 0)
		taken_by_handler++;
	if (port_getn(the_port, list, 4, &nget, ZERO_TIMEOUT) == 0)
		taken_by_handler += nget;
	nget = 3;
	if (port_getn(the_port, list, 4, &nget, TIMEOUT_MS(1)) == 0 || errno == ETIME)
		taken_by_handler += nget;
	if (port_send(the_port, 2, NULL) == 0)
		sent_by_handler++;
	errno = saved;
}

/* The handler takes from the port whose get or send it interrupted, wherever that was. */
TEST_LIMIT(port_get_in_a_handler, "R6.3 R2.3", 60)
{
	port_event_t list[16];
	long sent = 0, taken = 0, loops = 0;
	the_port = port_create();
	install(SIGALRM, take_from_handler, 0);
	long long end = now_ms() + 4000;
	while (now_ms() < end || loops < 1000) {
		struct itimerval once = { { 0, 0 }, { 0, 50 + loops * 37 % 1000 } };
		unsigned nget = 2;
		if (loops++ % 8 == 0) /* not periodic: the handler may take longer than any period */
			setitimer(ITIMER_REAL, &once, NULL);
		for (int i = 0; i < 3; i++, sent++)
			CHECK_OK(port_send(the_port, 1, NULL));
		if (port_getn(the_port, list, 16, &nget, TIMEOUT_MS(3)) == 0 || errno == ETIME)
			taken += nget;
		else
			CHECK_EQ(errno, EINTR);
		if (port_get(the_port, list, TIMEOUT_MS(loops % 64 == 0 ? 2 : 0)) == 0)
			taken++;
	}
	storm(0);
	taken += drain(the_port);
	CHECK_EQ(taken + taken_by_handler, sent + sent_by_handler);
	CHECK(handled > 100);
	close(the_port);
}

/* A blocked call whose handler sends and takes on the same port still answers EINTR. */
TEST(nested_get_of_a_blocked_waiter, "R7.6 R2.3")
{
	port_event_t pe;
	the_port = port_create();
	install(SIGALRM, take_from_handler, SA_RESTART);
	for (int i = 0; i < 100; i++) {
		struct itimerval soon = { { 0, 0 }, { 0, 3000 } };
		long before = handled;
		CHECK_OK(setitimer(ITIMER_REAL, &soon, NULL));
		int result = port_get(the_port, &pe, TIMEOUT_MS(5000));
		CHECK_EQ(handled, before + 1);
		CHECK(result == 0 || errno == EINTR);
		drain(the_port);
	}
	CHECK_PORT_WORKS(the_port);
	close(the_port);
}

static void take_one_now(int sig)
{
	port_event_t pe;
	int saved = errno;
	send_from_handler(sig);
	if (port_get(the_port, &pe, ZERO_TIMEOUT) == 0)
		__atomic_add_fetch(&taken_by_handler, 1, __ATOMIC_RELAXED);
	errno = saved;
}

/* Deeply nested: the handler may interrupt itself, and it has no end of work to do. */
TEST_LIMIT(handlers_in_handlers, "R6.3", 30)
{
	port_event_t list[16];
	long taken = 0, sent = 0;
	the_port = port_create();
	install(SIGALRM, take_one_now, SA_NODEFER);
	install(SIGUSR1, take_one_now, SA_NODEFER);
	storm(100);
	long long end = now_ms() + 2000;
	while (now_ms() < end) {
		CHECK_OK(port_send(the_port, 1, NULL));
		sent++;
		raise(SIGUSR1);
		taken += harvest(the_port, list, 16, 0);
	}
	storm(0);
	taken += drain(the_port);
	CHECK(taken + taken_by_handler >= sent); /* the handlers' own counts may miss one another */
	CHECK_PORT_WORKS(the_port);
	close(the_port);
}

static void *map_with_guard(size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t whole = (size + page - 1) / page * page;
	char *base = mmap(NULL, whole + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(base != MAP_FAILED);
	CHECK_OK(mprotect(base, page, PROT_NONE));
	return base + page;
}

/* An alternate stack of the traditional 8 KiB is enough for port_send and port_get. */
TEST(small_alternate_stack, "R6.3")
{
	long least = sysconf(_SC_MINSIGSTKSZ);
	size_t size = least > 4096 ? (size_t)least + 4096 : 8192;
#ifdef __SANITIZE_ADDRESS__
	size *= 8; /* red zones around every variable */
#endif
	stack_t stack = { .ss_sp = map_with_guard(size), .ss_size = size };
	port_event_t pe;
	long taken = 0;
	CHECK_OK(sigaltstack(&stack, NULL));
	install(SIGUSR1, take_one_now, SA_ONSTACK);
	the_port = port_create();
	CHECK_PORT_WORKS(the_port); /* the dynamic linker's first look-up of a name takes kilobytes of its own */
	for (int i = 0; i < 3000; i++) {
		CHECK_OK(raise(SIGUSR1));
		CHECK_OK(send_value(the_port, 1));
		raise(SIGUSR1);
		if (port_get(the_port, &pe, ZERO_TIMEOUT) == 0)
			taken++;
	}
	taken += drain(the_port);
	CHECK_EQ(taken + taken_by_handler, 3000 + sent_by_handler);
	close(the_port);
}
