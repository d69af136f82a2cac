/*
 * Eight threads on three shared ports, for EVSHIM_STRESS_SECONDS (3). Each takes a random step after the other: it
 * associates (anew, again, with other events), dissociates, writes, reads, closes numbers and uses them again, sends,
 * sets and clears alerts, and retrieves in every way there is. What must hold:
 *
 * 1. A user event is retrieved exactly once (R2.3). Each has a value of its own; a value that comes twice, or was
 *    never sent, is an error at once, one that never comes is found at the end.
 * 2. An association reports at most once (R4.5), with its own port, number, user value, and no bit that was not asked
 *    for (R4.6). Each association has a user value of its own (a generation).
 * 3. An association ends when its number is closed or taken by another file (R4.20), or when it is replaced (R4.3):
 *    a get that began after that call had returned does not retrieve its event. (A get that ran at the same time may.)
 * 4. Dissociate tells the truth (4.4): if it returns 0 the event is never retrieved, also by no get at the same time;
 *    if it returns ENOENT somebody has retrieved it, or is about to.
 * 5. Nothing is lost: when all is quiet, each association that is still armed on a ready descriptor reports, and
 *    after one more byte all others do, too. While it runs, events never stop for 5 seconds.
 * 6. Descriptors and memory do not grow.
 *
 * Control operations on one number are made under a lock, so that the program knows which association is whose; the
 * gets know no lock. Time is a counter that every get reads before it begins and every end after it has returned.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include "stress.h"

#define FOR_EVER 4 /* threads that may sleep without a time-out: the others keep the events coming */
#define LIMIT 7500 /* seconds; the monitor is much quicker to see that nothing happens */

static unsigned long long sent, associated, reused;
static int stop, sleepers;

/* ------------------------------------------------------------------ steps on a number, its lock held */

static int some_events(struct worker *w)
{
	static const int masks[] = { POLLIN, POLLIN, POLLIN, POLLIN | POLLRDNORM, POLLIN | POLLHUP | POLLERR, POLLPRI };
	return masks[rnd(w, 6)];
}

static void associate(int p, int s, int events)
{
	uintptr_t before = slots[s].current[p], generation = new_record(p, s, events);
	CHECK_OK(port_associate(ports[p], PORT_SOURCE_FD, (uintptr_t)(FIRST + s), events, (void *)generation));
	slots[s].current[p] = generation;
	end_record(before);
	ADD(associated, 1);
}

static void dissociate(int p, int s)
{
	uintptr_t generation = slots[s].current[p];
	struct record *r = record_of(generation);
	int before = generation != 0 ? LOAD(r->life) : UNUSED, life = ACTIVE;
	errno = 0;
	int result = port_dissociate(ports[p], PORT_SOURCE_FD, (uintptr_t)(FIRST + s));
	if (result != 0 && errno != ENOENT)
		FAIL("port_dissociate: %s", strerror(errno));
	if (result == 0 && before != ACTIVE)
		FAIL("dissociate: 0, and there was %s", generation == 0 ? "no association" : "no event left");
	slots[s].current[p] = 0;
	if (generation != 0 && !SWAP(r->life, &life, result == 0 ? DISCARDED : OWED) && result == 0)
		FAIL("dissociate: 0, and the event was retrieved");
}

static void drop_ghost(struct slot *slot)
{
	if (slot->ghost < 0)
		return;
	CHECK_OK(close(slot->ghost));
	CHECK_OK(close(slot->ghost_peer));
	slot->ghost = -1;
}

