/* The compiled lanes of the steps that nearly every record takes: its making, trace id, line and append.

   Python stays the one truth. Whatever is unusual is left undone and answered with None or False, and the
   Python code that called does it: formatter.py and plans.py for a line, appending.py for the file; a record
   is then made by `logging` itself. What a lane does do is byte for byte what that code would have done
   (tests/test_speedups.py compares them).
   CHORA_LOGGING_PURE=1 in the environment leaves this module out. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#endif

#define CALLS 3
enum {
    GET_MESSAGE, FORMATTER, BYTE_FORMATTER, TERMINATOR, LOCK, ACQUIRE, RELEASE, TURN, BUSY, DEFERRED, STREAM,
    OWN_STREAM, SWIFT, LOST, MAX_BYTES, FILTERS, FILTER, EMIT, TRACE_ID, SPAN_ID, MESSAGE_ITSELF,
    RECORD_FACTORY, DUMP, SERIALIZER, TO_JSON,
    HANDLERS, PROPAGATE, PARENT,
    LOG_THREADS, LOG_PROCESSES, LOG_MULTIPROCESSING, LOG_ASYNCIO_TASKS,
    INIT, DICT, LEVEL_NAME, LEVEL_NAMES, TIME, CLOCK, START_TIME,
    NAME_ITSELF, ARGS_ITSELF, LEVELNAME, LEVELNO, CREATED_ITSELF, MSECS, SINCE_START, NAMES
};

/* Objects only: the garbage collector goes through them as through an array. */
typedef struct {
    PyObject *appender;                         /* the type */
    PyObject *os, *logging;                     /* the names of these modules */
    PyObject *call_names[CALLS], *calls[CALLS]; /* of os, and what these stood for at import */
    PyObject *record, *get_message;             /* logging.LogRecord, and its getMessage at import */
    PyObject *init, *level_name;                /* its __init__ and logging.getLevelName at import */
    PyObject *factory;                          /* make_record */
    PyObject *blank;                            /* what a record has for which nothing is gathered */
    PyObject *nowhere[3];                       /* its file, line and function, the very objects */
    PyObject *trace_filter, *trace_id;          /* TraceIdFilter; the variable of trace_context */
    PyObject *ids, *signs;                      /* what gives other ids, while one of the dicts has its key */
    PyObject *event, *dump;                     /* TelemetryEvent, and its model_dump_json at import */
    PyObject *loggers, *logger_name;            /* all loggers by name, and the name of that of events */
    PyObject *names[NAMES];
} State;

/* From Python 3.13 on records count nanoseconds. */
#if PY_VERSION_HEX >= 0x030D0000
#define IN_NANOSECONDS 1
#define CLOCK_NAME "time_ns"
#else
#define IN_NANOSECONDS 0
#define CLOCK_NAME "time"
#endif
#define OBJECTS (sizeof(State) / sizeof(PyObject *))
/* What a dict has under one of the names, borrowed. */
#define ITEM(dict, name) PyDict_GetItemWithError((dict), state->names[name])

/* Whether the instances of a type find this very object under one of the names. */
static int
finds(const State *state, PyObject *type, int name, PyObject *wanted)
{
    PyObject *found = PyType_Type.tp_getattro(type, state->names[name]);

    Py_XDECREF(found);
    return found != NULL && found == wanted;
}

static const char *const CALL_NAMES[CALLS] = {"write", "stat", "pread"};
static const char *const NAME_TEXTS[NAMES] = {
    "getMessage", "formatter", "_byte_formatter", "terminator", "lock", "acquire", "release", "_turn",
    "busy", "deferred", "stream", "_own_stream", "_swift", "_lost", "maxBytes",
    "filters", "filter", "emit", "trace_id", "span_id", "msg",
    "_logRecordFactory", "model_dump_json", "__pydantic_serializer__", "to_json",
    "handlers", "propagate", "parent",
    "logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks",
    "__init__", "__dict__", "getLevelName", "_levelToName", "time", CLOCK_NAME, "_startTime",
    "name", "args", "levelname", "levelno", "created", "msecs", "relativeCreated"};

/* ---------------------------------------------------------------- Appender: one line into a file --- */

typedef struct {
    PyObject_HEAD
    PyObject *name;                       /* the file's name, bytes */
    int fd;
    unsigned long long inode, device;
    long long links, end;
    int place;                            /* 0 while it is not known what it is on, then one of the below */
    double wary_until;                    /* of the monotonic clock */
} Appender;

enum { ON_A_DISK = 1, ELSEWHERE };

/* An append that took longer than this, in seconds, says that the disk is slow now, for this times as long.
   Threads wait for each other as long anyway: it is the interpreter's switch interval. */
#define SLOW 0.005
#define WARY 10

static double
monotonic(void)
{
    struct timespec now;

    return clock_gettime(CLOCK_MONOTONIC, &now) == 0 ? (double)now.tv_sec + (double)now.tv_nsec * 1e-9 : 0.0;
}

/* Whether the file is on a file system of this machine's memory or disks, and not on one behind which there
   is a network or a program, this very one perhaps. */
static int
is_on_a_disk(Appender *self)
{
#ifdef __linux__
    static const unsigned long known[] = {
        0xEF53 /* ext2 to ext4 */, 0x58465342 /* xfs */, 0x9123683E /* btrfs */, 0xF2F52010 /* f2fs */,
        0x2FC12FC1 /* zfs */, 0x01021994 /* tmpfs */, 0x794C7630 /* overlayfs */};
    struct statfs found;

    if (self->place == 0) {
        self->place = ELSEWHERE;
        if (fstatfs(self->fd, &found) == 0)
            for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
                if ((unsigned long)found.f_type == known[i])
                    self->place = ON_A_DISK;
    }
    return self->place == ON_A_DISK;
#else
    return 0;
#endif
}

/* What the file's name stands for just now. */
typedef struct {
    unsigned long long inode, device;
    long long links, size;
} Look;

/* 1: seen; 0: there is nothing to be seen.

   The times are not asked for. From Linux 6.13 on a file whose times somebody has looked at is given new,
   finer ones by its next write (kernel.org, "Multigrain Timestamps"), and that is to be journalled. */
static int
look(const char *name, Look *seen)
{
#ifdef STATX_INO
    struct statx found;

    if (statx(AT_FDCWD, name, 0, STATX_INO | STATX_NLINK | STATX_SIZE, &found) != 0)
        return 0;
    *seen = (Look){found.stx_ino, makedev(found.stx_dev_major, found.stx_dev_minor), found.stx_nlink,
                   (long long)found.stx_size};
#else
    struct stat found;

    if (stat(name, &found) != 0)
        return 0;
    *seen = (Look){found.st_ino, (unsigned long long)found.st_dev, found.st_nlink, found.st_size};
#endif
    return 1;
}

/* Add the bytes if nothing stands in the way. No Python runs meanwhile: neither a signal handler nor the
   garbage collector can come in between.

   The GIL is kept where the calls take a microsecond or two: a thread that gives it away among others that
   want it has it back after 5 ms, or after a switch of threads that costs more than the whole record. After
   a call that took long it is given away for a while, and always where a call may take for ever. */
