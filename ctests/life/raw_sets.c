/*
 * The number of a port that was closed unseen becomes an epoll set of the program's own. No call on that number,
 * and nothing that happens in other ports, may change a registration of it or eat an event.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
/* modes: shared static preload dlopen */
#include "raw_port.h"

enum { LEVEL, EDGE, SHOT, SPENT, IDLE, COMMON, KINDS }; /* COMMON: the descriptor that the port had as well */

static const uint32_t masks[KINDS] = { EPOLLIN, EPOLLIN | EPOLLET, EPOLLIN | EPOLLONESHOT, EPOLLIN | EPOLLONESHOT,
	EPOLLIN | EPOLLET, EPOLLIN | EPOLLET };

struct own {
	int set;
	int fds[KINDS][2];
	char before[2048]; /* its registrations, as the kernel tells */
};

/* The "tfd" lines: number, mask and data of each registration. */
static void registrations(int set, char *text, size_t size)
{
	char path[64], line[256];
	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", set);
	FILE *f = fopen(path, "re");
	CHECK(f != NULL);
	text[0] = '\0';
	while (fgets(line, sizeof line, f) != NULL)
		if (strncmp(line, "tfd:", 4) == 0 && strlen(text) + strlen(line) < size)
			strcat(text, line);
	fclose(f);
}

static void own_add(struct own *o, int kind)
{
	struct epoll_event event = { .events = masks[kind], .data.u64 = 0x0123456700000000u + (unsigned)kind };
	if (kind != COMMON)
		make_pair(o->fds[kind]);
	CHECK_OK(epoll_ctl(o->set, EPOLL_CTL_ADD, o->fds[kind][0], &event));
	if (kind != IDLE && kind != COMMON)
		put(o->fds[kind][1]);
}

/* A new set at the number, by the C library's call or by the kernel's, closed before or replaced in one step. */
static void own_open(struct own *o, int number, const struct subject *common, int variant)
{
	struct epoll_event list[KINDS];
	if ((variant & 1) == 0)
		CHECK_EQ(raw_close(number), 0);
	int set = variant & 2 ? (int)syscall(SYS_epoll_create1, 0) : epoll_create1(0);
	if ((variant & 1) == 0) {
		CHECK_EQ(set, number);
	} else {
		CHECK_EQ(raw_dup3(set, number), number);
		raw_close(set);
	}
	o->set = number;
	o->fds[COMMON][0] = common->number;
	o->fds[COMMON][1] = common->peer;
	own_add(o, SPENT);
	CHECK_EQ(epoll_wait(number, list, KINDS, 0), 1);
	for (int kind = 0; kind < KINDS; kind++)
		if (kind != SPENT)
			own_add(o, kind);
	while (recv(common->number, list, sizeof list, MSG_DONTWAIT) > 0)
		;
	put(common->peer);
	char again[sizeof o->before];
	do { /* the same twice: see own_check() */
		registrations(number, o->before, sizeof o->before);
		sleep_ms(1);
		registrations(number, again, sizeof again);
	} while (strcmp(again, o->before) != 0);
	CHECK(strstr(o->before, "tfd:") != NULL);
}

/* Exactly what was registered, and exactly the events that were due; level-triggered ones stay. */
static void own_check(struct own *o)
{
	struct epoll_event list[KINDS + 2];
	char now[2048];
	unsigned seen = 0;
	/*
	 * A thread that finds out asks by adding a registration without events and takes it back at once: with several
	 * threads a look may come in between.
	 */
	for (int tries = 0; tries < 20; tries++) {
		registrations(o->set, now, sizeof now);
		if (strcmp(now, o->before) == 0)
			break;
		sleep_ms(1);
	}
	if (strcmp(now, o->before) != 0)
		FAIL("the program's set changed from\n%sto\n%s", o->before, now);
	int count = epoll_wait(o->set, list, KINDS + 2, 0);
	for (int i = 0; i < count; i++) {
		CHECK_EQ(list[i].data.u64 >> 32, 0x01234567);
		CHECK_EQ(list[i].events, EPOLLIN);
		seen |= 1u << (list[i].data.u64 & 0xff);
	}
	CHECK_EQ(seen, 1u << LEVEL | 1u << EDGE | 1u << SHOT | 1u << COMMON);
	CHECK_EQ(count, 4);
	CHECK_EQ(epoll_wait(o->set, list, KINDS, 0), 1);
	CHECK_EQ(list[0].data.u64 & 0xff, LEVEL);
}

