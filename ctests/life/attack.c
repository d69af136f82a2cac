/*
 * What a hostile reader of the rules would try: dead waiters, memory to the byte, children made behind the C
 * library's back, the end of the process, no descriptors left, and numbers at the edge of the table.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include "life.h"
#include <sched.h>
#include <setjmp.h>

static int the_port;
static volatile int jumped;
static __thread sigjmp_buf back;

static void jump_back(int sig)
{
	(void)sig;
	siglongjmp(back, 1);
}

static void *jump_out_and_idle(void *arg)
{
	unsigned want = (unsigned)(uintptr_t)arg;
	port_event_t list[8];
	if (sigsetjmp(back, 1) == 0) {
		if (want == 0)
			port_get(the_port, list, NULL);
		else
			port_getn(the_port, list, 8, &want, NULL);
	}
	jumped = 1;
	sleep_ms(3000L * slow()); /* never comes back to the port */
	return NULL;
}

static void *get_many(void *arg)
{
	unsigned want = (unsigned)(uintptr_t)arg;
	port_event_t list[8];
	if (want == 0)
		return port_get(the_port, list, LONG_TIMEOUT) == 0 ? &the_port : NULL;
	return port_getn(the_port, list, want, &want, LONG_TIMEOUT) == 0 ? &the_port : NULL;
}

/* A waiter that jumped away wanted fewer than the living one: it must not swallow what is sent (R7.20, R7.23). */
static void dead_waiter(unsigned dead_wants, unsigned living_wants, bool dead_first)
{
	struct thread dead, living;
	signal(SIGUSR1, jump_back);
	the_port = port_create();
	jumped = 0;
	if (!dead_first) {
		thread_start(&living, get_many, (void *)(uintptr_t)living_wants);
		wait_until_blocked(living.tid);
	}
	thread_start(&dead, jump_out_and_idle, (void *)(uintptr_t)dead_wants);
	wait_until_blocked(dead.tid);
	pthread_kill(dead.handle, SIGUSR1);
	while (!jumped)
		sleep_ms(1);
	if (dead_first) {
		thread_start(&living, get_many, (void *)(uintptr_t)living_wants);
		wait_until_blocked(living.tid);
	}
	long long start = now_ms();
	for (unsigned i = 0; i < (living_wants ? living_wants : 1); i++)
		CHECK_OK(send_value(the_port, 1));
	CHECK(thread_join(&living) == &the_port);
	CHECK(now_ms() - start < 1000LL * slow());
	CHECK_EQ(pending(the_port), 0);
	start = now_ms();
	CHECK_OK(close(the_port));
	CHECK(now_ms() - start < 1000LL * slow());
	thread_join(&dead);
}

TEST(dead_waiter_wanted_as_many, "R7.20 R7.23") { dead_waiter(0, 0, true); }
TEST(dead_waiter_wanted_fewer, "R7.20 R7.23") { dead_waiter(0, 3, true); }
TEST(dead_waiter_wanted_fewer_and_came_later, "R7.20 R7.23") { dead_waiter(1, 3, false); }
TEST(dead_waiter_wanted_more, "R7.20 R7.23") { dead_waiter(3, 0, false); }

/* The last byte before a page that may not be touched. */
static void *end_of_page(size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *base = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(base != MAP_FAILED);
	CHECK_OK(mprotect(base + page, page, PROT_NONE));
	memset(base, 0x5a, page);
	return base + page - size;
}

TEST(not_a_byte_too_many, "R7.1 R6.6")
{
	port_event_t *one = end_of_page(sizeof *one), *three = end_of_page(3 * sizeof *three);
	unsigned *nget = end_of_page(sizeof *nget);
	int *ports = end_of_page(2 * sizeof *ports), *forbidden = (int *)((char *)end_of_page(4) + 4);
	static const struct timespec constant = { 0, 1000 };
	int port = port_create();
	for (int i = 0; i < 8; i++)
		CHECK_OK(send_value(port, (uintptr_t)i));
	CHECK_OK(port_get(port, one, &constant));
	*nget = 2;
	CHECK_OK(port_getn(port, three, 3, nget, &constant));
	CHECK_EQ(*nget, 3);
	*nget = 1;
	CHECK_OK(port_getn(port, one, 1, nget, &constant));
	*nget = 0;
	CHECK_OK(port_getn(port, (port_event_t *)forbidden, 5, nget, &constant));
	*nget = 77;
	CHECK_OK(port_getn(port, (port_event_t *)forbidden, 0, nget, (const struct timespec *)forbidden));
	CHECK_EQ(*nget, 3);
	*nget = 1;
	CHECK_OK(port_getn(port, three, 0x7fffffff, nget, (const struct timespec *)forbidden)); /* 7.1 h */
	CHECK_EQ(*nget, 3);
	ports[0] = ports[1] = port;
	CHECK_RET(port_sendn(ports, forbidden, 2, 1, NULL), 2); /* R6.6: errors[] untouched */
	CHECK_EQ(pending(port), 2);
	close(port);
}

