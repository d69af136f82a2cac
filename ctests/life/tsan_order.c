/*
 * Plain data that goes through a port with its event: whatever a thread did before it made the event, the
 * thread that retrieves the event sees. The values prove little on a machine with strong ordering; under
 * ThreadSanitizer (make check-tsan) a missing edge is a report, and only the ports order the accesses.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include "life.h"
#include <limits.h>

#define WORDS 6

/* Nothing in here is atomic, and no lock guards it. */
struct parcel {
	long number;
	long words[WORDS];
};

static void fill(struct parcel *p, long number)
{
	p->number = number;
	for (int i = 0; i < WORDS; i++)
		p->words[i] = number * 100 + i;
}

static void check_filled(const struct parcel *p, long number)
{
	CHECK_EQ(p->number, number);
	for (int i = 0; i < WORDS; i++)
		CHECK_EQ(p->words[i], number * 100 + i);
}

static void *get_user(int port)
{
	port_event_t pe;
	CHECK_OK(port_get(port, &pe, LONG_TIMEOUT));
	return pe.portev_user;
}

/* ------------------------------------------------------------------ user events */

struct line {
	int to, back;
	int rounds;
};

/* Each side changes the parcel when it is its turn. */
static void *echo(void *arg)
{
	struct line *line = arg;
	for (int i = 0; i < line->rounds; i++) {
		struct parcel *p = get_user(line->to);
		check_filled(p, 2 * i);
		fill(p, 2 * i + 1);
		CHECK_OK(port_send(line->back, 0, p));
	}
	return NULL;
}

static void ping_pong(int to, int back)
{
	static struct parcel parcel;
	struct line line = { .to = to, .back = back, .rounds = 200 };
	struct thread t;
	thread_start(&t, echo, &line);
	for (int i = 0; i < line.rounds; i++) {
		fill(&parcel, 2 * i);
		CHECK_OK(port_send(to, 0, &parcel));
		CHECK(get_user(back) == &parcel);
		check_filled(&parcel, 2 * i + 1);
	}
	thread_join(&t);
}

TEST(send_carries_data, "R6.1 R2.3")
{
	int to = port_create(), back = port_create();
	ping_pong(to, back);
	close(to);
	close(back);
}

/* The receiver never sleeps: the edge must not depend on the wake-up. */
static void *poll_for_parcels(void *arg)
{
	struct line *line = arg;
	for (int i = 0; i < line->rounds;) {
		port_event_t pe;
		if (port_get(line->to, &pe, ZERO_TIMEOUT) == 0) {
			check_filled(pe.portev_user, i++);
			free(pe.portev_user);
		} else {
			CHECK_EQ(errno, ETIME);
			sched_yield();
		}
	}
	return NULL;
}

TEST(send_carries_data_to_a_poller, "R6.1 R7.3")
{
	struct line line = { .to = port_create(), .rounds = 300 };
	struct thread t;
	thread_start(&t, poll_for_parcels, &line);
	for (int i = 0; i < line.rounds; i++) {
		struct parcel *p = malloc(sizeof *p);
		fill(p, i);
		CHECK_OK(port_send(line.to, 0, p));
	}
	thread_join(&t);
	close(line.to);
}

static void *take_one_parcel(void *arg)
{
	check_filled(get_user(*(int *)arg), 7);
	return NULL;
}

TEST(sendn_carries_data, "R6.5 R2.3")
{
	static struct parcel parcel;
	struct thread t[2];
	int ports[2], errors[2];
	for (int i = 0; i < 2; i++) {
		ports[i] = port_create();
		thread_start(&t[i], take_one_parcel, &ports[i]);
		wait_until_blocked(t[i].tid);
	}
	fill(&parcel, 7);
	CHECK_RET(port_sendn(ports, errors, 2, 0, &parcel), 2);
	for (int i = 0; i < 2; i++) {
		thread_join(&t[i]);
		close(ports[i]);
	}
}

