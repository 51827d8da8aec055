/* The test guest's only program: PID 1 of an initramfs without anything else.
 *
 * It tells on the serial console, one line per happening and with the seconds since boot, what a guest sees of its
 * context CD-ROM. It reacts as a distribution's udev does: it opens the drive at each media-change event (else the
 * kernel sends no second one) and lets go of the disc when the drive asks. guest.py parses these lines:
 *
 *     1.234 booted mode=poll
 *     1.250 context generation=… reason=… host=… text=<the whole file, line breaks as \n>
 *     1.250 no disc
 *     1.250 unreadable: <why>
 *     1.250 event media-change            1.250 event eject-request
 *     1.250 probed                        (mode=probe)
 *     1.250 held generation=… …           (mode=hold: what the mount that never lets go still shows)
 *     1.250 medium <volume label> <volume date>   (mode=hold: read past that mount, from the disc itself)
 *
 * A state is told when it differs from the one told last; an event always.
 *
 * The kernel hands unknown key=value words of its command line to init as its environment:
 *     guest_mode=poll   reads the disc at boot, after each event and every half second (default)
 *     guest_mode=event  reads it at boot, after each event, and when the drive comes or goes only
 *     guest_mode=hold   mounts it at boot, never lets go and ignores eject requests
 *     guest_mode=probe  never mounts it, but looks at boot and after each event for what it may hold, as udev does
 *     guest_file=/path  the file that is told as text
 *     guest_poll=500    the kernel's polling interval for media events in milliseconds (systemd sets 2000)
 *     guest_label=LABEL not the first drive, but the one whose disc has this volume label, whenever there is one
 *
 * Where guest_network is beside it, that runs as well.
 *
 * Each look mounts and unmounts the disc. The last close of a block device drops its page cache, so a look really
 * reads the drive and cannot return what an earlier disc left in memory.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/cdrom.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 8192, TEXT = 2048, TICK_MS = 500, SECTOR = 2048, VOLUME_DESCRIPTOR = 16 * SECTOR };

static const char *drive = "/dev/sr0", *mode = "poll", *file = "/endpoint", *label;

/* One line, in one write, so that the kernel's own messages never cut it in two. */
static void tell(const char *format, ...)
{
    char line[LINE];
    struct timespec now;
    va_list values;

    clock_gettime(CLOCK_BOOTTIME, &now);
    int length = snprintf(line, sizeof line, "%ld.%03ld ", (long)now.tv_sec, now.tv_nsec / 1000000);
    va_start(values, format);
    length += vsnprintf(line + length, sizeof line - length - 1, format, values);
    va_end(values);
    if (length > (int)sizeof line - 2)
        length = sizeof line - 2;
    line[length++] = '\n';
    if (write(STDOUT_FILENO, line, length) < 0)
        pause();
}

/* Tells a state unless it is the one told last of its kind. */
static void tell_if_new(char *last, const char *state)
{
    if (strcmp(last, state) == 0)
        return;
    strcpy(last, state);
    tell("%s", state);
}

static void put(const char *path, const char *value)
{
    int fd = open(path, O_WRONLY);
    if (fd < 0 || write(fd, value, strlen(value)) < 0)
        tell("cannot set %s: %s", path, strerror(errno));
    close(fd);
}

/* Loads /modules/NN-name.ko in the order of their numbers. */
static void load_modules(void)
{
    struct dirent **entries;
    char path[512];
    int count = scandir("/modules", &entries, NULL, alphasort);

    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/modules/%s", entries[i]->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (syscall(SYS_finit_module, fd, "", 0) != 0)
            tell("cannot load %s: %s", path, strerror(errno));
        close(fd);
    }
}

/* The value of a top-level key in one line of JSON, unquoted; "-" if there is none. */
static void json_value(const char *json, const char *key, char *value, size_t size)
{
    char quoted[64];
    size_t length = 0;

    snprintf(quoted, sizeof quoted, "\"%s\"", key);
    const char *at = strstr(json, quoted);
    if (at != NULL) {
        at += strlen(quoted);
        at += strspn(at, " \t\n:\"");
        length = strcspn(at, ",}\"\n");
    }
    if (at == NULL || length == 0)
        at = "-", length = 1;
    snprintf(value, size, "%.*s", (int)length, at);
}

/* Reads from the start of an open file as much as fits; 0 or a negative errno. */
static int read_text(int fd, char *text, size_t size)
{
    if (fd < 0)
        return -errno;
    ssize_t length = pread(fd, text, size - 1, 0);
    if (length < 0)
        return -errno;
    text[length] = '\0';
    return 0;
}

