/* Writes a record through its handler, or a typed event, to a shared log.

   Does: `EventFileHandler.handle` of writing/handler.py, `EventEmitter._emit` of
   telemetry/event_emitter.py and `SharedLog.append` of writing/shared_log.py: add a trace id, make the line,
   take the mutex, append.
   Leaves to Python: a filter other than TraceIdFilter, a replaced method or system call, another stream, a
   record under way or deferred, lost records to report, an event whose JSON has a nested object, and
   everything that line.c and append.c leave to it. Nothing is written then; the trace id stays.

   GIL: held, except in append.c and during the wait for the mutex.
   References: the caller holds handler and record; values borrowed from their dicts are held over calls.
   Signals: a signal handler that logs runs before the mutex is taken or after it is released, because no
   Python code runs in between. `busy` and `deferred` show what it has interrupted further up the stack. */

#include "speedups.h"

#include <limits.h>
#include <string.h>

/* Whether `os` still has its own functions. If one was replaced (a test that has it fail, a fake file
   system), Python calls the replacement. */
static int
system_calls_unpatched(const State *state)
{
    for (int i = 0; i < CALL_COUNT; i++)
        if (PyDict_GetItemWithError(state->os, state->call_names[i]) != state->calls[i])
            return 0;
    return 1;
}

/* Whether a handler with these attributes has the usual formatter, terminator and methods, and no filter
   but one TraceIdFilter; `traces` is set to whether it has one. */
