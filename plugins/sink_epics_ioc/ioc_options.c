/* Options of the stages as records: a set record and its read-back for each, with the option's unit, range and choices. */
#include "ioc_parts.h"

#include <ctype.h>
#include <speckled/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MACROS_SIZE = 4096, CHOICES_MAX = 16, CHOICE_SIZE = 26, DESC_SIZE = 40 };

/* One value of any type that an option can have. */
union value {
    bool boolean;
    int64_t integer;
    double real;
    char text[SPK_STRING_SIZE];
    struct spk_numbers numbers;
    struct spk_strings strings;
};

/* Only what changes pictures is shown, the options of stages and the choice of the method; sources and sinks may hold keys
 * and paths. */
static bool is_shown(const char *plugin, const struct spk_option *option)
{
    return strncmp(plugin, "prep_", 5) == 0 || strncmp(plugin, "recon_", 6) == 0 ||
           strncmp(plugin, "post_", 5) == 0 ||
           (strcmp(plugin, "pipeline") == 0 && strcmp(option->key, "method") == 0);
}

/* "recon_umpa", "max_shift" -> "UmpaMaxShift"; "pipeline", "method" -> "Method". */
static void record_name(char *name, size_t size, const char *plugin, const char *key)
{
    const char *kind = strchr(plugin, '_');
    const char *parts[] = {kind ? kind : "", key};
    size_t length = 0;
    for (int i = 0; i < 2; i++) {
        bool upper = true;
        for (const char *c = parts[i]; *c && length + 1 < size; c++) {
            if (*c != '_')
                name[length++] = (char)(upper ? toupper((unsigned char)*c) : *c);
            upper = *c == '_';
        }
    }
    name[length] = '\0';
}

spk_status spk_ioc_options_list(struct spk_ioc *ioc, struct spk_error *error)
{
    const char *plugin;
    const struct spk_option *option;
    size_t count = 0;
    for (unsigned i = 0; ioc->host->option(ioc->host->context, i, &plugin, &option) == SPK_OK; i++)
        count += is_shown(plugin, option);
    if (!count)
        return SPK_OK;
    ioc->option = calloc(count, sizeof *ioc->option);
    if (!ioc->option)
        return spk_fail(error, SPK_NOMEM, "no memory for %zu options", count);
    for (unsigned i = 0; ioc->options < count; i++) {
        if (ioc->host->option(ioc->host->context, i, &plugin, &option) != SPK_OK)
            break;
        if (!is_shown(plugin, option))
            continue;
        struct ioc_option *entry = &ioc->option[ioc->options++];
        entry->option = option;
        entry->ioc = ioc;
        snprintf(entry->key, sizeof entry->key, "%s.%s", plugin, option->key);
        record_name(entry->name, sizeof entry->name, plugin, option->key);
    }
    return SPK_OK;
}

static int count_choices(const char *choices)
{
    int count = 1;
    for (const char *c = choices; *c; c++)
        count += *c == '|';
    return count;
}

static bool beyond_32_bits(const struct spk_option *option)
{
    bool limited = option->minimum != 0 || option->maximum != 0;
    return !limited || option->minimum < INT32_MIN || option->maximum > INT32_MAX;
}

static const char *template_for(const struct spk_option *option)
{
    switch (option->type) {
    case SPK_OPTION_BOOL:
        return "option_bool.template";
    case SPK_OPTION_INT:
        return beyond_32_bits(option) ? "option_int64.template" : "option_int.template";
    case SPK_OPTION_FLOAT:
        return "option_float.template";
    case SPK_OPTION_CHOICE:
        if (count_choices(option->choices) <= CHOICES_MAX)
            return "option_choice.template";
        return "option_text.template";
    default:
        return "option_text.template";
    }
}

/* Adds ,NAME="value" with the characters that macro expansion and database files give a meaning to taken out. */
static void add_macro(char *macros, const char *name, const char *value, size_t limit)
{
    size_t length = strlen(macros), size = strnlen(value, limit);
    length += (size_t)snprintf(macros + length, MACROS_SIZE - length, ",%s=\"", name);
    for (size_t i = 0; i < size && length + 3 < MACROS_SIZE; i++)
        macros[length++] = strchr("\"\\$'\n", value[i]) ? ' ' : value[i];
    snprintf(macros + length, MACROS_SIZE - length, "\"");
}

static void add_choices(char *macros, const char *choices)
{
    for (int i = 0; i < CHOICES_MAX && *choices; i++) {
        char name[8], choice[CHOICE_SIZE];
        size_t length = strcspn(choices, "|");
        snprintf(name, sizeof name, "C%d", i);
        snprintf(choice, sizeof choice, "%.*s", (int)length, choices);
        add_macro(macros, name, choice, sizeof choice);
        choices += length + (choices[length] == '|');
    }
}

