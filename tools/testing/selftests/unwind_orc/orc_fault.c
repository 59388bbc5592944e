// SPDX-License-Identifier: GPL-2.0
/*
 * A system call whose copy_from_user() faults and sleeps: its argument is in a
 * page that userfaultfd serves, and nobody serves it until told to.
 *
 * Prints "TID" of the thread in the system call once the fault is pending, and
 * serves the page when a line comes in. Exit 4: no userfaultfd here.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define KSFT_SKIP	4
#define FAULT_MS	5000

static pid_t tid;
static void *page;

/* A page of zeroes is no time at all, so it returns once the page is there. */
static void *sleeper(void *unused)
{
	__atomic_store_n(&tid, syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	return (void *)syscall(SYS_nanosleep, page, NULL);
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

int main(void)
{
	long size = sysconf(_SC_PAGESIZE);
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_zeropage zero = {};
	struct pollfd pollfd = { .events = POLLIN };
	struct uffd_msg msg;
	pthread_t thread;
	void *result;
	char c;

	pollfd.fd = open_uffd();
	page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		    -1, 0);
	if (page == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	reg.range.start = (unsigned long)page;
	reg.range.len = size;
	if (ioctl(pollfd.fd, UFFDIO_REGISTER, &reg)) {
		perror("UFFDIO_REGISTER");
		return 1;
	}
	if (pthread_create(&thread, NULL, sleeper, NULL))
		return 1;
	if (poll(&pollfd, 1, FAULT_MS) != 1 ||
	    read(pollfd.fd, &msg, sizeof(msg)) != sizeof(msg) ||
	    msg.event != UFFD_EVENT_PAGEFAULT) {
		fprintf(stderr, "no fault came\n");
		return 1;
	}

	printf("%d\n", __atomic_load_n(&tid, __ATOMIC_SEQ_CST));
	fflush(stdout);
	if (read(STDIN_FILENO, &c, 1) < 0)
		perror("read");

	zero.range = reg.range;
	if (ioctl(pollfd.fd, UFFDIO_ZEROPAGE, &zero)) {
		perror("UFFDIO_ZEROPAGE");
		return 1;
	}
	pthread_join(thread, &result);
	if (result) {
		fprintf(stderr, "the system call returned %ld\n", (long)result);
		return 1;
	}
	return 0;
}
