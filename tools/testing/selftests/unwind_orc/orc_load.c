// SPDX-License-Identifier: GPL-2.0
/*
 * Work for a kernel that is looked on at: sockets over the loopback device, threads
 * that wait for each other, page faults, signals, timers, IPC. Each part is a child
 * process; what a kernel does not have is passed over. Prints nothing.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/ptrace.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS	8
#define BLOCK	20000

static char block[BLOCK];

static void loopback_up(void)
{
	struct ifreq ifr = { .ifr_name = "lo" };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &ifr))
		_exit(0);
	ifr.ifr_flags |= IFF_UP;
	ioctl(fd, SIOCSIFFLAGS, &ifr);
	close(fd);
}

static void echo(int fd)
{
	ssize_t n;

	while ((n = recv(fd, block, sizeof(block), 0)) > 0)
		if (send(fd, block, n, MSG_NOSIGNAL) < 0)
			break;
	_exit(0);
}

static void talk(int fd)
{
	struct pollfd poll_in = { .fd = fd, .events = POLLIN };

	for (int i = 0; i < ROUNDS; i++) {
		send(fd, block, 100 + i * 1500, MSG_NOSIGNAL);
		poll(&poll_in, 1, 100);
		recv(fd, block, sizeof(block), MSG_DONTWAIT);
	}
}

static void stream(int family)
{
	struct sockaddr_in inet = { .sin_family = AF_INET };
	struct sockaddr_in6 inet6 = { .sin6_family = AF_INET6 };
	struct sockaddr *address = family == AF_INET ? (void *)&inet : (void *)&inet6;
	socklen_t len = family == AF_INET ? sizeof(inet) : sizeof(inet6);
	int listener, fd, one = 1;

	loopback_up();
	inet.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	inet6.sin6_addr = in6addr_loopback;
	listener = socket(family, SOCK_STREAM, 0);
	if (listener < 0 || bind(listener, address, len) || listen(listener, 4) ||
	    getsockname(listener, address, &len))
		return;
	if (!fork())
		echo(accept(listener, NULL, NULL));
	fd = socket(family, SOCK_STREAM, 0);
	if (connect(fd, address, len))
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	talk(fd);
	shutdown(fd, SHUT_WR);
	close(fd);
	wait(NULL);
}

static void tcp(void)
{
	stream(AF_INET);
}

static void tcp6(void)
{
	stream(AF_INET6);
}

static void udp(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t len = sizeof(address);
	int in, out;

	loopback_up();
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	in = socket(AF_INET, SOCK_DGRAM, 0);
	out = socket(AF_INET, SOCK_DGRAM, 0);
	if (bind(in, (void *)&address, len) || getsockname(in, (void *)&address, &len))
		return;
	for (int i = 0; i < ROUNDS; i++) {
		sendto(out, block, 64 + i * 1000, 0, (void *)&address, len);
		recv(in, block, sizeof(block), MSG_DONTWAIT);
	}
	/* Nobody listens: an ICMP message. */
	close(in);
	connect(out, (void *)&address, len);
	send(out, block, 10, 0);
	send(out, block, 10, 0);
}

static void unix_sockets(void)
{
	struct iovec iov = { block, 10 };
	char control[CMSG_SPACE(sizeof(int))] = "";
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds))
		return;
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fds[0], sizeof(int));
	sendmsg(fds[0], &msg, 0);
	recvmsg(fds[1], &msg, 0);
	if (!fork()) {
		close(fds[0]);
		echo(fds[1]);
	}
	close(fds[1]);
	talk(fds[0]);
	close(fds[0]);
	wait(NULL);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int turn;

