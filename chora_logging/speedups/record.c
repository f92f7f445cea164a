/* Makes the record of a logging call while the optional attributes of `logging` are off.

   Does: the work of `logging.LogRecord.__init__` for a call without a known place, exception or stack, once
   optimizing.py has switched off the attributes that no handler prints. The attributes are copied from the
   first such record, which Python made; name, level, message, arguments and time are set.
   Leaves to Python: every other call, and all calls while a switch of `logging` is on or after
   `LogRecord.__init__` or `logging.getLevelName` was replaced.

   GIL: held.
   References: values borrowed from `logging` are held, because an allocation may start the garbage collector
   and with it any code, including `logging.addLevelName`.
   Signals: a signal handler runs only if the clock was replaced by a Python function, as in tests. */

#include "speedups.h"

#include <math.h>

/* The positions of the arguments with which `Logger.makeRecord` calls the record factory. */
enum { R_NAME, R_LEVEL, R_PATH, R_LINE, R_MSG, R_ARGS, R_EXC_INFO, R_FUNCTION, R_STACK, R_COUNT };

/* Whether LogRecord is as it was at import, and all switches of `logging` are off. */
static int
nothing_is_gathered(const State *state)
{
    for (int name = LOG_THREADS; name <= LOG_ASYNCIO_TASKS; name++) {
        PyObject *is_on = borrow(state, state->logging, name);
        if (is_on != Py_False && (is_on != NULL || name != LOG_ASYNCIO_TASKS))
            return 0;
    }
    return finds(state, state->record, INIT, state->init)
           && borrow(state, state->logging, GET_LEVEL_NAME) == state->level_name;
}

/* Whether the arguments are those of a record without exception, stack or a single mapping. */
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

/* The three times of a record; the arithmetic is that of LogRecord. */
typedef struct {
    double created, msecs, since_start;
} Moment;

static int
convert_time(PyObject *now, PyObject *start, Moment *moment)
{
#if IN_NANOSECONDS
    long long time, began;

    if (!PyLong_CheckExact(now) || !PyLong_CheckExact(start))
        return 0;
    time = PyLong_AsLongLong(now);
    began = PyLong_AsLongLong(start);
    if (PyErr_Occurred() || time < 0 || began < 0)
        return 0;
    moment->created = (double)time / 1e9;
    moment->msecs = (double)(time % 1000000000 / 1000000);
    moment->since_start = (double)(time - began) / 1e6;
    return moment->msecs != 999.0 || floor(moment->created) == (double)(time / 1000000000);
#else
    double time;

    if (!PyFloat_CheckExact(now) || !PyFloat_CheckExact(start))
        return 0;
    time = moment->created = PyFloat_AS_DOUBLE(now);
    moment->msecs = trunc((time - trunc(time)) * 1000);
    moment->since_start = (time - PyFloat_AS_DOUBLE(start)) * 1000;
    return isfinite(time);
#endif
}

/* The time of the clock of `logging`, a new reference. */
static PyObject *
read_clock(const State *state)
{
    PyObject *module = borrow(state, state->logging, TIME), *clock, *now;

    if (module == NULL || !PyModule_CheckExact(module)
        || (clock = get(state, PyModule_GetDict(module), CLOCK)) == NULL)
        return NULL;
    now = PyObject_CallNoArgs(clock);
    Py_DECREF(clock);
    return now;
}

static int
set_number(const State *state, PyObject *attributes, int name, double value)
{
    PyObject *number = PyFloat_FromDouble(value);
    int failed = number == NULL || PyDict_SetItem(attributes, state->names[name], number) < 0;

    Py_XDECREF(number);
    return failed ? -1 : 0;
}

/* Set the three times among a record's attributes. */
static int
set_time(const State *state, PyObject *attributes)
{
    PyObject *start = get(state, state->logging, START_TIME);
    PyObject *now = start == NULL ? NULL : read_clock(state);
    Moment moment;
    int done = now == NULL ? 0 : convert_time(now, start, &moment);

    Py_XDECREF(now);
    Py_XDECREF(start);
    if (done > 0
        && (set_number(state, attributes, CREATED, moment.created) < 0
            || set_number(state, attributes, MSECS, moment.msecs) < 0
            || set_number(state, attributes, RELATIVE_CREATED, moment.since_start) < 0))
        done = -1;
    return done;
}