static int
append_now(Appender *self, const char *bytes, Py_ssize_t length, long long limit)
{
    Look seen;
    int fd = self->fd, done = 0;
    PyObject *held = Py_NewRef(self->name);
    const char *name = PyBytes_AS_STRING(held);
    double began = is_on_a_disk(self) ? monotonic() : 0.0, ended;
    PyThreadState *given = began > self->wary_until ? NULL : PyEval_SaveThread();

    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        char last = '\n';
        if (look(name, &seen)
            && seen.inode == self->inode && seen.device == self->device && seen.links == self->links
            && seen.size < limit - length
            /* where somebody else has written: the line before must be whole */
            && (seen.size == self->end || seen.size == 0
                || (pread(fd, &last, 1, seen.size - 1) == 1 && last == '\n'))) {
            Py_ssize_t written = write(fd, bytes, (size_t)length);
            done = written == length;
            if (written > 0 && !done) {
                struct stat after;        /* a full disk: the caller tries again, and hears the reason */
                if (fstat(fd, &after) == 0 && after.st_size == seen.size + written
                    && ftruncate(fd, seen.size) != 0)
                    done = 0;             /* a half line, as after a crash: it will be mended */
            }
        }
        flock(fd, LOCK_UN);
    }
    ended = began > 0.0 ? monotonic() : 0.0;
    if (given != NULL)
        PyEval_RestoreThread(given);
    if (ended - began > SLOW)
        self->wary_until = ended + WARY * (ended - began);
    Py_DECREF(held);
    if (done)
        self->end = seen.size + length;
    return done;
}

static int
appender_traverse(Appender *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->name);
    return 0;
}

static int
appender_clear(Appender *self)
{
    Py_CLEAR(self->name);
    return 0;
}

static void
appender_dealloc(Appender *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    appender_clear(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyMemberDef appender_members[] = {
    {"name", T_OBJECT_EX, offsetof(Appender, name), 0, NULL},
    {"fd", T_INT, offsetof(Appender, fd), 0, NULL},
    {"inode", T_ULONGLONG, offsetof(Appender, inode), 0, NULL},
    {"device", T_ULONGLONG, offsetof(Appender, device), 0, NULL},
    {"links", T_LONGLONG, offsetof(Appender, links), 0, NULL},
    {"end", T_LONGLONG, offsetof(Appender, end), 0, NULL},
    {NULL},
};

static PyType_Slot appender_slots[] = {
    {Py_tp_doc, "What is known of a live file."},
    {Py_tp_members, appender_members},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_traverse, appender_traverse},
    {Py_tp_clear, appender_clear},
    {Py_tp_dealloc, appender_dealloc},
    {0, NULL},
};

static PyType_Spec appender_spec = {
    "chora_logging.speedups._speedups.Appender", sizeof(Appender), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, appender_slots};

/* ------------------------------------------------------------------- LineWriter: a record as a line --- */

#define MOST 64           /* attributes of a record */
#define SLOTS 1024        /* for twice the plans that plans.py remembers */
#define FIRST_HASH ((Py_uhash_t)14695981039346656037ULL)
#define STAMP (-1)
#define MESSAGE (-2)
#define CONSTANT (-3)

/* What of a record is looked at; `where` says at which place. */
enum { NAME, MSG, ARGS, EXC_INFO, EXC_TEXT, STACK_INFO, CREATED, LOOKED_AT };
static const char *const LOOKED[LOOKED_AT] = {
    "name", "msg", "args", "exc_info", "exc_text", "stack_info", "created"};

typedef struct {
    PyObject *key;        /* `,"name":` as bytes; of a constant with its value */
    int source;           /* the place of the value among the attributes, or one of the above */
    int optional;         /* left out when it is None */
} Part;

typedef struct {
    int users;            /* a record in the middle of its line may be what makes all plans be forgotten */
    PyObject *names;      /* the names of the attributes, a tuple */
    Py_uhash_t hash;
    int special;
    int count;
    Part parts[];
} Plan;

typedef struct {
    PyObject_HEAD
    PyObject *standard;   /* the names of the attributes that every record has, in their order */
    PyObject *special;    /* the name of the logger whose records are laid out in their own way */
    PyObject *encode, *clock;
    int rfc3339;          /* whether the clock gives texts of 27 characters */
    Py_ssize_t max_bytes;
    int where[LOOKED_AT];
    int count;
    Plan *plans[SLOTS];
    double second;        /* the second of `text`, NaN before the first record */
    char text[20];
} LineWriter;

/* A line in the making: on the stack while it is short. */
typedef struct {
    char *start, *at, *end;
    char first[2048];
} Buffer;

/* Make room for so many bytes more; twice the size, so that a long line is not moved for each part. */
static int
buffer_grow(Buffer *b, Py_ssize_t more)
{
    size_t used = (size_t)(b->at - b->start), size = (size_t)(b->end - b->start);
    char *start;

    if ((size_t)more > (size_t)PY_SSIZE_T_MAX / 4 || used > (size_t)PY_SSIZE_T_MAX / 4) {
        PyErr_NoMemory();
        return -1;
    }
    size = size * 2 > used + (size_t)more ? size * 2 : used + (size_t)more;
    start = PyMem_Realloc(b->start == b->first ? NULL : b->start, size);
    if (start == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (b->start == b->first)
        memcpy(start, b->first, used);
    b->start = start;
    b->at = start + used;
    b->end = start + size;
    return 0;
}

static void
buffer_start(Buffer *b)
{
    b->start = b->at = b->first;
    b->end = b->first + sizeof(b->first);
}

static void
buffer_leave(Buffer *b)
{
    if (b->start != b->first)
        PyMem_Free(b->start);
}

#define ROOM(b, more) ((b)->end - (b)->at >= (more) ? 0 : buffer_grow((b), (more)))

static int
put_bytes(Buffer *b, const char *bytes, Py_ssize_t length)
{
    if (ROOM(b, length) < 0)
        return -1;
    memcpy(b->at, bytes, (size_t)length);
    b->at += length;
    return 0;
}

/* How a byte stands in a JSON text: 0 as it is, 'u' as \u00XX, else after a backslash. */
static const char ESCAPED[256] = {
    'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'b', 't', 'n', 'u', 'f', 'r', 'u', 'u',
    'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u',
    ['"'] = '"', ['\\'] = '\\',
};

/* A text as JSON has it: between quotation marks, in UTF-8, escaped where it must be. */
static int
put_text(Buffer *b, PyObject *text)
{
    static const char hex[] = "0123456789abcdef";
    Py_ssize_t length;
    const char *bytes, *stop;

    if (PyUnicode_IS_COMPACT_ASCII(text)) {
        bytes = (const char *)PyUnicode_1BYTE_DATA(text);
        length = PyUnicode_GET_LENGTH(text);
    }
    else if ((bytes = PyUnicode_AsUTF8AndSize(text, &length)) == NULL)
        return -1;
    if (length > PY_SSIZE_T_MAX / 8) {
        PyErr_NoMemory();
        return -1;
    }
    if (ROOM(b, length + 2) < 0)
        return -1;
    *b->at++ = '"';
    for (stop = bytes + length; bytes < stop;) {
        const char *run = bytes;
        char how = 0;
        while (bytes < stop && !(how = ESCAPED[(unsigned char)*bytes]))
            bytes++;
        if (bytes > run && put_bytes(b, run, bytes - run) < 0)
            return -1;
        if (bytes == stop)
            break;
        if (ROOM(b, 6) < 0)
            return -1;
        *b->at++ = '\\';
        *b->at++ = how;
        if (how == 'u') {
            *b->at++ = '0';
            *b->at++ = '0';
            *b->at++ = hex[(unsigned char)*bytes >> 4];
            *b->at++ = hex[*bytes & 15];
        }
        bytes++;
    }
    return put_bytes(b, "\"", 1);
}

static int
put_integer(Buffer *b, long long value)
{
    char digits[24], *at = digits + sizeof(digits);
    unsigned long long rest = value < 0 ? 0ULL - (unsigned long long)value : (unsigned long long)value;

    do
        *--at = (char)('0' + rest % 10);
    while (rest /= 10);
    if (value < 0)
        *--at = '-';
    return put_bytes(b, at, digits + sizeof(digits) - at);
}

/* Whether JSON has no object in it, and not so many arrays that they could nest too deep (encoding.DEPTH). */
static int
is_shallow(const char *at, Py_ssize_t length)
{
    const char *stop = at + length;
    int left = 100;

    if (memchr(at, '{', (size_t)length) != NULL)
        return 0;
    while ((at = memchr(at, '[', (size_t)(stop - at))) != NULL && left--)
        at++;
    return at == NULL;
}

/* 1: written; 0: not for this lane; -1: an error. */
static int
put_value(LineWriter *self, Buffer *b, PyObject *value)
{
    PyObject *bytes;
    int done;

    if (PyUnicode_CheckExact(value))
        return put_text(b, value) < 0 ? -1 : 1;
    if (value == Py_None)
        return put_bytes(b, "null", 4) < 0 ? -1 : 1;
    if (value == Py_True)
        return put_bytes(b, "true", 4) < 0 ? -1 : 1;
    if (value == Py_False)
        return put_bytes(b, "false", 5) < 0 ? -1 : 1;
    if (PyLong_CheckExact(value)) {
        int overflow;
        long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
        if (!overflow)
            return put_integer(b, number) < 0 ? -1 : 1;
    }
    if ((bytes = PyObject_CallOneArg(self->encode, value)) == NULL)
        return -1;
    /* What has an object in it is refused for the reasons that a dict is: see collect. */
    done = PyBytes_CheckExact(bytes) && is_shallow(PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes));
    if (done && put_bytes(b, PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes)) < 0)
        done = -1;
    Py_DECREF(bytes);
    return done;
}