static void *take_turns(void *number)
{
	for (int i = 0; i < ROUNDS; i++) {
		pthread_mutex_lock(&lock);
		while (turn % 3 != (long)number)
			pthread_cond_wait(&cond, &lock);
		turn++;
		pthread_cond_broadcast(&cond);
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

static void threads(void)
{
	pthread_mutexattr_t attr;
	pthread_mutex_t inheriting;
	pthread_t thread[3];

	for (long i = 0; i < 3; i++)
		pthread_create(&thread[i], NULL, take_turns, (void *)i);
	for (int i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
	pthread_mutex_init(&inheriting, &attr);
	pthread_mutex_lock(&inheriting);
	pthread_mutex_unlock(&inheriting);
}

static void memory(void)
{
	const size_t size = 1 << 20;
	char *map = mmap(NULL, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char vec[256];

	for (size_t i = 0; i < size; i += 4096)
		map[i] = 1;
	if (!fork()) {
		for (size_t i = 0; i < size; i += 8192)
			map[i] = 2;
		_exit(0);
	}
	mprotect(map + 8192, 65536, PROT_READ);
	mprotect(map + 8192, 65536, PROT_READ | PROT_WRITE);
	madvise(map, size / 2, MADV_DONTNEED);
	mincore(map, size, vec);
	mlock(map, 65536);
	map = mremap(map, size, size * 2, MREMAP_MAYMOVE);
	msync(map, size, MS_ASYNC);
	munmap(map, size * 2);
	wait(NULL);
}

static void on_signal(int number)
{
}

static void jump_on(int number, siginfo_t *info, void *context)
{
	mmap((void *)((unsigned long)info->si_addr & ~4095UL), 4096,
	     PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

static void signals(void)
{
	struct itimerval soon = { .it_value.tv_usec = 2000 };
	struct sigaction action = { .sa_sigaction = jump_on, .sa_flags = SA_SIGINFO };
	char *hole = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int pipes[2];

	signal(SIGUSR1, on_signal);
	signal(SIGALRM, on_signal);
	for (int i = 0; i < ROUNDS; i++)
		raise(SIGUSR1);
	setitimer(ITIMER_REAL, &soon, NULL);
	pause();
	sigaction(SIGSEGV, &action, NULL);
	__atomic_store_n((char *)hole, 1, __ATOMIC_RELAXED);
	/* Faults in the kernel that end in an error. */
	pipe(pipes);
	syscall(SYS_write, pipes[1], 8L, 1L);
	write(pipes[1], block, 10);
	syscall(SYS_read, pipes[0], 8L, 10L);
	syscall(SYS_uname, 8L);
}

static void files(void)
{
	char name[] = "/tmp/orc_load.XXXXXX";
	int fd = mkstemp(name), pipes[2], null = open("/dev/null", O_WRONLY);
	struct flock all = { .l_type = F_WRLCK };
	char *map;

	pwrite(fd, block, BLOCK, 5000);
	fcntl(fd, F_SETLK, &all);
	fallocate(fd, 0, 0, 100000);
	fsync(fd);
	map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	map[5000] = 1;
	msync(map, 8192, MS_SYNC);
	lseek(fd, 0, SEEK_SET);
	pipe(pipes);
	splice(fd, NULL, pipes[1], NULL, 4096, 0);
	splice(pipes[0], NULL, null, NULL, 4096, 0);
	sendfile(null, fd, NULL, 8192);
	copy_file_range(fd, NULL, fd, &(loff_t){ 50000 }, 4096, 0);
	rename(name, "/tmp/orc_load");
	link("/tmp/orc_load", name);
	chmod(name, 0600);
	unlink(name);
	unlink("/tmp/orc_load");
}

static void events(void)
{
	struct itimerspec soon = { .it_value.tv_nsec = 1000000 };
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(0), fd = eventfd(0, 0);
	int timer = timerfd_create(CLOCK_MONOTONIC, 0);
	unsigned long one = 1;

	epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
	epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &event);
	timerfd_settime(timer, 0, &soon, NULL);
	epoll_wait(epoll, &event, 1, 100);
	write(fd, &one, sizeof(one));
	epoll_wait(epoll, &event, 1, 100);
	read(fd, &one, sizeof(one));
}

static void ipc(void)
{
	int msg = msgget(IPC_PRIVATE, 0600), sem = semget(IPC_PRIVATE, 1, 0600);
	int shm = shmget(IPC_PRIVATE, 8192, 0600);
	struct { long type; char text[64]; } message = { .type = 1 };
	struct sembuf up = { .sem_op = 1 }, down = { .sem_op = -1 };
	char *map = shmat(shm, NULL, 0);

	if (!fork()) {
		semop(sem, &down, 1);
		msgsnd(msg, &message, sizeof(message.text), 0);
		_exit(0);
	}
	map[0] = 1;
	sched_yield();
	semop(sem, &up, 1);
	msgrcv(msg, &message, sizeof(message.text), 0, 0);
	wait(NULL);
	shmdt(map);
	shmctl(shm, IPC_RMID, NULL);
	msgctl(msg, IPC_RMID, NULL);
	semctl(sem, 0, IPC_RMID);
}

static void tracing(void)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		getppid();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	for (int i = 0; i < ROUNDS && WIFSTOPPED(status); i++) {
		ptrace(i < 4 ? PTRACE_SINGLESTEP : PTRACE_SYSCALL, pid, NULL, NULL);
		waitpid(pid, &status, 0);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
}

static void scheduling(void)
{
	struct sched_param param = { .sched_priority = 1 };
	cpu_set_t cpus;

	sched_getaffinity(0, sizeof(cpus), &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	sched_setscheduler(0, SCHED_FIFO, &param);
	sched_yield();
	sched_setscheduler(0, SCHED_RR, &param);
	param.sched_priority = 0;
	sched_setscheduler(0, SCHED_BATCH, &param);
	nice(3);
	usleep(1000);
}

int main(void)
{
	static void (* const parts[])(void) = {
		tcp, tcp6, udp, unix_sockets, threads, memory, signals, files, events,
		ipc, tracing, scheduling, NULL
	};

	for (void (* const *part)(void) = parts; *part; part++) {
		if (!fork()) {
			/* Whatever a part waits for, it does not wait for long. */
			alarm(3);
			(*part)();
			_exit(0);
		}
		wait(NULL);
	}
	return 0;
}
