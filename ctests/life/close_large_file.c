/* cflags: -D_FILE_OFFSET_BITS=64 -D_LARGEFILE64_SOURCE */
/*
 * A program built with large-file support refers to fcntl64 and freopen64: the same rules hold for those names.
 * Copyright the evshim authors; MIT or Apache-2.0, at your choice.
 */
#include "life.h"

TEST(fcntl_copies_of_a_port, "R13.5 T-276")
{
	int commands[] = { F_DUPFD, F_DUPFD_CLOEXEC };
	for (int i = 0; i < 2; i++) {
		int port = port_create(), copy = fcntl(port, commands[i], 400);
		CHECK(copy >= 400);
		CHECK_OK(send_value(copy, 7));
		CHECK_OK(close(port));
		CHECK_USER_EVENT(copy, 7);
		CHECK_OK(close(copy));
		CHECK_ERR(send_value(copy, 7), EBADF);
	}
}

TEST(freopen64_purges, "R4.20")
{
	for (int ready = 0; ready <= 1; ready++) {
		struct rig r;
		rig_open(&r, ready);
		FILE *f = fdopen(r.fd, "r");
		CHECK(f != NULL);
#ifdef __GLIBC__
		f = freopen64("/dev/null", "r", f);
#else
		f = freopen("/dev/null", "r", f);
#endif
		CHECK(f != NULL);
		CHECK_EQ(fileno(f), r.fd);
		rig_check_purged(&r);
		fclose(f);
		rig_close(&r, true);
	}
}

/* freopen() is redirected to freopen64() by the flags above. */
TEST(freopen_with_large_files_purges, "R4.20")
{
	struct rig r;
	rig_open(&r, true);
	FILE *f = freopen("/dev/null", "r", fdopen(r.fd, "r"));
	CHECK(f != NULL);
	rig_check_purged(&r);
	CHECK_OK(fclose(f));
	CHECK_EQ(pending(r.port), 0);
	rig_close(&r, true);
}

/* Arguments of every kind pass through the variadic wrapper unchanged. */
TEST(fcntl_passes_its_arguments, "R13.5")
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int port = port_create();
	FILE *file = tmpfile();
	if (file == NULL)
		SKIP("no directory for a temporary file");
	CHECK_OK(fcntl(fileno(file), F_SETLK, &lock));
	CHECK_EQ(fcntl(fileno(file), F_GETLK, &lock), 0);
	CHECK_EQ(lock.l_type, F_UNLCK);
	CHECK_EQ(fcntl(fileno(file), F_GETFD), 0);
	CHECK_OK(fcntl(fileno(file), F_SETFL, O_APPEND));
	CHECK((fcntl(fileno(file), F_GETFL) & O_APPEND) != 0);
	fclose(file);
	close(port);
}
