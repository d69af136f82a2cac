/*
 * Random programs against a small model of the rules: associations by descriptor number (R4.2, R4.3, R4.5), their
 * end by every kind of close (R4.20 to R4.23), dissociate's answers (4.4), the queue (R2.1, R2.7), alerts (R8.5).
 *
 * What the rules leave open the model leaves open: the order among descriptors, and events whose condition has
 * gone away (never produced: a byte is read only when no event of its file is queued).
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include "life.h"

#define PORTS 3
#define FILES 5
#define NUMBERS 12
#define FIRST 100 /* the attacked numbers are FIRST .. FIRST + NUMBERS - 1 */
#define USERS 4096
#define TRACE 40

enum state { NONE, ARMED, QUEUED, TAKEN };

struct association {
	enum state state;
	int events;
	uintptr_t user;
};

static int ports[PORTS];
static struct association table[PORTS][NUMBERS];
static bool ever[PORTS], alerted[PORTS];
static uintptr_t users[PORTS][USERS];
static unsigned user_head[PORTS], user_tail[PORTS];
static int file_of[NUMBERS]; /* -1: closed */
static int keep[FILES], peer[FILES], bytes[FILES];
static unsigned long long seed, random_state;
static char trace[TRACE][96];
static unsigned long steps;

static unsigned rnd(unsigned below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (unsigned)((random_state >> 11) % below);
}

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	vsnprintf(trace[steps++ % TRACE], sizeof trace[0], format, ap);
	va_end(ap);
}

__attribute__((format(printf, 1, 2), noreturn)) static void differ(const char *format, ...)
{
	char text[256];
	va_list ap;
	va_start(ap, format);
	vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	for (unsigned long i = steps > TRACE ? steps - TRACE : 0; i < steps; i++)
		dprintf(STDOUT_FILENO, "    %s\n", trace[i % TRACE]);
	FAIL("seed %llu, step %lu: %s", seed, steps, text);
}

static bool file_ready(int file, int events) { return ((events & POLLIN) && bytes[file] > 0) || (events & POLLOUT); }

static unsigned queued_fds(int p)
{
	unsigned count = 0;
	for (int n = 0; n < NUMBERS; n++)
		count += table[p][n].state == QUEUED;
	return count;
}

static unsigned queue_length(int p) { return queued_fds(p) + user_tail[p] - user_head[p]; }

static void purge(int n)
{
	for (int p = 0; p < PORTS; p++)
		table[p][n].state = NONE;
}

/* ------------------------------------------------------------------ the operations */

static void op_watch(void)
{
	static const int masks[] = { POLLIN, POLLIN, POLLIN, POLLIN | POLLOUT, POLLOUT, 0, POLLIN | POLLHUP };
	int p = (int)rnd(PORTS), n = (int)rnd(NUMBERS), events = masks[rnd(7)];
	uintptr_t user = rnd(1000);
	errno = 0;
	int result = port_associate(ports[p], PORT_SOURCE_FD, (uintptr_t)(FIRST + n), events, (void *)user);
	note("associate(port %d, %d, %#x) = %d/%d", p, FIRST + n, (unsigned)events, result, errno);
	if (file_of[n] < 0) {
		if (result != -1 || errno != EBADFD)
			differ("expected EBADFD");
		return;
	}
	if (result != 0)
		differ("expected success");
	ever[p] = true;
	table[p][n] = (struct association){ file_ready(file_of[n], events) ? QUEUED : ARMED, events, user };
}

static void op_unwatch(void)
{
	int p = (int)rnd(PORTS), n = (int)rnd(NUMBERS), expected = 0;
	enum state state = table[p][n].state;
	if (file_of[n] < 0)
		expected = ever[p] ? EBADFD : ENOENT;
	else if (state == NONE || state == TAKEN)
		expected = ENOENT;
	errno = 0;
	int result = unwatch(ports[p], FIRST + n);
	note("dissociate(port %d, %d) = %d/%d", p, FIRST + n, result, errno);
	if (result != (expected ? -1 : 0) || (expected && errno != expected))
		differ("expected errno %d", expected);
	table[p][n].state = NONE;
}

static void op_write(void)
{
	int k = (int)rnd(FILES);
	if (bytes[k] >= 50)
		return;
	put(peer[k]);
	note("write(file %d), now %d bytes", k, bytes[k] + 1);
	bytes[k]++;
	for (int p = 0; p < PORTS; p++)
		for (int n = 0; n < NUMBERS; n++)
			if (file_of[n] == k && table[p][n].state == ARMED && (table[p][n].events & POLLIN))
				table[p][n].state = QUEUED;
}

static void op_read(void)
{
	int k = (int)rnd(FILES);
	if (bytes[k] == 0)
		return;
	for (int p = 0; p < PORTS; p++)
		for (int n = 0; n < NUMBERS; n++)
			if (file_of[n] == k && table[p][n].state == QUEUED)
				return;
	int count = rnd(2) ? 1 : bytes[k];
	note("read(file %d), %d of %d", k, count, bytes[k]);
	for (int i = 0; i < count; i++, bytes[k]--)
		take(keep[k]);
}

