/*
 * Races planted for scripts/check-tsan.sh: a ThreadSanitizer that misses them would pass everything.
 *
 *   program   one thread writes, another reads, and nothing orders them
 *   library   port_get's own write to the caller's event, read meanwhile: seen only if the library takes part
 *   none      the same data handed over by the event: no race
 *
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include <port.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static int port, over;
static long data;
static port_event_t event;

/* Tells the other thread that it may go on, and orders nothing. */
static void say_over(void) { __atomic_store_n(&over, 1, __ATOMIC_RELAXED); }
static void await_over(void)
{
	while (!__atomic_load_n(&over, __ATOMIC_RELAXED))
		sched_yield();
}

static void *write_beside_the_port(void *arg)
{
	data = 1;
	say_over();
	return arg;
}

static void *get(void *arg)
{
	if (port_get(port, &event, NULL) != 0)
		perror("port_get");
	data++;
	say_over();
	return arg;
}

int main(int argc, char **argv)
{
	const char *which = argc > 1 ? argv[1] : "";
	pthread_t thread;
	long seen = 0;
	port = port_create();
	if (strcmp(which, "program") == 0) {
		pthread_create(&thread, NULL, write_beside_the_port, NULL);
		await_over();
		seen = data;
	} else if (strcmp(which, "library") == 0) {
		pthread_create(&thread, NULL, get, NULL);
		port_send(port, 1, NULL);
		await_over();
		seen = event.portev_events;
	} else if (strcmp(which, "none") == 0) {
		pthread_create(&thread, NULL, get, NULL);
		data = 1;
		port_send(port, 1, NULL);
	} else {
		return 2;
	}
	pthread_join(thread, NULL);
	printf("%s: %ld\n", which, seen);
	return 0;
}
