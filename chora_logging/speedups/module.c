/* The extension module: its types and functions, and the objects that Python registers with it.

   Does: look up at import the objects for later comparison, store what context.py and
   telemetry/event_schemas.py register.
   Leaves to Python: whether it is used at all, see `chora_logging.speedups`.

   GIL: all interpreters of a process share one; the module is not built for Pythons without a GIL.
   References: the module of each interpreter has its own state, which the garbage collector sees.
   Signals: no foreign code runs here. */

#include "speedups.h"

#define OBJECTS (sizeof(State) / sizeof(PyObject *))

#define AS_TEXT(name, text) text,
static const char *const NAME_TEXTS[NAME_COUNT] = {NAMES(AS_TEXT)};

/* The functions of `os` whose system calls append.c makes itself. */
static const char *const CALL_NAMES[CALL_COUNT] = {"write", "stat", "pread"};

/* Whether a context variable has a default: read in a new context, where no variable is set. */
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

/* Whether a tuple consists of dicts, each followed by a hashable key. */
static int
are_signs(PyObject *signs)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(signs); i += 2) {
        if (i + 1 == PyTuple_GET_SIZE(signs) || !PyDict_Check(PyTuple_GET_ITEM(signs, i))) {
            PyErr_SetString(PyExc_TypeError, "signs must be dicts, each with a key");
            return 0;
        }
        if (PyObject_Hash(PyTuple_GET_ITEM(signs, i + 1)) == -1)
            return 0;
    }
    return 1;
}

static PyObject *
trace_by(PyObject *module, PyObject *args)
{
    State *state = PyModule_GetState(module);
    PyObject *filter, *variable, *ids, *signs;

    if (!PyArg_ParseTuple(args, "O!O!OO!", &PyType_Type, &filter, &PyContextVar_Type, &variable, &ids,
                          &PyTuple_Type, &signs))
        return NULL;
    if (!are_signs(signs) || !has_default(variable))
        return NULL;
    Py_XSETREF(state->trace_filter, Py_NewRef(filter));
    Py_XSETREF(state->trace_id, Py_NewRef(variable));
    Py_XSETREF(state->ids, Py_NewRef(ids));
    Py_XSETREF(state->signs, Py_NewRef(signs));
    Py_RETURN_NONE;
}

static PyObject *
fields_by(PyObject *module, PyObject *variable)
{
    State *state = PyModule_GetState(module);

    if (!PyContextVar_CheckExact(variable)) {
        PyErr_SetString(PyExc_TypeError, "variable must be a ContextVar");
        return NULL;
    }
    if (!has_default(variable))
        return NULL;
    Py_XSETREF(state->bound_fields, Py_NewRef(variable));
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
    Py_XSETREF(state->event_logger, Py_NewRef(name));
    Py_XSETREF(state->event, Py_NewRef(event));
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"events_are", events_are, METH_VARARGS,
     "events_are(event, dump, loggers, name)\n--\n\n"
     "Register *event*, the class of typed events, and *dump*, its `model_dump_json`.\n\n"
     "Classes that override *dump* are left to Python. Events go to the logger called *name* in *loggers*."},
    {"fields_by", fields_by, METH_O,
     "fields_by(variable)\n--\n\n"
     "Have `LineWriter.write` put the fields in the dict of the context *variable* on records, too."},
    {"make_record", (PyCFunction)(void (*)(void))make_record, METH_FASTCALL | METH_KEYWORDS,
     "make_record(*arguments)\n--\n\n"
     "Return `logging.LogRecord(*arguments)`, faster while logging's optional attributes are off."},
    {"trace_by", trace_by, METH_VARARGS,
     "trace_by(filter, variable, ids, signs)\n--\n\n"
     "Have `LineWriter.write` do the work of *filter*, a class.\n\n"
     "The trace id is the value of the context *variable*. If that is None, and one of the dicts in *signs*\n"
     "has the key that follows it, *ids* is called and returns the trace id and the span id."},
    {NULL, NULL, 0, NULL},
};

/* Add a type to the module; returns a new reference. */
static PyObject *
add_type(PyObject *module, PyType_Spec *spec)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);

    if (type != NULL && PyModule_AddType(module, (PyTypeObject *)type) < 0)
        Py_CLEAR(type);
    return type;
}

/* The dict of a module, a new reference. */
static PyObject *
dict_of(const char *name)
{
    PyObject *module = PyImport_ImportModule(name), *dict = NULL;

    if (module != NULL)
        dict = Py_NewRef(PyModule_GetDict(module));
    Py_XDECREF(module);
    return dict;
}

static int
module_exec(PyObject *module)
{
    State *state = PyModule_GetState(module);
    PyObject *writer;

    for (int i = 0; i < NAME_COUNT; i++)
        if ((state->names[i] = PyUnicode_InternFromString(NAME_TEXTS[i])) == NULL)
            return -1;
    if ((state->os = dict_of("os")) == NULL || (state->logging = dict_of("logging")) == NULL)
        return -1;
    for (int i = 0; i < CALL_COUNT; i++) {
        if ((state->call_names[i] = PyUnicode_InternFromString(CALL_NAMES[i])) == NULL)
            return -1;
        state->calls[i] = Py_XNewRef(PyDict_GetItemWithError(state->os, state->call_names[i]));
    }
    state->level_name = get(state, state->logging, GET_LEVEL_NAME);
    if ((state->record = get(state, state->logging, LOG_RECORD)) == NULL
        || (state->get_message = PyObject_GetAttr(state->record, state->names[GET_MESSAGE])) == NULL
        || (state->init = PyObject_GetAttr(state->record, state->names[INIT])) == NULL
        || (state->factory = PyObject_GetAttrString(module, "make_record")) == NULL
        || (state->appender = add_type(module, &appender_spec)) == NULL
        || (writer = add_type(module, &writer_spec)) == NULL)
        return -1;
    Py_DECREF(writer);                    /* the module has it */
    return PyModule_AddIntMacro(module, STAMP) < 0 || PyModule_AddIntMacro(module, MESSAGE) < 0
                   || PyModule_AddIntMacro(module, CONSTANT) < 0
                   || PyModule_AddIntMacro(module, LONGEST_LINE_BYTES) < 0
               ? -1
               : 0;
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

static PyModuleDef_Slot slots[] = {{Py_mod_exec, module_exec}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_speedups", .m_size = sizeof(State),
    .m_methods = methods, .m_slots = slots,
    .m_traverse = module_traverse, .m_clear = module_clear, .m_free = module_free};

PyMODINIT_FUNC
PyInit__speedups(void)
{
    return PyModuleDef_Init(&definition);
}