TEST(alert_carries_data, "R8.3 R8.4")
{
	static struct parcel parcel;
	struct thread t[2];
	int port = port_create();
	for (int i = 0; i < 2; i++) {
		thread_start(&t[i], take_one_parcel, &port);
		wait_until_blocked(t[i].tid);
	}
	fill(&parcel, 7);
	CHECK_OK(port_alert(port, PORT_ALERT_SET, 1, &parcel));
	for (int i = 0; i < 2; i++)
		thread_join(&t[i]);
	close(port);
}

/* Several producers and consumers: who allocates, who frees, and who sums up are different threads. */
#define PRODUCED 150

static void *produce(void *arg)
{
	for (int i = 0; i < PRODUCED; i++) {
		struct parcel *p = malloc(sizeof *p);
		fill(p, i);
		CHECK_OK(port_send(*(int *)arg, 0, p));
	}
	return NULL;
}

static void *consume(void *arg)
{
	port_event_t list[4];
	long sum = 0;
	for (;;) {
		unsigned got = 2; /* wants two: sleeps elsewhere than those who want one */
		CHECK_OK(port_getn(*(int *)arg, list, 4, &got, NULL));
		for (unsigned i = 0; i < got; i++) {
			struct parcel *p = list[i].portev_user;
			if (list[i].portev_source == PORT_SOURCE_ALERT)
				return (void *)sum;
			check_filled(p, p->number);
			sum += p->number;
			free(p);
		}
	}
}

TEST_LIMIT(many_producers_and_consumers, "R2.3 T-016 R7.1", 30)
{
	struct thread producer[3], consumer[3];
	int port = port_create();
	long sum = 0;
	for (int i = 0; i < 3; i++)
		thread_start(&consumer[i], consume, &port);
	for (int i = 0; i < 3; i++)
		thread_start(&producer[i], produce, &port);
	for (int i = 0; i < 3; i++)
		thread_join(&producer[i]);
	while (pending(port) > 1) /* a single one is too few for any of them */
		sched_yield();
	CHECK_OK(port_alert(port, PORT_ALERT_SET, 1, NULL));
	for (int i = 0; i < 3; i++)
		sum += (long)thread_join(&consumer[i]);
	CHECK_OK(port_alert(port, PORT_ALERT_SET, 0, NULL));
	while (pending(port) > 0) {
		struct parcel *p = get_user(port);
		sum += p->number;
		free(p);
	}
	CHECK_EQ(sum, 3L * PRODUCED * (PRODUCED - 1) / 2);
	close(port);
}

/* ------------------------------------------------------------------ descriptors */

struct wire {
	int port, done;
	int fd[2];
	int rounds;
	struct parcel parcel;
};

static void *serve(void *arg)
{
	struct wire *w = arg;
	for (int i = 0; i < w->rounds; i++) {
		struct parcel *p = get_user(w->port);
		take(w->fd[0]);
		check_filled(p, i);
		CHECK_OK(port_send(w->done, 0, NULL));
	}
	return NULL;
}

static void wire_open(struct wire *w, int rounds)
{
	w->port = port_create();
	w->done = port_create();
	make_pipe(w->fd);
	w->rounds = rounds;
}

static void wire_close(struct wire *w)
{
	close_pipe(w->fd);
	close(w->port);
	close(w->done);
}

/* What was written before port_associate; the descriptor is ready by then. */
TEST(association_carries_data, "R4.4 R4.5")
{
	static struct wire w;
	struct thread t;
	wire_open(&w, 100);
	thread_start(&t, serve, &w);
	for (int i = 0; i < w.rounds; i++) {
		put(w.fd[1]);
		fill(&w.parcel, i);
		CHECK_OK(port_associate(w.port, PORT_SOURCE_FD, (uintptr_t)w.fd[0], POLLIN, &w.parcel));
		get_user(w.done);
	}
	thread_join(&t);
	wire_close(&w);
}

/*
 * What was written before the byte that made the descriptor ready. ThreadSanitizer ties write(2) to the
 * read(2) of the same pipe and to nothing that only tells of readiness, epoll_wait included: the reader reads
 * first.
 */
