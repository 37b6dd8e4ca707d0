/* Finding values at paths in the tokens that jsmn makes of a header. jsmn allocates nothing and takes what senders write beside
 * the standard (NaN, Infinity, zero bytes at the end); what it lets through without a value or a key is refused here. */
#include "json.h"

#define JSMN_STATIC
#define JSMN_PARENT_LINKS
#include <jsmn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { USUAL_TOKENS = 512 }; /* more than any detector's own header has; longer ones cost an allocation */

struct walk {
    const char *text;
    const jsmntok_t *token;
    unsigned tokens;
    const struct spk_array_path *paths;
    spk_json_report report;
    void *context;
    const char *fault;
    size_t at; /* of the fault */
};

/* Where in the paths a value stands: `active` has a bit for each path whose first `level` segments led here. */
struct place {
    uint32_t active;
    unsigned level, depth;
    int index;
};

static unsigned value(struct walk *walk, unsigned i, struct place place);

static unsigned fail(struct walk *walk, unsigned i, const char *fault)
{
    if (!walk->fault) {
        walk->fault = fault;
        walk->at = i < walk->tokens ? (size_t)walk->token[i].start : 0;
    }
    return walk->tokens;
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

static void report(const struct walk *walk, struct place place, struct spk_json_value *v)
{
    uint32_t fields = complete(walk, place);
    v->index = place.index;
    for (unsigned i = 0; fields; i++, fields >>= 1)
        if (fields & 1)
            walk->report(walk->context, i, v);
}

static size_t length_of(const jsmntok_t *token)
{
    return (size_t)(token->end - token->start);
}

/* The token's text with a terminating zero; cut where it does not fit. */
static const char *copy_text(const struct walk *walk, const jsmntok_t *token, char text[SPK_JSON_TEXT])
{
    size_t length = length_of(token);
    length = length < SPK_JSON_TEXT ? length : SPK_JSON_TEXT - 1;
    memcpy(text, walk->text + token->start, length);
    text[length] = '\0';
    return text;
}

/* A number, true, false or null. False when it is none of these. */
static bool read_primitive(const char *text, struct spk_json_value *v)
{
    char *end;
    *v = (struct spk_json_value){.kind = SPK_JSON_NULL};
    if (strcmp(text, "null") == 0)
        return true;
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0) {
        v->kind = SPK_JSON_BOOL;
        v->real = (double)(v->integer = *text == 't');
        return true;
    }
    errno = 0;
    v->integer = strtoll(text, &end, 10);
    v->kind = *end || errno ? SPK_JSON_REAL : SPK_JSON_INTEGER;
    v->real = v->kind == SPK_JSON_INTEGER ? (double)v->integer : strtod(text, &end);
    return *text && !*end;
}

static unsigned primitive(struct walk *walk, unsigned i, struct place place)
{
    char text[SPK_JSON_TEXT];
    struct spk_json_value v;
    if (walk->token[i].size || !read_primitive(copy_text(walk, &walk->token[i], text), &v))
        return fail(walk, i, "a value was expected");
    report(walk, place, &v);
    return i + 1;
}

static unsigned string(struct walk *walk, unsigned i, struct place place)
{
    char text[SPK_JSON_TEXT];
    struct spk_json_value v = {.kind = SPK_JSON_STRING};
    if (walk->token[i].size)
        return fail(walk, i, "',' was expected");
    if (complete(walk, place)) {
        v.text = copy_text(walk, &walk->token[i], text);
        report(walk, place, &v);
    }
    return i + 1;
}

static struct place below(const struct walk *walk, struct place place, const jsmntok_t *key)
{
    struct place next = {.level = place.level + 1, .depth = place.depth + 1, .index = -1};
    for (uint32_t left = place.active; left; left &= left - 1) {
        int i = __builtin_ctz(left);
        const struct spk_array_path *path = &walk->paths[i];
        if (path->depth > place.level && path->length[place.level] == length_of(key) &&
            memcmp(path->segment[place.level], walk->text + key->start, length_of(key)) == 0)
            next.active |= 1u << i;
    }
    return next;
}

