/*
 * http-conn.c: read a request, send a head and a file, start again. Partial reads and writes are the
 * normal case: each state returns to the caller with the events that it needs to go on.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#define _POSIX_C_SOURCE 200809L
#define __EXTENSIONS__ 1 /* illumos: all names besides the POSIX ones */

#include "http-conn.h"
#include "http.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum step { GO_ON, WAIT, FINISHED };

void http_conn_init(struct http_conn *c, int fd)
{
	/* Not a memset: most of the structure is buffers that need no value. */
	c->fd = fd;
	c->file = -1;
	c->state = HTTP_READING;
	c->keep_alive = 1;
	c->file_at = c->file_end = 0;
	c->in_len = c->out_len = c->out_at = 0;
	c->requests = 0;
	c->sent = 0;
}

void http_conn_close(struct http_conn *c)
{
	if (c->file >= 0)
		(void)close(c->file);
	(void)close(c->fd); /* an association of this descriptor goes with it (R4.20) */
	c->file = c->fd = -1;
}

static ssize_t read_retry(int fd, void *buf, size_t len)
{
	ssize_t n;

	do
		n = read(fd, buf, len);
	while (n < 0 && errno == EINTR);
	return n;
}

static int would_block(void)
{
	return errno == EAGAIN || errno == EWOULDBLOCK;
}

/* Open what the request names. Returns 200 with c->file open, or the status of the error. */
static int open_file(struct http_conn *c, int root, const char *path)
{
	struct stat st;
	int fd;

	/* O_NONBLOCK: opening a FIFO that somebody put there must not stop this thread. */
	do
		fd = openat(root, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return errno == EMFILE || errno == ENFILE ? 503 : 404;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		(void)close(fd);
		return 404;
	}
	c->file = fd;
	c->file_at = 0;
	c->file_end = st.st_size;
	return 200;
}

/* The head of the request is complete (or hopeless): prepare the answer. */
static void answer(struct http_conn *c, int root, int status, const struct http_request *req)
{
	/* After an error in the request nobody knows where the next one starts. */
	c->keep_alive = status == 200 && req->keep_alive;
	if (status == 200)
		status = open_file(c, root, req->path);
	if (status == 200)
		c->out_len = http_head(c->out, sizeof c->out, 200, http_type(req->path), c->file_end,
			c->keep_alive);
	else
		c->out_len = http_error(c->out, sizeof c->out, status, req->head_only, c->keep_alive);
	if (req->head_only && c->file >= 0) {
		(void)close(c->file);
		c->file = -1;
	}
	c->out_at = 0;
	c->requests++;
	c->state = HTTP_WRITING;
}

static enum step do_read(struct http_conn *c, int root)
{
	struct http_request req;
	int used = http_parse(c->in, c->in_len, &req);
	ssize_t n;

	if (used == 0 && c->in_len == sizeof c->in)
		used = -431;
	if (used > 0) { /* bytes behind the head belong to the next request (pipelining) */
		c->in_len -= (size_t)used;
		memmove(c->in, c->in + used, c->in_len);
	}
	if (used != 0) {
		answer(c, root, used > 0 ? 200 : -used, &req);
		return GO_ON;
	}
	n = read_retry(c->fd, c->in + c->in_len, sizeof c->in - c->in_len);
	if (n > 0) {
		c->in_len += (size_t)n;
		return GO_ON;
	}
	return n < 0 && would_block() ? WAIT : FINISHED;
}

/* Send from memory. SIGPIPE is ignored by the program: a vanished peer is an error number here. */
static enum step send_bytes(struct http_conn *c, const char *from, size_t len, size_t *sent)
{
	ssize_t n;

	*sent = 0;
	do
		n = write(c->fd, from, len);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return would_block() ? WAIT : FINISHED;
	*sent = (size_t)n;
	c->sent += (size_t)n;
	return GO_ON;
}

/* The next piece of the file. What the socket did not take is read again later: no buffer is kept. */
static enum step send_file(struct http_conn *c, size_t *sent)
{
	char chunk[65536];
	size_t want = sizeof chunk;
	ssize_t n;
	enum step step;

	if (c->file_end - c->file_at < (off_t)want)
		want = (size_t)(c->file_end - c->file_at);
	*sent = 0;
	do
		n = pread(c->file, chunk, want, c->file_at);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return FINISHED; /* the file shrank: the promised length cannot be met any more */
	step = send_bytes(c, chunk, (size_t)n, sent);
	c->file_at += (off_t)*sent;
	return step;
}

static enum step do_write(struct http_conn *c, size_t *sent)
{
	enum step step;

	*sent = 0;
	if (c->out_at < c->out_len) {
		step = send_bytes(c, c->out + c->out_at, c->out_len - c->out_at, sent);
		c->out_at += *sent;
		return step;
	}
	if (c->file >= 0 && c->file_at < c->file_end)
		return send_file(c, sent);
	if (c->file >= 0) {
		(void)close(c->file);
		c->file = -1;
	}
	if (c->keep_alive) {
		c->state = HTTP_READING;
		return GO_ON;
	}
	/* Closing with unread input would reset the connection and could take the answer with it. */
	c->state = HTTP_DRAINING;
	c->in_len = 0;
	return shutdown(c->fd, SHUT_WR) == 0 ? GO_ON : FINISHED;
}

static enum step do_drain(struct http_conn *c)
{
	ssize_t n = read_retry(c->fd, c->in, sizeof c->in);

	if (n > 0)
		return GO_ON;
	return n < 0 && would_block() ? WAIT : FINISHED;
}

int http_conn_run(struct http_conn *c, int root, int *progress)
{
	enum step step = GO_ON;
	size_t turn = 0, sent;
	int steps = 0;

	*progress = 0;
	while (step == GO_ON) {
		/* A fast peer must not keep the thread: wait for an event that is there at once, behind
		 * those of the others. */
		if (turn >= HTTP_TURN || ++steps > 256)
			return c->state == HTTP_WRITING || c->in_len > 0 ? POLLOUT : POLLIN;
		switch (c->state) {
		case HTTP_READING:
			step = do_read(c, root);
			break;
		case HTTP_WRITING:
			step = do_write(c, &sent);
			turn += sent;
			/* Bytes of a request head earn nothing, so that a slow sender cannot stay for ever. */
			*progress |= sent > 0;
			break;
		case HTTP_DRAINING:
			step = do_drain(c);
			break;
		}
	}
	if (step == FINISHED)
		return -1;
	return c->state == HTTP_WRITING ? POLLOUT : POLLIN;
}