/* One line that says what the two open files, on the disc, hold. */
static void describe(const char *kind, int text_fd, int recontext_fd, char *state)
{
    char text[TEXT], json[TEXT] = "", escaped[2 * TEXT], generation[128], reason[64], host[256], *out = escaped;
    int failed = read_text(text_fd, text, sizeof text);

    if (failed) {
        snprintf(state, LINE, "unreadable: %s: %s", file, strerror(-failed));
        return;
    }
    if (read_text(recontext_fd, json, sizeof json) != 0)
        json[0] = '\0';
    json_value(json, "generation", generation, sizeof generation);
    json_value(json, "reason", reason, sizeof reason);
    json_value(json, "host", host, sizeof host);
    for (size_t end = strlen(text); end > 0 && text[end - 1] == '\n'; end--)
        text[end - 1] = '\0';
    for (const char *in = text; *in; in++) {
        if (*in == '\n')
            *out++ = '\\', *out++ = 'n';
        else
            *out++ = (unsigned char)*in < ' ' ? '?' : *in;
    }
    *out = '\0';
    snprintf(state, LINE, "%s generation=%s reason=%s host=%s text=%s", kind, generation, reason, host, escaped);
}

static int on_disc(const char *path)
{
    char full[512];
    snprintf(full, sizeof full, "/disc%s", path);
    return open(full, O_RDONLY | O_CLOEXEC);
}

/* Whether the disc in a drive has the volume label that is wanted, which is padded with spaces to 32 characters. */
static int has_label(const char *path)
{
    char found[32 + 1] = "", padded[32 + 1];
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return 0;
    snprintf(padded, sizeof padded, "%-32s", label);
    ssize_t length = pread(fd, found, 32, VOLUME_DESCRIPTOR + 40);
    close(fd);
    return length == 32 && strcmp(found, padded) == 0;
}

/* Looks for the drive with the label that is wanted; 0 if there is none. */
static int find_drive(void)
{
    static const char *const names[] = { "/dev/sr0", "/dev/sr1", "/dev/sr2", "/dev/sr3" };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (has_label(names[i])) {
            drive = names[i];
            return 1;
        }
    }
    return 0;
}

/* Mounts the disc; 0 or -1 with errno. A disc that is just being changed cannot be read for a moment: that is not told. */
static int mount_disc(void)
{
    for (int attempt = 0; mount(drive, "/disc", "iso9660", MS_RDONLY, NULL) != 0; attempt++) {
        if (errno == ENOMEDIUM || attempt == 5)
            return -1;
        usleep(50000);
    }
    return 0;
}

/* Mounts, reads and unmounts. */
static void read_disc(char *state)
{
    if (label != NULL && !find_drive()) {
        strcpy(state, "no disc");
        return;
    }
    if (mount_disc() != 0) {
        if (errno == ENOMEDIUM || errno == ENXIO || errno == ENOENT)
            strcpy(state, "no disc");
        else
            snprintf(state, LINE, "unreadable: %s", strerror(errno));
        return;
    }
    int text = on_disc(file), recontext = on_disc("/recontext.json");
    describe("context", text, recontext, state);
    close(text);
    close(recontext);
    umount2("/disc", 0);
}