/* A number with zeros in front. */
static void
digits(char *at, int count, int value)
{
    for (; count--; value /= 10)
        at[count] = (char)('0' + value % 10);
}

/* The arithmetic is that of timestamps.rfc3339, step by step. */
static int
put_stamp(LineWriter *self, Buffer *b, PyObject *created)
{
    PyObject *text;
    int done;

    if (self->rfc3339 && PyFloat_CheckExact(created)) {
        double time = PyFloat_AS_DOUBLE(created), fraction = time - self->second;
        if (fraction >= 0.0 && fraction < 0.9999995) {
            volatile double micros = fraction * 1e6;   /* not fused with the sum on machines that could */
            if (ROOM(b, 29) < 0)
                return -1;
            b->at[0] = '"';
            memcpy(b->at + 1, self->text, 20);
            digits(b->at + 21, 6, (int)(micros + 0.5));
            b->at[27] = 'Z';
            b->at[28] = '"';
            b->at += 29;
            return 1;
        }
    }
    if ((text = PyObject_CallOneArg(self->clock, created)) == NULL)
        return -1;
    if (self->rfc3339 && PyFloat_CheckExact(created)) {
        double time = PyFloat_AS_DOUBLE(created), second = floor(time);
        if (PyUnicode_CheckExact(text) && PyUnicode_IS_COMPACT_ASCII(text)
            && PyUnicode_GET_LENGTH(text) == 27 && time - second < 0.9999995) {
            memcpy(self->text, PyUnicode_1BYTE_DATA(text), 20);
            self->second = second;
        }
    }
    done = put_value(self, b, text);
    Py_DECREF(text);
    return done;
}

/* The message: as it is, or with its arguments. */
static int
put_message(Buffer *b, PyObject *message, PyObject *args)
{
    PyObject *text;
    int done;

    if (PyTuple_GET_SIZE(args) == 0)
        return put_text(b, message) < 0 ? -1 : 1;
    if ((text = PyUnicode_Format(message, args)) == NULL)
        return -1;
    done = !PyUnicode_CheckExact(text) ? 0 : put_text(b, text) < 0 ? -1 : 1;
    Py_DECREF(text);
    return done;
}

static int
same_text(PyObject *one, PyObject *other)
{
    return one == other || PyUnicode_Compare(one, other) == 0;
}

/* FNV-1a over the hashes of names, which Python keeps with them. */
static Py_uhash_t
mixed(Py_uhash_t hash, PyObject *name)
{
    return (hash ^ (Py_uhash_t)PyObject_Hash(name)) * (Py_uhash_t)1099511628211ULL;
}

/* A plan that is in use when it is forgotten goes with its last user. */
static void
release_plan(Plan *plan)
{
    if (--plan->users)
        return;
    Py_XDECREF(plan->names);
    for (int i = 0; i < plan->count; i++)
        Py_XDECREF(plan->parts[i].key);
    PyMem_Free(plan);
}

/* The slot of a plan for these names, or the empty one where it would stand. */
static Plan **
find_plan(LineWriter *self, PyObject *const *names, Py_ssize_t count, int special, Py_uhash_t hash)
{
    for (size_t at = hash >> 7;; at++) {
        Plan **slot = &self->plans[at % SLOTS], *plan = *slot;
        Py_ssize_t i;
        if (plan == NULL)
            return slot;
        if (plan->hash != hash || plan->special != special || PyTuple_GET_SIZE(plan->names) != count)
            continue;
        for (i = PyTuple_GET_SIZE(self->standard); i < count; i++)
            if (!same_text(PyTuple_GET_ITEM(plan->names, i), names[i]))
                break;
        if (i == count)
            return slot;
    }
}

/* Whether the record is one for this lane. */
static int
is_plain(LineWriter *self, PyObject *const *values)
{
    const int *where = self->where;
    PyObject *args = values[where[ARGS]];

    return PyUnicode_CheckExact(values[where[MSG]]) && PyUnicode_CheckExact(values[where[NAME]])
           && values[where[EXC_INFO]] == Py_None && values[where[EXC_TEXT]] == Py_None
           && values[where[STACK_INFO]] == Py_None && PyTuple_CheckExact(args);
}

/* Collect names and values of a record's attributes; 0 when they are not those of an ordinary one.

   A dict may repeat a key (`{5: 1, "5": 2}`) or nest without end: Python looks at the line then. To find that
   out once the line is made takes longer than to leave it to Python from the start. */
static Py_ssize_t
collect(LineWriter *self, PyObject *attributes, PyObject **names, PyObject **values, Py_uhash_t *hash)
{
    Py_ssize_t standard = PyTuple_GET_SIZE(self->standard), count = 0, position = 0;
    PyObject *name, *value;

    *hash = FIRST_HASH;
    while (PyDict_Next(attributes, &position, &name, &value)) {
        if (count == MOST || !PyUnicode_CheckExact(name))
            return 0;
        if (count >= standard) {
            if (PyDict_Check(value))
                return 0;
            *hash = mixed(*hash, name);
        }
        else if (!same_text(name, PyTuple_GET_ITEM(self->standard, count)))
            return 0;
        names[count] = name;
        values[count++] = value;
    }
    return count < standard ? 0 : count;
}

/* Write the parts; the values are held, for what is called meanwhile may change the record. */
static int
put_parts(LineWriter *self, Buffer *b, const Plan *plan, PyObject *const *values)
{
    PyObject *args = values[self->where[ARGS]];
    int message_is_written = 0;

    for (int i = 0; i < plan->count; i++) {
        const Part *part = &plan->parts[i];
        int done = 1;
        if (part->optional && values[part->source] == Py_None)
            continue;
        if (put_bytes(b, PyBytes_AS_STRING(part->key), PyBytes_GET_SIZE(part->key)) < 0)
            return -1;
        if (part->source >= 0)
            done = put_value(self, b, values[part->source]);
        else if (part->source == STAMP)
            done = put_stamp(self, b, values[self->where[CREATED]]);
        else if (part->source == MESSAGE) {
            done = put_message(b, values[self->where[MSG]], args);
            message_is_written = 1;
        }
        if (done <= 0)
            return done;
    }
    return message_is_written || PyTuple_GET_SIZE(args) == 0;
}

