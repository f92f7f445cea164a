/* Makes the line of a record, by the plan for records with the same attributes.

   Does: `EventFormatter._straight` of formatting/formatter.py, for a record whose message is a string.
   formatting/plans.py registers each plan: the attributes whose values the line has, in their order, and the
   bytes between them.
   Leaves to Python: messages that are not strings, exceptions and stacks.
   The encoder is called for a value that is not a string, None, a bool or a 64-bit integer, the clock for the
   first record of a second. The code of a caller's object is called once: no value is refused afterwards.

   GIL: held.
   References: the encoder, the clock and an argument's `__str__` may run any code. It may change the record,
   use this writer or have it forget its plans. So the values and the plan are held until the line is made;
   the names are not used after such a call.
   Signals: a signal handler may run during such a call. If it raises, the line is dropped, and nothing of it
   was written. */

#include "speedups.h"

#include <math.h>
#include <string.h>

#define MAX_ATTRIBUTES 64           /* of a record */
#define SLOTS 1024        /* twice the number of plans that plans.py remembers */
#define FIRST_HASH ((Py_uhash_t)14695981039346656037ULL)

/* The attributes of a record that are read; `where` has their positions. */
enum { AT_NAME, AT_MSG, AT_ARGS, AT_EXC_INFO, AT_EXC_TEXT, AT_STACK_INFO, AT_CREATED, LOOKED_AT };
static const char *const LOOKED[LOOKED_AT] = {
    "name", "msg", "args", "exc_info", "exc_text", "stack_info", "created"};

typedef struct {
    PyObject *key;        /* `,"name":` as bytes; for a constant with its value */
    int source;           /* the position of the attribute, or STAMP, MESSAGE, CONSTANT */
    int optional;         /* left out if the value is None */
} Part;

typedef struct {
    int users;            /* reference count: the writer, and each line being made */
    PyObject *names;      /* the names of the attributes, a tuple */
    Py_uhash_t hash;
    int special;
    int count;
    Part parts[];
} Plan;

typedef struct {
    PyObject_HEAD
    PyObject *standard;   /* the names of the attributes of every record, in their order */
    PyObject *special;    /* the name of the logger whose records have their own layout */
    PyObject *encode;         /* the encoder */
    PyObject *encode_refused; /* LineEncoder.value of formatting/values.py */
    PyObject *finish;         /* LineEncoder.finish_value, for JSON that may repeat a key or be too deep */
    PyObject *shorten;        /* LineEncoder.finish, for a line that is too long */
    PyObject *clock;
    int rfc3339;          /* whether the clock returns strings of 27 characters */
    Py_ssize_t max_bytes;
    int where[LOOKED_AT];
    int count;
    Plan *plans[SLOTS];
    double second;        /* the second of `text`, NaN before the first record */
    char text[20];
} LineWriter;

/* ------------------------------------------------------------------------------------- the buffer --- */

/* Reserve so many more bytes. Doubles the size, so that a long line is not moved for each part. */
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

void
buffer_open(Buffer *b)
{
    b->start = b->at = b->first;
    b->end = b->first + sizeof(b->first);
}

void
buffer_close(Buffer *b)
{
    if (b->start != b->first)
        PyMem_Free(b->start);
}

#define RESERVE(b, more) ((b)->end - (b)->at >= (more) ? 0 : buffer_grow((b), (more)))

int
put_bytes(Buffer *b, const char *bytes, Py_ssize_t length)
{
    if (RESERVE(b, length) < 0)
        return -1;
    memcpy(b->at, bytes, (size_t)length);
    b->at += length;
    return 0;
}

/* ------------------------------------------------------------------------------------- the values --- */

/* The form of a byte in a JSON string: 0 as it is, 'u' as \u00XX, else this character after a backslash. */
static const char ESCAPED[256] = {
    'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'b', 't', 'n', 'u', 'f', 'r', 'u', 'u',
    'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u',
    ['"'] = '"', ['\\'] = '\\',
};

/* Add a string as JSON: in quotation marks, in UTF-8, escaped where necessary. */
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
    if (RESERVE(b, length + 2) < 0)
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
        if (RESERVE(b, 6) < 0)
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

#define NESTED_LEVELS 100     /* as in formatting/values.py */
#define SIMPLE_LEVELS 32

