/*
 * http.c: request heads in, answer heads out (RFC 9112, as far as a file server needs it).
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#define _POSIX_C_SOURCE 200809L
#define __EXTENSIONS__ 1 /* illumos: all names besides the POSIX ones */

#include "http.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* A piece of the caller's buffer: request text is never copied before it is known to fit. */
struct span {
	const char *p;
	size_t n;
};

struct headers {
	int minor;       /* of HTTP/1.x */
	int hosts;       /* HTTP/1.1 asks for exactly one Host */
	int close, keep; /* what Connection said */
};

/* Cut the next line off `buf`; 0 if its end has not arrived. A bare LF ends a line too. */
static int next_line(const char *buf, size_t len, size_t *at, struct span *line)
{
	const char *start = buf + *at, *end = memchr(start, '\n', len - *at);

	if (end == NULL)
		return 0;
	line->p = start;
	line->n = (size_t)(end - start);
	if (line->n > 0 && start[line->n - 1] == '\r')
		line->n--;
	*at = (size_t)(end - buf) + 1;
	return 1;
}

/* Cut the next word off, up to a space or the end. */
static struct span word(struct span *rest)
{
	const char *space = memchr(rest->p, ' ', rest->n);
	struct span w = {rest->p, space != NULL ? (size_t)(space - rest->p) : rest->n};
	size_t used = w.n + (space != NULL);

	rest->p += used;
	rest->n -= used;
	return w;
}

static int is(struct span s, const char *text)
{
	return s.n == strlen(text) && memcmp(s.p, text, s.n) == 0;
}

