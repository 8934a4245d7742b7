/* Clocks that a test sets, for the processes that it is preloaded into. CLOCK_REALTIME and CLOCK_BOOTTIME are those of
 * the system and what a shared file says: three 64-bit numbers, nanoseconds to add to each, and the time at which the
 * first stands still (0: it does not). After a change SIGURG has the timers of a process follow, as the kernel would;
 * the monotonic clock is left as it is. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
#define TIMERS 256

static const volatile int64_t *offsets; /* wall, boot, frozen */
static struct { int clock, flags; struct itimerspec spec; } timers[TIMERS];

static int is_wall(int clock)
{
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
}

static int64_t offset_of(int clock)
{
    if (!offsets)
        return 0;
    return is_wall(clock) ? offsets[0] : clock == CLOCK_BOOTTIME ? offsets[1] : 0;
}

static void add(struct timespec *at, int64_t ns)
{
    int64_t sum = at->tv_sec * SECOND + at->tv_nsec + ns;
    if (sum < 1)
        sum = 1; /* 0 would disarm a timer */
    at->tv_sec = sum / SECOND;
    at->tv_nsec = sum % SECOND;
}

int clock_gettime(clockid_t clock, struct timespec *at)
{
    int result = syscall(SYS_clock_gettime, clock, at);
    if (result == 0 && offsets && offsets[2] && is_wall(clock)) {
        at->tv_sec = offsets[2] / SECOND;
        at->tv_nsec = offsets[2] % SECOND;
    } else if (result == 0 && offset_of(clock)) {
        add(at, offset_of(clock));
    }
    return result;
}

time_t time(time_t *where)
{
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    if (where)
        *where = at.tv_sec;
    return at.tv_sec;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

static int arm(int fd)
{
    struct itimerspec spec = timers[fd].spec;
    int armed = spec.it_value.tv_sec || spec.it_value.tv_nsec;
    if (armed && timers[fd].flags & TFD_TIMER_ABSTIME && !(timers[fd].flags & TFD_TIMER_CANCEL_ON_SET))
        add(&spec.it_value, -offset_of(timers[fd].clock));
    return syscall(SYS_timerfd_settime, fd, timers[fd].flags, &spec, NULL);
}

int timerfd_create(int clock, int flags)
{
    int fd = syscall(SYS_timerfd_create, clock, flags);
    if (fd >= 0 && fd < TIMERS) {
        timers[fd].clock = clock;
        timers[fd].flags = 0;
        timers[fd].spec = (struct itimerspec){{0, 0}, {0, 0}};
    }
    return fd;
}

int timerfd_settime(int fd, int flags, const struct itimerspec *spec, struct itimerspec *old)
{
    if (fd < 0 || fd >= TIMERS)
        return syscall(SYS_timerfd_settime, fd, flags, spec, old);
    timers[fd].flags = flags;
    timers[fd].spec = *spec;
    return arm(fd);
}

static void changed(int number)
{
    (void)number;
    for (int fd = 0; fd < TIMERS; fd++) {
        if (timers[fd].flags & TFD_TIMER_CANCEL_ON_SET) {
            struct itimerspec at_once = {{0, 0}, {0, 1}};
            syscall(SYS_timerfd_settime, fd, 0, &at_once, NULL);
        } else if (timers[fd].flags) {
            arm(fd);
        }
    }
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("TEST_CLOCK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *found = mmap(NULL, 3 * sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (found == MAP_FAILED)
        return;
    offsets = found;
    struct sigaction action = {.sa_handler = changed, .sa_flags = SA_RESTART};
    sigaction(SIGURG, &action, NULL);
}
