/*
 * port-fetch: fetch many files over many parallel connections, with one thread and one event port.
 *
 *   port-fetch [-c connections] [-r rounds] [-w seconds] [-o directory] address port < paths
 *
 * Reads one path a line, e.g. "/a/b.txt". The body of line n goes to the file <directory>/n. With
 * more rounds than one, every later body must equal the first one of its path (length and hash).
 * Fails if any answer is not 200, is short, or if nothing moves for `seconds`.
 *
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#define _POSIX_C_SOURCE 200809L
#define __EXTENSIONS__ 1 /* illumos: all names besides the POSIX ones */

#include <port.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define TURN 8 /* reads before the next connection is served */
#define FNV_START 0xcbf29ce484222325ULL
#define FNV_PRIME 0x100000001b3ULL

struct job {
	char *path;      /* percent-encoded */
	int known;       /* length and hash of the first body are set */
	long long length;
	uint64_t hash;
};

struct peer {
	int fd, out;               /* out is -1 when the body is only hashed */
	int tries;                 /* connections used up by this job */
	size_t job;
	size_t sent, request_len, head_len;
	int in_body;
	long long length, left;
	uint64_t hash;
	char request[4096], head[4096];
};

struct fetch {
	int port, patience;
	struct sockaddr_in server;
	const char *address, *directory;
	struct job *jobs;
	size_t count, next, end;   /* `next` runs through all rounds up to `end` */
	unsigned long long requests, bytes;
	size_t open, opened;
};

static void die(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)fputs("port-fetch: ", stderr);
	(void)vfprintf(stderr, format, ap);
	(void)fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

static void wait_for(struct fetch *f, struct peer *p, int events)
{
	if (port_associate(f->port, PORT_SOURCE_FD, (uintptr_t)p->fd, events, p) != 0)
		die("port_associate: %s", strerror(errno));
}

/* Take the next job. Returns 0 when there is none left. */
static int next_job(struct fetch *f, struct peer *p)
{
	struct job *job;
	char name[4096];
	int n;

	if (f->next == f->end)
		return 0;
	p->job = f->next % f->count;
	p->out = -1;
	if (f->next < f->count && f->directory != NULL) { /* the first round keeps the bodies */
		n = snprintf(name, sizeof name, "%s/%zu", f->directory, p->job + 1);
		if (n < 0 || (size_t)n >= sizeof name ||
		    (p->out = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)) < 0)
			die("%s: %s", name, strerror(errno));
	}
	f->next++;
	job = &f->jobs[p->job];
	n = snprintf(p->request, sizeof p->request, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", job->path,
		f->address);
	if (n < 0 || (size_t)n >= sizeof p->request)
		die("path too long: %s", job->path);
	p->request_len = (size_t)n;
	p->sent = p->head_len = 0;
	p->in_body = p->tries = 0;
	p->hash = FNV_START;
	return 1;
}

static void finish_peer(struct fetch *f, struct peer *p)
{
	(void)close(p->fd); /* its association goes with it */
	p->fd = -1;
	f->open--;
}

static void connect_peer(struct fetch *f, struct peer *p)
{
	p->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (p->fd < 0 || fcntl(p->fd, F_SETFL, O_NONBLOCK) != 0 ||
	    fcntl(p->fd, F_SETFD, FD_CLOEXEC) != 0)
		die("socket: %s", strerror(errno));
	if (connect(p->fd, (struct sockaddr *)&f->server, sizeof f->server) != 0 &&
	    errno != EINPROGRESS && errno != EINTR)
		die("connect: %s", strerror(errno));
	f->open++;
	f->opened++;
	wait_for(f, p, POLLOUT);
}

/* The server may close an idle connection just when we use it again: then, and only then, ask again. */
static void ask_again(struct fetch *f, struct peer *p, const char *why)
{
	if (p->head_len > 0 || p->in_body || ++p->tries > 3)
		die("%s: %s", f->jobs[p->job].path, why);
	finish_peer(f, p);
	p->sent = 0;
	connect_peer(f, p);
}