static void op_close(void)
{
	int n = (int)rnd(NUMBERS), result;
	const char *how = "close";
	if (file_of[n] < 0)
		return;
	switch (rnd(4)) {
#ifdef __GLIBC__
	case 0:
		how = "close_range";
		result = close_range((unsigned)(FIRST + n), (unsigned)(FIRST + n), 0);
		if (result != 0)
			result = close(FIRST + n);
		break;
#endif
	case 1:
		how = "fclose";
		result = fclose(fdopen(FIRST + n, "r"));
		break;
	default: result = close(FIRST + n);
	}
	note("%s(%d) = %d", how, FIRST + n, result);
	if (result != 0)
		differ("expected success");
	file_of[n] = -1;
	purge(n);
}

/* Also over a number that names the very same open file: it is closed in between all the same (R4.20). */
static void op_dup(void)
{
	int n = (int)rnd(NUMBERS), k = (int)rnd(FILES);
	int result = rnd(2) ? dup2(keep[k], FIRST + n) : dup3(keep[k], FIRST + n, O_CLOEXEC);
	note("dup2(file %d, %d) = %d", k, FIRST + n, result);
	if (result != FIRST + n)
		differ("expected success");
	file_of[n] = k;
	purge(n);
}

static void op_dup_of_nothing(void)
{
	int n = (int)rnd(NUMBERS);
	int result = rnd(2) ? dup2(-1, FIRST + n) : dup3(FIRST + n, FIRST + n, 0);
	note("failing dup onto %d = %d", FIRST + n, result);
	if (result != -1)
		differ("expected failure");
	if (file_of[n] >= 0 && dup2(FIRST + n, FIRST + n) != FIRST + n)
		differ("dup2 onto itself");
}

static void op_send(void)
{
	int p = (int)rnd(PORTS);
	uintptr_t value = rnd(1u << 30);
	if (user_tail[p] - user_head[p] >= USERS)
		return;
	note("send(port %d, %lu)", p, (unsigned long)value);
	if (port_send(ports[p], 5, (void *)value) != 0)
		differ("port_send: errno %d", errno);
	users[p][user_tail[p]++ % USERS] = value;
}

static void check_event(int p, const port_event_t *pe)
{
	uintptr_t user = (uintptr_t)pe->portev_user;
	if (pe->portev_source == PORT_SOURCE_USER) {
		if (user_head[p] == user_tail[p] || users[p][user_head[p] % USERS] != user)
			differ("port %d: user event %lu out of order", p, (unsigned long)user);
		user_head[p]++;
		return;
	}
	int n = (int)pe->portev_object - FIRST;
	if (pe->portev_source != PORT_SOURCE_FD || n < 0 || n >= NUMBERS || table[p][n].state != QUEUED)
		differ("port %d: unexpected event, source %d object %d", p, pe->portev_source, n + FIRST);
	if (table[p][n].user != user)
		differ("port %d: %d carries user %lu, not %lu", p, n + FIRST, (unsigned long)user,
			(unsigned long)table[p][n].user);
	int allowed = table[p][n].events | POLLERR | POLLHUP;
	if ((pe->portev_events & ~allowed) != 0 || pe->portev_events == 0)
		differ("port %d: %d reports %#x of %#x", p, n + FIRST, (unsigned)pe->portev_events, (unsigned)allowed);
	table[p][n].state = TAKEN;
}

static void op_get(void)
{
	int p = (int)rnd(PORTS);
	unsigned length = queue_length(p), max = 1 + rnd(6), want = 1 + rnd(max), got = want;
	port_event_t list[8];
	memset(list, 0, sizeof list);
	bool many = rnd(2);
	int result = many ? port_getn(ports[p], list, max, &got, ZERO_TIMEOUT)
			  : port_get(ports[p], list, ZERO_TIMEOUT);
	if (!many) {
		max = want = 1;
		got = result == 0;
		if (result == -1 && errno == ETIME)
			result = 0;
	}
	note("%s(port %d, max %u) = %d, %u of %u", many ? "getn" : "get", p, max, result, got, length);
	if (result != 0)
		differ("errno %d", errno);
	if (alerted[p]) {
		if (got != 1 || list[0].portev_source != PORT_SOURCE_ALERT)
			differ("expected the alert");
		return;
	}
	/* whether it also takes what became ready since enough was queued is another test's question */
	if (got > max || got > length || got < (length < want ? length : want))
		differ("port %d: got %u events of %u, at most %u wanted", p, got, length, max);
	for (unsigned i = 0; i < got; i++)
		check_event(p, &list[i]);
}

static void op_count(void)
{
	int p = (int)rnd(PORTS);
	unsigned count = pending(ports[p]), length = queue_length(p);
	note("pending(port %d) = %u", p, count);
	if (count != length)
		differ("port %d holds %u events (%u of descriptors), it says %u", p, length, queued_fds(p), count);
}