/* Whether a value has JSON without a repeated key, nested not too deep: in dicts only strings are keys. No code
   of the caller runs for it. */
static int
is_simple(PyObject *value, int levels)
{
    PyObject *key, *item;
    Py_ssize_t at = 0;

    if (PyUnicode_CheckExact(value) || value == Py_None || PyBool_Check(value) || PyLong_CheckExact(value)
        || PyFloat_CheckExact(value))
        return 1;
    if (!levels)
        return 0;
    if (PyDict_CheckExact(value)) {
        while (PyDict_Next(value, &at, &key, &item))
            if (!PyUnicode_CheckExact(key) || !is_simple(item, levels - 1))
                return 0;
        return 1;
    }
    if (!PyList_CheckExact(value) && !PyTuple_CheckExact(value))
        return 0;
    for (; at < PySequence_Fast_GET_SIZE(value); at++)
        if (!is_simple(PySequence_Fast_GET_ITEM(value, at), levels - 1))
            return 0;
    return 1;
}

/* Whether JSON has no object in it, and too few arrays to be too deep. */
static int
is_shallow(const char *at, Py_ssize_t length)
{
    const char *stop = at + length;
    int left = NESTED_LEVELS;

    if (memchr(at, '{', (size_t)length) != NULL)
        return 0;
    while ((at = memchr(at, '[', (size_t)(stop - at))) != NULL && left--)
        at++;
    return at == NULL;
}

/* Add any value by calling the encoder. */
static int
put_encoded(const LineWriter *self, Buffer *b, PyObject *value)
{
    int simple = is_simple(value, SIMPLE_LEVELS), done = 0;
    PyObject *bytes = PyObject_CallOneArg(self->encode, value);

    if (bytes == NULL) {
        if (is_fatal() || (bytes = PyObject_CallOneArg(self->encode_refused, value)) == NULL)
            return -1;
    }
    else if (!simple && PyBytes_CheckExact(bytes)
             && !is_shallow(PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes)))
        Py_SETREF(bytes, PyObject_CallOneArg(self->finish, bytes));
    if (bytes == NULL)
        return -1;
    if (PyBytes_CheckExact(bytes))
        done = put_bytes(b, PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes)) < 0 ? -1 : 1;
    Py_DECREF(bytes);
    return done;
}

/* Add a string; one with unpaired surrogates is left to the encoder. */
static int
put_string(const LineWriter *self, Buffer *b, PyObject *text)
{
    if (put_text(b, text) == 0)
        return 1;
    if (!PyErr_ExceptionMatches(PyExc_UnicodeError))
        return -1;
    PyErr_Clear();
    return put_encoded(self, b, text);
}

/* Add any value. */
static int
put_value(const LineWriter *self, Buffer *b, PyObject *value)
{
    if (PyUnicode_CheckExact(value))
        return put_string(self, b, value);
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
    return put_encoded(self, b, value);
}

/* Write a number with leading zeros. */
static void
set_digits(char *at, int count, int value)
{
    for (; count--; value /= 10)
        at[count] = (char)('0' + value % 10);
}

/* Add the time. Within a second only the digits after the point change. The arithmetic is that of rfc3339 in
   formatting/timestamps.py, step by step. */