/* The body is complete: compare with what other rounds saw, and go on with the next path. */
static void finish_job(struct fetch *f, struct peer *p)
{
	struct job *job = &f->jobs[p->job];

	if (job->known && (job->length != p->length || job->hash != p->hash))
		die("%s: body differs from an earlier one", job->path);
	job->known = 1;
	job->length = p->length;
	job->hash = p->hash;
	if (p->out >= 0 && close(p->out) != 0)
		die("close: %s", strerror(errno));
	f->requests++;
	f->bytes += (unsigned long long)p->length;
	if (next_job(f, p))
		wait_for(f, p, POLLOUT);
	else
		finish_peer(f, p);
}

/* Hash and store a piece of the body. */
static void body(struct fetch *f, struct peer *p, const char *from, size_t n)
{
	uint64_t hash = p->hash;

	if ((long long)n > p->left)
		die("%s: more bytes than promised", f->jobs[p->job].path);
	for (size_t i = 0; i < n; i++)
		hash = (hash ^ (unsigned char)from[i]) * FNV_PRIME;
	p->hash = hash;
	p->left -= (long long)n;
	while (p->out >= 0 && n > 0) {
		ssize_t w = write(p->out, from, n);

		if (w < 0 && errno != EINTR)
			die("write: %s", strerror(errno));
		if (w > 0) {
			from += w;
			n -= (size_t)w;
		}
	}
}

/* Find the length in a complete head; -1 if there is none. */
static long long content_length(const char *head)
{
	for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line + 2, "\r\n"))
		if (strncasecmp(line + 2, "Content-Length:", 15) == 0)
			return atoll(line + 17);
	return -1;
}

/* Look for the end of the head; what stands behind it is body. */
static void head(struct fetch *f, struct peer *p)
{
	const char *path = f->jobs[p->job].path;
	char *end;
	size_t used;

	p->head[p->head_len] = '\0';
	end = strstr(p->head, "\r\n\r\n");
	if (end == NULL) {
		if (p->head_len == sizeof p->head - 1)
			die("%s: head too long", path);
		return;
	}
	if (strncmp(p->head, "HTTP/1.1 200 ", 13) != 0)
		die("%s: %.*s", path, (int)strcspn(p->head, "\r\n"), p->head);
	end[2] = '\0';
	p->length = p->left = content_length(p->head);
	if (p->length < 0)
		die("%s: no Content-Length", path);
	p->in_body = 1;
	used = (size_t)(end - p->head) + 4;
	body(f, p, p->head + used, p->head_len - used);
}

/* Returns when the answer is complete, the socket is empty, or others should have their turn. */
static void receive(struct fetch *f, struct peer *p)
{
	char chunk[65536];

	for (int turn = 0; !p->in_body || p->left > 0; turn++) {
		char *to = p->in_body ? chunk : p->head + p->head_len;
		size_t room = p->in_body ? sizeof chunk : sizeof p->head - 1 - p->head_len;
		ssize_t n;

		if (turn == TURN) { /* the sender may keep up with us for ever; the event comes at once */
			wait_for(f, p, POLLIN);
			return;
		}
		n = read(p->fd, to, room);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			wait_for(f, p, POLLIN);
			return;
		}
		if (n <= 0) {
			ask_again(f, p, n == 0 ? "connection closed early" : strerror(errno));
			return;
		}
		if (p->in_body) {
			body(f, p, chunk, (size_t)n);
		} else {
			p->head_len += (size_t)n;
			head(f, p);
		}
	}
	finish_job(f, p);
}