static int
is_usual_handler(const State *state, PyObject *handler, PyObject *own, int *traces)
{
    PyObject *formatter, *filters, *terminator;
    int usual;

    if (!lacks(state, own, FILTER) || !lacks(state, own, EMIT) || !lacks(state, own, FORMAT))
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

/* The current trace id and span id, a new tuple: those of `trace_context`, else of `surrounding_ids`. */
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

/* Put the bound fields of this context among a record's attributes, except those that it has. */
static int
put_bound_fields(const State *state, PyObject *attributes)
{
    PyObject *fields, *name, *value;
    Py_ssize_t at = 0;
    int failed = 0;

    if (PyContextVar_Get(state->bound_fields, NULL, &fields) < 0)
        return -1;
    if (PyDict_CheckExact(fields))        /* else None; it is never changed */
        while (!failed && PyDict_Next(fields, &at, &name, &value)) {
            int has = PyDict_Contains(attributes, name);
            failed = has < 0 || (!has && PyDict_SetItem(attributes, name, value) < 0);
        }
    Py_DECREF(fields);
    return failed || PyDict_SetItem(attributes, state->names[SETTLED], Py_None) < 0 ? -1 : 0;
}

/* Put the current ids among a record's attributes. */
static int
put_ids(const State *state, PyObject *attributes)
{
    PyObject *ids = current_ids(state), *span_id;
    int done = 0;

    if (ids == NULL)
        return -1;
    span_id = PyTuple_GET_ITEM(ids, 1);
    if (span_id != Py_None && lacks(state, attributes, SPAN_ID))
        done = PyDict_SetItem(attributes, state->names[SPAN_ID], span_id);
    if (done == 0)
        done = PyDict_SetItem(attributes, state->names[TRACE_ID], PyTuple_GET_ITEM(ids, 0));
    if (done == 0 && PyTuple_GET_ITEM(ids, 0) == Py_None)
        done = PyDict_SetItem(attributes, state->names[SETTLED], Py_None);
    Py_DECREF(ids);
    return done;
}

/* Do the work of TraceIdFilter. */
static int
trace_record(const State *state, PyObject *attributes)
{
    PyObject *message = borrow(state, attributes, MSG), *trace_id;

    if (message == NULL || !PyUnicode_CheckExact(message))
        return 0;                         /* a dict or an event may have its own id */
    trace_id = borrow(state, attributes, TRACE_ID);
    if (trace_id != NULL && !lacks(state, attributes, SETTLED))
        return 1;
    if ((trace_id == NULL || trace_id == Py_None) && put_ids(state, attributes) < 0)
        return -1;
    if (state->bound_fields != NULL && put_bound_fields(state, attributes) < 0)
        return -1;
    return 1;
}

/* Give an event without a trace id the current one. */
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

/* ---------------------------------------------------------------------------------------- the mutex --- */

/* Whether no record is under way or deferred, the check of `emit`; the mutex is held. */
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

/* An integer among an object's attributes; -1 if there is none, LLONG_MAX if it is too large. */
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

/* Append the line if the log with these attributes is in its usual state; the mutex is held. */
static int
append_locked(const State *state, PyObject *own, PyObject *mutex, const char *bytes, Py_ssize_t length)
{
    long long limit = number_of(state, own, MAX_BYTES);
    PyObject *file;
    int done;

    if (limit < 0 || !is_idle(state, mutex))
        return 0;
    if ((file = get(state, own, FAST_FILE)) == NULL)
        return 0;
    done = PyObject_TypeCheck(file, (PyTypeObject *)state->appender)
           && append_bytes(file, bytes, length, limit == 0 ? LLONG_MAX : limit);
    Py_DECREF(file);
    return done;
}

/* Take the mutex of the log with these attributes, append, release the mutex. */
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

/* The attributes of a handler's log, a new reference; NULL if the handler writes to another stream, or has
   lost records to report. */
static PyObject *
attributes_of_log(const State *state, PyObject *own)
{
    PyObject *log, *attributes;

    if (borrow(state, own, STREAM) != Py_None || number_of(state, own, LOST) != 0)
        return NULL;
    if ((log = get(state, own, LOG)) == NULL)
        return NULL;
    attributes = PyObject_GenericGetDict(log, NULL);
    Py_DECREF(log);
    return attributes;
}

/* Make the line of a record with these attributes and append it. */
static int
write_record(PyObject *self, const State *state, PyObject *own, PyObject *attributes, int traces)
{
    Buffer b;
    PyObject *log;
    int done = traces ? trace_record(state, attributes) : 1;

    if (done <= 0)
        return done;
    if ((log = attributes_of_log(state, own)) == NULL)
        return 0;
    done = make_line(self, &b, attributes);
    if (done > 0)
        done = lock_and_append(state, log, b.start, b.at - b.start);
    buffer_close(&b);
    Py_DECREF(log);
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

/* Whether the serializer of its class makes an event's JSON, and no record factory could add a trace id. */
static int
is_usual_event(const State *state, PyObject *event)
{
    PyObject *factory = borrow(state, state->logging, RECORD_FACTORY);

    return state->event != NULL && state->signs != NULL
           && PyObject_TypeCheck(event, (PyTypeObject *)state->event)
           && (factory == state->record || factory == state->factory)
           && finds(state, (PyObject *)Py_TYPE(event), DUMP, state->dump);
}

/* Find a word, like memmem, which is slower and not in POSIX. */
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

/* Whether JSON is one object on one line, without a nested object, NaN or Infinity. */
static int
is_flat(const char *json, size_t length)
{
    return length > 1 && json[0] == '{' && memchr(json + 1, '{', length - 1) == NULL
           && memchr(json, '\n', length) == NULL && !has_word(json, length, "NaN")
           && !has_word(json, length, "Infinity");
}

/* Add the JSON of an event, the same as that of `model_dump_json`. */
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

/* Append the event's line to the log with these attributes. */
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

/* Whether a logger with these attributes has no handler, and with `filters_too` no filter either. */
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

/* Whether a logger handles records by this method of `logging` itself. A tool that wraps it, maybe before this
   module was imported, or a test that replaces it wants every record. */
static int
has_own_method(const State *state, PyObject *logger, PyObject *own, int name)
{
    PyObject *method = PyType_Type.tp_getattro((PyObject *)Py_TYPE(logger), state->names[name]);
    int has = method != NULL && PyFunction_Check(method)
              && PyFunction_GET_GLOBALS(method) == state->logging && lacks(state, own, name);

    Py_XDECREF(method);
    return has;
}

/* Whether the logger of events or one above it has a handler, or anything unusual. */
static int
may_be_handled(const State *state)
{
    PyObject *logger = Py_XNewRef(PyDict_GetItemWithError(state->loggers, state->event_logger));
    int heard = 0;

    for (int first = 1; logger != Py_None && !heard; first = 0) {
        PyObject *own = logger == NULL ? NULL : PyObject_GenericGetDict(logger, NULL), *propagate;
        if (own == NULL || !is_silent(state, own, first)
            || (first && !(has_own_method(state, logger, own, HANDLE)
                           && has_own_method(state, logger, own, CALL_HANDLERS))))
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
    int done = 0;

    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "write_event(log, event)");
        return NULL;
    }
    if (system_calls_unpatched(state) && is_usual_event(state, args[1])
        && (own = PyObject_GenericGetDict(args[0], NULL)) != NULL) {
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