static int
put_stamp(LineWriter *self, Buffer *b, PyObject *created)
{
    PyObject *text;
    int done;

    if (self->rfc3339 && PyFloat_CheckExact(created)) {
        double time = PyFloat_AS_DOUBLE(created), fraction = time - self->second;
        if (fraction >= 0.0 && fraction < 0.9999995) {
            volatile double micros = fraction * 1e6;   /* no fused multiply-add */
            if (RESERVE(b, 29) < 0)
                return -1;
            b->at[0] = '"';
            memcpy(b->at + 1, self->text, 20);
            set_digits(b->at + 21, 6, (int)(micros + 0.5));
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

/* Add the message, formatted with its arguments if there are any. */
static int
put_message(const LineWriter *self, Buffer *b, PyObject *message, PyObject *args)
{
    PyObject *text;
    int done;

    if (PyTuple_GET_SIZE(args) == 0)
        return put_string(self, b, message);
    if ((text = PyUnicode_Format(message, args)) != NULL && !PyUnicode_CheckExact(text))
        Py_SETREF(text, PyUnicode_FromObject(text));   /* an argument's __str__ returned it */
    if (text == NULL)
        return -1;
    done = put_string(self, b, text);
    Py_DECREF(text);
    return done;
}

/* ----------------------------------------------------------------------------------------- the plans --- */

/* Whether two strings are equal; nearly always they are the same object. */
static int
same_text(PyObject *one, PyObject *other)
{
    return one == other || PyUnicode_Compare(one, other) == 0;
}

/* FNV-1a over the hashes of names, which Python caches. */
static Py_uhash_t
mixed(Py_uhash_t hash, PyObject *name)
{
    return (hash ^ (Py_uhash_t)PyObject_Hash(name)) * (Py_uhash_t)1099511628211ULL;
}

/* Free a plan with its last user: it may be forgotten while it is in use. */
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

/* The slot of the plan for these names, or the empty slot for it. */
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

/* Fill in a part from a tuple: the key, the source of the value, whether both may be left out. */
static int
set_part(Part *part, PyObject *given, Py_ssize_t names)
{
    PyObject *key;

    if (!PyTuple_Check(given)) {
        PyErr_SetString(PyExc_TypeError, "a part must be a tuple");
        return -1;
    }
    if (!PyArg_ParseTuple(given, "Sip", &key, &part->source, &part->optional))
        return -1;
    if (part->source < CONSTANT || part->source >= names || (part->optional && part->source < 0)) {
        PyErr_SetString(PyExc_ValueError, "a part has no such source");
        return -1;
    }
    part->key = Py_NewRef(key);
    return 0;
}

/* Collect the names and values of a record's attributes; 0 if it is not an ordinary record. */
static Py_ssize_t
collect(const LineWriter *self, PyObject *attributes, PyObject **names, PyObject **values, Py_uhash_t *hash)
{
    Py_ssize_t standard = PyTuple_GET_SIZE(self->standard), count = 0, position = 0;
    PyObject *name, *value;

    *hash = FIRST_HASH;
    while (PyDict_Next(attributes, &position, &name, &value)) {
        if (count == MAX_ATTRIBUTES || !PyUnicode_CheckExact(name))
            return 0;
        if (count >= standard)
            *hash = mixed(*hash, name);
        else if (!same_text(name, PyTuple_GET_ITEM(self->standard, count)))
            return 0;
        names[count] = name;
        values[count++] = value;
    }
    return count < standard ? 0 : count;
}

static Plan *
make_plan(PyObject *attributes, int special, PyObject *parts)
{
    Py_ssize_t count = PyTuple_GET_SIZE(parts);
    Plan *plan = PyMem_Calloc(1, sizeof(Plan) + (size_t)count * sizeof(Part));

    if (plan == NULL)
        return (Plan *)PyErr_NoMemory();
    *plan = (Plan){.users = 1, .names = PySequence_Tuple(attributes), .special = special};
    while (plan->names != NULL && plan->count < count
           && set_part(&plan->parts[plan->count], PyTuple_GET_ITEM(parts, plan->count),
                       PyTuple_GET_SIZE(plan->names)) == 0)
        plan->count++;
    if (plan->names != NULL && plan->count == count)
        return plan;
    release_plan(plan);
    return NULL;
}

static PyObject *
writer_learn(PyObject *object, PyObject *args)
{
    LineWriter *self = (LineWriter *)object;
    PyObject *attributes, *parts, *names[MAX_ATTRIBUTES], *values[MAX_ATTRIBUTES];
    Py_ssize_t count;
    Plan *plan, **slot;
    Py_uhash_t hash;
    int special;

    if (self->standard == NULL) {
        PyErr_SetString(PyExc_TypeError, "LineWriter.__init__ was not called, or failed");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "O!pO!", &PyDict_Type, &attributes, &special, &PyTuple_Type, &parts)
        || (plan = make_plan(attributes, special, parts)) == NULL)
        return NULL;
    count = collect(self, attributes, names, values, &hash);
    slot = count == 0 ? NULL : find_plan(self, names, count, special, hash);
    if (slot != NULL && *slot == NULL && plan->count > 0 && self->count < SLOTS / 2) {
        plan->hash = hash;
        *slot = plan;
        self->count++;
    }
    else
        release_plan(plan);
    Py_RETURN_NONE;
}

static PyObject *
writer_forget(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    LineWriter *self = (LineWriter *)object;
    Plan *plans[SLOTS];

    memcpy(plans, self->plans, sizeof(plans));
    memset(self->plans, 0, sizeof(plans));
    self->count = 0;
    for (int i = 0; i < SLOTS; i++)
        if (plans[i] != NULL)
            release_plan(plans[i]);
    Py_RETURN_NONE;
}

/* ------------------------------------------------------------------------------------------ the line --- */

/* Whether the message is a string, without an exception or a stack. */
static int
is_plain(const LineWriter *self, PyObject *const *values)
{
    const int *where = self->where;
    PyObject *args = values[where[AT_ARGS]];

    return PyUnicode_CheckExact(values[where[AT_MSG]]) && PyUnicode_CheckExact(values[where[AT_NAME]])
           && values[where[AT_EXC_INFO]] == Py_None && values[where[AT_EXC_TEXT]] == Py_None
           && values[where[AT_STACK_INFO]] == Py_None && PyTuple_CheckExact(args);
}

/* Add the parts with their values; 0 if there are arguments but no message to format with them. */
static int
put_parts(LineWriter *self, Buffer *b, const Plan *plan, PyObject *const *values)
{
    PyObject *args = values[self->where[AT_ARGS]];
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
            done = put_stamp(self, b, values[self->where[AT_CREATED]]);
        else if (part->source == MESSAGE) {
            done = put_message(self, b, values[self->where[AT_MSG]], args);
            message_is_written = 1;
        }
        if (done <= 0)
            return done;
    }
    return message_is_written || PyTuple_GET_SIZE(args) == 0;
}

/* Replace a line that is too long. */
static int
shorten(const LineWriter *self, Buffer *b)
{
    PyObject *line = PyBytes_FromStringAndSize(b->start, b->at - 1 - b->start);
    int done = 0;

    if (line != NULL)
        Py_SETREF(line, PyObject_CallOneArg(self->shorten, line));
    if (line == NULL)
        return -1;
    if (PyBytes_CheckExact(line)) {
        b->at = b->start;
        done = put_bytes(b, PyBytes_AS_STRING(line), PyBytes_GET_SIZE(line)) < 0 || put_bytes(b, "\n", 1) < 0
                   ? -1 : 1;
    }
    Py_DECREF(line);
    return done;
}

int
make_line(PyObject *writer, Buffer *b, PyObject *attributes)
{
    LineWriter *self = (LineWriter *)writer;
    PyObject *names[MAX_ATTRIBUTES], *values[MAX_ATTRIBUTES];
    Py_uhash_t hash;
    Py_ssize_t count;
    Plan *plan;
    int done;

    buffer_open(b);
    if (!PyDict_CheckExact(attributes) || !self->count || !self->clock)
        return 0;
    count = collect(self, attributes, names, values, &hash);
    if (count == 0 || !is_plain(self, values))
        return 0;
    plan = *find_plan(self, names, count, same_text(values[self->where[AT_NAME]], self->special), hash);
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
        b->start[0] = '{';                /* replaces the first part's comma */
        if (self->max_bytes && b->at - 1 - b->start > self->max_bytes)
            done = shorten(self, b);
    }
    return done;
}