static void own_close(struct own *o)
{
	CHECK_EQ(raw_close(o->set), 0);
	for (int kind = 0; kind < COMMON; kind++)
		close_pipe(o->fds[kind]);
}

/* Variants 0 to 3 of own_open, 4: a duplicate of the port lives on. */
static void own_set(enum port_state state, int variant, bool elsewhere)
{
	struct shared sh;
	struct own own;
	int port = port_in_state(state, &sh), twin = variant & 4 ? raw_dup(port) : -1;
	own_open(&own, port, &sh.s, variant);
	if (elsewhere) {
		int other[2];
		make_pair(other);
		work_elsewhere(other[0], other[1]);
		close_pipe(other);
	}
	use_all(port, NUMBER, state == FULL || state == READY || state == FIRED);
	use_all(port, own.fds[LEVEL][0], false);
	own_check(&own);
	own_close(&own);
	shared_close(&sh);
	if (twin >= 0)
		close(twin);
}

TEST_LIMIT(calls_on_the_program_s_set, "R4.23 R7.30", 20)
{
	for (int state = 0; state < PORT_STATES; state++)
		for (int variant = 0; variant < 8; variant++)
			own_set((enum port_state)state, variant, variant & 1);
}

/* Nobody calls the number: closes, associations and sleeps of other ports and descriptors do not reach it. */
TEST_LIMIT(other_ports_and_the_program_s_set, "R4.20 R4.23", 30)
{
	for (int state = 0; state < PORT_STATES; state++)
		for (int variant = 0; variant < 8; variant++) {
			struct shared sh;
			struct own own;
			int port = port_in_state((enum port_state)state, &sh), other = port_create(), extra[2];
			int twin = variant & 4 ? raw_dup(port) : -1, fds[2];
			port_event_t pe;
			make_pair(extra);
			CHECK_OK(watch(port, extra[0], POLLIN));
			CHECK_OK(watch(other, extra[0], POLLIN));
			own_open(&own, port, &sh.s, variant);
			CHECK_OK(watch(other, NUMBER, POLLIN)); /* there is data */
			CHECK_FD_EVENT(other, NUMBER);
			CHECK_OK(watch(other, own.fds[IDLE][0], POLLIN));
			CHECK_OK(unwatch(other, own.fds[IDLE][0]));
			close_pipe(extra); /* the first port had it, too */
			make_pair(fds);
			work_elsewhere(fds[0], fds[1]);
			close_pipe(fds);
			CHECK_ERR(port_get(other, &pe, TIMEOUT_MS(15)), ETIME);
			CHECK_OK(close(other));
			own_check(&own);
			own_close(&own);
			shared_close(&sh);
			if (twin >= 0)
				close(twin);
		}
}

/*
 * The program closes the descriptor that both had. A duplicate keeps the file, so the kernel keeps the program's
 * registration under the old number; it is not the library's to delete.
 */
TEST_LIMIT(closed_descriptor_stays_in_the_program_s_set, "R4.20", 20)
{
	for (int state = 0; state < PORT_STATES; state++)
		for (int variant = 0; variant < 8; variant++) {
			struct shared sh;
			struct own own;
			int port = port_in_state((enum port_state)state, &sh);
			own_open(&own, port, &sh.s, variant);
			int keep = dup(NUMBER), null = open("/dev/null", O_RDONLY | O_CLOEXEC);
			if (variant & 4)
				CHECK_EQ(dup2(null, NUMBER), NUMBER);
			else
				CHECK_OK(close(NUMBER));
			work_elsewhere(own.fds[IDLE][1], own.fds[IDLE][0]);
			own_check(&own);
			own_close(&own);
			close(null);
			shared_close(&sh);
			close(keep);
		}
}