static int is_nocase(struct span s, const char *text)
{
	return s.n == strlen(text) && strncasecmp(s.p, text, s.n) == 0;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Undo %XX. The result is checked for ".." afterwards, so "%2e%2e" gains nothing. */
static int decode(struct span raw, char *out, size_t cap)
{
	size_t n = 0;

	for (size_t i = 0; i < raw.n; i++) {
		char c = raw.p[i];

		if (c == '%') {
			int high = i + 2 < raw.n ? hex(raw.p[i + 1]) : -1;
			int low = high >= 0 ? hex(raw.p[i + 2]) : -1;

			if (low < 0)
				return -400;
			c = (char)(high * 16 + low);
			i += 2;
		}
		if (c == '\0')
			return -400; /* would cut the name for the kernel, but not for our check */
		if (n + 1 >= cap)
			return -414;
		out[n++] = c;
	}
	out[n] = '\0';
	return 0;
}

/* Drop empty and "." components and refuse "..": what is left cannot lead out of the root. */
static int clean(const char *decoded, char *path, size_t cap)
{
	size_t n = 0;
	const char *at = decoded;

	while (*at != '\0') {
		size_t len = strcspn(at, "/");

		if (len == 2 && at[0] == '.' && at[1] == '.')
			return -400;
		if (len > 0 && !(len == 1 && at[0] == '.')) {
			if (n + len + 2 > cap)
				return -414;
			if (n > 0)
				path[n++] = '/';
			memcpy(path + n, at, len);
			n += len;
		}
		at += len;
		at += *at == '/';
	}
	path[n] = '\0';
	if (n == 0 || at[-1] == '/') { /* a directory */
		if (n + sizeof "/index.html" > cap)
			return -414;
		strcpy(path + n, n > 0 ? "/index.html" : "index.html");
	}
	return 0;
}

static int target(struct span raw, struct http_request *req)
{
	char decoded[HTTP_PATH_MAX];
	int rc;

	if (raw.n > 7 && strncasecmp(raw.p, "http://", 7) == 0) { /* absolute form: skip the authority */
		const char *slash = memchr(raw.p + 7, '/', raw.n - 7);

		if (slash == NULL)
			return -400;
		raw.n -= (size_t)(slash - raw.p);
		raw.p = slash;
	}
	if (raw.n == 0 || raw.p[0] != '/')
		return -400;
	for (size_t i = 0; i < raw.n; i++)
		if (raw.p[i] == '?' || raw.p[i] == '#')
			raw.n = i;
	rc = decode(raw, decoded, sizeof decoded);
	return rc < 0 ? rc : clean(decoded, req->path, sizeof req->path);
}

static int request_line(struct span line, struct http_request *req, struct headers *h)
{
	struct span method = word(&line), where = word(&line), version = line;

	if (method.n == 0 || where.n == 0 || version.n != 8 || memcmp(version.p, "HTTP/", 5) != 0)
		return -400;
	for (size_t i = 0; i < method.n; i++)
		if (method.p[i] < 'A' || method.p[i] > 'Z')
			return -400;
	if (!is(version, "HTTP/1.1") && !is(version, "HTTP/1.0"))
		return -505;
	h->minor = version.p[7] - '0';
	req->head_only = is(method, "HEAD");
	if (!req->head_only && !is(method, "GET"))
		return -405;
	return target(where, req);
}

/* Connection is a list: "keep-alive, Upgrade". */
static void connection(struct span value, struct headers *h)
{
	while (value.n > 0) {
		const char *comma = memchr(value.p, ',', value.n);
		struct span item = {value.p, comma != NULL ? (size_t)(comma - value.p) : value.n};
		size_t used = item.n + (comma != NULL);

		while (item.n > 0 && (item.p[0] == ' ' || item.p[0] == '\t'))
			item.p++, item.n--;
		while (item.n > 0 && (item.p[item.n - 1] == ' ' || item.p[item.n - 1] == '\t'))
			item.n--;
		h->close |= is_nocase(item, "close");
		h->keep |= is_nocase(item, "keep-alive");
		value.p += used;
		value.n -= used;
	}
}

static int header_line(struct span line, struct headers *h)
{
	const char *colon = memchr(line.p, ':', line.n);
	struct span name, value;

	if (colon == NULL || colon == line.p)
		return -400;
	name = (struct span){line.p, (size_t)(colon - line.p)};
	value = (struct span){colon + 1, line.n - name.n - 1};
	if (memchr(name.p, ' ', name.n) != NULL || memchr(name.p, '\t', name.n) != NULL)
		return -400; /* also a folded line: nobody may read it in two ways */
	while (value.n > 0 && (value.p[0] == ' ' || value.p[0] == '\t'))
		value.p++, value.n--;
	while (value.n > 0 && (value.p[value.n - 1] == ' ' || value.p[value.n - 1] == '\t'))
		value.n--;

	if (is_nocase(name, "host"))
		h->hosts++;
	else if (is_nocase(name, "connection"))
		connection(value, h);
	else if (is_nocase(name, "content-length") && !is(value, "0"))
		return -413; /* GET and HEAD need no body, and skipping one is not worth the code */
	else if (is_nocase(name, "transfer-encoding"))
		return -400;
	return 0;
}

int http_parse(const char *buf, size_t len, struct http_request *req)
{
	struct headers h = {0, 0, 0, 0};
	struct span line;
	size_t at = 0;
	int rc, started = 0;

	memset(req, 0, sizeof *req);
	for (;;) {
		if (!next_line(buf, len, &at, &line))
			return 0;
		if (memchr(line.p, '\0', line.n) != NULL)
			return -400;
		if (line.n == 0) {
			if (started)
				break;
			continue; /* RFC 9112 2.2: ignore empty lines before a request */
		}
		rc = started ? header_line(line, &h) : request_line(line, req, &h);
		if (rc < 0)
			return rc;
		started = 1;
	}
	if (h.hosts > 1 || (h.minor == 1 && h.hosts == 0))
		return -400;
	req->keep_alive = !h.close && (h.minor == 1 || h.keep);
	return (int)at;
}

static const char *reason(int status)
{
	switch (status) {
	case 200: return "OK";
	case 400: return "Bad Request";
	case 404: return "Not Found";
	case 405: return "Method Not Allowed";
	case 413: return "Content Too Large";
	case 414: return "URI Too Long";
	case 431: return "Request Header Fields Too Large";
	case 503: return "Service Unavailable";
	case 505: return "HTTP Version Not Supported";
	default: return "Internal Server Error";
	}
}

size_t http_head(char *out, size_t cap, int status, const char *type, off_t length, int keep_alive)
{
	char date[40] = "";
	time_t now = time(NULL);
	struct tm tm;
	int n;

	if (gmtime_r(&now, &tm) != NULL)
		strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
	n = snprintf(out, cap,
		"HTTP/1.1 %d %s\r\nDate: %s\r\nServer: port-httpd\r\nContent-Type: %s\r\n"
		"Content-Length: %lld\r\n%sConnection: %s\r\n\r\n",
		status, reason(status), date, type, (long long)length,
		status == 405 ? "Allow: GET, HEAD\r\n" : "", keep_alive ? "keep-alive" : "close");
	return n > 0 && (size_t)n < cap ? (size_t)n : 0;
}

size_t http_error(char *out, size_t cap, int status, int head_only, int keep_alive)
{
	char text[64];
	int len = snprintf(text, sizeof text, "%d %s\n", status, reason(status));
	size_t n = http_head(out, cap, status, "text/plain", len, keep_alive);

	if (n == 0 || head_only)
		return n; /* the length is the one that GET would have had */
	if (n + (size_t)len > cap)
		return 0;
	memcpy(out + n, text, (size_t)len);
	return n + (size_t)len;
}

const char *http_type(const char *path)
{
	static const struct { const char *end, *type; } types[] = {
		{"html", "text/html; charset=utf-8"}, {"txt", "text/plain; charset=utf-8"},
		{"md", "text/markdown; charset=utf-8"}, {"css", "text/css"}, {"js", "text/javascript"},
		{"c", "text/plain; charset=utf-8"}, {"h", "text/plain; charset=utf-8"},
		{"rs", "text/plain; charset=utf-8"}, {"json", "application/json"}, {"png", "image/png"},
		{"jpg", "image/jpeg"}, {"svg", "image/svg+xml"}, {"pdf", "application/pdf"},
	};
	const char *dot = strrchr(path, '.'), *slash = strrchr(path, '/');

	if (dot != NULL && (slash == NULL || dot > slash))
		for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
			if (strcasecmp(dot + 1, types[i].end) == 0)
				return types[i].type;
	return "application/octet-stream";
}