TEST(activity_carries_data, "R4.5")
{
	static struct wire w;
	struct thread t;
	wire_open(&w, 100);
	thread_start(&t, serve, &w);
	for (int i = 0; i < w.rounds; i++) {
		CHECK_OK(port_associate(w.port, PORT_SOURCE_FD, (uintptr_t)w.fd[0], POLLIN, &w.parcel));
		fill(&w.parcel, i);
		put(w.fd[1]);
		get_user(w.done);
	}
	thread_join(&t);
	wire_close(&w);
}

/*
 * The loop that event ports are made for: several threads in one port, and a connection belongs to the thread
 * that retrieved its event until it associates it again. Only the port passes it on.
 */
#define CONNECTIONS 4
#define TURNS 100

struct connection {
	int fd[2];
	long turns, last_turn;
	struct parcel parcel;
};

static int the_port;
static long finished;

static void *pool_thread(void *arg)
{
	port_event_t pe;
	(void)arg;
	for (;;) {
		CHECK_OK(port_get(the_port, &pe, NULL));
		if (pe.portev_source == PORT_SOURCE_ALERT)
			return NULL;
		/* No read, no write between two turns: the pipe stays ready and orders nothing. */
		struct connection *c = pe.portev_user;
		check_filled(&c->parcel, c->turns);
		fill(&c->parcel, ++c->turns);
		if (c->turns < c->last_turn)
			CHECK_OK(port_associate(the_port, PORT_SOURCE_FD, (uintptr_t)c->fd[0], POLLIN, c));
		else
			__atomic_fetch_add(&finished, 1, __ATOMIC_RELAXED);
	}
}

TEST_LIMIT(connections_in_a_pool, "R4.5 R2.3", 30)
{
	static struct connection connections[CONNECTIONS];
	struct thread t[4];
	the_port = port_create();
	for (int i = 0; i < 4; i++)
		thread_start(&t[i], pool_thread, NULL);
	for (int i = 0; i < CONNECTIONS; i++) {
		struct connection *c = &connections[i];
		make_pipe(c->fd);
		put(c->fd[1]);
		fill(&c->parcel, 0);
		c->last_turn = TURNS;
		CHECK_OK(port_associate(the_port, PORT_SOURCE_FD, (uintptr_t)c->fd[0], POLLIN, c));
	}
	while (__atomic_load_n(&finished, __ATOMIC_RELAXED) < CONNECTIONS)
		sleep_ms(1);
	CHECK_OK(port_alert(the_port, PORT_ALERT_SET, 1, NULL));
	for (int i = 0; i < 4; i++)
		thread_join(&t[i]);
	for (int i = 0; i < CONNECTIONS; i++)
		close_pipe(connections[i].fd);
	close(the_port);
}

/* Whoever dissociates successfully is the owner from then on, and may free. */
TEST(dissociation_gives_data_back, "T-043 T-045 4.4")
{
	the_port = port_create();
	for (int i = 0; i < 50; i++) {
		struct connection *c = calloc(1, sizeof *c);
		struct thread t;
		thread_start(&t, pool_thread, NULL);
		make_pipe(c->fd);
		put(c->fd[1]);
		fill(&c->parcel, 0);
		c->last_turn = LONG_MAX;
		CHECK_OK(port_associate(the_port, PORT_SOURCE_FD, (uintptr_t)c->fd[0], POLLIN, c));
		sched_yield();
		while (unwatch(the_port, c->fd[0]) == -1) {
			CHECK_EQ(errno, ENOENT); /* it is the other thread's at the moment */
			sched_yield();
		}
		check_filled(&c->parcel, c->turns);
		close_pipe(c->fd);
		free(c);
		CHECK_OK(port_alert(the_port, PORT_ALERT_SET, 1, NULL));
		thread_join(&t);
		CHECK_OK(port_alert(the_port, PORT_ALERT_SET, 0, NULL));
	}
	close(the_port);
}
