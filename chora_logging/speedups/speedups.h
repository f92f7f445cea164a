/* Declarations shared by the files of the fast path.

       record.c    makes a record from the arguments of a logging call
       line.c      makes a line from a record's attributes
       append.c    appends a line to the live file
       write.c     takes a record or an event through its handler: trace id, line, append
       module.c    the module, and what Python registers with it

   The Python code is the reference. Every unusual case is declined, and the Python code that called handles
   it. The fast path writes the same bytes as that code (tests/test_speedups.py compares them).

   Return values: 1 done, 0 declined, -1 an error is set. An `Exception` counts as declined in the end: the
   Python code meets and handles it again. Other errors, such as KeyboardInterrupt, are raised.
   References: an object is held over every call that can run code. A look-up in an instance's dict is such
   a call, because keys may be of any type: a borrowed value is used immediately, or only its address is
   compared. */

#ifndef CHORA_LOGGING_SPEEDUPS_H
#define CHORA_LOGGING_SPEEDUPS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* From Python 3.13 on records count nanoseconds. */
#if PY_VERSION_HEX >= 0x030D0000
#define IN_NANOSECONDS 1
#define CLOCK_NAME "time_ns"
#else
#define IN_NANOSECONDS 0
#define CLOCK_NAME "time"
#endif

/* The names that are looked up, interned once. The switches of `logging` are consecutive. */
#define NAMES(X) \
    X(GET_MESSAGE, "getMessage") X(FORMATTER, "formatter") X(BYTE_FORMATTER, "_byte_formatter") \
    X(TERMINATOR, "terminator") X(LOCK, "lock") X(ACQUIRE, "acquire") X(RELEASE, "release") \
    X(LOG, "_log") X(MUTEX, "mutex") X(BUSY, "busy") X(DEFERRED, "deferred") X(STREAM, "_stream") \
    X(FAST_FILE, "_fast_file") X(LOST, "_lost") X(MAX_BYTES, "max_bytes") \
    X(FILTERS, "filters") X(FILTER, "filter") X(EMIT, "emit") X(FORMAT, "format") \
    X(LOG_RECORD, "LogRecord") X(RECORD_FACTORY, "_logRecordFactory") X(DUMP, "model_dump_json") \
    X(SERIALIZER, "__pydantic_serializer__") X(TO_JSON, "to_json") \
    X(HANDLE, "handle") X(CALL_HANDLERS, "callHandlers") X(HANDLERS, "handlers") \
    X(PROPAGATE, "propagate") X(PARENT, "parent") \
    X(LOG_THREADS, "logThreads") X(LOG_PROCESSES, "logProcesses") \
    X(LOG_MULTIPROCESSING, "logMultiprocessing") X(LOG_ASYNCIO_TASKS, "logAsyncioTasks") \
    X(INIT, "__init__") X(DICT, "__dict__") X(GET_LEVEL_NAME, "getLevelName") \
    X(LEVEL_NAMES, "_levelToName") X(TIME, "time") X(CLOCK, CLOCK_NAME) X(START_TIME, "_startTime") \
    X(NAME, "name") X(MSG, "msg") X(ARGS, "args") X(LEVELNAME, "levelname") X(LEVELNO, "levelno") \
    X(CREATED, "created") X(MSECS, "msecs") X(RELATIVE_CREATED, "relativeCreated") \
    X(TRACE_ID, "trace_id") X(SPAN_ID, "span_id") X(SETTLED, "_chora_settled")

#define AS_CONSTANT(name, text) name,
enum { NAMES(AS_CONSTANT) NAME_COUNT };
#undef AS_CONSTANT

/* The number of functions of `os` whose system calls are made here. */
#define CALL_COUNT 3

/* The state of the module, one for each interpreter. Objects only: module.c treats it as an array. */
typedef struct {
    PyObject *appender;             /* the type Appender */
    PyObject *os, *logging;         /* the dicts of these modules */
    PyObject *call_names[CALL_COUNT], *calls[CALL_COUNT]; /* functions of os, as they were at import */
    PyObject *record;               /* logging.LogRecord */
    PyObject *get_message, *init;   /* its methods at import */
    PyObject *level_name;           /* logging.getLevelName at import */
    PyObject *factory;              /* make_record */
    PyObject *template;             /* the attributes of a record without a known place */
    PyObject *unknown_place[3];     /* the objects that are its file, line and function */
    PyObject *trace_filter;         /* TraceIdFilter */
    PyObject *trace_id;             /* the context variable of trace_context */
    PyObject *bound_fields;         /* that of bind, NULL until the program uses it */
    PyObject *ids, *signs;          /* returns other ids, while one of the dicts in signs has its key */
    PyObject *event, *dump;         /* TelemetryEvent, and its model_dump_json at import */
    PyObject *loggers, *event_logger; /* all loggers by name, and the name of the logger of events */
    PyObject *names[NAME_COUNT];
} State;

/* The value of one of the names in a dict, borrowed; NULL if there is none. */
static inline PyObject *
borrow(const State *state, PyObject *dict, int name)
{
    return PyDict_GetItemWithError(dict, state->names[name]);
}

/* The same, as a new reference. */
static inline PyObject *
get(const State *state, PyObject *dict, int name)
{
    return Py_XNewRef(borrow(state, dict, name));
}

/* Whether a dict does not contain one of the names. */
static inline int
lacks(const State *state, PyObject *dict, int name)
{
    return PyDict_Contains(dict, state->names[name]) == 0;
}

/* Whether one of the names, looked up in a type, is this object. */
static inline int
finds(const State *state, PyObject *type, int name, PyObject *wanted)
{
    PyObject *found = PyType_Type.tp_getattro(type, state->names[name]);

    Py_XDECREF(found);
    return found != NULL && found == wanted;
}

/* Whether an error is set that must be raised; clears any other error. */
static inline int
is_fatal(void)
{
    if (!PyErr_Occurred())
        return 0;
    if (!PyErr_ExceptionMatches(PyExc_Exception))
        return 1;
    PyErr_Clear();
    return 0;
}

/* --- append.c --- */

/* The same as in log_files.py: the longest line that readers take. */
#define LONGEST_LINE_BYTES (32 * 1024 * 1024)

extern PyType_Spec appender_spec;

/* Append the bytes of a whole line, unless the file would reach the limit; 1 or 0. */
int append_bytes(PyObject *appender, const char *bytes, Py_ssize_t length, long long limit);

/* --- line.c --- */

/* A line being made: on the stack while it is short. */
typedef struct {
    char *start, *at, *end;
    char first[2048];
} Buffer;

void buffer_open(Buffer *b);
void buffer_close(Buffer *b);
int put_bytes(Buffer *b, const char *bytes, Py_ssize_t length);

extern PyType_Spec writer_spec;

/* Open the buffer and make the line of a record with these attributes, with its newline. */
int make_line(PyObject *writer, Buffer *b, PyObject *attributes);

/* The source of a part of a line that is not an attribute. */
enum { CONSTANT = -3, MESSAGE, STAMP };

/* --- write.c --- */

PyObject *writer_write(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *writer_write_event(PyObject *self, PyObject *const *args, Py_ssize_t count);

/* --- record.c --- */

PyObject *make_record(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *keywords);

#endif