/* R13.1; a descriptor that is still ready after its event was taken may show the port readable until the next get. */
static void op_poll(void)
{
	int p = (int)rnd(PORTS);
	struct pollfd poller = { .fd = ports[p], .events = POLLIN };
	int result = poll(&poller, 1, 0);
	bool leftover = false;
	for (int n = 0; n < NUMBERS; n++)
		leftover |= table[p][n].state == TAKEN;
	note("poll(port %d) = %d", p, result);
	if (queue_length(p) > 0 && result != 1)
		differ("port %d has %u events and poll does not see them", p, queue_length(p));
	if (queue_length(p) == 0 && !leftover && result != 0)
		differ("port %d is empty and poll sees an event", p);
}

static void op_alert(void)
{
	int p = (int)rnd(PORTS);
	bool on = rnd(4) == 0;
	note("alert(port %d, %s)", p, on ? "set" : "clear");
	if (port_alert(ports[p], PORT_ALERT_SET, on ? 9 : 0, NULL) != 0)
		differ("port_alert: errno %d", errno);
	alerted[p] = on;
}

/* A child that closes everything changes nothing here (R14.3, R4.22). */
static void op_fork(void)
{
	if (rnd(40) != 0)
		return;
	note("fork, and the child closes everything");
	pid_t pid = fork();
	if (pid == 0) {
		for (int fd = 3; fd < FIRST + NUMBERS; fd++)
			close(fd);
		_exit(port_create() >= 0 ? 0 : 1);
	}
	if (wait_child(pid) != 0)
		differ("the child failed");
}

/* The port itself goes, with all it holds, and a new one takes its place. */
static void op_renew_port(void)
{
	int p = (int)rnd(PORTS);
	if (rnd(20) != 0)
		return;
	note("port %d is closed and made again", p);
	if (close(ports[p]) != 0 || (ports[p] = port_create()) < 0)
		differ("errno %d", errno);
	for (int n = 0; n < NUMBERS; n++)
		table[p][n].state = NONE;
	ever[p] = alerted[p] = false;
	user_head[p] = user_tail[p] = 0;
}

static void start(unsigned long long with_seed)
{
	seed = with_seed;
	random_state = seed * 0x9e3779b97f4a7c15ULL + 1;
	for (int k = 0; k < FILES; k++) {
		int fds[2];
		make_pair(fds);
		keep[k] = fds[0];
		peer[k] = fds[1];
		bytes[k] = 0;
	}
	for (int n = 0; n < NUMBERS; n++) {
		file_of[n] = -1;
		purge(n);
	}
	for (int p = 0; p < PORTS; p++) {
		ports[p] = port_create();
		ever[p] = alerted[p] = false;
		user_head[p] = user_tail[p] = 0;
	}
	steps = 0;
}

static void finish(void)
{
	for (int n = 0; n < NUMBERS; n++)
		if (file_of[n] >= 0)
			close(FIRST + n);
	for (int k = 0; k < FILES; k++) {
		close(keep[k]);
		close(peer[k]);
	}
	for (int p = 0; p < PORTS; p++)
		close(ports[p]);
}

static void run(unsigned long long with_seed, unsigned long length)
{
	static void (*const operations[])(void) = { op_watch, op_watch, op_watch, op_watch, op_unwatch, op_write, op_write,
		op_read, op_read, op_close, op_dup, op_dup, op_dup_of_nothing, op_send, op_send, op_get, op_get, op_get,
		op_count, op_count, op_poll, op_alert, op_fork, op_renew_port };
	start(with_seed);
	for (unsigned long i = 0; i < length; i++)
		operations[rnd(sizeof operations / sizeof operations[0])]();
	finish();
}

/* R7.1: up to max, not just as many as were wanted, and whatever was ready before the call belongs to them. */
TEST(getn_takes_what_became_ready, "R7.1 R2.1 T-168")
{
	int port = port_create(), a[2], b[2];
	port_event_t list[8];
	unsigned nget = 1;
	make_pair(a);
	make_pair(b);
	CHECK_OK(watch(port, a[0], POLLIN));
	CHECK_OK(watch(port, b[0], POLLIN));
	CHECK_OK(send_value(port, 1));
	put(a[1]);
	put(b[1]);
	CHECK_OK(port_getn(port, list, 8, &nget, ZERO_TIMEOUT));
	CHECK_EQ(nget, 3);
	CHECK_EQ(list[0].portev_source, PORT_SOURCE_USER);
	close_pipe(a);
	close_pipe(b);
	close(port);
}

TEST_LIMIT(short_random_programs, "R2.1 R4.2 R4.3 R4.5 R4.20 R4.23", 60)
{
	int count = slow() > 1 ? 50 : 2000;
	for (int i = 1; i <= count; i++)
		run((unsigned)i, 300);
}

TEST_LIMIT(long_random_programs, "R2.1 R4.2 R4.3 R4.5 R4.20 R4.23", 60)
{
	for (int i = 1; i <= 5; i++)
		run(100000u + (unsigned)i, slow() > 1 ? 2000 : 60000);
}
