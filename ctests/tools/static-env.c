/*
 * static-env: env(1) for a fully static link.
 *
 * usage: static-env NAME=VALUE... program [argument ...]
 *
 * The dynamic env would load what LD_PRELOAD names into itself before it can set anything; a library built with
 * AddressSanitizer ends it there.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int i = 1;

	for (; i < argc && strchr(argv[i], '=') != NULL; i++)
		putenv(argv[i]);
	if (i >= argc) {
		fprintf(stderr, "usage: static-env NAME=VALUE... program [argument ...]\n");
		return 2;
	}
	execv(argv[i], argv + i);
	fprintf(stderr, "static-env: %s: %s\n", argv[i], strerror(errno));
	return errno == ENOENT ? 127 : 126;
}
