/* YAML to tree, with libyaml's events. */
#include "document.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct reader {
    yaml_parser_t parser;
    const char *text;
    size_t size, values;
    struct spk_problems *problems;
};

static struct spk_mark mark_of(yaml_mark_t mark)
{
    return (struct spk_mark){(unsigned)mark.line + 1, (unsigned)mark.column + 1};
}

static bool begins_character(char byte)
{
    return ((unsigned char)byte & 0xc0) != 0x80;
}

/* The place of a byte; columns count characters. */
static struct spk_mark mark_at(const struct reader *reader, size_t offset)
{
    struct spk_mark mark = {1, 1};
    for (size_t i = 0; i < offset && i < reader->size; i++) {
        if (reader->text[i] == '\n')
            mark = (struct spk_mark){mark.line + 1, 1};
        else if (begins_character(reader->text[i]))
            mark.column++;
    }
    return mark;
}

/* libyaml counts characters, so its place is looked for from the start. */
static bool tab_at(const struct reader *reader, yaml_mark_t mark)
{
    size_t characters = 0;
    for (size_t i = 0; i < reader->size; i++) {
        if (begins_character(reader->text[i]) && characters++ == mark.index)
            return reader->text[i] == '\t';
    }
    return false;
}

/* Translates the parser's own failure. */
static void report(struct reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    const char *what = parser->problem ? parser->problem : "unreadable";
    if (parser->error == YAML_MEMORY_ERROR)
        spk_problems_add(reader->problems, (struct spk_mark){0}, "out of memory");
    else if (parser->error == YAML_READER_ERROR)
        spk_problems_add(reader->problems, mark_at(reader, parser->problem_offset),
                         "%s; a configuration is UTF-8 text", what);
    else if (tab_at(reader, parser->problem_mark))
        spk_problems_add(reader->problems, mark_of(parser->problem_mark),
                         "a tab stands here; YAML is indented with spaces");
    else
        spk_problems_add(reader->problems, mark_of(parser->problem_mark), "not YAML: %s%s%s", what,
                         parser->context ? " " : "", parser->context ? parser->context : "");
}

static bool next_event(struct reader *reader, yaml_event_t *event)
{
    if (yaml_parser_parse(&reader->parser, event))
        return true;
    report(reader);
    return false;
}

static void refuse_tag(struct reader *reader, const yaml_char_t *tag, yaml_mark_t mark)
{
    if (tag)
        spk_problems_add(reader->problems, mark_of(mark), "the tag %s has no meaning here; leave it out",
                         (const char *)tag);
}

static struct spk_value *make_value(struct reader *reader, enum spk_value_kind kind, yaml_mark_t mark)
{
    if (++reader->values > SPK_DOCUMENT_VALUES) {
        spk_problems_add(reader->problems, mark_of(mark), "more than %d values", SPK_DOCUMENT_VALUES);
        return NULL;
    }
    struct spk_value *value = calloc(1, sizeof *value);
    if (!value) {
        spk_problems_add(reader->problems, mark_of(mark), "out of memory");
        return NULL;
    }
    value->kind = kind;
    value->mark = mark_of(mark);
    return value;
}

