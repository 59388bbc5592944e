// SPDX-License-Identifier: GPL-2.0
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "page_fault.h"

#define KSFT_SKIP	4
#define FAULT_MS	5000

static pid_t tid;
static void *page;
static long (*reading_call)(void *page);

static void *sleeper(void *unused)
{
	__atomic_store_n(&tid, syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	return (void *)reading_call(page);
}

static int open_uffd(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api)) {
		perror("userfaultfd");
		exit(KSFT_SKIP);
	}
	return fd;
}

static int await_fault(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };
	struct uffd_msg msg;

	if (poll(&pollfd, 1, FAULT_MS) != 1 ||
	    read(fd, &msg, sizeof(msg)) != sizeof(msg) ||
	    msg.event != UFFD_EVENT_PAGEFAULT) {
		fprintf(stderr, "no fault came\n");
		return -1;
	}
	return 0;
}

int sleep_in_page_fault(long (*call)(void *page))
{
	long size = sysconf(_SC_PAGESIZE);
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_zeropage zero = {};
	pthread_t thread;
	void *result;
	int fd;
	char c;

	fd = open_uffd();
	page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		    -1, 0);
	if (page == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	reg.range.start = (unsigned long)page;
	reg.range.len = size;
	if (ioctl(fd, UFFDIO_REGISTER, &reg)) {
		perror("UFFDIO_REGISTER");
		return 1;
	}
	reading_call = call;
	if (pthread_create(&thread, NULL, sleeper, NULL) || await_fault(fd))
		return 1;

	printf("%d\n", __atomic_load_n(&tid, __ATOMIC_SEQ_CST));
	fflush(stdout);
	if (read(STDIN_FILENO, &c, 1) < 0)
		perror("read");

	zero.range = reg.range;
	if (ioctl(fd, UFFDIO_ZEROPAGE, &zero)) {
		perror("UFFDIO_ZEROPAGE");
		return 1;
	}
	pthread_join(thread, &result);
	if (result) {
		fprintf(stderr, "the call returned %ld\n", (long)result);
		return 1;
	}
	return 0;
}