/* Children that no C library function made. */
static void use_in_child(int inherited)
{
	int port = port_create();
	port_event_t pe;
	if (port < 0 || send_value(port, 1) != 0 || port_get(port, &pe, NULL) != 0 || close(port) != 0)
		_exit(1);
	if (send_value(inherited, 1) != -1 || errno != EBADFD)
		_exit(2);
	_exit(close(inherited) == 0 ? 0 : 3);
}

static void raw_children(long (*make)(void))
{
	struct rig r;
	rig_open(&r, true);
	for (int i = 0; i < 20; i++) {
		pid_t pid = (pid_t)make();
		CHECK(pid >= 0);
		if (pid == 0)
			use_in_child(r.port);
		CHECK_EQ(wait_child(pid), 0);
	}
	rig_check_alive(&r, true);
	rig_close(&r, false);
}

static long by_clone(void) { return syscall(SYS_clone, SIGCHLD, 0L, 0L, 0L, 0L); }
TEST(child_of_a_raw_clone, "T-302 R14.3") { raw_children(by_clone); }
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 34)
static long by_plain_fork(void) { return _Fork(); }
TEST(child_of_plain_fork, "T-302 R14.3") { raw_children(by_plain_fork); }
#endif

static void *wait_for_ever(void *arg)
{
	port_event_t list[8];
	unsigned want = (unsigned)(uintptr_t)arg;
	for (;;)
		if (want == 0)
			port_get(__atomic_load_n(&the_port, __ATOMIC_RELAXED), list, NULL);
		else
			port_getn(__atomic_load_n(&the_port, __ATOMIC_RELAXED), list, 8, &want, NULL);
	return NULL;
}

static void send_at_exit(void)
{
	port_event_t pe;
	if (send_value(the_port, 1) != 0 || port_get(the_port, &pe, TIMEOUT_MS(100)) != 0 || close(the_port) != 0)
		_exit(9);
}

/* exit() with sleepers in the port, and a handler at exit that still uses one. */
TEST(process_ends_with_sleepers, "R13.7")
{
	SKIP_UNDER_VALGRIND("a child of a second thread never ends");
	for (int round = 0; round < 6; round++) {
		pid_t pid = fork();
		if (pid == 0) {
			struct thread threads[4];
			the_port = port_create();
			for (uintptr_t i = 0; i < 4; i++)
				thread_start(&threads[i], wait_for_ever, (void *)(i * 2));
			if (round % 3 == 0) {
				__atomic_store_n(&the_port, port_create(), __ATOMIC_RELAXED); /* some go on in this one */
				atexit(send_at_exit);
			}
			if (round % 3 == 1)
				_exit(0);
			exit(0);
		}
		CHECK_EQ(wait_child(pid), 0);
	}
}

static void *send_one(void *arg)
{
	sleep_ms(30);
	CHECK_OK(send_value(the_port, 0xee));
	return arg;
}

/* The port took the last descriptor: whatever was promised by its creation has to work without another one. */
static void last_descriptor(unsigned spare)
{
	struct rlimit limit = { 64, 64 };
	int fds[2], filler[64], count = 0, fd;
	struct thread t;
	SKIP_UNDER_VALGRIND("keeps RLIMIT_NOFILE to itself");
	make_pair(fds);
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
	while ((fd = dup(0)) >= 0)
		filler[count++] = fd;
	CHECK_EQ(errno, EMFILE);
	for (unsigned i = 0; i < spare; i++)
		close(filler[--count]);
	the_port = port_create();
	if (the_port == -1) {
		CHECK(errno == EMFILE || errno == EAGAIN || errno == ENOMEM);
	} else {
		int sent = send_value(the_port, 1);
		CHECK(sent == 0 || errno == EAGAIN || errno == ENOMEM);
		if (sent == 0) {
			CHECK_USER_EVENT(the_port, 1);
			thread_start(&t, send_one, NULL);
			CHECK_USER_EVENT(the_port, 0xee);
			thread_join(&t);
		}
		int watched = watch(the_port, fds[0], POLLIN);
		CHECK(watched == 0 || errno == EAGAIN || errno == ENOMEM);
		put(fds[1]);
		if (watched == 0)
			CHECK_FD_EVENT(the_port, fds[0]);
		CHECK_OK(close(the_port));
	}
	CHECK_EQ(fcntl(filler[0], F_GETFD), 0);
	while (count > 0)
		CHECK_OK(close(filler[--count]));
	close_pipe(fds);
	the_port = port_create();
	CHECK_PORT_WORKS(the_port);
	close(the_port);
}

