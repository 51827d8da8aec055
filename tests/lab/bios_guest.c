/* A guest that needs nothing but a BIOS: it tells on its serial port what it sees of its context CD-ROM.
 *
 * Linux does not boot as a fully virtualised guest of an emulated Xen, and a BIOS does not read a medium that was
 * changed. So this program talks to the drive itself, the master on the second IDE channel (hdc): it sends ATAPI packets
 * by programmed I/O. It reads the disc twice a second, and tells in guest.c's words (booted, context, no disc,
 * unreadable, event media-change) what is new. An event is the drive's own report: unit attention, the medium may have changed.
 *
 * Built for real mode (see bios_guest.py) with everything below 64 KiB; bios_guest.S loads it.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;

enum {
    DATA = 0x170, COUNT_LOW = 0x174, COUNT_HIGH = 0x175, DRIVE = 0x176, COMMAND = 0x177, CONTROL = 0x376,
    BUSY = 0x80, WANTS_DATA = 0x08, FAILED = 0x01,
    SERIAL = 0x3f8, SECTOR = 2048, LINE = 512,
    TEST_UNIT_READY = 0x00, REQUEST_SENSE = 0x03, READ = 0x28,
    NO_MEDIUM = 0x3a, MEDIUM_CHANGED = 0x28,
};

static u8 sector[SECTOR];
static char line[LINE], last[LINE];
static int length;

static void out8(u16 port, u8 value) { __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
static u8 in8(u16 port) { u8 value; __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port)); return value; }
static void out16(u16 port, u16 value) { __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port)); }
static void in16s(u16 port, void *to, u32 count)
{
    __asm__ volatile("cld; rep insw" : "+D"(to), "+c"(count) : "d"(port) : "memory");
}

/* Time since our start, in ticks of the BIOS, which counts 18.2 a second from midnight on. */
static u32 ticks(void)
{
    static u32 passed, seen;
    u32 now = *(volatile u32 *)0x46c;

    if (seen && now > seen)
        passed += now - seen;
    seen = now;
    return passed;
}

static void say(const char *text)
{
    while (*text) {
        while (!(in8(SERIAL + 5) & 0x20))
            ;
        out8(SERIAL, *text++);
    }
}

static void say_number(u32 number, int digits)
{
    char text[12], *at = text + sizeof text - 1;

    *at = 0;
    do
        *--at = '0' + number % 10, number /= 10, digits--;
    while (number || digits > 0);
    say(at);
}

static void tell(const char *text)
{
    u32 milliseconds = ticks() * 55;

    say_number(milliseconds / 1000, 1), say("."), say_number(milliseconds % 1000, 3), say(" ");
    say(text), say("\r\n");
}

static void add(const char *text)
{
    while (*text && length < LINE - 1)
        line[length++] = *text++;
    line[length] = 0;
}

/* Sends a packet and takes what it answers into `sector`; whether the drive was content. */
static int packet(u8 operation, u32 block, u8 count)
{
    u8 command[12] = { operation, 0, block >> 24, block >> 16, block >> 8, block, 0, 0, count, 0, 0, 0 };
    u8 status;
    u32 got = 0;

    if (operation == REQUEST_SENSE)
        command[4] = count, command[8] = 0;
    while (in8(COMMAND) & BUSY)
        ;
    out8(DRIVE, 0xa0);
    out8(DATA + 1, 0), out8(COUNT_LOW, (u8)SECTOR), out8(COUNT_HIGH, SECTOR >> 8);
    out8(COMMAND, 0xa0);
    while (((status = in8(COMMAND)) & BUSY) || !(status & (WANTS_DATA | FAILED)))
        ;
    if (status & FAILED)
        return 0;
    for (int i = 0; i < 12; i += 2)
        out16(DATA, command[i] | command[i + 1] << 8);
    for (;;) {
        in8(CONTROL); /* the status is valid 400 ns after the packet: the time of a read */
        while ((status = in8(COMMAND)) & BUSY)
            ;
        if (status & FAILED)
            return 0;
        if (!(status & WANTS_DATA))
            return 1;
        u32 words = ((in8(COUNT_LOW) | in8(COUNT_HIGH) << 8) + 1) / 2;
        if (got + 2 * words > sizeof sector)
            return 0;
        in16s(DATA, sector + got, words);
        got += 2 * words;
    }
}

/* What was wrong with the last packet: the additional sense code. */
static u8 sense(void) { return packet(REQUEST_SENSE, 0, 18) ? sector[12] : 0xff; }

static int read_block(u32 block) { return packet(READ, block, 1); }

static u32 number_at(const u8 *at) { return at[0] | at[1] << 8 | at[2] << 16 | (u32)at[3] << 24; }

static int begins(const u8 *text, const char *with)
{
    while (*with)
        if (*text++ != (u8)*with++)
            return 0;
    return 1;
}

/* Reads the first block of a file whose name in the root directory begins so, as a text; 0 if that fails. */
static int read_file(const char *name)
{
    u32 block, size;

    if (!read_block(16) || !begins(sector + 1, "CD001"))
        return 0;
    if (!read_block(number_at(sector + 158)))
        return 0;
    for (u32 at = 0; at < SECTOR - 33 && sector[at]; at += sector[at]) {
        if (begins(sector + at + 33, name)) {
            block = number_at(sector + at + 2), size = number_at(sector + at + 10);
            if (!read_block(block))
                return 0;
            sector[size < SECTOR ? size : SECTOR - 1] = 0;
            return 1;
        }
    }
    return 0;
}

/* Adds " key=value" from one line of JSON in `sector`, unquoted; "-" if there is none. */
static void add_value(const char *key)
{
    const u8 *at = sector;
    char text[2] = { 0, 0 };

    add(" "), add(key), add("=");
    for (; *at; at++) {
        const u8 *after = at + 1;
        for (const char *rest = key; *rest && *after == (u8)*rest; rest++)
            after++;
        if (at[0] == '"' && begins(at + 1, key) && *after == '"') {
            for (at = after + 1; *at == ':' || *at == ' ' || *at == '"' || *at == '\n'; at++)
                ;
            for (; *at && *at != '"' && *at != ',' && *at != '}' && *at != '\n'; at++)
                text[0] = *at, add(text);
            return;
        }
    }
    add("-");
}

/* What is on the disc as a line; whether it could be read. */
static int describe(void)
{
    length = 0;
    if (!packet(TEST_UNIT_READY, 0, 0) || !read_file("RECONTEX"))
        return 0;
    add("context"), add_value("generation"), add_value("reason"), add_value("host"), add(" text=");
    if (!read_file("ENDPOINT"))
        return 0;
    for (u8 *at = sector; *at; at++)
        if (*at < ' ')
            *at = 0;
    add((const char *)sector);
    return 1;
}

static void look(void)
{
    if (!describe()) {
        u8 why = sense();
        length = 0;
        if (why == MEDIUM_CHANGED)
            tell("event media-change");
        add(why == NO_MEDIUM ? "no disc" : "unreadable");
        /* What else a drive has to say, it says once: it may be ready at the next look. */
        if (why != NO_MEDIUM && why != 0)
            return;
    }
    for (int i = 0; i <= length; i++) {
        if (line[i] != last[i]) {
            for (int j = 0; j <= length; j++)
                last[j] = line[j];
            tell(line);
            return;
        }
    }
}

void tell_for_ever(void)
{
    out8(CONTROL, 2); /* no interrupts: we look ourselves */
    tell("booted mode=poll");
    for (u32 next = ticks();;) {
        look();
        next += 9;
        while ((int)(next - ticks()) > 0)
            __asm__ volatile("sti; hlt");
    }
}
