/*
 * http.h: the part of HTTP/1.1 that a read-only file server needs. No I/O in here.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#ifndef EXAMPLE_HTTP_H
#define EXAMPLE_HTTP_H

#include <stddef.h>
#include <sys/types.h>

#define HTTP_PATH_MAX 1024

struct http_request {
	int head_only;            /* HEAD: the answer has no body */
	int keep_alive;           /* the client lets us use the connection again */
	char path[HTTP_PATH_MAX]; /* decoded, relative to the root, without "." and ".." */
};

/*
 * Parse the head of a request. Returns the number of bytes that it takes, 0 if `buf` does not hold
 * all of it yet, or a negative HTTP status (-400) if it cannot be served.
 */
int http_parse(const char *buf, size_t len, struct http_request *req);

/* Write the head of an answer. Returns its length, 0 if it does not fit. */
size_t http_head(char *out, size_t cap, int status, const char *type, off_t length, int keep_alive);

/* Write a whole error answer: head and, unless `head_only`, a line of text. Returns its length. */
size_t http_error(char *out, size_t cap, int status, int head_only, int keep_alive);

/* Content type by the name's extension. */
const char *http_type(const char *path);

#endif
