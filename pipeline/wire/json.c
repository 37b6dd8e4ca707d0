#include "json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct walk {
    const char *begin, *at, *end;
    const struct spk_array_path *paths;
    spk_json_report report;
    void *context;
    unsigned depth;
    const char *fault;
};

/* Where in the paths a value stands: `active` has a bit for each path whose first `level` segments led here. */
struct place {
    uint32_t active;
    unsigned level;
    int index;
};

static bool value(struct walk *walk, struct place place);

static bool fail(struct walk *walk, const char *fault)
{
    walk->fault = fault;
    return false;
}

static void skip_blanks(struct walk *walk)
{
    while (walk->at < walk->end &&
           (*walk->at == ' ' || *walk->at == '\n' || *walk->at == '\t' || *walk->at == '\r'))
        walk->at++;
}

static bool take(struct walk *walk, char c)
{
    skip_blanks(walk);
    if (walk->at >= walk->end || *walk->at != c)
        return false;
    walk->at++;
    return true;
}

static uint32_t complete(const struct walk *walk, struct place place)
{
    uint32_t fields = 0;
    for (uint32_t left = place.active; left; left &= left - 1) {
        int i = __builtin_ctz(left);
        if (walk->paths[i].depth == place.level)
            fields |= 1u << i;
    }
    return fields;
}

