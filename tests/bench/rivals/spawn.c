/* Runs commands as libvirtd runs its hooks and tells how long each took, from before its start until it is reaped.
 *
 *     spawn ROUNDS STDIN COMMAND [ARGUMENT…] [-- COMMAND [ARGUMENT…]]…
 *
 * Each round runs every command once, with the content of the file STDIN on its stdin and both outputs read to their
 * end. The order rotates from round to round and turns round after each full turn, so that none profits from its place.
 * One line per round: for each command, in the order of the command line, its nanoseconds; on a failure, exits with 1.
 * The environment is our own.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 64, STDIN_MAX = 60000 };

extern char **environ;

static posix_spawnattr_t plain_signals;

static void fail(const char *what)
{
    fprintf(stderr, "spawn: %s: %s\n", what, strerror(errno));
    exit(1);
}

static long long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void make_pipe(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC) != 0)
        fail("pipe");
}

/* Reads both pipes until both have ended, as libvirtd does before it looks for the end of the hook itself. */
static void drain(int out, int err)
{
    static char rest[1 << 16];
    struct pollfd pipes[2] = {{ .fd = out, .events = POLLIN }, { .fd = err, .events = POLLIN }};

    while (pipes[0].fd >= 0 || pipes[1].fd >= 0) {
        if (poll(pipes, 2, -1) < 0)
            fail("poll");
        for (int i = 0; i < 2; i++)
            if (pipes[i].fd >= 0 && pipes[i].revents && read(pipes[i].fd, rest, sizeof rest) <= 0)
                pipes[i].fd = -1;
    }
}

/* One run. What is to be on stdin fits into a pipe, so writing it waits for nobody. */
static long long run(char **argv, const char *text, size_t length)
{
    int in[2], out[2], err[2], status;
    pid_t child;
    posix_spawn_file_actions_t files;

    long long begin = now();
    make_pipe(in), make_pipe(out), make_pipe(err);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&files, out[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, err[1], STDERR_FILENO);
    errno = posix_spawn(&child, argv[0], &files, &plain_signals, argv, environ);
    if (errno != 0)
        fail(argv[0]);
    close(in[0]), close(out[1]), close(err[1]);
    if (length > 0 && write(in[1], text, length) < 0 && errno != EPIPE)
        fail("write");
    close(in[1]);
    drain(out[0], err[0]);
    if (waitpid(child, &status, 0) != child)
        fail("waitpid");
    long long took = now() - begin;
    close(out[0]), close(err[0]);
    posix_spawn_file_actions_destroy(&files);
    if (status != 0) {
        fprintf(stderr, "spawn: %s ended with status %#x\n", argv[0], status);
        exit(1);
    }
    return took;
}

int main(int argc, char **argv)
{
    static char text[STDIN_MAX];
    char **commands[MOST] = { argv + 3 };
    long long took[MOST];
    int count = 1;

    if (argc < 4) {
        fprintf(stderr, "usage: spawn ROUNDS STDIN COMMAND [ARGUMENT…] [-- COMMAND…]\n");
        return 2;
    }
    for (int i = 3; i < argc && count < MOST; i++)
        if (strcmp(argv[i], "--") == 0)
            argv[i] = NULL, commands[count++] = argv + i + 1;
    int file = open(argv[2], O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, text, sizeof text);
    if (length < 0)
        fail(argv[2]);

    /* One that leaves without reading is no failure; commands get the usual signals, as libvirtd gives them. */
    sigset_t all;
    sigfillset(&all);
    posix_spawnattr_init(&plain_signals);
    posix_spawnattr_setsigdefault(&plain_signals, &all);
    posix_spawnattr_setflags(&plain_signals, POSIX_SPAWN_SETSIGDEF);
    signal(SIGPIPE, SIG_IGN);

    for (int round = 0; round < atoi(argv[1]); round++) {
        for (int place = 0; place < count; place++) {
            int turned = round / count % 2 ? count - 1 - place : place, which = (turned + round) % count;
            took[which] = run(commands[which], text, length);
        }
        for (int i = 0; i < count; i++)
            printf("%lld%c", took[i], i + 1 < count ? ' ' : '\n');
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