static void serve(struct fetch *f, struct peer *p)
{
	while (p->sent < p->request_len) {
		ssize_t n = write(p->fd, p->request + p->sent, p->request_len - p->sent);

		if (n >= 0) {
			p->sent += (size_t)n;
		} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
			wait_for(f, p, POLLOUT);
			return;
		} else if (errno == EPIPE || errno == ECONNRESET) {
			ask_again(f, p, strerror(errno));
			return;
		} else if (errno != EINTR) { /* a failed connect() reports its error here */
			die("%s: write: %s", f->jobs[p->job].path, strerror(errno));
		}
	}
	receive(f, p);
}

static char *encode(const char *path)
{
	static const char plain[] = "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	char *out = malloc(3 * strlen(path) + 1), *to = out;

	if (out == NULL)
		die("out of memory");
	for (; *path != '\0'; path++) {
		if (strchr(plain, *path) != NULL)
			*to++ = *path;
		else
			to += sprintf(to, "%%%02X", (unsigned)(unsigned char)*path);
	}
	*to = '\0';
	return out;
}

static void read_paths(struct fetch *f)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	while ((n = getline(&line, &cap, stdin)) > 0) {
		struct job *more = realloc(f->jobs, (f->count + 1) * sizeof *more);

		if (more == NULL)
			die("out of memory");
		f->jobs = more;
		if (line[n - 1] == '\n')
			line[n - 1] = '\0';
		f->jobs[f->count++] = (struct job){encode(line), 0, 0, 0};
	}
	free(line);
	if (f->count == 0)
		die("no paths on standard input");
}

static void loop(struct fetch *f)
{
	struct timespec timeout = {f->patience, 0};
	port_event_t events[BATCH];

	while (f->open > 0) {
		uint_t n = 1;

		if (port_getn(f->port, events, BATCH, &n, &timeout) != 0) {
			if (errno == EINTR)
				continue;
			if (errno != ETIME)
				die("port_getn: %s", strerror(errno));
			if (n == 0)
				die("nothing happened for %d s, %zu connections open", f->patience, f->open);
		}
		for (uint_t i = 0; i < n; i++)
			serve(f, events[i].portev_user);
	}
}

static double seconds(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	struct fetch f;
	struct peer *peers;
	size_t connections = 100, rounds = 1;
	double start, took;
	int opt;

	memset(&f, 0, sizeof f);
	f.patience = 10;
	while ((opt = getopt(argc, argv, "c:r:w:o:")) != -1) {
		switch (opt) {
		case 'c': connections = strtoul(optarg, NULL, 10); break;
		case 'r': rounds = strtoul(optarg, NULL, 10); break;
		case 'w': f.patience = atoi(optarg); break;
		case 'o': f.directory = optarg; break;
		default: die("bad option");
		}
	}
	if (optind + 2 != argc || connections < 1 || connections > 10000 || rounds < 1)
		die("usage: port-fetch [-c n] [-r n] [-w s] [-o directory] address port < paths");
	f.address = argv[optind];
	f.server.sin_family = AF_INET;
	f.server.sin_port = htons((uint16_t)atoi(argv[optind + 1]));
	if (inet_pton(AF_INET, f.address, &f.server.sin_addr) != 1)
		die("bad address %s", f.address);
	(void)signal(SIGPIPE, SIG_IGN);
	read_paths(&f);
	f.end = f.count * rounds;
	f.port = port_create();
	peers = calloc(connections, sizeof *peers);
	if (f.port < 0 || peers == NULL)
		die("port_create: %s", strerror(errno));

	start = seconds();
	for (size_t i = 0; i < connections; i++)
		if (next_job(&f, &peers[i]))
			connect_peer(&f, &peers[i]);
	loop(&f);
	took = seconds() - start;
	printf("%zu files, %llu requests, %zu connections, %llu bytes, %.3f s, %.0f requests/s, %.1f MB/s\n",
		f.count, f.requests, f.opened, f.bytes, took, (double)f.requests / took,
		(double)f.bytes / took / 1e6);
	for (size_t i = 0; i < f.count; i++)
		free(f.jobs[i].path);
	free(f.jobs);
	free(peers);
	(void)close(f.port);
	return f.requests == f.end ? 0 : 1;
}
