// SPDX-License-Identifier: GPL-2.0
/*
 * Processes that sleep in system calls, each in one of its own, over and over:
 * with RANDOMIZE_KSTACK_OFFSET=y every call has another stack pointer.
 *
 * Prints "PID NAME" for each process and then "ready", and ends, with all of
 * them, when its input does.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <linux/futex.h>
#include <time.h>
#include <unistd.h>

#include "kselftest.h"

#define NAP_NS	3000000L

static const struct timespec nap = { .tv_nsec = NAP_NS };

static void sleep_nanosleep(void)
{
	nanosleep(&nap, NULL);
}

static void sleep_clock(void)
{
	clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
}

static void sleep_ppoll(void)
{
	ppoll(NULL, 0, &nap, NULL);
}

static void sleep_pselect(void)
{
	pselect(0, NULL, NULL, NULL, &nap, NULL);
}

static void sleep_futex(void)
{
	static int word;

	syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &nap, NULL, 0);
}

static void sleep_sigtimedwait(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigtimedwait(&set, NULL, &nap);
}

static void sleep_epoll(void)
{
	static int fd = -1;
	struct epoll_event event;

	if (fd < 0)
		fd = epoll_create1(0);
	epoll_wait(fd, &event, 1, NAP_NS / 1000000);
}

static void sleep_timerfd(void)
{
	static int fd = -1;
	struct itimerspec once = { .it_value = nap };
	unsigned long long count;

	if (fd < 0)
		fd = timerfd_create(CLOCK_MONOTONIC, 0);
	timerfd_settime(fd, 0, &once, NULL);
	if (read(fd, &count, sizeof(count)) < 0)
		_exit(1);
}

static void sleep_waitpid(void)
{
	pid_t pid = fork();

	if (!pid) {
		nanosleep(&nap, NULL);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

static void sleep_pause(void)
{
	pause();
}

static const struct sleeper {
	const char *name;
	void (*sleep)(void);
} sleepers[] = {
	{ "nanosleep", sleep_nanosleep },
	{ "clock", sleep_clock },
	{ "ppoll", sleep_ppoll },
	{ "pselect", sleep_pselect },
	{ "futex", sleep_futex },
	{ "sigtimedwait", sleep_sigtimedwait },
	{ "epoll", sleep_epoll },
	{ "timerfd", sleep_timerfd },
	{ "waitpid", sleep_waitpid },
	{ "pause", sleep_pause },
};

int main(void)
{
	pid_t pids[ARRAY_SIZE(sleepers)];
	sigset_t set;
	size_t i;
	char c;

	/* For sigtimedwait(), of which nobody sends the signal. */
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);

	for (i = 0; i < ARRAY_SIZE(sleepers); i++) {
		pids[i] = fork();
		if (pids[i] < 0) {
			perror("fork");
			return 1;
		}
		if (!pids[i]) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (;;)
				sleepers[i].sleep();
		}
		printf("%d %s\n", pids[i], sleepers[i].name);
	}
	printf("ready\n");
	fflush(stdout);

	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	for (i = 0; i < ARRAY_SIZE(sleepers); i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	return 0;
}
