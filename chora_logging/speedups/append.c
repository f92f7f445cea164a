/* Appends one line to the live file in the ordinary case.

   Does: `LiveFile.append_fast` of writing/live_file.py, in five system calls. Check that the descriptor
   is still that of the file, lock it, check that its path still names it, write, unlock.
   Leaves to Python: the first line, one that is too long, a lock that stays held, a descriptor that other code
   has closed, a file that was moved or replaced, a rotation, a partial line at the end, a full disk, streams
   that are not regular files.

   GIL: released around the calls if the process has another Python thread, which must not stand still while
   a disk does. With one thread it is held, except where a call may block without end: on a network, or in a
   FUSE program, which may be this process.
   References: the path's bytes are held, because other threads may close the file while the GIL is released.
   Signals: no Python code runs here, so no signal handler and no garbage collector does. `flock` does not
   block. */

#include "speedups.h"

#include <structmember.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#endif

/* The state of a live file; writing/live_file.py fills it in. */
typedef struct {
    PyObject_HEAD
    PyObject *name;                       /* bytes */
    int fd;
    unsigned long long inode, device;
    long long links, end, mark;
    int locality;                         /* 0 while unknown, then one of the constants below */
} Appender;

enum { LOCAL_FS = 1, OTHER_FS };

/* How often a lock is tried. */
enum { LOCK_TRIES = 20 };

/* Whether the file system is one of this machine's memory or disks. */
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

/* The file that the path names now. */
typedef struct {
    unsigned long long inode, device;
    long long links, size;
} FileState;

/* Read the state of the file that a path names; 0 if there is none.

   The times are not requested. From Linux 6.13 on, after a query of a file's times its next write sets new,
   finer ones (kernel.org, "Multigrain Timestamps"), which must be journalled. */
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

/* Whether so many bytes may be appended: the path still names the file, the file stays below the limit and its
   mark, it has lost nothing, and if another writer has appended, its line is whole. */
static int
may_append(const Appender *self, const FileState *seen, Py_ssize_t length, long long limit)
{
    char last;

    return seen->inode == self->inode && seen->device == self->device && seen->links == self->links
           && seen->size < limit - length && seen->size < self->mark - length && seen->size >= self->end
           && (seen->size == self->end || (pread(self->fd, &last, 1, seen->size - 1) == 1 && last == '\n'));
}

/* Write all the bytes or none. */
static int
write_whole(int fd, const char *bytes, Py_ssize_t length)
{
    Py_ssize_t written = write(fd, bytes, (size_t)length);
    struct stat after;
    off_t end;

    /* The disk is full: Python retries, and gets the error. Nobody else has written if these bytes are last. */
    if (written > 0 && written < length && (end = lseek(fd, 0, SEEK_CUR)) >= written && fstat(fd, &after) == 0
        && after.st_size == end && ftruncate(fd, end - written) != 0)
        return 0;                         /* a partial line, as after a crash */
    return written == length;
}

/* Lock the file. Another process holds the lock for as long as it appends a line, a few microseconds, so it is
   tried again before Python waits for it, which takes ten times as long. */
static int
lock_soon(int fd)
{
    for (int tries = 1; flock(fd, LOCK_EX | LOCK_NB) != 0; tries++) {
        if (errno != EWOULDBLOCK || tries == LOCK_TRIES)
            return 0;
    }
    return 1;
}

/* Whether this is the only Python thread of the process. */
static int
is_alone(void)
{
    PyThreadState *own = PyThreadState_Get();

    return PyInterpreterState_ThreadHead(PyThreadState_GetInterpreter(own)) == own
           && PyThreadState_Next(own) == NULL;
}

int
append_bytes(PyObject *appender, const char *bytes, Py_ssize_t length, long long limit)
{
    Appender *self = (Appender *)appender;
    PyObject *name = self->name;
    PyThreadState *given;
    FileState seen;
    int fd = self->fd, done = 0;

    if (name == NULL || !PyBytes_CheckExact(name) || self->end <= 0 || length > LONGEST_LINE_BYTES)
        return 0;
    Py_INCREF(name);
    given = is_alone() && is_local(self) ? NULL : PyEval_SaveThread();
    /* The position of a description that only appends is the end of its last line. */
    if (lseek(fd, 0, SEEK_CUR) == self->end && lock_soon(fd)) {
        done = read_state(PyBytes_AS_STRING(name), &seen) && may_append(self, &seen, length, limit)
               && write_whole(fd, bytes, length);
        flock(fd, LOCK_UN);
    }
    if (given != NULL)
        PyEval_RestoreThread(given);
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
    {"mark", T_LONGLONG, offsetof(Appender, mark), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "The state of a live file."},
    {Py_tp_members, members},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, appender_dealloc},
    {0, NULL},
};

PyType_Spec appender_spec = {
    "chora_logging.speedups._speedups.Appender", sizeof(Appender), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};