static void report(struct walk *walk, struct place place, struct spk_json_value *v)
{
    uint32_t fields = complete(walk, place);
    v->index = place.index;
    for (; fields; fields &= fields - 1)
        walk->report(walk->context, (unsigned)__builtin_ctz(fields), v);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* The four digits after \u, or -1. */
static int32_t hex4(struct walk *walk)
{
    int32_t code = 0;
    for (int i = 0; i < 4; i++) {
        int digit = walk->at < walk->end ? hex_digit(*walk->at) : -1;
        if (digit < 0)
            return -1;
        code = code * 16 + digit;
        walk->at++;
    }
    return code;
}

/* Text being decoded; bytes beyond its size are dropped. */
struct decoded {
    char text[SPK_JSON_TEXT];
    size_t length;
};

static void put(struct decoded *to, int32_t byte)
{
    if (to->length < sizeof to->text - 1)
        to->text[to->length++] = (char)byte;
}

static void put_utf8(struct decoded *to, int32_t code)
{
    if (code < 0x80) {
        put(to, code);
    } else if (code < 0x800) {
        put(to, 0xC0 | code >> 6);
        put(to, 0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        put(to, 0xE0 | code >> 12);
        put(to, 0x80 | (code >> 6 & 0x3F));
        put(to, 0x80 | (code & 0x3F));
    } else {
        put(to, 0xF0 | code >> 18);
        put(to, 0x80 | (code >> 12 & 0x3F));
        put(to, 0x80 | (code >> 6 & 0x3F));
        put(to, 0x80 | (code & 0x3F));
    }
}

static bool unicode_escape(struct walk *walk, struct decoded *to)
{
    enum { REPLACEMENT = 0xFFFD };
    int32_t code = hex4(walk);
    if (code < 0)
        return fail(walk, "bad \\u escape");
    if (code >= 0xD800 && code < 0xDC00 && walk->end - walk->at >= 6 && walk->at[0] == '\\' &&
        walk->at[1] == 'u') {
        const char *back = walk->at;
        walk->at += 2;
        int32_t low = hex4(walk);
        if (low >= 0xDC00 && low < 0xE000)
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        else
            walk->at = back;
    }
    if (code == 0 || (code >= 0xD800 && code < 0xE000))
        code = REPLACEMENT;
    put_utf8(to, code);
    return true;
}

static bool escape(struct walk *walk, struct decoded *to)
{
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    if (walk->at >= walk->end)
        return fail(walk, "unfinished string");
    char c = *walk->at++;
    if (c == 'u')
        return unicode_escape(walk, to);
    const char *known = c ? strchr(from, c) : NULL;
    if (!known)
        return fail(walk, "unknown escape");
    put(to, into[known - from]);
    return true;
}

static void put_run(struct decoded *to, const char *run, size_t length)
{
    size_t room = sizeof to->text - 1 - to->length;
    length = length < room ? length : room;
    memcpy(to->text + to->length, run, length);
    to->length += length;
}

/* The opening quote is taken. */
static bool string(struct walk *walk, struct decoded *to)
{
    to->length = 0;
    while (walk->at < walk->end) {
        const char *run = walk->at;
        while (walk->at < walk->end && *walk->at != '"' && *walk->at != '\\' && *walk->at)
            walk->at++;
        put_run(to, run, (size_t)(walk->at - run));
        char c = walk->at < walk->end ? *walk->at++ : 0;
        if (c == '"') {
            to->text[to->length] = 0;
            return true;
        }
        if (c != '\\' || !escape(walk, to))
            break;
    }
    return walk->fault ? false : fail(walk, "unfinished string");
}

static bool digits(struct walk *walk)
{
    const char *first = walk->at;
    while (walk->at < walk->end && *walk->at >= '0' && *walk->at <= '9')
        walk->at++;
    return walk->at > first;
}

static bool is_at(const struct walk *walk, const char *word)
{
    size_t length = strlen(word);
    return (size_t)(walk->end - walk->at) >= length && memcmp(walk->at, word, length) == 0;
}

static bool integer_from(const char *text, size_t length, int64_t *out)
{
    bool negative = *text == '-';
    int64_t sum = 0;
    for (size_t i = negative; i < length; i++) {
        if (__builtin_mul_overflow(sum, 10, &sum) || __builtin_sub_overflow(sum, text[i] - '0', &sum))
            return false;
    }
    *out = sum;
    return negative || !__builtin_mul_overflow(sum, -1, out);
}

static double real_from(const char *text, size_t length)
{
    char copy[64];
    if (length >= sizeof copy)
        return NAN;
    memcpy(copy, text, length);
    copy[length] = 0;
    return strtod(copy, NULL);
}

static bool number(struct walk *walk, struct place place)
{
    struct spk_json_value v = {.kind = SPK_JSON_REAL};
    const char *first = walk->at;
    bool whole = true;
    if (*walk->at == '-')
        walk->at++;
    if (is_at(walk, "Infinity")) {
        walk->at += 8;
        v.real = *first == '-' ? -INFINITY : INFINITY;
        report(walk, place, &v);
        return true;
    }
    if (walk->at < walk->end && *walk->at == '0')
        walk->at++;
    else if (!digits(walk))
        return fail(walk, "a value was expected");
    if (walk->at < walk->end && *walk->at == '.') {
        whole = false;
        walk->at++;
        if (!digits(walk))
            return fail(walk, "bad number");
    }
    if (walk->at < walk->end && (*walk->at == 'e' || *walk->at == 'E')) {
        whole = false;
        walk->at++;
        if (walk->at < walk->end && (*walk->at == '+' || *walk->at == '-'))
            walk->at++;
        if (!digits(walk))
            return fail(walk, "bad number");
    }
    if (!complete(walk, place))
        return true;
    size_t length = (size_t)(walk->at - first);
    if (whole && integer_from(first, length, &v.integer))
        v.kind = SPK_JSON_INTEGER;
    v.real = v.kind == SPK_JSON_INTEGER ? (double)v.integer : real_from(first, length);
    report(walk, place, &v);
    return true;
}

static struct place below(const struct walk *walk, struct place place, const struct decoded *key)
{
    struct place next = {.level = place.level + 1, .index = -1};
    for (uint32_t left = place.active; left; left &= left - 1) {
        int i = __builtin_ctz(left);
        const struct spk_array_path *path = &walk->paths[i];
        if (path->depth > place.level && path->length[place.level] == key->length &&
            memcmp(path->segment[place.level], key->text, key->length) == 0)
            next.active |= 1u << i;
    }
    return next;
}

static bool object(struct walk *walk, struct place place)
{
    struct decoded key;
    if (take(walk, '}'))
        return true;
    do {
        if (!take(walk, '"'))
            return fail(walk, "a key was expected");
        if (!string(walk, &key))
            return false;
        if (!take(walk, ':'))
            return fail(walk, "':' was expected");
        if (!value(walk, below(walk, place, &key)))
            return false;
    } while (take(walk, ','));
    return take(walk, '}') || fail(walk, "',' or '}' was expected");
}

static bool array(struct walk *walk, struct place place)
{
    struct place element = {.active = place.index < 0 ? complete(walk, place) : 0, .level = place.level};
    if (take(walk, ']'))
        return true;
    do {
        if (!value(walk, element))
            return false;
        element.index++;
    } while (take(walk, ','));
    return take(walk, ']') || fail(walk, "',' or ']' was expected");
}

static bool container(struct walk *walk, struct place place, bool is_object)
{
    struct spk_json_value v = {.kind = is_object ? SPK_JSON_OBJECT : SPK_JSON_ARRAY};
    if (walk->depth == SPK_JSON_DEPTH)
        return fail(walk, "nested too deep");
    walk->depth++;
    report(walk, place, &v);
    bool good = is_object ? object(walk, place) : array(walk, place);
    walk->depth--;
    return good;
}

static bool word(struct walk *walk, struct place place)
{
    static const struct {
        const char *text;
        struct spk_json_value value;
    } words[] = {{"true", {.kind = SPK_JSON_BOOL, .integer = 1, .real = 1}},
                 {"false", {.kind = SPK_JSON_BOOL}},
                 {"null", {.kind = SPK_JSON_NULL}},
                 {"NaN", {.kind = SPK_JSON_REAL, .real = NAN}}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (is_at(walk, words[i].text)) {
            struct spk_json_value v = words[i].value;
            walk->at += strlen(words[i].text);
            report(walk, place, &v);
            return true;
        }
    }
    return number(walk, place);
}

static bool value(struct walk *walk, struct place place)
{
    skip_blanks(walk);
    if (walk->at >= walk->end)
        return fail(walk, "a value was expected");
    switch (*walk->at) {
    case '{':
        walk->at++;
        return container(walk, place, true);
    case '[':
        walk->at++;
        return container(walk, place, false);
    case '"': {
        struct decoded text;
        struct spk_json_value v = {.kind = SPK_JSON_STRING, .text = text.text};
        walk->at++;
        if (!string(walk, &text))
            return false;
        report(walk, place, &v);
        return true;
    }
    default:
        return word(walk, place);
    }
}

const char *spk_json_walk(const char *text, size_t size, const struct spk_array_path *paths, unsigned count,
                          spk_json_report report_to, void *context, size_t *at)
{
    struct walk walk = {.begin = text,
                        .at = text,
                        .end = text + size,
                        .paths = paths,
                        .report = report_to,
                        .context = context};
    uint32_t all = 0;
    for (unsigned i = 0; i < count; i++)
        all |= paths[i].depth ? 1u << i : 0;
    skip_blanks(&walk);
    if (walk.at >= walk.end || *walk.at != '{')
        fail(&walk, "'{' was expected");
    else if (value(&walk, (struct place){.active = all, .index = -1})) {
        while (walk.at < walk.end &&
               (*walk.at == 0 || *walk.at == ' ' || *walk.at == '\n' || *walk.at == '\r' || *walk.at == '\t'))
            walk.at++;
        if (walk.at < walk.end)
            fail(&walk, "text after the end");
    }
    if (at)
        *at = (size_t)(walk.at - walk.begin);
    return walk.fault;
}