/* The program's set has the ghost's file under the ghost's number: exactly what a cure in the port would take out. */
TEST(number_of_a_ghost_in_the_program_s_set, "R4.20 R4.23")
{
	for (int variant = 0; variant < 8; variant++) {
		struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.u64 = 77 };
		struct shared sh;
		int port = port_in_state(HAUNTED, &sh), other[2];
		if (variant & 1)
			CHECK_ERR(port_get(port, &(port_event_t){ 0 }, TIMEOUT_MS(15)), ETIME);
		CHECK_EQ(raw_close(port), 0);
		CHECK_EQ(epoll_create1(0), port);
		CHECK_EQ(raw_dup3(sh.ghost.keep, NUMBER + 1), NUMBER + 1);
		CHECK_OK(epoll_ctl(port, EPOLL_CTL_ADD, NUMBER + 1, &event));
		make_pair(other);
		if (variant & 2)
			work_elsewhere(other[0], other[1]);
		use_all(port, variant & 4 ? NUMBER + 1 : NUMBER, true);
		close_pipe(other);
		event.data.u64 = 0;
		CHECK_EQ(epoll_wait(port, &event, 1, 0), 1);
		CHECK_EQ(event.data.u64, 77);
		CHECK_EQ(epoll_wait(port, &event, 1, 0), 0);
		put(sh.ghost.peer);
		CHECK_EQ(epoll_wait(port, &event, 1, 0), 1);
		CHECK_EQ(raw_close(NUMBER + 1), 0);
		CHECK_EQ(raw_close(port), 0);
		shared_close(&sh);
	}
}

/* A thread that sleeps in the program's set is not woken by calls on the number. */
static void *sleep_in_set(void *arg)
{
	struct epoll_event event;
	return (void *)(intptr_t)epoll_wait(*(int *)arg, &event, 1, 300);
}

TEST(sleeper_in_the_program_s_set, "R4.23")
{
	for (int variant = 0; variant < 4; variant++) {
		struct epoll_event event = { .events = EPOLLIN };
		struct shared sh;
		struct thread t;
		int port = port_in_state(variant & 1 ? HAUNTED : REWATCHING, &sh);
		CHECK_EQ(raw_close(port), 0);
		CHECK_EQ(epoll_create1(0), port);
		CHECK_OK(epoll_ctl(port, EPOLL_CTL_ADD, NUMBER, &event));
		thread_start(&t, sleep_in_set, &port);
		wait_until_blocked(t.tid);
		use_all(port, NUMBER, false);
		CHECK(thread_join(&t) == NULL);
		CHECK_EQ(raw_close(port), 0);
		shared_close(&sh);
	}
}

/* ------------------------------------------------------------------ threads that still sleep in the old set */

struct inside {
	struct thread thread;
	int port, want;
	int result, error;
};

static void *inside_main(void *arg)
{
	struct inside *in = arg;
	port_event_t list[4];
	unsigned got = (unsigned)in->want;
	in->result = in->want == 0 ? port_get(in->port, list, NULL)
				   : port_getn(in->port, list, 4, &got, LONG_TIMEOUT);
	in->error = errno;
	return NULL;
}

static void on_signal(int sig) { (void)sig; }

/*
 * They are woken by the old set's descriptor or by a signal, and then must leave the number alone. What they
 * return is theirs: the event (the set is still there for them), EINTR, or that the port is gone.
 */
