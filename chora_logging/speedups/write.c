/* Writes a record, or a typed event, through its handler.

   Does: `AppendingHandler.handle` of appending.py and `EventEmitter._emit` of event_emitter.py: put a trace id
   on it, make its line, take the handler's lock, append.
   Leaves to Python: another filter than TraceIdFilter, a method or system call that somebody has replaced,
   another stream, a record under way or waiting, lost records that are to be reported, an event whose JSON
   nests, and what line.c and append.c leave to it. Nothing is written then; the trace id stays.

   The interpreter lock: kept but for what append.c does, and for the wait for the handler's lock.
   References: the caller holds handler and record; what is borrowed from their dicts is held over calls.
   Signals: a signal handler that logs comes in before the handler's lock is taken or after it was given
   back, for no Python runs in between. `busy` and `deferred` tell what it has interrupted further up. */

#include "speedups.h"

#include <limits.h>
#include <string.h>

/* Whether the system calls that are made here are those that Python would make: who has put something in
   the place of one (a test that has it fail, a made-up file system) is obeyed. */
static int
system_calls_unpatched(const State *state)
{
    for (int i = 0; i < CALL_COUNT; i++)
        if (PyDict_GetItemWithError(state->os, state->call_names[i]) != state->calls[i])
            return 0;
    return 1;
}

/* Whether a handler with these attributes has the usual formatter, end of a line and methods, and for a
   filter at most one that puts trace ids on records; `traces` says if it has that. */