spk_status spk_ioc_options_records(struct spk_ioc *ioc, const char *folder, struct spk_error *error)
{
    spk_status status = SPK_OK;
    for (size_t i = 0; i < ioc->options && !status; i++) {
        const struct ioc_option *entry = &ioc->option[i];
        const struct spk_option *option = entry->option;
        char macros[MACROS_SIZE], number[32];
        snprintf(macros, sizeof macros, "P=%s,R=%s,NAME=%s,KEY=%s", ioc->config.prefix, ioc->config.recon,
                 entry->name, entry->key);
        add_macro(macros, "DESC", option->help ? option->help : "", DESC_SIZE);
        add_macro(macros, "EGU", option->unit ? option->unit : "", 15);
        add_macro(macros, "SAVE", option->live ? "VAL" : "", 8);
        snprintf(number, sizeof number, "%.15g", option->minimum);
        add_macro(macros, "LOW", number, sizeof number);
        snprintf(number, sizeof number, "%.15g", option->maximum);
        add_macro(macros, "HIGH", number, sizeof number);
        if (option->choices)
            add_choices(macros, option->choices);
        status = spk_ioc_template(folder, template_for(option), macros, error);
    }
    return status;
}

/* The text of choice number `index`, or "". */
static void choice_text(char *text, size_t size, const char *choices, int64_t index)
{
    while (index-- > 0 && *choices) {
        choices += strcspn(choices, "|");
        choices += *choices == '|';
    }
    snprintf(text, size, "%.*s", (int)strcspn(choices, "|"), choices);
}

static void value_text(char text[SPK_STRING_SIZE], const struct spk_option *option,
                       const struct spk_point *point)
{
    switch (option->type) {
    case SPK_OPTION_BOOL:
        snprintf(text, SPK_STRING_SIZE, "%s", point->integer ? "true" : "false");
        break;
    case SPK_OPTION_INT:
        snprintf(text, SPK_STRING_SIZE, "%lld", (long long)point->integer);
        break;
    case SPK_OPTION_FLOAT:
        snprintf(text, SPK_STRING_SIZE, "%.17g", point->real);
        break;
    case SPK_OPTION_CHOICE:
        if (count_choices(option->choices) <= CHOICES_MAX) {
            choice_text(text, SPK_STRING_SIZE, option->choices, point->integer);
            break;
        }
        /* fallthrough */
    default:
        snprintf(text, SPK_STRING_SIZE, "%s", point->text);
    }
}

static spk_status put_option(struct spk_point *point, void *context)
{
    struct ioc_option *entry = context;
    struct spk_ioc *ioc = entry->ioc;
    struct spk_error error = {0};
    char text[SPK_STRING_SIZE], answer[2 * SPK_STRING_SIZE + SPK_ERROR_TEXT];
    spk_status status = SPK_STATE;
    value_text(text, entry->option, point);
    pthread_mutex_lock(&ioc->lock);
    if (ioc->put_host)
        status = ioc->put_host->set(ioc->put_host->context, entry->key, text, &error);
    pthread_mutex_unlock(&ioc->lock);
    if (status)
        snprintf(answer, sizeof answer, "%s = %s refused: %s", entry->name, text,
                 *error.text ? error.text : "the service is stopping");
    else
        snprintf(answer, sizeof answer, "%s = %s", entry->name, text);
    spk_ioc_notice(ioc, answer);
    return status;
}

void spk_ioc_options_connect(struct spk_ioc *ioc)
{
    for (size_t i = 0; i < ioc->options; i++) {
        struct ioc_option *entry = &ioc->option[i];
        char name[SPK_POINT_NAME];
        snprintf(name, sizeof name, "get %.120s", entry->key);
        entry->get = spk_point_connect(name);
        snprintf(name, sizeof name, "set %.120s", entry->key);
        entry->set = spk_point_connect_put(name, put_option, entry);
    }
}

static void show_option(struct ioc_option *entry, const char *text)
{
    union value value;
    struct spk_option option = *entry->option;
    option.offset = 0;
    int64_t integer = 0;
    double real = 0;
    if (spk_option_parse(&option, text, &value, NULL))
        return;
    if (option.type == SPK_OPTION_BOOL)
        integer = value.boolean;
    if (option.type == SPK_OPTION_INT || option.type == SPK_OPTION_CHOICE)
        integer = value.integer;
    if (option.type == SPK_OPTION_FLOAT)
        real = value.real;
    bool is_text = strcmp(template_for(&option), "option_text.template") == 0;
    if (is_text)
        spk_point_show_text(entry->get, text, 0);
    else if (option.type == SPK_OPTION_FLOAT)
        spk_point_show_real(entry->get, real, 0);
    else
        spk_point_show_int(entry->get, integer, 0);
    spk_point_follow(entry->set, integer, real, is_text ? text : "");
}

void spk_ioc_options_update(struct spk_ioc *ioc, uint64_t generation)
{
    if (ioc->options_shown && generation == ioc->generation)
        return;
    ioc->options_shown = true;
    ioc->generation = generation;
    for (size_t i = 0; i < ioc->options; i++) {
        char text[16 * SPK_STRING_SIZE];
        struct spk_error error = {0};
        if (ioc->host->get(ioc->host->context, ioc->option[i].key, text, sizeof text, &error) == SPK_OK)
            show_option(&ioc->option[i], text);
    }
}
