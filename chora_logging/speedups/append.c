/* Appends one line to the live file, if nothing stands in the way.

   Does: `AppendingHandler._append_fast` of appending.py in four system calls. Lock the file, look whether
   its name still stands for it, write, unlock.
   Leaves to Python: a lock that is held, a file that was moved or replaced, a rotation, a half line before,
   a disk that is full, streams that are no regular files.

   The interpreter lock: kept while the calls take a microsecond or two. A thread that gives it away among
   others that want it has it back after 5 ms, or after a switch of threads that costs more than the whole
   record. After a call that took long it is given away for a while, and always where a call may take for
   ever, on a network or in a FUSE program, which may be this very process.
   References: the name's bytes are held, for other threads may close the file while the lock is away.
   Signals: no Python runs here, so no signal handler and no garbage collector comes in between; no call
   waits for anybody. */

#include "speedups.h"

#include <structmember.h>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#endif

/* What is known of a live file; live_file.py fills it in. */
typedef struct {
    PyObject_HEAD
    PyObject *name;                       /* bytes */
    int fd;
    unsigned long long inode, device;
    long long links, end;
    int locality;                            /* 0 while it is not known what it is on, then one of the below */
    double slow_until;                    /* of the monotonic clock */
} Appender;

enum { LOCAL_FS = 1, OTHER_FS };

/* An append that took longer than this, in seconds, says that the disk is slow now, for this times as long.
   Threads wait for each other as long anyway: it is the interpreter's switch interval. */
#define SLOW_SECONDS 0.005
#define SLOW_FACTOR 10

static double
monotonic(void)
{
    struct timespec now;

    return clock_gettime(CLOCK_MONOTONIC, &now) == 0 ? (double)now.tv_sec + (double)now.tv_nsec * 1e-9 : 0.0;
}

/* Whether the file is on a file system of this machine's memory or disks. */
static int
is_local(Appender *self)
{
#ifdef __linux__
    static const unsigned long known[] = {
        0xEF53 /* ext2 to ext4 */, 0x58465342 /* xfs */, 0x9123683E /* btrfs */, 0xF2F52010 /* f2fs */,
        0x2FC12FC1 /* zfs */, 0x01021994 /* tmpfs */, 0x794C7630 /* overlayfs */};
    struct statfs found;

    if (self->locality == 0) {
        self->locality = OTHER_FS;
        if (fstatfs(self->fd, &found) == 0)
            for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
                if ((unsigned long)found.f_type == known[i])
                    self->locality = LOCAL_FS;
    }
    return self->locality == LOCAL_FS;
#else
    (void)self;
    return 0;
#endif
}

/* What the file's name stands for just now. */
typedef struct {
    unsigned long long inode, device;
    long long links, size;
} FileState;

/* 1: seen; 0: there is nothing to be seen.

   The times are not asked for. From Linux 6.13 on a file whose times somebody has looked at is given new,
   finer ones by its next write (kernel.org, "Multigrain Timestamps"), and that is to be journalled. */
static int
read_state(const char *name, FileState *seen)
{
#ifdef STATX_INO
    struct statx found;

    if (statx(AT_FDCWD, name, 0, STATX_INO | STATX_NLINK | STATX_SIZE, &found) != 0)
        return 0;
    *seen = (FileState){found.stx_ino, makedev(found.stx_dev_major, found.stx_dev_minor), found.stx_nlink,
                   (long long)found.stx_size};
#else
    struct stat found;

    if (stat(name, &found) != 0)
        return 0;
    *seen = (FileState){found.st_ino, (unsigned long long)found.st_dev, (long long)found.st_nlink,
                   (long long)found.st_size};
#endif
    return 1;
}

/* Whether the file may get so many bytes more: it is the one that its name stands for, it stays below the
   limit, and where somebody else has written last, that line is whole. */
static int
may_append(const Appender *self, const FileState *seen, Py_ssize_t length, long long limit)
{
    char last;

    return seen->inode == self->inode && seen->device == self->device && seen->links == self->links
           && seen->size < limit - length
           && (seen->size == self->end || seen->size == 0
               || (pread(self->fd, &last, 1, seen->size - 1) == 1 && last == '\n'));
}

/* Write all the bytes or none. */
static int
write_whole(int fd, const char *bytes, Py_ssize_t length, long long size)
{
    Py_ssize_t written = write(fd, bytes, (size_t)length);
    struct stat after;

    /* The disk is full: Python tries again, and hears the reason. */
    if (written > 0 && written < length && fstat(fd, &after) == 0 && after.st_size == size + written
        && ftruncate(fd, size) != 0)
        return 0;                         /* a half line, as after a crash: it will be mended */
    return written == length;
}

int
append_bytes(PyObject *appender, const char *bytes, Py_ssize_t length, long long limit)
{
    Appender *self = (Appender *)appender;
    PyObject *name = self->name;
    PyThreadState *given;
    double began, ended;
    FileState seen;
    int fd = self->fd, done = 0;

    if (name == NULL || !PyBytes_CheckExact(name))
        return 0;
    Py_INCREF(name);
    began = is_local(self) ? monotonic() : 0.0;
    given = began > self->slow_until ? NULL : PyEval_SaveThread();
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        done = read_state(PyBytes_AS_STRING(name), &seen) && may_append(self, &seen, length, limit)
               && write_whole(fd, bytes, length, seen.size);
        flock(fd, LOCK_UN);
    }
    ended = began > 0.0 ? monotonic() : 0.0;
    if (given != NULL)
        PyEval_RestoreThread(given);
    if (ended - began > SLOW_SECONDS)
        self->slow_until = ended + SLOW_FACTOR * (ended - began);
    if (done)
        self->end = seen.size + length;
    Py_DECREF(name);
    return done;
}

static void
appender_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    Py_XDECREF(((Appender *)self)->name);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMemberDef members[] = {
    {"name", T_OBJECT_EX, offsetof(Appender, name), 0, NULL},
    {"fd", T_INT, offsetof(Appender, fd), 0, NULL},
    {"inode", T_ULONGLONG, offsetof(Appender, inode), 0, NULL},
    {"device", T_ULONGLONG, offsetof(Appender, device), 0, NULL},
    {"links", T_LONGLONG, offsetof(Appender, links), 0, NULL},
    {"end", T_LONGLONG, offsetof(Appender, end), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "What is known of a live file."},
    {Py_tp_members, members},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, appender_dealloc},
    {0, NULL},
};

PyType_Spec appender_spec = {
    "chora_logging.speedups._speedups.Appender", sizeof(Appender), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};