TEST(no_descriptor_left, "R3.2 T-021") { last_descriptor(0); }
TEST(one_descriptor_left, "R3.2 T-021") { last_descriptor(1); }
TEST(two_descriptors_left, "R3.2 T-021") { last_descriptor(2); }

/* O_NONBLOCK on the descriptor is nothing that port_get looks at. */
TEST(flags_of_the_descriptor, "R13.4")
{
	port_event_t pe;
	int port = port_create();
	fcntl(port, F_SETFL, O_NONBLOCK);
	long long start = now_ms();
	CHECK_ERR(port_get(port, &pe, TIMEOUT_MS(50)), ETIME);
	CHECK(now_ms() - start >= 49);
	CHECK_PORT_WORKS(port);
	close(port);
}

/* The highest number that the limit allows, for descriptors and for the port itself. */
TEST(highest_numbers, "R4.2 T-033")
{
	struct rlimit limit;
	int fds[2], port = port_create();
	CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
	int top = limit.rlim_cur > 1000000 ? 1000000 : (int)limit.rlim_cur - 1;
	make_pair(fds);
	CHECK_RET(dup2(fds[0], top), top);
	CHECK_OK(watch(port, top, POLLIN));
	put(fds[1]);
	CHECK_FD_EVENT(port, top);
	CHECK_OK(watch(port, top, POLLIN));
	CHECK_OK(close(top));
	CHECK_EQ(pending(port), 0);
	CHECK_RET(dup2(port, top), top);
	CHECK_PORT_WORKS(top);
	CHECK_OK(close(port));
	CHECK_PORT_WORKS(top);
	CHECK_OK(close(top));
	CHECK_ERR(send_value(top, 1), EBADF);
	CHECK_ERR(send_value(0x7fffffff, 1), EBADF);
	CHECK_ERR(send_value((int)0x80000000, 1), EBADF);
	close_pipe(fds);
}

static void make_and_close(int rounds)
{
	for (int i = 0; i < rounds; i++) {
		int fds[2], port = port_create();
		make_pipe(fds);
		CHECK_OK(watch(port, fds[0], POLLIN));
		CHECK_OK(send_value(port, 1));
		if (i % 2)
			CHECK_USER_EVENT(port, 1);
		if (i % 3)
			CHECK_OK(close(port));
		close_pipe(fds);
		if (i % 3 == 0)
			CHECK_OK(close(port));
	}
}

TEST_LIMIT(memory_does_not_grow, "T-280 R13.7", 60)
{
	if (slow() > 1)
		SKIP("a wrapper keeps memory of its own");
	make_and_close(5000);
	long before = resident_kb();
	make_and_close(60000);
	long grown = resident_kb() - before;
	if (grown > 512)
		FAIL("%ld KiB more after 60000 ports", grown);
}

/* Thousands of ports at once, closed in an odd order: one descriptor each, and little memory. */
TEST_LIMIT(thousands_of_ports, "T-281 R3.2", 60)
{
	static int ports[3000];
	int fds[2];
	make_pair(fds);
	long before = resident_kb();
	for (int i = 0; i < 3000; i++) {
		ports[i] = port_create();
		if (ports[i] < 0)
			SKIP("fewer than 3000 ports or descriptors here");
		CHECK_OK(watch(ports[i], fds[0], POLLIN));
	}
	long each = (resident_kb() - before) * 1024 / 3000;
	if (slow() == 1 && each > 2048)
		FAIL("%ld bytes for a port with one association", each);
	put(fds[1]);
	for (int i = 0; i < 3000; i += 100)
		CHECK_EQ(pending(ports[i]), 1);
	for (int i = 0; i < 3000; i++)
		CHECK_OK(close(ports[(i * 7) % 3000]));
	close_pipe(fds);
}