static PyObject *
writer_line(PyObject *self, PyObject *attributes)
{
    Buffer b;
    PyObject *line = NULL;

    if (make_line(self, &b, attributes) > 0)
        line = PyBytes_FromStringAndSize(b.start, b.at - 1 - b.start);
    buffer_close(&b);
    if (line != NULL || is_fatal())
        return line;
    Py_RETURN_NONE;
}

/* ------------------------------------------------------------------------------------------ the type --- */

/* Find the positions of the attributes that are read. */
static int
set_places(LineWriter *self, PyObject *standard)
{
    for (int looked = 0; looked < LOOKED_AT; looked++)
        self->where[looked] = -1;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(standard); i++) {
        PyObject *name = PyTuple_GET_ITEM(standard, i);
        if (!PyUnicode_CheckExact(name)) {
            PyErr_SetString(PyExc_TypeError, "standard must be a tuple of names");
            return -1;
        }
        for (int looked = 0; looked < LOOKED_AT; looked++)
            if (PyUnicode_CompareWithASCIIString(name, LOOKED[looked]) == 0)
                self->where[looked] = (int)i;
    }
    for (int looked = 0; looked < LOOKED_AT; looked++)
        if (self->where[looked] < 0) {
            PyErr_Format(PyExc_ValueError, "records have no %s", LOOKED[looked]);
            return -1;
        }
    return 0;
}