/* 1: the line is in the buffer; 0: not for this lane; -1: an error. The buffer has to be left in any case. */
static int
make_line(LineWriter *self, Buffer *b, PyObject *attributes)
{
    PyObject *names[MOST], *values[MOST];
    Py_uhash_t hash;
    Py_ssize_t count;
    Plan *plan;
    int done;

    buffer_start(b);
    if (!PyDict_CheckExact(attributes) || !self->count || !self->encode || !self->clock)
        return 0;
    count = collect(self, attributes, names, values, &hash);
    if (count == 0 || !is_plain(self, values))
        return 0;
    plan = *find_plan(self, names, count, same_text(values[self->where[NAME]], self->special), hash);
    if (plan == NULL)
        return 0;
    for (Py_ssize_t i = 0; i < count; i++)
        Py_INCREF(values[i]);
    plan->users++;
    done = put_parts(self, b, plan, values);
    release_plan(plan);
    for (Py_ssize_t i = 0; i < count; i++)
        Py_DECREF(values[i]);
    if (done > 0 && put_bytes(b, "}\n", 2) < 0)
        done = -1;
    if (done > 0) {
        b->start[0] = '{';
        if (self->max_bytes && b->at - 1 - b->start > self->max_bytes)
            done = 0;
    }
    return done;
}

/* What went wrong in making a line is no answer: Python finds out what it was and keeps the rest. */
static int
is_fatal(void)
{
    if (!PyErr_Occurred() || !PyErr_ExceptionMatches(PyExc_Exception))
        return PyErr_Occurred() != NULL;
    PyErr_Clear();
    return 0;
}

static PyObject *
writer_line(LineWriter *self, PyObject *attributes)
{
    Buffer b;
    PyObject *line = NULL;

    if (make_line(self, &b, attributes) > 0)
        line = PyBytes_FromStringAndSize(b.start, b.at - 1 - b.start);
    buffer_leave(&b);
    if (line != NULL || is_fatal())
        return line;
    Py_RETURN_NONE;
}

/* --------------------------------------------------------- LineWriter: a record through its handler --- */

/* Whether the calls that are made here are those that Python would make: who has put something in their
   place (a test that has them fail, a made-up file system) is obeyed. */
static int
calls_are_the_system_s(const State *state)
{
    for (int i = 0; i < CALLS; i++)
        if (PyDict_GetItemWithError(state->os, state->call_names[i]) != state->calls[i])
            return 0;
    return 1;
}

/* Whether the record is one that `getMessage` of the standard library reads. */
static int
is_usual_record(const State *state, PyObject *record)
{
    return (PyObject *)Py_TYPE(record) == state->record
           && finds(state, state->record, GET_MESSAGE, state->get_message);
}

/* Whether a handler with these attributes has the usual formatter, end of a line and methods, and for a
   filter at most one that puts trace ids on records; `traces` says if it has that. -1: an error. */
static int
is_usual_handler(const State *state, PyObject *handler, PyObject *own, int *traces)
{
    PyObject *formatter = ITEM(own, FORMATTER), *filters, *terminator;
    int usual;

    if (formatter == NULL || formatter != ITEM(own, BYTE_FORMATTER)
        || ITEM(own, FILTER) != NULL
        || ITEM(own, EMIT) != NULL)
        return 0;
    filters = ITEM(own, FILTERS);
    if (filters == NULL || !PyList_CheckExact(filters) || PyList_GET_SIZE(filters) > 1)
        return 0;
    *traces = PyList_GET_SIZE(filters) == 1;
    if (*traces && (PyObject *)Py_TYPE(PyList_GET_ITEM(filters, 0)) != state->trace_filter)
        return 0;
    if ((terminator = PyObject_GetAttr(handler, state->names[TERMINATOR])) == NULL)
        return -1;
    usual = PyUnicode_Check(terminator) && PyUnicode_CompareWithASCIIString(terminator, "\n") == 0;
    Py_DECREF(terminator);
    return usual;
}

/* The trace id and the span id of here and now, a new pair, as `surrounding_ids` and `trace_context` say. */
static PyObject *
current_ids(const State *state)
{
    PyObject *trace_id, *ids;
    Py_ssize_t i = 0, count = PyTuple_GET_SIZE(state->signs);

    if (PyContextVar_Get(state->trace_id, NULL, &trace_id) < 0)
        return NULL;
    while (trace_id == Py_None && i < count
           && PyDict_GetItemWithError(PyTuple_GET_ITEM(state->signs, i),
                                      PyTuple_GET_ITEM(state->signs, i + 1)) == NULL)
        i += 2;
    if (trace_id == Py_None && i < count)
        ids = PyObject_CallNoArgs(state->ids);
    else
        ids = PyTuple_Pack(2, trace_id, Py_None);
    Py_DECREF(trace_id);
    if (ids != NULL && (!PyTuple_CheckExact(ids) || PyTuple_GET_SIZE(ids) != 2)) {
        PyErr_SetString(PyExc_TypeError, "ids must be a pair");
        Py_CLEAR(ids);
    }
    return ids;
}

/* Do what TraceIdFilter does. 1: done; 0: not for this lane; -1: an error. */
static int
add_trace_id(const State *state, PyObject *attributes)
{
    PyObject *message = ITEM(attributes, MESSAGE_ITSELF);
    PyObject *trace_id = ITEM(attributes, TRACE_ID), *ids, *span_id;
    int done = 0;

    if (message == NULL || !PyUnicode_CheckExact(message))
        return 0;                         /* a dict or an event may have an id of its own */
    if (trace_id != NULL && trace_id != Py_None)
        return 1;
    if ((ids = current_ids(state)) == NULL)
        return -1;
    span_id = PyTuple_GET_ITEM(ids, 1);
    if (span_id != Py_None && ITEM(attributes, SPAN_ID) == NULL)
        done = PyDict_SetItem(attributes, state->names[SPAN_ID], span_id);
    if (done == 0)
        done = PyDict_SetItem(attributes, state->names[TRACE_ID], PyTuple_GET_ITEM(ids, 0));
    Py_DECREF(ids);
    return done < 0 ? -1 : 1;
}

/* Whether nobody's record is under way or waits, as `emit` asks; the turn's lock is held. */
static int
is_idle(const State *state, PyObject *turn)
{
    PyObject *busy = PyObject_GetAttr(turn, state->names[BUSY]), *deferred;
    int idle = 0;

    if (busy == Py_False && (deferred = PyObject_GetAttr(turn, state->names[DEFERRED])) != NULL) {
        idle = PyObject_Size(deferred) == 0;
        Py_DECREF(deferred);
    }
    Py_XDECREF(busy);
    return idle;
}

/* An integer among a handler's attributes; -1 where there is none, the largest one for what is too large. */
static long long
number_of(const State *state, PyObject *own, int name)
{
    PyObject *number = ITEM(own, name);
    long long value;
    int overflow;

    if (number == NULL || !PyLong_CheckExact(number))
        return -1;
    value = PyLong_AsLongLongAndOverflow(number, &overflow);
    return overflow > 0 ? INT64_MAX : value;
}

