/* What the files of the fast path share.

       record.c    makes a record of the arguments of a logging call
       line.c      makes a line of a record's attributes
       append.c    appends a line to the live file
       write.c     takes a record or an event through its handler: trace id, line, append
       module.c    the module, and what Python tells it

   Python stays the one truth: whatever is unusual is left undone, and the Python code that called does it.
   What is done is byte for byte what that code would have done (tests/test_speedups.py compares them).

   Answers: 1 done, 0 not for the fast path, -1 an error is set. An `Exception` counts as 0 in the end:
   Python meets it again and knows what to do. Others, such as KeyboardInterrupt, are raised.
   References: an object is held over every call that can run code. A look-up in an instance's dict is such a
   call, for keys may be of any type: what it lends is used at once, or compared by its place only. */

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

/* The names that are looked up, made once. Those of switches of `logging` stand together. */
#define NAMES(X) \
    X(GET_MESSAGE, "getMessage") X(FORMATTER, "formatter") X(BYTE_FORMATTER, "_byte_formatter") \
    X(TERMINATOR, "terminator") X(LOCK, "lock") X(ACQUIRE, "acquire") X(RELEASE, "release") \
    X(MUTEX, "_mutex") X(BUSY, "busy") X(DEFERRED, "deferred") X(STREAM, "stream") \
    X(OWN_STREAM, "_own_stream") X(FAST_FILE, "_fast_file") X(LOST, "_lost") X(MAX_BYTES, "maxBytes") \
    X(FILTERS, "filters") X(FILTER, "filter") X(EMIT, "emit") \
    X(LOG_RECORD, "LogRecord") X(RECORD_FACTORY, "_logRecordFactory") X(DUMP, "model_dump_json") \
    X(SERIALIZER, "__pydantic_serializer__") X(TO_JSON, "to_json") \
    X(HANDLERS, "handlers") X(PROPAGATE, "propagate") X(PARENT, "parent") \
    X(LOG_THREADS, "logThreads") X(LOG_PROCESSES, "logProcesses") \
    X(LOG_MULTIPROCESSING, "logMultiprocessing") X(LOG_ASYNCIO_TASKS, "logAsyncioTasks") \
    X(INIT, "__init__") X(DICT, "__dict__") X(GET_LEVEL_NAME, "getLevelName") \
    X(LEVEL_NAMES, "_levelToName") X(TIME, "time") X(CLOCK, CLOCK_NAME) X(START_TIME, "_startTime") \
    X(NAME, "name") X(MSG, "msg") X(ARGS, "args") X(LEVELNAME, "levelname") X(LEVELNO, "levelno") \
    X(CREATED, "created") X(MSECS, "msecs") X(RELATIVE_CREATED, "relativeCreated") \
    X(TRACE_ID, "trace_id") X(SPAN_ID, "span_id")

#define AS_CONSTANT(name, text) name,
enum { NAMES(AS_CONSTANT) NAME_COUNT };
#undef AS_CONSTANT

/* The functions of `os` that are done here by their system calls. */
#define CALL_COUNT 3

/* Of each interpreter its own. Objects only: module.c goes through them as through an array. */
typedef struct {
    PyObject *appender;             /* the type Appender */
    PyObject *os, *logging;         /* the dicts of these modules */
    PyObject *call_names[CALL_COUNT], *calls[CALL_COUNT]; /* of os, and what these stood for at import */
    PyObject *record;               /* logging.LogRecord, and what it has at import: */
    PyObject *get_message, *init;   /* its methods */
    PyObject *level_name;           /* logging.getLevelName at import */
    PyObject *factory;              /* make_record */
    PyObject *template;                /* the attributes of a record that nothing was gathered for */
    PyObject *unknown_place[3];           /* the very objects that are its file, line and function */
    PyObject *trace_filter;         /* TraceIdFilter */
    PyObject *trace_id;             /* the variable of trace_context */
    PyObject *ids, *signs;          /* what gives other ids, while one of the dicts has its key */
    PyObject *event, *dump;         /* TelemetryEvent, and its model_dump_json at import */
    PyObject *loggers, *event_logger; /* all loggers by name, and the name of that of events */
    PyObject *names[NAME_COUNT];
} State;

/* What a dict has under one of the names, lent; NULL where it has nothing. */
static inline PyObject *
borrow(const State *state, PyObject *dict, int name)
{
    return PyDict_GetItemWithError(dict, state->names[name]);
}

/* The same, held. */
static inline PyObject *
get(const State *state, PyObject *dict, int name)
{
    return Py_XNewRef(borrow(state, dict, name));
}

/* Whether a dict has nothing under one of the names. */
static inline int
lacks(const State *state, PyObject *dict, int name)
{
    return PyDict_Contains(dict, state->names[name]) == 0;
}

/* Whether the instances of a type find this very object under one of the names. */
static inline int
finds(const State *state, PyObject *type, int name, PyObject *wanted)
{
    PyObject *found = PyType_Type.tp_getattro(type, state->names[name]);

    Py_XDECREF(found);
    return found != NULL && found == wanted;
}

/* Whether an error is set that has to be raised; any other one is cleared. */
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

extern PyType_Spec appender_spec;

/* Append bytes that end a line, unless the file would reach the limit; 1 or 0. */
int append_bytes(PyObject *appender, const char *bytes, Py_ssize_t length, long long limit);

/* --- line.c --- */

/* A line in the making: on the stack while it is short. */
typedef struct {
    char *start, *at, *end;
    char first[2048];
} Buffer;

void buffer_open(Buffer *b);
void buffer_close(Buffer *b);
int put_bytes(Buffer *b, const char *bytes, Py_ssize_t length);

extern PyType_Spec writer_spec;

/* Open the buffer and make the line of a record with these attributes, its end included. */
int make_line(PyObject *writer, Buffer *b, PyObject *attributes);

/* Where a part of a line comes from, if from none of the attributes. */
enum { CONSTANT = -3, MESSAGE, STAMP };

/* --- write.c --- */

PyObject *writer_write(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *writer_write_event(PyObject *self, PyObject *const *args, Py_ssize_t count);

/* --- record.c --- */

PyObject *make_record(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *keywords);

#endif