/* A new file for a number, with or without a close before (R4.20); perhaps a duplicate of the old one lives on. */
static void reuse(struct worker *w, int s)
{
	struct slot *slot = &slots[s];
	int fds[2], number = FIRST + s, old_peer = slot->peer;
	drop_ghost(slot);
	if (rnd(w, 2)) {
		slot->ghost = dup(number);
		slot->ghost_peer = old_peer;
		CHECK(slot->ghost >= 0);
	}
	if (rnd(w, 2))
		make_pair(fds);
	else
		make_pipe(fds);
	switch (rnd(w, 3)) {
	case 0: CHECK_OK(close(number)); break;
#ifdef __GLIBC__
	case 1:
		if (close_range((unsigned)number, (unsigned)number, 0) != 0) /* not on Linux before 5.9 */
			CHECK_OK(close(number));
		break;
#endif
	default: break; /* dup2 closes it */
	}
	if (fcntl(number, F_GETFD) == -1)
		for (int p = 0; p < PORTS; p++) {
			end_record(slot->current[p]); /* before the number is used again */
			slot->current[p] = 0;
		}
	CHECK_EQ(dup2(fds[0], number), number);
	CHECK_OK(close(fds[0]));
	for (int p = 0; p < PORTS; p++) {
		end_record(slot->current[p]);
		slot->current[p] = 0;
	}
	slot->peer = fds[1];
	slot->bytes = 0;
	if (slot->ghost >= 0)
		put(slot->ghost_peer); /* nobody's any more */
	else
		CHECK_OK(close(old_peer));
	ADD(reused, 1);
}

static void drain_slot(struct slot *slot, int s, int most)
{
	for (; slot->bytes > 0 && most > 0; slot->bytes--, most--)
		take(FIRST + s);
}

static void step_on_number(struct worker *w)
{
	int s = (int)rnd(w, SLOTS), p = (int)rnd(w, PORTS), what = (int)rnd(w, 32);
	struct slot *slot = &slots[s];
	pthread_mutex_lock(&slot->lock);
	if (what < 12 && slot->bytes < 32) {
		put(slot->peer);
		slot->bytes++;
	} else if (what < 16) {
		drain_slot(slot, s, rnd(w, 2) ? 1 : 32);
	} else if (what < 25) {
		associate(p, s, some_events(w));
	} else if (what < 28) {
		dissociate(p, s);
	} else if (what < 30) {
		reuse(w, s);
	} else if (slot->ghost >= 0 && what == 30) {
		drop_ghost(slot);
	} else { /* a duplicate comes and goes: nothing happens (R4.21) */
		int copy = dup(FIRST + s);
		CHECK(copy >= 0 && close(copy) == 0);
	}
	pthread_mutex_unlock(&slot->lock);
}

/* ------------------------------------------------------------------ steps on a port */

static void send_one(struct worker *w)
{
	int p = (int)rnd(w, PORTS);
	uintptr_t sequence = ++w->sent, *place = &under_way[w->id][sequence % WINDOW];
	if (LOAD(*place) != 0)
		return;
	STORE(*place, sequence);
	CHECK_OK(port_send(ports[p], p + 1, (void *)(sequence * THREADS + (uintptr_t)w->id)));
	ADD(sent, 1);
}

/* What a program does with a descriptor's event: it reads or not, and associates again or not. */
static void handle(struct worker *w, int p, const port_event_t *pe)
{
	int s = (int)pe->portev_object - FIRST;
	struct slot *slot = &slots[s];
	pthread_mutex_lock(&slot->lock);
	if (slot->current[p] == (uintptr_t)pe->portev_user) {
		if (rnd(w, 3))
			drain_slot(slot, s, rnd(w, 2) ? 1 : 32);
		if (rnd(w, 8))
			associate(p, s, rnd(w, 8) ? POLLIN : some_events(w));
	}
	pthread_mutex_unlock(&slot->lock);
}

static unsigned get(struct worker *w, int p, port_event_t *list, struct timespec *timeout)
{
	unsigned max = 1 + rnd(w, 8), want = rnd(w, 4) ? 1 : 1 + rnd(w, max), got = want;
	int result;
	unsigned long long began = ADD(now_tick, 1);
	STORE(since[w->id], began);
	if (rnd(w, 2)) {
		result = port_getn(ports[p], list, max, &got, timeout);
	} else {
		result = port_get(ports[p], list, timeout);
		got = result == 0;
		max = want = 1;
	}
	if (result == -1 && errno != ETIME)
		FAIL("get: %s", strerror(errno));
	if (got > max || (result == 0 && got == 0 && timeout == NULL))
		FAIL("%u events of at most %u", got, max);
	for (unsigned i = 0; i < got; i++)
		account(p, &list[i], began);
	STORE(since[w->id], 0);
	return got;
}