/* Append the line if the handler is in its usual state; the turn's lock is held. */
static int
append_in_turn(const State *state, PyObject *own, PyObject *turn, const char *bytes, Py_ssize_t count)
{
    long long limit = number_of(state, own, MAX_BYTES);
    PyObject *file;
    int done = 0;

    if (limit < 0 || number_of(state, own, LOST) != 0 || !is_idle(state, turn)
        || ITEM(own, STREAM) != ITEM(own, OWN_STREAM) || (file = Py_XNewRef(ITEM(own, SWIFT))) == NULL)
        return 0;
    if (PyObject_TypeCheck(file, (PyTypeObject *)state->appender) && ((Appender *)file)->name != NULL
        && PyBytes_CheckExact(((Appender *)file)->name))
        done = append_now((Appender *)file, bytes, count, limit == 0 ? INT64_MAX : limit);
    Py_DECREF(file);
    return done;
}

/* Take the turn, append, give it back; no Python runs in between. */
static int
take_turn(const State *state, PyObject *own, const char *bytes, Py_ssize_t length)
{
    PyObject *turn = Py_XNewRef(ITEM(own, TURN));
    PyObject *lock = turn == NULL ? NULL : PyObject_GetAttr(turn, state->names[LOCK]);
    PyObject *answer = lock == NULL ? NULL : PyObject_CallMethodNoArgs(lock, state->names[ACQUIRE]);
    int done = -1;

    if (answer != NULL) {
        Py_DECREF(answer);
        done = append_in_turn(state, own, turn, bytes, length);
        if (!done)
            PyErr_Clear();
        if ((answer = PyObject_CallMethodNoArgs(lock, state->names[RELEASE])) == NULL)
            done = -1;
        Py_XDECREF(answer);
    }
    Py_XDECREF(lock);
    Py_XDECREF(turn);
    return done;
}

/* Make the line of a record with these attributes and append it. */
static int
write_record(LineWriter *self, const State *state, PyObject *own, PyObject *attributes, int traces)
{
    Buffer b;
    int done = traces ? add_trace_id(state, attributes) : 1;

    if (done <= 0)
        return done;
    done = make_line(self, &b, attributes);
    if (done > 0)
        done = take_turn(state, own, b.start, b.at - b.start);
    buffer_leave(&b);
    return done;
}

static PyObject *
writer_write(LineWriter *self, PyObject *const *args, Py_ssize_t count)
{
    const State *state = PyType_GetModuleState(Py_TYPE(self));
    PyObject *own, *attributes = NULL;
    int done = 0, traces;

    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "write(handler, record)");
        return NULL;
    }
    if (calls_are_the_system_s(state) && is_usual_record(state, args[1])
        && (own = PyObject_GenericGetDict(args[0], NULL)) != NULL) {
        if (is_usual_handler(state, args[0], own, &traces) > 0
            && (attributes = PyObject_GenericGetDict(args[1], NULL)) != NULL && PyDict_CheckExact(attributes))
            done = write_record(self, state, own, attributes, traces);
        Py_XDECREF(attributes);
        Py_DECREF(own);
    }
    if (done <= 0 && is_fatal())
        return NULL;
    return PyBool_FromLong(done > 0);
}

/* ---------------------------------------------------------- LineWriter: an event through its handler --- */

/* memmem, which POSIX does not have. */
static int
has_word(const char *at, const char *stop, const char *word)
{
    size_t length = strlen(word);

    while ((at = memchr(at, word[0], (size_t)(stop - at))) != NULL && (size_t)(stop - at) >= length) {
        if (memcmp(at, word, length) == 0)
            return 1;
        at++;
    }
    return 0;
}

/* Whether JSON is one object on one line, with nothing in it that nests, and nothing that could be NaN. */
static int
is_flat(const char *json, Py_ssize_t length)
{
    const char *stop = json + length;

    return length > 1 && json[0] == '{' && memchr(json + 1, '{', (size_t)length - 1) == NULL
           && memchr(json, '\n', (size_t)length) == NULL && !has_word(json, stop, "NaN")
           && !has_word(json, stop, "Infinity");
}

/* Whether an event's JSON is what its class's serializer gives, and no record of it could know a trace id. */
static int
is_usual_event(const State *state, PyObject *event)
{
    PyObject *factory = ITEM(state->logging, RECORD_FACTORY);

    return state->event != NULL && state->signs != NULL
           && PyObject_TypeCheck(event, (PyTypeObject *)state->event)
           && (factory == state->record || factory == state->factory)
           && finds(state, (PyObject *)Py_TYPE(event), DUMP, state->dump);
}

/* Give an event that has no trace id the one of here and now. */
static int
trace_event(const State *state, PyObject *event)
{
    PyObject *trace_id = PyObject_GenericGetAttr(event, state->names[TRACE_ID]), *ids;
    int done = trace_id == NULL ? -1 : 0;

    Py_XDECREF(trace_id);
    if (trace_id != Py_None)
        return done;
    if ((ids = current_ids(state)) == NULL)
        return -1;
    if (PyTuple_GET_ITEM(ids, 0) != Py_None)
        done = PyObject_SetAttr(event, state->names[TRACE_ID], PyTuple_GET_ITEM(ids, 0));
    Py_DECREF(ids);
    return done;
}

/* Add the JSON of an event, as `model_dump_json` makes it; 1: done; 0: not for this lane; -1: an error. */
static int
put_event(const State *state, Buffer *b, PyObject *event)
{
    PyObject *type = (PyObject *)Py_TYPE(event), *serializer, *json;
    int done = 0;

    if ((serializer = PyType_Type.tp_getattro(type, state->names[SERIALIZER])) == NULL)
        return -1;
    json = PyObject_CallMethodOneArg(serializer, state->names[TO_JSON], event);
    Py_DECREF(serializer);
    if (json == NULL)
        return -1;
    if (PyBytes_CheckExact(json) && is_flat(PyBytes_AS_STRING(json), PyBytes_GET_SIZE(json)))
        done = put_bytes(b, PyBytes_AS_STRING(json), PyBytes_GET_SIZE(json)) < 0 ? -1 : 1;
    Py_DECREF(json);
    return done;
}

/* Append the event's line to the file of a handler with these attributes. */
static int
write_event(const State *state, PyObject *own, PyObject *event)
{
    Buffer b;
    int done = trace_event(state, event);

    if (done < 0)
        return -1;
    buffer_start(&b);
    done = put_event(state, &b, event);
    if (done > 0)
        done = put_bytes(&b, "\n", 1) < 0 ? -1 : take_turn(state, own, b.start, b.at - b.start);
    buffer_leave(&b);
    return done;
}

/* Whether the attributes of a logger say that it has no handler, nor a filter if that is asked. */
static int
is_silent(const State *state, PyObject *own, int filters_too)
{
    PyObject *handlers = ITEM(own, HANDLERS), *filters;

    if (handlers == NULL || !PyList_CheckExact(handlers) || PyList_GET_SIZE(handlers) > 0)
        return 0;
    filters = filters_too ? ITEM(own, FILTERS) : NULL;
    return !filters_too
           || (filters != NULL && PyList_CheckExact(filters) && PyList_GET_SIZE(filters) == 0);
}

/* Whether the logger of events or one above it has a handler, or anything about them is unusual. */
static int
is_heard(const State *state)
{
    PyObject *logger = Py_XNewRef(PyDict_GetItemWithError(state->loggers, state->logger_name));
    int heard = 0;

    for (int first = 1; logger != Py_None && !heard; first = 0) {
        PyObject *own = logger == NULL ? NULL : PyObject_GenericGetDict(logger, NULL), *propagate;
        if (own == NULL || !is_silent(state, own, first))
            heard = 1;
        else if ((propagate = ITEM(own, PROPAGATE)) == Py_False)
            Py_SETREF(logger, Py_NewRef(Py_None));
        else if (propagate == Py_True)
            Py_XSETREF(logger, Py_XNewRef(ITEM(own, PARENT)));
        else
            heard = 1;
        Py_XDECREF(own);
    }
    Py_XDECREF(logger);
    return heard;
}