static unsigned object(struct walk *walk, unsigned i, struct place place)
{
    struct spk_json_value v = {.kind = SPK_JSON_OBJECT};
    int members = walk->token[i].size;
    report(walk, place, &v);
    for (i++; members-- > 0 && i < walk->tokens;) {
        const jsmntok_t *key = &walk->token[i];
        if (key->type != JSMN_STRING || key->size != 1)
            return fail(walk, i, "a key and one value were expected");
        i = value(walk, i + 1, below(walk, place, key));
    }
    return i;
}

static unsigned array(struct walk *walk, unsigned i, struct place place)
{
    struct spk_json_value v = {.kind = SPK_JSON_ARRAY};
    struct place element = {.active = place.index < 0 ? complete(walk, place) : 0,
                            .level = place.level,
                            .depth = place.depth + 1};
    int elements = walk->token[i].size;
    report(walk, place, &v);
    i++;
    for (; elements-- > 0 && i < walk->tokens; element.index++)
        i = value(walk, i, element);
    return i;
}

/* Walks one value and returns the token behind it. */
static unsigned value(struct walk *walk, unsigned i, struct place place)
{
    if (i >= walk->tokens)
        return fail(walk, i, "a value was expected");
    if (place.depth > SPK_JSON_DEPTH)
        return fail(walk, i, "nested too deep");
    switch (walk->token[i].type) {
    case JSMN_OBJECT:
        return object(walk, i, place);
    case JSMN_ARRAY:
        return array(walk, i, place);
    case JSMN_STRING:
        return string(walk, i, place);
    default:
        return primitive(walk, i, place);
    }
}

static void walk_tokens(struct walk *walk, unsigned paths)
{
    uint32_t all = 0;
    for (unsigned i = 0; i < paths; i++)
        all |= walk->paths[i].depth ? 1u << i : 0;
    if (!walk->tokens || walk->token[0].type != JSMN_OBJECT) {
        fail(walk, 0, "'{' was expected");
        return;
    }
    unsigned end = value(walk, 0, (struct place){.active = all, .index = -1});
    if (end < walk->tokens)
        fail(walk, end, "text after the end");
}

/* Tokens of `text` in `usual`, or in memory to be freed when they are more. Negative: jsmn's error. */
static int tokenise(jsmn_parser *parser, const char *text, size_t size, jsmntok_t *usual, jsmntok_t **token)
{
    *token = usual;
    jsmn_init(parser);
    int count = jsmn_parse(parser, text, size, usual, USUAL_TOKENS);
    if (count != JSMN_ERROR_NOMEM)
        return count;
    jsmn_init(parser);
    count = jsmn_parse(parser, text, size, NULL, 0);
    *token = count > 0 ? malloc((size_t)count * sizeof **token) : NULL;
    if (!*token)
        return count > 0 ? JSMN_ERROR_NOMEM : count;
    jsmn_init(parser);
    return jsmn_parse(parser, text, size, *token, (unsigned)count);
}

const char *spk_json_walk(const char *text, size_t size, const struct spk_array_path *paths, unsigned count,
                          spk_json_report report_to, void *context, size_t *at)
{
    jsmn_parser parser;
    jsmntok_t usual[USUAL_TOKENS], *token;
    int tokens = tokenise(&parser, text, size, usual, &token);
    struct walk walk = {.text = text,
                        .token = token,
                        .tokens = tokens > 0 ? (unsigned)tokens : 0,
                        .paths = paths,
                        .report = report_to,
                        .context = context};
    if (tokens == JSMN_ERROR_INVAL || tokens == JSMN_ERROR_PART) {
        walk.fault = tokens == JSMN_ERROR_PART ? "it breaks off" : "unexpected character";
        walk.at = parser.pos;
    } else if (tokens == JSMN_ERROR_NOMEM) {
        walk.fault = "no memory for its values";
    } else {
        walk_tokens(&walk, count);
    }
    if (token != usual)
        free(token);
    if (at)
        *at = walk.at;
    return walk.fault;
}