static int
writer_init(PyObject *object, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"standard", "special", "encode", "encode_refused", "finish", "shorten", "clock",
                            "rfc3339", "max_bytes", NULL};
    LineWriter *self = (LineWriter *)object;
    PyObject *standard, *special, *encode, *encode_refused, *finish, *shorten, *clock;
    int rfc3339;
    Py_ssize_t max_bytes;

    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O!UOOOOOpn", names, &PyTuple_Type, &standard, &special,
                                     &encode, &encode_refused, &finish, &shorten, &clock, &rfc3339,
                                     &max_bytes))
        return -1;
    if (self->standard != NULL) {
        PyErr_SetString(PyExc_TypeError, "a LineWriter is initialised once");
        return -1;
    }
    if (set_places(self, standard) < 0)
        return -1;
    self->standard = Py_NewRef(standard);
    self->special = Py_NewRef(special);
    self->encode = Py_NewRef(encode);
    self->encode_refused = Py_NewRef(encode_refused);
    self->finish = Py_NewRef(finish);
    self->shorten = Py_NewRef(shorten);
    self->clock = Py_NewRef(clock);
    self->rfc3339 = rfc3339;
    self->max_bytes = max_bytes;
    self->second = NAN;
    return 0;
}

static int
writer_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((LineWriter *)self)->encode);
    Py_VISIT(((LineWriter *)self)->encode_refused);
    Py_VISIT(((LineWriter *)self)->finish);
    Py_VISIT(((LineWriter *)self)->shorten);
    Py_VISIT(((LineWriter *)self)->clock);
    return 0;
}

static int
writer_clear(PyObject *self)
{
    Py_CLEAR(((LineWriter *)self)->clock);   /* first: without it no line is made */
    Py_CLEAR(((LineWriter *)self)->encode);
    Py_CLEAR(((LineWriter *)self)->encode_refused);
    Py_CLEAR(((LineWriter *)self)->finish);
    Py_CLEAR(((LineWriter *)self)->shorten);
    return 0;
}

static void
writer_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    Py_XDECREF(writer_forget(self, NULL));
    writer_clear(self);
    Py_XDECREF(((LineWriter *)self)->standard);
    Py_XDECREF(((LineWriter *)self)->special);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"line", writer_line, METH_O,
     "line(attributes)\n--\n\n"
     "Return the line of a record with these *attributes*, without newline; `None` leaves it to Python."},
    {"write", (PyCFunction)(void (*)(void))writer_write, METH_FASTCALL,
     "write(handler, record)\n--\n\n"
     "Write *record* through *handler*; return whether it was written, else nothing was.\n\n"
     "Only the ordinary case is handled: a plain record, the handler's own stream, a free file lock, a path\n"
     "that still names the open file, which stays below `maxBytes` and ends with a whole line."},
    {"write_event", (PyCFunction)(void (*)(void))writer_write_event, METH_FASTCALL,
     "write_event(handler, event)\n--\n\n"
     "Write *event* as a line through *handler*; return `None` if it was not written.\n\n"
     "Otherwise return whether a handler in the logging tree may want the event, too. It gets a trace id if\n"
     "it has none. Only the ordinary case is handled (see `write`), with no filter on *handler*, and with\n"
     "pydantic's own JSON of the event, without a nested object."},
    {"learn", writer_learn, METH_VARARGS,
     "learn(attributes, special, parts)\n--\n\n"
     "Store the *parts* of the lines of records whose attributes have the names of *attributes*."},
    {"forget", writer_forget, METH_NOARGS, "forget()\n--\n\nForget all stored plans."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Makes the lines of records by stored plans, and writes them."},
    {Py_tp_methods, methods},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, writer_init},
    {Py_tp_traverse, writer_traverse},
    {Py_tp_clear, writer_clear},
    {Py_tp_dealloc, writer_dealloc},
    {0, NULL},
};

PyType_Spec writer_spec = {
    "chora_logging.speedups._speedups.LineWriter", sizeof(LineWriter), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, slots};