static PyObject *
writer_write_event(LineWriter *self, PyObject *const *args, Py_ssize_t count)
{
    const State *state = PyType_GetModuleState(Py_TYPE(self));
    PyObject *own;
    int done = 0, traces;

    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "write_event(handler, event)");
        return NULL;
    }
    if (calls_are_the_system_s(state) && is_usual_event(state, args[1])
        && (own = PyObject_GenericGetDict(args[0], NULL)) != NULL) {
        if (is_usual_handler(state, args[0], own, &traces) > 0 && !traces)
            done = write_event(state, own, args[1]);
        Py_DECREF(own);
    }
    if (done > 0) {
        int heard = is_heard(state);
        PyErr_Clear();
        return PyBool_FromLong(heard);
    }
    if (is_fatal())
        return NULL;
    Py_RETURN_NONE;
}

/* ------------------------------------------------------------------- LineWriter: plans, and the type --- */

/* A plan of parts, each a text, where the value after it is from, and whether both may be left out. */
static Plan *
make_plan(PyObject *names, int special, PyObject *parts)
{
    Py_ssize_t count = PyTuple_GET_SIZE(parts);
    Plan *plan = PyMem_Calloc(1, sizeof(Plan) + (size_t)count * sizeof(Part));

    if (plan == NULL)
        return (Plan *)PyErr_NoMemory();
    plan->users = 1;
    plan->names = Py_NewRef(names);
    plan->special = special;
    for (Py_ssize_t i = 0; i < count; i++) {
        Part *part = &plan->parts[i];
        PyObject *key;
        if (!PyTuple_Check(PyTuple_GET_ITEM(parts, i))) {
            PyErr_SetString(PyExc_TypeError, "a part must be a tuple");
            break;
        }
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(parts, i), "Sip", &key, &part->source, &part->optional))
            break;
        part->key = Py_NewRef(key);
        plan->count++;
        if (part->source < CONSTANT || part->source >= PyTuple_GET_SIZE(names)
            || (part->optional && part->source < 0)) {
            PyErr_SetString(PyExc_ValueError, "a part has no such source");
            break;
        }
    }
    if (!PyErr_Occurred())
        return plan;
    release_plan(plan);
    return NULL;
}

static PyObject *
writer_learn(LineWriter *self, PyObject *args)
{
    PyObject *names, *parts, *attributes[MOST];
    Plan *plan, **slot;
    int special;
    Py_ssize_t count, standard;
    Py_uhash_t hash = FIRST_HASH;

    if (self->standard == NULL) {
        PyErr_SetString(PyExc_TypeError, "LineWriter.__init__ was not called, or failed");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "O!pO!", &PyTuple_Type, &names, &special, &PyTuple_Type, &parts))
        return NULL;
    count = PyTuple_GET_SIZE(names);
    standard = PyTuple_GET_SIZE(self->standard);
    if (count > MOST || count < standard || PyTuple_GET_SIZE(parts) == 0 || self->count >= SLOTS / 2)
        Py_RETURN_NONE;
    for (Py_ssize_t i = 0; i < count; i++) {
        attributes[i] = PyTuple_GET_ITEM(names, i);
        if (!PyUnicode_CheckExact(attributes[i]))
            Py_RETURN_NONE;
        if (i >= standard)
            hash = mixed(hash, attributes[i]);
        else if (!same_text(attributes[i], PyTuple_GET_ITEM(self->standard, i)))
            Py_RETURN_NONE;
    }
    slot = find_plan(self, attributes, count, special, hash);
    if (*slot != NULL)
        Py_RETURN_NONE;
    if ((plan = make_plan(names, special, parts)) == NULL)
        return NULL;
    plan->hash = hash;
    *slot = plan;
    self->count++;
    Py_RETURN_NONE;
}

static PyObject *
writer_forget(LineWriter *self, PyObject *Py_UNUSED(ignored))
{
    Plan *plans[SLOTS];

    memcpy(plans, self->plans, sizeof(plans));
    memset(self->plans, 0, sizeof(plans));
    self->count = 0;
    for (int i = 0; i < SLOTS; i++)
        if (plans[i] != NULL)
            release_plan(plans[i]);
    Py_RETURN_NONE;
}

static int
writer_init(LineWriter *self, PyObject *args, PyObject *kw)
{
    static char *names[] = {"standard", "special", "encode", "clock", "rfc3339", "max_bytes", NULL};
    PyObject *standard, *special, *encode, *clock;
    int rfc3339;
    Py_ssize_t max_bytes;

    if (self->standard != NULL) {
        PyErr_SetString(PyExc_TypeError, "a LineWriter is made once");
        return -1;
    }
    if (!PyArg_ParseTupleAndKeywords(args, kw, "O!UOOpn", names, &PyTuple_Type, &standard, &special, &encode,
                                     &clock, &rfc3339, &max_bytes))
        return -1;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(standard); i++)
        if (!PyUnicode_CheckExact(PyTuple_GET_ITEM(standard, i))) {
            PyErr_SetString(PyExc_TypeError, "standard must be a tuple of names");
            return -1;
        }
    for (int looked = 0; looked < LOOKED_AT; looked++) {
        self->where[looked] = -1;
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(standard); i++)
            if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(standard, i), LOOKED[looked]) == 0)
                self->where[looked] = (int)i;
        if (self->where[looked] < 0) {
            PyErr_Format(PyExc_ValueError, "records have no %s", LOOKED[looked]);
            return -1;
        }
    }
    self->standard = Py_NewRef(standard);
    self->special = Py_NewRef(special);
    self->encode = Py_NewRef(encode);
    self->clock = Py_NewRef(clock);
    self->rfc3339 = rfc3339;
    self->max_bytes = max_bytes;
    self->second = NAN;
    return 0;
}

static int
writer_traverse(LineWriter *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->encode);
    Py_VISIT(self->clock);
    return 0;
}

static int
writer_clear(LineWriter *self)
{
    Py_CLEAR(self->encode);
    Py_CLEAR(self->clock);
    return 0;
}

static void
writer_dealloc(LineWriter *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_XDECREF(writer_forget(self, NULL));
    writer_clear(self);
    Py_XDECREF(self->standard);
    Py_XDECREF(self->special);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyMethodDef writer_methods[] = {
    {"line", (PyCFunction)writer_line, METH_O,
     "line(attributes)\n--\n\nThe line of a record with these *attributes*, or `None` to go without."},
    {"write", (PyCFunction)(void (*)(void))writer_write, METH_FASTCALL,
     "write(handler, record)\n--\n\n"
     "Write *record* through *handler* and say so, or do nothing and answer no.\n\n"
     "It is written when all is as usual: a plain record, the handler's own stream, the lock free, the name\n"
     "still that of the open file, which stays below `maxBytes` and ends with a whole line."},
    {"write_event", (PyCFunction)(void (*)(void))writer_write_event, METH_FASTCALL,
     "write_event(handler, event)\n--\n\n"
     "Write *event* as a line through *handler*; `None` when it is left undone.\n\n"
     "Else the answer is whether anybody in the logging tree may want the event too.\n\n"
     "It is given a trace id if it has none. It is written when all is as usual (see `write`), *handler* has\n"
     "no filter, and the event's JSON is that of pydantic, with nothing in it that nests."},
    {"learn", (PyCFunction)writer_learn, METH_VARARGS,
     "learn(names, special, parts)\n--\n\n"
     "Remember of which *parts* the lines of records with attributes of these *names* are made."},
    {"forget", (PyCFunction)writer_forget, METH_NOARGS, "forget()\n--\n\nForget what was learnt."},
    {NULL},
};

static PyType_Slot writer_slots[] = {
    {Py_tp_doc, "Makes lines by the plans that it was taught."},
    {Py_tp_methods, writer_methods},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, writer_init},
    {Py_tp_traverse, writer_traverse},
    {Py_tp_clear, writer_clear},
    {Py_tp_dealloc, writer_dealloc},
    {0, NULL},
};

