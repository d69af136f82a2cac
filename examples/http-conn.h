/*
 * http-conn.h: one HTTP connection as a state machine over a non-blocking socket. It knows nothing of
 * ports or threads: http_conn_run() is called by whoever owns the connection at that moment.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#ifndef EXAMPLE_HTTP_CONN_H
#define EXAMPLE_HTTP_CONN_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define HTTP_HEAD_MAX 8192 /* longest request head */
#define HTTP_TURN (1 << 20) /* bytes that one connection may send before others get their turn */

enum http_state { HTTP_READING, HTTP_WRITING, HTTP_DRAINING };

struct http_conn {
	int fd, file;         /* file is -1 when there is none to send */
	enum http_state state;
	int keep_alive;
	off_t file_at, file_end;
	size_t in_len, out_len, out_at;
	unsigned long requests; /* totals for the statistics */
	unsigned long long sent;
	char out[512];
	char in[HTTP_HEAD_MAX];
};

void http_conn_init(struct http_conn *c, int fd);

/*
 * Do all that can be done without blocking. Returns the poll events to wait for, or -1 when the
 * connection is finished. `*progress` is set when the peer earned a new time-out.
 */
int http_conn_run(struct http_conn *c, int root, int *progress);

/* Close both descriptors. */
void http_conn_close(struct http_conn *c);

#endif
