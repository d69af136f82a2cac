/* env: EVSHIM_QUIRKS=port_get_zero,strict_close */
/* The two habits of illumos that the library shows on request only (section 16, Q1 and Q2). */
#include "harness.h"
#include "events.h"

TEST(get_without_wait_answers_zero, "T-174 R7.5 Q1")
{
	int port = new_port(), fds[2];
	unsigned n = 1;
	port_event_t pe, model;
	memset(&pe, 0xa5, sizeof pe);
	memset(&model, 0xa5, sizeof model);
	CHECK_OK(port_get(port, &pe, ZERO_TIMEOUT));
	CHECK_EQ(memcmp(&pe, &model, sizeof pe), 0);
	/* libuv presets the source to tell "nothing" from an event, or uses port_getn. */
	CHECK_OK(port_getn(port, &pe, 1, &n, ZERO_TIMEOUT));
	CHECK_EQ(n, 0);
	/* Only the zero time-out is special. */
	CHECK_ERR(port_get(port, &pe, TIMEOUT_MS(5)), ETIME);
	CHECK_OK(port_send(port, 1, USER(1)));
	CHECK_OK(port_get(port, &pe, ZERO_TIMEOUT));
	is_user(&pe, 1, USER(1));
	make_pipe(fds);
	put(fds[1]);
	watch(port, fds[0], POLLIN, USER(2));
	CHECK_OK(port_get(port, &pe, ZERO_TIMEOUT));
	is_fd(&pe, fds[0], POLLIN, USER(2));
	close_pipe(fds);
	close(port);
}

TEST(closing_a_duplicate_disarms, "T-278 R13.6 Q2")
{
	int port = new_port(), copy = dup(port), armed[2], queued[2];
	port_event_t pe;
	make_pipe(armed);
	make_pipe(queued);
	put(queued[1]);
	watch(port, armed[0], POLLIN, USER(1));
	watch(port, queued[0], POLLIN, USER(2));
	CHECK_OK(port_send(port, 3, USER(3)));
	CHECK_EQ(pending(port), 2);
	CHECK_OK(close(copy));
	/* The associations and their queued events are gone, the user's event stays. */
	CHECK_EQ(pending(port), 1);
	put(armed[1]);
	get_user(port, 3, USER(3));
	CHECK_ERR(port_get(port, &pe, TIMEOUT_MS(20)), ETIME);
	CHECK_ERR(unwatch(port, armed[0]), ENOENT);
	watch(port, armed[0], POLLIN, USER(4));
	get_fd(port, armed[0], POLLIN, USER(4));
	close_pipe(armed);
	close_pipe(queued);
	close(port);
}

TEST(closing_a_duplicate_ends_the_alert, "R8.7 R13.6 Q2")
{
	int port = new_port(), copy = dup(port);
	CHECK_OK(port_alert(port, PORT_ALERT_SET, 1, USER(1)));
	get_alert(port, 1, USER(1));
	CHECK_OK(close(copy));
	expect_none(port);
	close(port);
}