static bool is_null(const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (!*text || strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
}

static struct spk_value *read_scalar(struct reader *reader, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t length = event->data.scalar.length;
    refuse_tag(reader, event->data.scalar.tag, event->start_mark);
    if (strlen(text) != length)
        spk_problems_add(reader->problems, mark_of(event->start_mark), "a zero byte stands in this text");
    struct spk_value *value = make_value(reader, SPK_VALUE_TEXT, event->start_mark);
    if (!value)
        return NULL;
    value->absent = is_null(event);
    value->text = strdup(value->absent ? "" : text);
    if (!value->text)
        spk_document_destroy(&value);
    return value;
}

/* An alias is refused, and stands for nothing so that the rest can be checked. */
static struct spk_value *read_alias(struct reader *reader, const yaml_event_t *event)
{
    spk_problems_add(reader->problems, mark_of(event->start_mark),
                     "aliases are not understood; write the value of *%s here",
                     (const char *)event->data.alias.anchor);
    struct spk_value *value = make_value(reader, SPK_VALUE_TEXT, event->start_mark);
    if (value && !(value->text = strdup("")))
        spk_document_destroy(&value);
    return value;
}

static struct spk_value *read_value(struct reader *reader, const yaml_event_t *event, unsigned depth);

/* Reads the entries of a list into `list`; true when its end was reached. */
static bool read_list(struct reader *reader, struct spk_value *list, unsigned depth)
{
    struct spk_value **tail = &list->first;
    for (;;) {
        yaml_event_t event;
        if (!next_event(reader, &event))
            return false;
        bool end = event.type == YAML_SEQUENCE_END_EVENT;
        if (!end)
            *tail = read_value(reader, &event, depth);
        yaml_event_delete(&event);
        if (end || !*tail)
            return end;
        tail = &(*tail)->next;
    }
}

static bool keep_entry(struct reader *reader, const struct spk_value *table, const struct spk_value *entry)
{
    const struct spk_value *first = spk_value_find(table, entry->key);
    if (first)
        spk_problems_add(reader->problems, entry->key_mark, "%s stands twice; the first is in line %u",
                         entry->key, first->key_mark.line);
    return !first;
}

/* Reads the value that belongs to the key in `event`; NULL on failure. */
static struct spk_value *read_entry(struct reader *reader, const yaml_event_t *event, unsigned depth)
{
    if (event->type != YAML_SCALAR_EVENT || strlen((char *)event->data.scalar.value) == 0) {
        spk_problems_add(reader->problems, mark_of(event->start_mark), "a key is a plain word");
        return NULL;
    }
    yaml_event_t behind;
    if (!next_event(reader, &behind))
        return NULL;
    struct spk_value *entry = read_value(reader, &behind, depth);
    yaml_event_delete(&behind);
    if (!entry)
        return NULL;
    entry->key = strdup((const char *)event->data.scalar.value);
    entry->key_mark = mark_of(event->start_mark);
    if (!entry->key)
        spk_document_destroy(&entry);
    return entry;
}

static bool read_table(struct reader *reader, struct spk_value *table, unsigned depth)
{
    struct spk_value **tail = &table->first;
    for (;;) {
        yaml_event_t event;
        if (!next_event(reader, &event))
            return false;
        bool end = event.type == YAML_MAPPING_END_EVENT;
        struct spk_value *entry = end ? NULL : read_entry(reader, &event, depth);
        yaml_event_delete(&event);
        if (!entry)
            return end;
        if (!keep_entry(reader, table, entry)) {
            spk_document_destroy(&entry);
            continue;
        }
        *tail = entry;
        tail = &entry->next;
    }
}

static struct spk_value *read_collection(struct reader *reader, const yaml_event_t *event, unsigned depth)
{
    bool is_list = event->type == YAML_SEQUENCE_START_EVENT;
    refuse_tag(reader, is_list ? event->data.sequence_start.tag : event->data.mapping_start.tag,
               event->start_mark);
    if (depth == SPK_DOCUMENT_DEPTH) {
        spk_problems_add(reader->problems, mark_of(event->start_mark), "nested more than %d deep",
                         SPK_DOCUMENT_DEPTH);
        return NULL;
    }
    struct spk_value *value =
        make_value(reader, is_list ? SPK_VALUE_LIST : SPK_VALUE_TABLE, event->start_mark);
    if (value && !(is_list ? read_list(reader, value, depth + 1) : read_table(reader, value, depth + 1)))
        spk_document_destroy(&value);
    return value;
}

static struct spk_value *read_value(struct reader *reader, const yaml_event_t *event, unsigned depth)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return read_scalar(reader, event);
    case YAML_ALIAS_EVENT:
        return read_alias(reader, event);
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT:
        return read_collection(reader, event, depth);
    default:
        return NULL;
    }
}

static bool begins_value(yaml_event_type_t type)
{
    return type == YAML_SCALAR_EVENT || type == YAML_ALIAS_EVENT || type == YAML_SEQUENCE_START_EVENT ||
           type == YAML_MAPPING_START_EVENT;
}

/* Walks the stream to its end; it must hold one document. */
static struct spk_value *read_stream(struct reader *reader)
{
    struct spk_value *root = NULL;
    yaml_event_t event;
    while (next_event(reader, &event)) {
        yaml_event_type_t type = event.type;
        bool second = type == YAML_DOCUMENT_START_EVENT && root;
        if (second)
            spk_problems_add(reader->problems, mark_of(event.start_mark),
                             "a second document begins here; a file holds one configuration");
        if (begins_value(type) && !root)
            root = read_value(reader, &event, 0);
        yaml_event_delete(&event);
        if (second || (begins_value(type) && !root))
            break;
        if (type == YAML_STREAM_END_EVENT)
            return root;
    }
    spk_document_destroy(&root);
    return NULL;
}

struct spk_value *spk_document_parse(const char *text, size_t size, struct spk_problems *problems)
{
    struct reader reader = {.text = text, .size = size, .problems = problems};
    size_t before = problems->count;
    if (size > SPK_DOCUMENT_BYTES) {
        spk_problems_add(problems, (struct spk_mark){0}, "the file has %zu bytes, at most %d are read", size,
                         SPK_DOCUMENT_BYTES);
        return NULL;
    }
    if (!yaml_parser_initialize(&reader.parser)) {
        spk_problems_add(problems, (struct spk_mark){0}, "out of memory");
        return NULL;
    }
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, size);
    struct spk_value *root = read_stream(&reader);
    yaml_parser_delete(&reader.parser);
    if (!root && problems->count == before)
        spk_problems_add(problems, (struct spk_mark){1, 1}, "%s",
                         reader.values
                             ? "out of memory"
                             : "the file is empty; a configuration has source:, stages: and sinks:");
    return root;
}