/* Keeps the text that was read for guest_network, whole whenever it looks. */
static void keep(const char *state)
{
    const char *text = strstr(state, " text=");
    int fd = text != NULL ? open("/text.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644) : -1;

    if (fd >= 0) {
        dprintf(fd, "%s\n", text + strlen(" text="));
        close(fd);
        rename("/text.new", "/text");
    }
}

/* Reads, and tells what is new. A reading during which the VM moves may have begun on one host and ended on the other; so
 * what is new is only told when a second reading says the same. */
static void look(void)
{
    static char last[LINE];
    char state[LINE], again[LINE];

    read_disc(state);
    for (int attempt = 0; strcmp(state, last) != 0 && attempt < 10; attempt++) {
        read_disc(again);
        if (strcmp(again, state) == 0)
            break;
        strcpy(state, again);
    }
    if (strcmp(state, last) != 0)
        keep(state);
    tell_if_new(last, state);
}

/* The look of a guest that has the disc mounted for ever. */
static void look_held(int text, int recontext)
{
    static char last_held[LINE], last_medium[LINE];
    static char sector[SECTOR] __attribute__((aligned(SECTOR)));
    char state[LINE];

    describe("held", text, recontext, state);
    tell_if_new(last_held, state);

    int fd = open(drive, O_RDONLY | O_NONBLOCK | O_DIRECT | O_CLOEXEC);
    if (fd < 0 || pread(fd, sector, SECTOR, VOLUME_DESCRIPTOR) != SECTOR)
        snprintf(state, sizeof state, "medium unreadable: %s", strerror(errno));
    else
        snprintf(state, sizeof state, "medium %.32s %.16s", sector + 40, sector + 813);
    close(fd);
    tell_if_new(last_medium, state);
}

/* Reads what blkid does of a disc of a mebibyte: pages, each by itself. */
static void probe(void)
{
    static const int pages[] = { 0, 3, 1, 4, 8, 16, 32, 64, 128, 7, 15, 2, 9, 10 };
    char page[4096];
    int fd = open(drive, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

    posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
        if (pread(fd, page, sizeof page, pages[i] * (off_t)sizeof page) < 0)
            break;
    close(fd);
    tell("probed");
}

/* What udev does on DISK_EJECT_REQUEST, by cdrom_id --eject-media. */
static void let_go(void)
{
    int fd = open(drive, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (ioctl(fd, CDROM_LOCKDOOR, 0) != 0 || ioctl(fd, CDROMEJECT, 0) != 0)
        tell("cannot eject: %s", strerror(errno));
    close(fd);
}

static int listen_to_kernel(void)
{
    struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = 1 };
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0)
        tell("cannot hear events: %s", strerror(errno));
    return fd;
}

/* Whether a kernel event, a row of NUL-terminated words, has this word. */
static int says(const char *event, ssize_t length, const char *word)
{
    for (const char *at = event; at < event + length; at += strlen(at) + 1)
        if (strcmp(at, word) == 0)
            return 1;
    return 0;
}

/* Takes the next event; says whether the disc is worth a look. */
static int take_event(int events)
{
    char event[LINE];
    ssize_t length = recv(events, event, sizeof event - 1, MSG_DONTWAIT);
    if (length <= 0)
        return 0;
    event[length] = '\0';
    if (says(event, length, "DISK_EJECT_REQUEST=1")) {
        tell("event eject-request");
        if (strcmp(mode, "hold") != 0)
            let_go();
    }
    /* A drive that has been plugged in, perhaps with a disc in it, or taken away. */
    if (says(event, length, "DEVNAME=sr0") && (says(event, length, "ACTION=add") || says(event, length, "ACTION=remove")))
        return 1;
    if (!says(event, length, "DISK_MEDIA_CHANGE=1"))
        return 0;
    tell("event media-change");
    return 1;
}

static const char *from_environment(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value != NULL ? value : otherwise;
}

static int64_t milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/* Drives appear some moments after their drivers are loaded; a USB drive of QEMU's is a disk to the guest, and Xen's too. */
static void await_drive(void)
{
    static const char *const names[] = { "/dev/sr0", "/dev/sda", "/dev/xvdc" };

    for (int64_t end = milliseconds() + 10000; milliseconds() < end; usleep(20000)) {
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            if (access(names[i], F_OK) == 0) {
                drive = names[i];
                return;
            }
        }
    }
    tell("no drive");
}

/* Takes the events that the drive's own appearance caused, so that each one told has a cause outside. The kernel sends
 * them no later than at the first open. */
static void settle(int events)
{
    char event[LINE];
    close(open(drive, O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    while (recv(events, event, sizeof event, MSG_DONTWAIT) > 0)
        ;
}

/* What the initramfs of guests with a network has beside this program, see guest_network. */
static void start_network(void)
{
    if (access("/network", X_OK) == 0 && fork() == 0) {
        execl("/network", "/network", NULL);
        tell("cannot run /network: %s", strerror(errno));
        _exit(1);
    }
}

int main(void)
{
    mkdir("/dev", 0755), mkdir("/proc", 0755), mkdir("/sys", 0755), mkdir("/disc", 0755);
    mount("dev", "/dev", "devtmpfs", 0, NULL);
    mount("proc", "/proc", "proc", 0, NULL);
    mount("sys", "/sys", "sysfs", 0, NULL);
    mode = from_environment("guest_mode", mode);
    file = from_environment("guest_file", file);
    label = getenv("guest_label");

    put("/sys/module/block/parameters/events_dfl_poll_msecs", from_environment("guest_poll", "500"));
    int events = listen_to_kernel();
    load_modules();
    if (access("/proc/sys/dev/cdrom/autoclose", F_OK) == 0)
        put("/proc/sys/dev/cdrom/autoclose", "0"); /* or a look could shut the tray while the host changes the disc */
    if (strcmp(from_environment("guest_drive", "yes"), "no") != 0)
        await_drive(), settle(events);
    tell("booted mode=%s", mode);
    start_network();

    int text = -1, recontext = -1, hold = strcmp(mode, "hold") == 0, polls = strcmp(mode, "poll") == 0;
    if (hold) {
        if (mount_disc() != 0)
            tell("cannot hold: %s", strerror(errno));
        text = on_disc(file), recontext = on_disc("/recontext.json");
    }

    int worth_a_look = 1;
    for (int64_t next = milliseconds();;) {
        if (milliseconds() >= next) {
            next = milliseconds() + TICK_MS;
            worth_a_look |= polls | hold;
        }
        if (worth_a_look && hold)
            look_held(text, recontext);
        else if (worth_a_look && strcmp(mode, "probe") == 0)
            probe();
        else if (worth_a_look)
            look();
        int64_t rest = next - milliseconds();
        struct pollfd waiting = { .fd = events, .events = POLLIN };
        worth_a_look = poll(&waiting, 1, rest > 0 ? (int)rest : 0) > 0 && take_event(events);
    }
}