TEST_LIMIT(sleepers_of_the_old_port, "R7.30 R4.23", 30)
{
	struct sigaction action = { .sa_handler = on_signal };
	CHECK_OK(sigaction(SIGUSR1, &action, NULL));
	for (int round = 0; round < 48; round++) {
		struct inside in[3];
		struct shared sh;
		struct own own;
		int port = port_in_state(round & 8 ? REWATCHING : WATCHING, &sh), count = round & 16 ? 3 : 1;
		for (int i = 0; i < count; i++) {
			in[i] = (struct inside){ .port = port, .want = (round & 32) && i > 0 ? 2 : 0 };
			thread_start(&in[i].thread, inside_main, &in[i]);
			wait_until_blocked(in[i].thread.tid);
		}
		if (round % 3 == 0)
			sleep_ms(30);
		own_open(&own, port, &sh.s, round & 7); /* its last step makes the common descriptor readable */
		for (int i = 0; i < count; i++) {
			long long end = now_ms() + 4000;
			if (round % 2 != 0)
				blocked_within(getpid(), in[i].thread.tid, 20);
			while (!thread_done(&in[i].thread)) {
				pthread_kill(in[i].thread.handle, SIGUSR1);
				sleep_ms(1);
				CHECK(now_ms() < end);
			}
			thread_join(&in[i].thread);
			CHECK(in[i].result == 0 || in[i].error == EINTR || is_gone(in[i].result)
				|| in[i].error == EBADF || in[i].error == EBADFD);
		}
		use_all(port, NUMBER, true);
		own_check(&own);
		own_close(&own);
		shared_close(&sh);
	}
}

/* ------------------------------------------------------------------ under fire */

#define GUNS 3

static struct {
	pthread_barrier_t barrier;
	int port, stop, fds[GUNS];
} range;

static void *fire(void *arg)
{
	int fd = *(int *)arg;
	for (;;) {
		port_event_t list[4];
		for (int i = 0; i < 20; i++) { /* while it is a port */
			unsigned got = 2;
			send_value(range.port, 1);
			watch(range.port, fd, POLLIN);
			port_get(range.port, list, TIMEOUT_MS(1));
			port_getn(range.port, list, 4, &got, TIMEOUT_MS(1));
		}
		pthread_barrier_wait(&range.barrier);
		pthread_barrier_wait(&range.barrier);
		if (range.stop)
			return NULL;
		for (int i = 0; i < 20; i++)
			use_all(range.port, fd, i == 0);
		pthread_barrier_wait(&range.barrier);
		pthread_barrier_wait(&range.barrier);
	}
}

/*
 * Threads that have used the port until now find out all at once that its number is a set of the program's. (The
 * exchange itself happens between their calls: one that is on its way from the check of the number into the kernel
 * when a raw system call replaces it cannot be helped.)
 */
TEST_LIMIT(set_replaces_a_port_under_fire, "R7.30 R4.23", 30)
{
	struct thread threads[GUNS];
	struct subject common, shots[GUNS];
	subject_open(&common, NUMBER);
	CHECK_OK(pthread_barrier_init(&range.barrier, NULL, GUNS + 1));
	range.port = port_create();
	for (int i = 0; i < GUNS; i++) {
		subject_open(&shots[i], NUMBER + 1 + i);
		range.fds[i] = shots[i].number;
		thread_start(&threads[i], fire, &range.fds[i]);
	}
	for (int round = 0; round < 50; round++) {
		struct own own;
		pthread_barrier_wait(&range.barrier);
		own_open(&own, range.port, &common, round & 3);
		pthread_barrier_wait(&range.barrier);
		pthread_barrier_wait(&range.barrier);
		own_check(&own);
		own_close(&own);
		CHECK_EQ(port_create(), range.port);
		pthread_barrier_wait(&range.barrier);
	}
	pthread_barrier_wait(&range.barrier);
	range.stop = 1;
	pthread_barrier_wait(&range.barrier);
	for (int i = 0; i < GUNS; i++) {
		thread_join(&threads[i]);
		close(shots[i].number);
		bury(&shots[i]);
	}
	close(range.port);
	close(common.number);
	bury(&common);
}