static void get_and_handle(struct worker *w)
{
	port_event_t list[8];
	int p = (int)rnd(w, PORTS), how = (int)rnd(w, 8);
	struct timespec *timeout = how < 3 ? ZERO_TIMEOUT : TIMEOUT_MS(rnd(w, 3));
	if (how == 7 && ADD(sleepers, 1) <= FOR_EVER)
		timeout = NULL;
	unsigned got = get(w, p, list, timeout);
	if (how == 7)
		ADD(sleepers, -1);
	for (unsigned i = 0; i < got; i++)
		if (list[i].portev_source == PORT_SOURCE_FD)
			handle(w, p, &list[i]);
}

/* Everybody who waits comes back with it (R8.3), and what is queued stays (R8.6). */
static void alert_and_clear(struct worker *w)
{
	int p = (int)rnd(w, PORTS);
	CHECK_OK(port_alert(ports[p], PORT_ALERT_SET, ALERT_EVENTS, NULL));
	if (!LOAD(stop))
		CHECK_OK(port_alert(ports[p], 0, 0, NULL));
}

/* A port that lives for a moment and takes with it what it has (R13.7). */
static void short_lived_port(struct worker *w)
{
	int s = (int)rnd(w, SLOTS), port = port_create();
	CHECK(port >= 0);
	pthread_mutex_lock(&slots[s].lock);
	CHECK_OK(watch(port, FIRST + s, POLLIN));
	pthread_mutex_unlock(&slots[s].lock);
	CHECK_OK(send_value(port, 1));
	CHECK(pending(port) >= 1);
	CHECK_OK(close(port));
}

static void *work(void *arg)
{
	struct worker *w = arg;
	while (!LOAD(stop)) {
		unsigned what = rnd(w, 256);
		bool crowded = LOAD(now_tick) & 0x4000; /* by turns the queues are long, and everybody waits */
		if (what < (crowded ? 150 : 110))
			step_on_number(w);
		else if (what < (crowded ? 220 : 150))
			send_one(w);
		else if (what < 254)
			get_and_handle(w);
		else if (what == 254)
			short_lived_port(w);
		else if (rnd(w, 8) == 0)
			alert_and_clear(w);
	}
	return NULL;
}

/* ------------------------------------------------------------------ the frame */

static unsigned count_fds(void)
{
	unsigned count = 0;
	DIR *dir = opendir("/proc/self/fd");
	CHECK(dir != NULL);
	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count;
}

static void set_up(void)
{
	memset(records, 0xff, sizeof records); /* all pages now: later they would look like growth */
	memset(records, 0, sizeof records);
	for (int p = 0; p < PORTS; p++)
		CHECK((ports[p] = port_create()) >= 0);
	for (int s = 0; s < SLOTS; s++) {
		int fds[2];
		make_pair(fds);
		CHECK_EQ(dup2(fds[0], FIRST + s), FIRST + s);
		close(fds[0]);
		pthread_mutex_init(&slots[s].lock, NULL);
		slots[s].peer = fds[1];
		slots[s].ghost = -1;
	}
}

/* Watches from outside while the workers run. */
static void monitor(long seconds)
{
	long long end = now_ms() + seconds * 1000, warm = now_ms() + seconds * 1000 / 3, last = now_ms();
	unsigned long long seen = 0;
	/* each worker may hold the two ends of a new file, a port or a copy, and the set that it sleeps on */
	unsigned most = count_fds() + 2 * SLOTS + THREADS * 5;
	long warm_kb = 0, kb = 0;
	while (now_ms() < end) {
		sleep_ms(50);
		unsigned fds = count_fds();
		if (fds > most)
			FAIL("%u descriptors, at most %u expected", fds, most);
		if (LOAD(retrieved) != seen) {
			seen = LOAD(retrieved);
			last = now_ms();
		} else if (now_ms() - last > 5000LL * slow()) {
			FAIL("no event for 5 seconds, %llu until then", seen);
		}
		kb = resident_kb();
		if (warm_kb == 0 && now_ms() >= warm)
			warm_kb = kb;
	}
	if (slow() == 1 && warm_kb != 0 && kb - warm_kb > 1024)
		FAIL("memory grew from %ld to %ld KiB", warm_kb, kb);
}