static int
is_usual_handler(const State *state, PyObject *handler, PyObject *own, int *traces)
{
    PyObject *formatter, *filters, *terminator;
    int usual;

    if (!lacks(state, own, FILTER) || !lacks(state, own, EMIT))
        return 0;
    formatter = borrow(state, own, FORMATTER);
    if (formatter == NULL || formatter != borrow(state, own, BYTE_FORMATTER))
        return 0;
    filters = borrow(state, own, FILTERS);
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

/* ------------------------------------------------------------------------------- trace and span id --- */

/* The trace id and the span id of here and now, a new pair, as `surrounding_ids` and `trace_context` say. */
static PyObject *
current_ids(const State *state)
{
    Py_ssize_t count = PyTuple_GET_SIZE(state->signs);
    PyObject *trace_id, *ids;
    int found = 0;

    if (PyContextVar_Get(state->trace_id, NULL, &trace_id) < 0)
        return NULL;
    for (Py_ssize_t i = 0; trace_id == Py_None && found == 0 && i < count; i += 2)
        found = PyDict_Contains(PyTuple_GET_ITEM(state->signs, i), PyTuple_GET_ITEM(state->signs, i + 1));
    if (found < 0)
        ids = NULL;
    else if (found)
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

/* Do what TraceIdFilter does. */
static int
trace_record(const State *state, PyObject *attributes)
{
    PyObject *message = borrow(state, attributes, MSG), *trace_id, *ids, *span_id;
    int done = 0;

    if (message == NULL || !PyUnicode_CheckExact(message))
        return 0;                         /* a dict or an event may have an id of its own */
    trace_id = borrow(state, attributes, TRACE_ID);
    if (trace_id != NULL && trace_id != Py_None)
        return 1;
    if ((ids = current_ids(state)) == NULL)
        return -1;
    span_id = PyTuple_GET_ITEM(ids, 1);
    if (span_id != Py_None && lacks(state, attributes, SPAN_ID))
        done = PyDict_SetItem(attributes, state->names[SPAN_ID], span_id);
    if (done == 0)
        done = PyDict_SetItem(attributes, state->names[TRACE_ID], PyTuple_GET_ITEM(ids, 0));
    Py_DECREF(ids);
    return done < 0 ? -1 : 1;
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

/* -------------------------------------------------------------------------------- the handler's mutex --- */

/* Whether nobody's record is under way or waits, as `emit` asks; the mutex's lock is held. */
static int
is_idle(const State *state, PyObject *mutex)
{
    PyObject *busy = PyObject_GetAttr(mutex, state->names[BUSY]), *deferred;
    int idle = 0;

    if (busy == Py_False && (deferred = PyObject_GetAttr(mutex, state->names[DEFERRED])) != NULL) {
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
    PyObject *number = borrow(state, own, name);
    long long value;
    int overflow;

    if (number == NULL || !PyLong_CheckExact(number))
        return -1;
    value = PyLong_AsLongLongAndOverflow(number, &overflow);
    return overflow > 0 ? LLONG_MAX : value;
}

/* Append the line if the handler is in its usual state; the mutex's lock is held. */
static int
append_locked(const State *state, PyObject *own, PyObject *mutex, const char *bytes, Py_ssize_t length)
{
    long long limit = number_of(state, own, MAX_BYTES);
    PyObject *stream, *file;
    int done;

    if (limit < 0 || number_of(state, own, LOST) != 0 || !is_idle(state, mutex))
        return 0;
    stream = borrow(state, own, STREAM);
    if (stream == NULL || stream != borrow(state, own, OWN_STREAM))
        return 0;
    if ((file = get(state, own, FAST_FILE)) == NULL)
        return 0;
    done = PyObject_TypeCheck(file, (PyTypeObject *)state->appender)
           && append_bytes(file, bytes, length, limit == 0 ? LLONG_MAX : limit);
    Py_DECREF(file);
    return done;
}

/* Take the mutex, append, give it back. */
static int
lock_and_append(const State *state, PyObject *own, const char *bytes, Py_ssize_t length)
{
    PyObject *mutex = get(state, own, MUTEX);
    PyObject *lock = mutex == NULL ? NULL : PyObject_GetAttr(mutex, state->names[LOCK]);
    PyObject *answer = lock == NULL ? NULL : PyObject_CallMethodNoArgs(lock, state->names[ACQUIRE]);
    int done = -1;

    if (answer != NULL) {
        Py_DECREF(answer);
        done = append_locked(state, own, mutex, bytes, length);
        PyErr_Clear();
        if ((answer = PyObject_CallMethodNoArgs(lock, state->names[RELEASE])) == NULL)
            done = -1;
        Py_XDECREF(answer);
    }
    Py_XDECREF(lock);
    Py_XDECREF(mutex);
    return done;
}

/* ---------------------------------------------------------------------------------------- a record --- */

/* Make the line of a record with these attributes and append it. */
static int
write_record(PyObject *self, const State *state, PyObject *own, PyObject *attributes, int traces)
{
    Buffer b;
    int done = traces ? trace_record(state, attributes) : 1;

    if (done <= 0)
        return done;
    done = make_line(self, &b, attributes);
    if (done > 0)
        done = lock_and_append(state, own, b.start, b.at - b.start);
    buffer_close(&b);
    return done;
}

PyObject *
writer_write(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    const State *state = PyType_GetModuleState(Py_TYPE(self));
    PyObject *own, *attributes = NULL;
    int done = 0, traces;

    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "write(handler, record)");
        return NULL;
    }
    if (system_calls_unpatched(state) && (PyObject *)Py_TYPE(args[1]) == state->record
        && finds(state, state->record, GET_MESSAGE, state->get_message)
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

/* ----------------------------------------------------------------------------------------- an event --- */

/* Whether an event's JSON is what its class's serializer gives, and no record of it could know a trace id. */
static int
is_usual_event(const State *state, PyObject *event)
{
    PyObject *factory = borrow(state, state->logging, RECORD_FACTORY);

    return state->event != NULL && state->signs != NULL
           && PyObject_TypeCheck(event, (PyTypeObject *)state->event)
           && (factory == state->record || factory == state->factory)
           && finds(state, (PyObject *)Py_TYPE(event), DUMP, state->dump);
}

/* What memmem does, which is slower and not in POSIX. */
static int
has_word(const char *at, size_t left, const char *word)
{
    const char *stop = at + left;
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
is_flat(const char *json, size_t length)
{
    return length > 1 && json[0] == '{' && memchr(json + 1, '{', length - 1) == NULL
           && memchr(json, '\n', length) == NULL && !has_word(json, length, "NaN")
           && !has_word(json, length, "Infinity");
}

/* Add the JSON of an event, as `model_dump_json` makes it. */
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
    if (PyBytes_CheckExact(json) && is_flat(PyBytes_AS_STRING(json), (size_t)PyBytes_GET_SIZE(json)))
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
    buffer_open(&b);
    done = put_event(state, &b, event);
    if (done > 0 && put_bytes(&b, "\n", 1) < 0)
        done = -1;
    if (done > 0)
        done = lock_and_append(state, own, b.start, b.at - b.start);
    buffer_close(&b);
    return done;
}

/* Whether the attributes of a logger say that it has no handler, nor a filter if that is asked. */
static int
is_silent(const State *state, PyObject *own, int filters_too)
{
    PyObject *handlers = borrow(state, own, HANDLERS), *filters;

    if (handlers == NULL || !PyList_CheckExact(handlers) || PyList_GET_SIZE(handlers) > 0)
        return 0;
    filters = filters_too ? borrow(state, own, FILTERS) : NULL;
    return !filters_too
           || (filters != NULL && PyList_CheckExact(filters) && PyList_GET_SIZE(filters) == 0);
}

/* Whether the logger of events or one above it has a handler, or anything about them is unusual. */
static int
may_be_handled(const State *state)
{
    PyObject *logger = Py_XNewRef(PyDict_GetItemWithError(state->loggers, state->event_logger));
    int heard = 0;

    for (int first = 1; logger != Py_None && !heard; first = 0) {
        PyObject *own = logger == NULL ? NULL : PyObject_GenericGetDict(logger, NULL), *propagate;
        if (own == NULL || !is_silent(state, own, first))
            heard = 1;
        else if ((propagate = borrow(state, own, PROPAGATE)) == Py_False)
            Py_SETREF(logger, Py_NewRef(Py_None));
        else if (propagate == Py_True)
            Py_XSETREF(logger, get(state, own, PARENT));
        else
            heard = 1;
        Py_XDECREF(own);
    }
    Py_XDECREF(logger);
    return heard;
}

PyObject *
writer_write_event(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    const State *state = PyType_GetModuleState(Py_TYPE(self));
    PyObject *own;
    int done = 0, traces;

    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "write_event(handler, event)");
        return NULL;
    }
    if (system_calls_unpatched(state) && is_usual_event(state, args[1])
        && (own = PyObject_GenericGetDict(args[0], NULL)) != NULL) {
        if (is_usual_handler(state, args[0], own, &traces) > 0 && !traces)
            done = write_event(state, own, args[1]);
        Py_DECREF(own);
    }
    if (done > 0) {
        int heard = may_be_handled(state);
        PyErr_Clear();
        return PyBool_FromLong(heard);
    }
    if (is_fatal())
        return NULL;
    Py_RETURN_NONE;
}
