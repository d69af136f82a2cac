/* env: EVSHIM_MAX_PORTS=5 */
/* port_create at the limit of ports (section 3). */
#include "harness.h"
#include "events.h"

#define LIMIT 5

TEST(port_after_the_last, "T-023 R3.2")
{
	int port[LIMIT];
	for (int i = 0; i < LIMIT; i++)
		port[i] = new_port();
	CHECK_ERR(port_create(), EAGAIN);
	CHECK_ERR(port_create(), EAGAIN);
	/* The limit is one of ports that exist, not of ports ever made. */
	CHECK_OK(close(port[2]));
	port[2] = new_port();
	CHECK_ERR(port_create(), EAGAIN);
	for (int i = 0; i < LIMIT; i++) {
		CHECK_OK(port_send(port[i], i, USER(i)));
		get_user(port[i], i, USER(i));
		CHECK_OK(close(port[i]));
	}
	port[0] = new_port();
	close(port[0]);
}

TEST(duplicates_are_no_ports, "T-023 R13.5")
{
	int port[LIMIT], copy;
	for (int i = 0; i < LIMIT; i++)
		port[i] = new_port();
	copy = dup(port[0]);
	CHECK(copy >= 0);
	/* The port lives on through its other number and still counts. */
	CHECK_OK(close(port[0]));
	CHECK_ERR(port_create(), EAGAIN);
	CHECK_OK(close(copy));
	port[0] = new_port();
	for (int i = 0; i < LIMIT; i++)
		close(port[i]);
}

TEST(too_many_ports_before_no_descriptor, "T-023 R3.2")
{
	struct rlimit limit, small;
	int port[LIMIT], held[256], n = 0;
	for (int i = 0; i < LIMIT; i++)
		port[i] = new_port();
	CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
	small = limit;
	small.rlim_cur = 64;
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &small));
	while (n < 256 && (held[n] = dup(STDOUT_FILENO)) >= 0)
		n++;
	CHECK_ERR(port_create(), EAGAIN);
	for (int i = 0; i < n; i++)
		close(held[i]);
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
	for (int i = 0; i < LIMIT; i++)
		close(port[i]);
}