static PyType_Spec writer_spec = {
    "chora_logging.speedups._speedups.LineWriter", sizeof(LineWriter), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, writer_slots};

/* --------------------------------------------------- records: what LogRecord makes, where little is --- */

/* Where the arguments stand with which `Logger.makeRecord` calls the factory of records. */
enum { R_NAME, R_LEVEL, R_PATH, R_LINE, R_MSG, R_ARGS, R_EXC_INFO, R_FUNCTION, R_STACK, R_COUNT };

/* Whether LogRecord is as it was at import, and would gather nothing beyond what it is given. */
static int
nothing_is_gathered(const State *state)
{
    for (int name = LOG_THREADS; name <= LOG_ASYNCIO_TASKS; name++) {
        PyObject *is_on = ITEM(state->logging, name);
        if (is_on != Py_False && (is_on != NULL || name != LOG_ASYNCIO_TASKS))
            return 0;
    }
    return finds(state, state->record, INIT, state->init)
           && ITEM(state->logging, LEVEL_NAME) == state->level_name;
}

/* Whether the arguments are those of a record without a known place, exception or single mapping. */
static int
are_usual_arguments(PyObject *const *args)
{
    PyObject *values = args[R_ARGS], *only;

    if (args[R_EXC_INFO] != Py_None || args[R_STACK] != Py_None || !PyTuple_CheckExact(values)
        || !PyLong_CheckExact(args[R_LEVEL]))
        return 0;
    if (PyTuple_GET_SIZE(values) != 1)
        return 1;
    only = PyTuple_GET_ITEM(values, 0);
    return PyUnicode_CheckExact(only) || PyLong_CheckExact(only) || PyFloat_CheckExact(only);
}

/* The three ways to tell the time of a record; the arithmetic is LogRecord's. 1: found; 0: not here. */
static int
tell_time(PyObject *now, PyObject *start, double *created, double *msecs, double *since_start)
{
#if IN_NANOSECONDS
    long long time, began;

    if (!PyLong_CheckExact(now) || !PyLong_CheckExact(start))
        return 0;
    time = PyLong_AsLongLong(now);
    began = PyLong_AsLongLong(start);
    if (PyErr_Occurred() || time < 0 || began < 0)
        return 0;
    *created = (double)time / 1e9;
    *msecs = (double)(time % 1000000000 / 1000000);
    *since_start = (double)(time - began) / 1e6;
    return *msecs != 999.0 || floor(*created) == (double)(time / 1000000000);
#else
    double time;

    if (!PyFloat_CheckExact(now) || !PyFloat_CheckExact(start))
        return 0;
    time = *created = PyFloat_AS_DOUBLE(now);
    *msecs = trunc((time - trunc(time)) * 1000);
    *since_start = (time - PyFloat_AS_DOUBLE(start)) * 1000;
    return isfinite(time);
#endif
}

/* Set a number among the attributes. */
static int
set_number(const State *state, PyObject *attributes, int name, double value)
{
    PyObject *number = PyFloat_FromDouble(value);
    int failed = number == NULL || PyDict_SetItem(attributes, state->names[name], number) < 0;

    Py_XDECREF(number);
    return failed ? -1 : 0;
}

/* Set the time; 1: done; 0: not for this lane; -1: an error. */
static int
set_time(const State *state, PyObject *attributes)
{
    PyObject *module = ITEM(state->logging, TIME), *start = ITEM(state->logging, START_TIME), *clock, *now;
    double created, msecs, since_start;
    int found;

    if (module == NULL || !PyModule_CheckExact(module) || start == NULL
        || (clock = ITEM(PyModule_GetDict(module), CLOCK)) == NULL)
        return 0;
    Py_INCREF(clock);                     /* a test may have put a Python function there */
    Py_INCREF(start);
    now = PyObject_CallNoArgs(clock);
    found = now == NULL ? -1 : tell_time(now, start, &created, &msecs, &since_start);
    Py_XDECREF(now);
    Py_DECREF(start);
    Py_DECREF(clock);
    if (found > 0
        && (set_number(state, attributes, CREATED_ITSELF, created) < 0
            || set_number(state, attributes, MSECS, msecs) < 0
            || set_number(state, attributes, SINCE_START, since_start) < 0))
        found = -1;
    return found;
}

/* The attributes of a record; NULL: an error, or not for this lane. */
static PyObject *
attributes_of(const State *state, PyObject *const *args)
{
    PyObject *levels = ITEM(state->logging, LEVEL_NAMES), *level, *made;

    if (levels == NULL || !PyDict_CheckExact(levels)
        || (level = PyDict_GetItemWithError(levels, args[R_LEVEL])) == NULL || level == Py_None)
        return NULL;
    Py_INCREF(level);                     /* an allocation may start the garbage collector, and that any code */
    made = PyDict_Copy(state->blank);
    if (made != NULL
        && PyDict_SetItem(made, state->names[LEVELNAME], level) == 0
        && PyDict_SetItem(made, state->names[LEVELNO], args[R_LEVEL]) == 0
        && PyDict_SetItem(made, state->names[NAME_ITSELF], args[R_NAME]) == 0
        && PyDict_SetItem(made, state->names[MESSAGE_ITSELF], args[R_MSG]) == 0
        && PyDict_SetItem(made, state->names[ARGS_ITSELF], args[R_ARGS]) == 0
        && set_time(state, made) > 0) {
        Py_DECREF(level);
        return made;
    }
    Py_DECREF(level);
    Py_XDECREF(made);
    return NULL;
}

/* Keep what all records have alike that are made as this one was, without what is its own. */
static int
learn_blank(State *state, PyObject *record, PyObject *const *args)
{
    static const int own[] = {NAME_ITSELF, MESSAGE_ITSELF, ARGS_ITSELF};
    PyObject *attributes = PyObject_GenericGetDict(record, NULL), *blank = PyDict_New();
    int failed = attributes == NULL || blank == NULL || PyDict_Update(blank, attributes) < 0;

    for (size_t i = 0; !failed && i < sizeof(own) / sizeof(*own); i++)
        failed = PyDict_SetItem(blank, state->names[own[i]], Py_None) < 0;
    if (!failed) {
        for (int i = 0; i < 3; i++)
            Py_XSETREF(state->nowhere[i], Py_NewRef(args[i == 2 ? R_FUNCTION : R_PATH + i]));
        Py_XSETREF(state->blank, Py_NewRef(blank));
    }
    Py_XDECREF(attributes);
    Py_XDECREF(blank);
    return failed ? -1 : 0;
}

/* The record as `logging` itself makes it. */
static PyObject *
make_in_python(State *state, PyObject *const *args, Py_ssize_t count, PyObject *keywords, int usual)
{
    PyObject *record = PyObject_Vectorcall(state->record, args, (size_t)count, keywords);

    if (record != NULL && usual && PyUnicode_Check(args[R_PATH])
        && PyUnicode_CompareWithASCIIString(args[R_PATH], "(unknown file)") == 0
        && learn_blank(state, record, args) < 0)
        Py_CLEAR(record);
    return record;
}