/* An alert that stays wakes who sleeps for ever; a worker may be clearing it for the last time. */
static void stop_all(void)
{
	long long end = now_ms() + 10000LL * slow();
	STORE(stop, 1);
	for (int t = 0; t < THREADS; t++)
		while (!thread_done(&workers[t].thread)) {
			for (int p = 0; p < PORTS; p++)
				CHECK_OK(port_alert(ports[p], PORT_ALERT_SET, ALERT_EVENTS, NULL));
			sleep_ms(5);
			if (now_ms() > end)
				FAIL("thread %d does not come back (state %c)", (int)workers[t].thread.tid,
					h_state(getpid(), workers[t].thread.tid) ?: '-');
		}
	for (int t = 0; t < THREADS; t++)
		thread_join(&workers[t].thread);
	for (int p = 0; p < PORTS; p++)
		CHECK_OK(port_alert(ports[p], 0, 0, NULL));
}

static void collect(void)
{
	port_event_t list[8];
	unsigned got;
	for (int p = 0; p < PORTS; p++) {
		unsigned expected = pending(ports[p]), total = 0;
		do {
			unsigned long long began = ADD(now_tick, 1);
			got = harvest(ports[p], list, 8, 0);
			for (unsigned i = 0; i < got; i++)
				account(p, &list[i], began);
			total += got;
		} while (got > 0);
		CHECK_EQ(total, expected);
		CHECK_EQ(pending(ports[p]), 0);
	}
}

/* Every association that is armed on a ready descriptor must have reported by now. */
static void check_nothing_ready_is_silent(const char *when)
{
	for (int p = 0; p < PORTS; p++)
		for (int s = 0; s < SLOTS; s++) {
			struct record *r = record_of(slots[s].current[p]);
			struct pollfd poller = { .fd = FIRST + s, .events = (short)r->events };
			if (slots[s].current[p] != 0 && r->life == ACTIVE && poll(&poller, 1, 0) != 0)
				FAIL("%s: number %d is ready (%#x) and port %d does not say so", when, FIRST + s,
					(unsigned)poller.revents, p);
		}
}

static void check_accounts(void)
{
	for (unsigned i = 0; i < RECORDS; i++)
		if (records[i].life == OWED)
			FAIL("dissociate of number %d: ENOENT, and nobody retrieved its event", FIRST + records[i].slot);
	for (int t = 0; t < THREADS; t++)
		for (int i = 0; i < WINDOW; i++)
			if (under_way[t][i] != 0)
				FAIL("user event %lu of thread %d is lost", (unsigned long)under_way[t][i], t);
}

static void tear_down(void)
{
	for (int s = 0; s < SLOTS; s++) {
		for (int p = 0; p < PORTS; p++)
			dissociate(p, s); /* 4: the answers are right for the last time */
		drop_ghost(&slots[s]);
		close(FIRST + s);
		close(slots[s].peer);
	}
	for (int p = 0; p < PORTS; p++) {
		CHECK_EQ(pending(ports[p]), 0);
		close(ports[p]);
	}
}

TEST_LIMIT(eight_threads, "R2.3 R4.3 R4.5 R4.20 R4.23 R7.23 R8.3 T-016 T-070", LIMIT)
{
	const char *text = getenv("EVSHIM_STRESS_SECONDS");
	long seconds = text != NULL && atol(text) > 0 ? atol(text) : 3;
	if (seconds > LIMIT - 300)
		FAIL("EVSHIM_STRESS_SECONDS: at most %d", LIMIT - 300);
	set_up();
	for (int t = 0; t < THREADS; t++) {
		workers[t].id = t;
		workers[t].random = ((unsigned long long)getpid() << 32) * 7919 + (unsigned)(t + 1) * 0x9e3779b9u;
		thread_start(&workers[t].thread, work, &workers[t]);
	}
	monitor(seconds);
	stop_all();
	collect();
	check_nothing_ready_is_silent("at the end");
	for (int s = 0; s < SLOTS; s++)
		put(slots[s].peer);
	collect();
	check_nothing_ready_is_silent("after one more byte");
	check_accounts();
	tear_down();
	printf("  %llu associations, %llu reused numbers, %llu sent, %llu events in %ld s\n", associated, reused, sent,
		retrieved, seconds);
}
