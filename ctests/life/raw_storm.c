/*
 * Random opens, associations, writes, looks and unseen closes over a few numbers, with duplicates that live on and
 * speak. Checked against plain bookkeeping: data at an associated number is always told, a number has at most one
 * stray event for each time it went unseen, and between storms the thread sleeps.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
/* modes: shared static preload dlopen */
#include "raw.h"

#define NUMBERS 6
#define GHOSTS 40

static struct {
	int port;
	uint64_t seed;
	struct {
		struct subject s;
		bool open, associated;
		int unread;       /* bytes written and not read */
		int lost, strays; /* how often it went unseen, and events that told of nothing */
	} at[NUMBERS];
	struct subject ghosts[GHOSTS];
	int ghosts_made;
} storm;

static unsigned dice(unsigned sides)
{
	storm.seed = storm.seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(storm.seed >> 33) % sides;
}

static void storm_associate(int i)
{
	CHECK_OK(watch(storm.port, NUMBER + i, POLLIN));
	storm.at[i].associated = true;
}

static void storm_write(int i)
{
	put(storm.at[i].s.peer);
	storm.at[i].unread++;
}

/* One event. Whoever has data reads one byte of it; sometimes the rest stays. */
static void storm_event(const port_event_t *pe)
{
	int i = (int)pe->portev_object - NUMBER;
	CHECK_EQ(pe->portev_source, PORT_SOURCE_FD);
	CHECK(i >= 0 && i < NUMBERS);
	CHECK_EQ((uintptr_t)pe->portev_user, pe->portev_object);
	if (!storm.at[i].open || !storm.at[i].associated || storm.at[i].unread == 0) {
		if (++storm.at[i].strays > storm.at[i].lost)
			FAIL("number %d: %d strays, went unseen %d times", NUMBER + i, storm.at[i].strays,
				storm.at[i].lost);
		if (storm.at[i].open && storm.at[i].associated)
			storm_associate(i); /* as programs do */
		return;
	}
	take(NUMBER + i);
	storm.at[i].unread--;
	storm.at[i].associated = false;
}

static bool storm_get(long ms)
{
	port_event_t pe;
	if (port_get(storm.port, &pe, TIMEOUT_MS(ms)) == -1) {
		CHECK_EQ(errno, ETIME);
		return false;
	}
	storm_event(&pe);
	return true;
}

static void storm_open(int i)
{
	subject_open(&storm.at[i].s, NUMBER + i); /* over what may be there */
	storm.at[i].open = true;
	storm.at[i].associated = false;
	storm.at[i].unread = 0;
}

/* Its file goes to the ghosts or dies. `replace`: the number is at once another file's. */
static void storm_lose(int i, enum survivor survivor, bool replace)
{
	struct subject *grave = &storm.ghosts[storm.ghosts_made++ % GHOSTS];
	if (grave->number != 0)
		bury(grave);
	*grave = storm.at[i].s;
	survive(grave, survivor);
	storm.at[i].lost++;
	storm.at[i].open = storm.at[i].associated = false;
	if (replace)
		storm_open(i);
	else
		CHECK_EQ(raw_close(NUMBER + i), 0);
}

static void storm_step(void)
{
	int i = (int)dice(NUMBERS);
	struct subject *ghost = &storm.ghosts[dice(GHOSTS)];
	switch (dice(10)) {
	case 0:
		if (storm.at[i].open)
			storm_lose(i, (enum survivor)dice(IN_CHILD), dice(2) != 0);
		break;
	case 1:
		if (ghost->number != 0 && ghost->keep >= 0)
			put(ghost->peer);
		break;
	case 2:
	case 3:
	case 4:
		if (!storm.at[i].open)
			storm_open(i);
		storm_associate(i);
		break;
	case 5:
	case 6:
		if (storm.at[i].open && storm.at[i].unread < 3)
			storm_write(i);
		break;
	case 7: storm_get(1); break;
	default: storm_get(0); break;
	}
}

/* Every number gets an association and data, in the one order or the other, and every one is told. */
static void storm_calm(void)
{
	unsigned order = dice(4);
	for (int i = 0; i < NUMBERS; i++) {
		if (!storm.at[i].open)
			storm_open(i);
		if ((order & 1) == 0)
			storm_associate(i);
		if (storm.at[i].unread == 0)
			storm_write(i);
	}
	if (order & 2)
		storm_get(1);
	for (int i = 0; i < NUMBERS; i++) {
		bool due = true;
		if (!storm.at[i].associated && storm.at[i].unread > 0 && (order & 1))
			storm_associate(i);
		long long start = now_ms();
		while (due) {
			due = storm.at[i].associated && storm.at[i].unread > 0;
			if (due && !storm_get(2000))
				FAIL("number %d is associated and has data, and no event comes", NUMBER + i);
			CHECK(now_ms() - start < 4000);
		}
	}
	for (int i = 0; i < NUMBERS; i++)
		while (storm.at[i].unread > 0) {
			take(NUMBER + i);
			storm.at[i].unread--;
		}
}

static void storm_run(uint64_t seed, int calms, int steps)
{
	memset(&storm, 0, sizeof storm);
	storm.seed = seed;
	storm.port = port_create();
	for (int calm = 0; calm < calms; calm++) {
		for (int i = 0; i < steps; i++)
			storm_step();
		storm_calm();
		if (calm % 10 != 0)
			continue;
		struct rest before = rest_of_self();
		long long end = now_ms() + 100;
		while (now_ms() < end)
			storm_get(end - now_ms() > 0 ? (long)(end - now_ms()) : 1);
		struct rest after = rest_of_self();
		CHECK_RESTED(before, after);
	}
	CHECK_PORT_WORKS(storm.port);
	close(storm.port);
	for (int i = 0; i < NUMBERS; i++) {
		close(NUMBER + i);
		bury(&storm.at[i].s);
	}
	for (int i = 0; i < GHOSTS; i++)
		if (storm.ghosts[i].number != 0)
			bury(&storm.ghosts[i]);
}

/* The seeds are fixed; RAW_STORM_SEED tries another one. */
static void storm_from(uint64_t seed, int calms, int steps)
{
	const char *text = getenv("RAW_STORM_SEED");
	seed = text != NULL ? strtoull(text, NULL, 0) : seed;
	printf("  seed %llu\n", (unsigned long long)seed);
	fflush(stdout);
	storm_run(seed, calms, steps);
}

TEST_LIMIT(few_steps_between_calms, "R4.20 R4.23", 30) { storm_from(1, 200, 10); }
TEST_LIMIT(many_steps_between_calms, "R4.20 R4.23", 30) { storm_from(2, 60, 200); }
TEST_LIMIT(another_storm, "R4.20 R4.23", 30) { storm_from(0xfeed, 100, 60); }