/* The name of a level, a new reference; NULL if it has none. */
static PyObject *
level_name_of(const State *state, PyObject *level)
{
    PyObject *names = borrow(state, state->logging, LEVEL_NAMES), *name = NULL;

    if (names != NULL && PyDict_CheckExact(names))
        name = PyDict_GetItemWithError(names, level);
    return name == Py_None ? NULL : Py_XNewRef(name);
}

/* The attributes of a record; NULL: an error, or declined. */
static PyObject *
attributes_of(const State *state, PyObject *const *args)
{
    PyObject *level_name = level_name_of(state, args[R_LEVEL]);
    PyObject *made = level_name == NULL ? NULL : PyDict_Copy(state->template);

    if (made != NULL
        && (PyDict_SetItem(made, state->names[LEVELNAME], level_name) < 0
            || PyDict_SetItem(made, state->names[LEVELNO], args[R_LEVEL]) < 0
            || PyDict_SetItem(made, state->names[NAME], args[R_NAME]) < 0
            || PyDict_SetItem(made, state->names[MSG], args[R_MSG]) < 0
            || PyDict_SetItem(made, state->names[ARGS], args[R_ARGS]) < 0
            || set_time(state, made) <= 0))
        Py_CLEAR(made);
    Py_XDECREF(level_name);
    return made;
}

/* A record with these attributes, made without LogRecord.__init__. */
static PyObject *
record_with(const State *state, PyObject *attributes)
{
    PyTypeObject *type = (PyTypeObject *)state->record;
    PyObject *none = PyTuple_New(0), *record = none == NULL ? NULL : type->tp_new(type, none, NULL);

    Py_XDECREF(none);
    if (record != NULL && PyObject_SetAttr(record, state->names[DICT], attributes) < 0)
        Py_CLEAR(record);
    return record;
}

/* Store the attributes that this record shares with all others of its kind, as their template. */
static int
store_template(State *state, PyObject *record, PyObject *const *args)
{
    static const int own[] = {NAME, MSG, ARGS};
    PyObject *attributes = PyObject_GenericGetDict(record, NULL), *template = PyDict_New();
    int failed = attributes == NULL || template == NULL || PyDict_Update(template, attributes) < 0;

    for (size_t i = 0; !failed && i < sizeof(own) / sizeof(*own); i++)
        failed = PyDict_SetItem(template, state->names[own[i]], Py_None) < 0;
    if (!failed) {
        Py_XSETREF(state->unknown_place[0], Py_NewRef(args[R_PATH]));
        Py_XSETREF(state->unknown_place[1], Py_NewRef(args[R_LINE]));
        Py_XSETREF(state->unknown_place[2], Py_NewRef(args[R_FUNCTION]));
        Py_XSETREF(state->template, Py_NewRef(template));
    }
    Py_XDECREF(attributes);
    Py_XDECREF(template);
    return failed ? -1 : 0;
}

/* The record made by `logging` itself. */
static PyObject *
make_in_python(State *state, PyObject *const *args, Py_ssize_t count, PyObject *keywords, int usual)
{
    PyObject *record = PyObject_Vectorcall(state->record, args, (size_t)count, keywords);

    if (record != NULL && usual && PyUnicode_Check(args[R_PATH])
        && PyUnicode_CompareWithASCIIString(args[R_PATH], "(unknown file)") == 0
        && store_template(state, record, args) < 0)
        Py_CLEAR(record);
    return record;
}

PyObject *
make_record(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *keywords)
{
    State *state = PyModule_GetState(module);
    int usual = count == R_COUNT && (keywords == NULL || PyTuple_GET_SIZE(keywords) == 0)
                && nothing_is_gathered(state) && are_usual_arguments(args);

    if (usual && args[R_PATH] == state->unknown_place[0] && args[R_LINE] == state->unknown_place[1]
        && args[R_FUNCTION] == state->unknown_place[2]) {
        PyObject *attributes = attributes_of(state, args);
        if (attributes != NULL) {
            PyObject *record = record_with(state, attributes);
            Py_DECREF(attributes);
            return record;
        }
    }
    if (is_fatal())
        return NULL;
    return make_in_python(state, args, count, keywords, usual);
}