static PyObject *
make_record(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *keywords)
{
    State *state = PyModule_GetState(module);
    PyTypeObject *type = (PyTypeObject *)state->record;
    int usual = count == R_COUNT && (keywords == NULL || PyTuple_GET_SIZE(keywords) == 0)
                && nothing_is_gathered(state) && are_usual_arguments(args);

    if (usual && args[R_PATH] == state->nowhere[0] && args[R_LINE] == state->nowhere[1]
        && args[R_FUNCTION] == state->nowhere[2]) {
        PyObject *attributes = attributes_of(state, args);
        if (attributes != NULL) {
            PyObject *none = PyTuple_New(0), *record = none == NULL ? NULL : type->tp_new(type, none, NULL);
            if (record != NULL && PyObject_SetAttr(record, state->names[DICT], attributes) < 0)
                Py_CLEAR(record);
            Py_XDECREF(none);
            Py_DECREF(attributes);
            return record;
        }
    }
    if (is_fatal())
        return NULL;
    return make_in_python(state, args, count, keywords, usual);
}

/* ---------------------------------------------------------------------------------------- module --- */

/* Whether a context variable has a default: a new context, in which nothing is set, shows it. */
static int
has_default(PyObject *variable)
{
    PyObject *empty = PyContext_New(), *value = NULL;
    int failed = empty == NULL || PyContext_Enter(empty) < 0;

    if (!failed) {
        failed = PyContextVar_Get(variable, NULL, &value) < 0;
        failed |= PyContext_Exit(empty) < 0;
    }
    if (!failed && value == NULL)
        PyErr_SetString(PyExc_ValueError, "variable must have a default");
    failed |= value == NULL;
    Py_XDECREF(value);
    Py_XDECREF(empty);
    return !failed;
}

static PyObject *
trace_by(PyObject *module, PyObject *args)
{
    State *state = PyModule_GetState(module);
    PyObject *filter, *variable, *ids, *signs;

    if (!PyArg_ParseTuple(args, "O!O!OO!", &PyType_Type, &filter, &PyContextVar_Type, &variable, &ids,
                          &PyTuple_Type, &signs))
        return NULL;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(signs); i += 2) {
        if (i + 1 == PyTuple_GET_SIZE(signs) || !PyDict_Check(PyTuple_GET_ITEM(signs, i))) {
            PyErr_SetString(PyExc_TypeError, "signs must be dicts, each with a key");
            return NULL;
        }
        if (PyObject_Hash(PyTuple_GET_ITEM(signs, i + 1)) == -1)
            return NULL;
    }
    if (!has_default(variable))
        return NULL;
    Py_XSETREF(state->trace_filter, Py_NewRef(filter));
    Py_XSETREF(state->trace_id, Py_NewRef(variable));
    Py_XSETREF(state->ids, Py_NewRef(ids));
    Py_XSETREF(state->signs, Py_NewRef(signs));
    Py_RETURN_NONE;
}

static PyObject *
events_are(PyObject *module, PyObject *args)
{
    State *state = PyModule_GetState(module);
    PyObject *event, *dump, *loggers, *name;

    if (!PyArg_ParseTuple(args, "O!OO!U", &PyType_Type, &event, &dump, &PyDict_Type, &loggers, &name))
        return NULL;
    Py_XSETREF(state->dump, Py_NewRef(dump));
    Py_XSETREF(state->loggers, Py_NewRef(loggers));
    Py_XSETREF(state->logger_name, Py_NewRef(name));
    Py_XSETREF(state->event, Py_NewRef(event));
    Py_RETURN_NONE;
}

static PyMethodDef module_methods[] = {
    {"events_are", (PyCFunction)events_are, METH_VARARGS,
     "events_are(event, dump, loggers, name)\n--\n\n"
     "Take for events what is of this class *event*, while *dump* is what they have as `model_dump_json`.\n\n"
     "They go through the logger of this *name* in *loggers*."},
    {"make_record", (PyCFunction)(void (*)(void))make_record, METH_FASTCALL | METH_KEYWORDS,
     "make_record(*arguments)\n--\n\n"
     "Make the `logging.LogRecord` that these *arguments* make, sooner where logging's switches are off."},
    {"trace_by", (PyCFunction)trace_by, METH_VARARGS,
     "trace_by(filter, variable, ids, signs)\n--\n\n"
     "Do in `LineWriter.write` what a *filter* of this class does.\n\n"
     "The trace id is that of the context *variable*, else trace and span id are what *ids* gives. It is\n"
     "called when one of the dicts in *signs* has the key that follows it; else there are none."},
    {NULL},
};

static PyObject *
add_type(PyObject *module, PyType_Spec *spec)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    if (type != NULL && PyModule_AddType(module, (PyTypeObject *)type) < 0)
        Py_CLEAR(type);
    return type;
}

static int
module_exec(PyObject *module)
{
    State *state = PyModule_GetState(module);
    PyObject *os = PyImport_ImportModule("os"), *logging, *line_writer;

    if (os == NULL)
        return -1;
    state->os = Py_NewRef(PyModule_GetDict(os));
    Py_DECREF(os);
    for (int i = 0; i < CALLS; i++) {
        if ((state->call_names[i] = PyUnicode_InternFromString(CALL_NAMES[i])) == NULL)
            return -1;
        state->calls[i] = Py_XNewRef(PyDict_GetItemWithError(state->os, state->call_names[i]));
    }
    for (int i = 0; i < NAMES; i++)
        if ((state->names[i] = PyUnicode_InternFromString(NAME_TEXTS[i])) == NULL)
            return -1;
    if ((logging = PyImport_ImportModule("logging")) == NULL)
        return -1;
    state->logging = Py_NewRef(PyModule_GetDict(logging));
    state->record = PyObject_GetAttrString(logging, "LogRecord");
    Py_DECREF(logging);
    if (state->record == NULL
        || (state->get_message = PyObject_GetAttr(state->record, state->names[GET_MESSAGE])) == NULL
        || (state->init = PyObject_GetAttr(state->record, state->names[INIT])) == NULL)
        return -1;
    state->level_name = Py_XNewRef(ITEM(state->logging, LEVEL_NAME));
    if ((state->factory = PyObject_GetAttrString(module, "make_record")) == NULL)
        return -1;
    state->appender = add_type(module, &appender_spec);
    line_writer = add_type(module, &writer_spec);
    Py_XDECREF(line_writer);              /* the module has it */
    if (state->appender == NULL || line_writer == NULL
        || PyModule_AddIntMacro(module, STAMP) < 0 || PyModule_AddIntMacro(module, MESSAGE) < 0)
        return -1;
    return PyModule_AddIntMacro(module, CONSTANT);
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    PyObject **objects = PyModule_GetState(module);
    for (size_t i = 0; i < OBJECTS; i++)
        Py_VISIT(objects[i]);
    return 0;
}

static int
module_clear(PyObject *module)
{
    PyObject **objects = PyModule_GetState(module);
    for (size_t i = 0; i < OBJECTS; i++)
        Py_CLEAR(objects[i]);
    return 0;
}

static void
module_free(void *module)
{
    module_clear((PyObject *)module);
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, module_exec}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_speedups", .m_size = sizeof(State),
    .m_methods = module_methods, .m_slots = module_slots,
    .m_traverse = module_traverse, .m_clear = module_clear, .m_free = module_free};

PyMODINIT_FUNC
PyInit__speedups(void)
{
    return PyModuleDef_Init(&definition);
}
