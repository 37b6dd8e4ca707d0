/* `speckled ctl`: talks to a running service through its control plugin.
 *
 * Requests are JSON objects. The plugin's request() carries them, turns a refusal into a failure and, with "format": "text",
 * a reply into lines for people:
 *
 *     {"command": "status", "format": "text"}  "options"
 *     {"command": "start"}  "stop"  "abort"
 *     {"command": "reference", "count": 10}  "dark"  "flat" count may be absent: as configured
 *     {"command": "get", "key": "recon_umpa.window"}
 *     {"command": "set", "key": "recon_umpa.window", "value": "2"} */
#include "arguments.h"
#include "find_plugin.h"
#include "nearest.h"

#include <speckled/clock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { REQUEST_SIZE = 4096 };

struct client {
    const struct spk_plugin *plugin;
    const char *endpoint;
    int timeout_ms;
    bool json;
};

/* What may be asked: the words behind it, at least and at most. */
static const struct verb {
    const char *name;
    size_t least, most;
    const char *takes;
    bool asks; /* the reply is of interest, not only that it came */
} verbs[] = {
    {"status", 0, 0, "", true},
    {"watch", 0, 0, "", true},
    {"options", 0, 0, "", true},
    {"start", 0, 0, "", false},
    {"stop", 0, 0, "", false},
    {"abort", 0, 0, "", false},
    {"reference", 0, 1, "[COUNT]", false},
    {"dark", 0, 1, "[COUNT]", false},
    {"flat", 0, 1, "[COUNT]", false},
    {"get", 1, 1, "KEY", true},
    {"set", 1, 1, "KEY=VALUE", false},
};

enum { VERB_COUNT = sizeof verbs / sizeof *verbs };

static const struct spk_usage usage = {
    .command = "ctl",
    .synopsis =
        "[--endpoint ADDRESS] status|watch|options|start|stop|abort|reference|dark|flat|get|set [...]",
    .text = "Talks to a running service.\n\n"
            "  status              state, frames in, maps out, drops and rejections by reason, latency\n"
            "  watch               the same again and again, until Ctrl-C\n"
            "  options             every option of the graph with its value\n"
            "  start               accept frames\n"
            "  stop                finish the stacks that are complete, ignore further frames\n"
            "  abort               discard open stacks, ignore further frames\n"
            "  reference [COUNT]   the next frames are a new reference; the same for dark and flat\n"
            "  get KEY             value of an option: plugin.key, or key where one plugin has it\n"
            "  set KEY=VALUE       changes an option between two frames; says so when that needs a restart",
    .examples = "  speckled ctl status\n"
                "  speckled ctl --endpoint tcp://127.0.0.1:5557 set recon_umpa.passes=1\n"
                "  speckled ctl dark 20\n"
                "  speckled ctl --json status | jq .latency",
};

/* Appends `text` as a JSON string; what does not fit is caught by the caller's check of the length. */
static void append_string(char request[REQUEST_SIZE], const char *text, size_t length)
{
    size_t used = strlen(request);
    used += (size_t)snprintf(request + used, REQUEST_SIZE - used, "\"");
    for (size_t i = 0; i < length && used + 8 < REQUEST_SIZE; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < ' ' || c == '"' || c == '\\')
            used += (size_t)snprintf(request + used, REQUEST_SIZE - used, "\\u%04x", c);
        else
            request[used++] = (char)c;
    }
    snprintf(request + used, REQUEST_SIZE - used, "\"");
}

static void append(char request[REQUEST_SIZE], const char *text)
{
    size_t used = strlen(request);
    snprintf(request + used, REQUEST_SIZE - used, "%s", text);
}

static void append_member(char request[REQUEST_SIZE], const char *name, const char *text, size_t length)
{
    append(request, ", \"");
    append(request, name);
    append(request, "\": ");
    append_string(request, text, length);
}

static void make_request(const struct client *client, const struct verb *verb, const char *word,
                         char request[REQUEST_SIZE])
{
    bool watch = strcmp(verb->name, "watch") == 0;
    const char *name = watch ? "status" : verb->name;
    snprintf(request, REQUEST_SIZE, "{\"command\": \"%s\"", name);
    if (!client->json)
        append(request, ", \"format\": \"text\"");
    if (word && strcmp(name, "get") == 0) {
        append_member(request, "key", word, strlen(word));
    } else if (word && strcmp(name, "set") == 0) {
        size_t size = strcspn(word, "=");
        append_member(request, "key", word, size);
        append_member(request, "value", word + size + 1, strlen(word + size + 1));
    } else if (word) {
        while (word[0] == '0' && word[1]) /* JSON knows no leading zeros */
            word++;
        append(request, ", \"count\": ");
        append(request, word);
    }
    append(request, "}");
}

static int send_request(const struct client *client, const char *request, bool print)
{
    struct spk_error error = {0};
    char *reply = NULL;
    if (client->plugin->control->request(client->endpoint, request, client->timeout_ms, &reply, &error))
        return spk_command_fail("ctl", &error);
    size_t size = strlen(reply);
    if (print)
        printf("%s%s", reply, size && reply[size - 1] == '\n' ? "" : "\n");
    free(reply);
    fflush(stdout);
    return COMMAND_OK;
}

/* Repeats the status until interrupted; on a terminal in place. */
static int watch(const struct client *client, const char *request, double interval_s)
{
    bool terminal = isatty(STDOUT_FILENO);
    int code = COMMAND_OK;
    while (code == COMMAND_OK) {
        int64_t next = spk_clock_monotonic_ns() + (int64_t)(interval_s * 1e9);
        if (terminal)
            fputs("\033[H\033[2J", stdout);
        code = send_request(client, request, true);
        if (code == COMMAND_OK)
            spk_clock_sleep_until(next);
    }
    return code;
}

static bool is_count(const char *word)
{
    size_t digits = strspn(word, "0123456789");
    return digits && digits < 8 && !word[digits];
}

static const struct verb *find_verb(const struct spk_texts *words)
{
    struct spk_names names = {0};
    for (size_t i = 0; i < VERB_COUNT; i++)
        spk_names_add(&names, verbs[i].name);
    if (!words->count) {
        spk_usage_fail(&usage,
                       "what? status, watch, options, start, stop, abort, reference, dark, flat, get or set");
        return NULL;
    }
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (strcmp(words->value[0], verbs[i].name) == 0)
            return &verbs[i];
    const char *near = spk_names_nearest(&names, words->value[0]);
    spk_usage_fail(&usage, "cannot \"%s\"%s%s%s", words->value[0], near ? "; did you mean " : "",
                   near ? near : "", near ? "?" : "");
    return NULL;
}

static int check_words(const struct verb *verb, const struct spk_texts *words)
{
    size_t count = words->count - 1;
    const char *word = count ? words->value[1] : NULL;
    if (count < verb->least || count > verb->most)
        return spk_usage_fail(&usage, "write: %s %s", verb->name, verb->takes);
    if (word && strcmp(verb->name, "set") == 0 && (!strchr(word, '=') || *word == '='))
        return spk_usage_fail(&usage, "\"%s\" is not of the form KEY=VALUE", word);
    if (word && verb->takes[0] == '[' && !is_count(word))
        return spk_usage_fail(&usage, "\"%s\" is not a number of frames", word);
    return SPK_ARGUMENTS_GO_ON;
}

/* The plugin must be able to ask, and its table says where services listen by default. */
static spk_status find_client(const char *name, struct client *client, struct spk_error *error)
{
    spk_status status = spk_plugin_find(name, &client->plugin, error);
    if (status)
        return status;
    if (!client->plugin->control || !client->plugin->control->request)
        return spk_fail(error, SPK_UNSUPPORTED, "%s carries no requests; --plugin ctl_zmq does", name);
    const struct spk_option *option = spk_option_find(client->plugin->options, "endpoint");
    if (!client->endpoint && option)
        client->endpoint = option->default_value;
    if (!client->endpoint)
        return spk_fail(error, SPK_INVALID, "say where the service listens: --endpoint");
    return SPK_OK;
}

static int ask(struct client *client, const char *plugin, const struct spk_texts *words, double interval_s)
{
    struct spk_error error = {0};
    char request[REQUEST_SIZE];
    const struct verb *verb = find_verb(words);
    int code = verb ? check_words(verb, words) : COMMAND_USAGE;
    if (code != SPK_ARGUMENTS_GO_ON)
        return code;
    if (find_client(plugin, client, &error))
        return spk_command_fail("ctl", &error);
    make_request(client, verb, words->count > 1 ? words->value[1] : NULL, request);
    if (strlen(request) + 8 >= REQUEST_SIZE)
        return spk_usage_fail(&usage, "the request is too long");
    return strcmp(verb->name, "watch") == 0 ? watch(client, request, interval_s)
                                            : send_request(client, request, verb->asks || client->json);
}

static int run(int argc, char **argv)
{
    struct client client = {0};
    struct spk_texts words = {0};
    const char *plugin = "ctl_zmq";
    int64_t timeout_ms = 3000;
    double interval_s = 1;
    const struct spk_argument table[] = {
        {.name = "endpoint",
         .letter = 'e',
         .type = SPK_ARGUMENT_TEXT,
         .value = &client.endpoint,
         .placeholder = "ADDRESS",
         .help = "where the service listens (default: that of the control plugin)"},
        {.name = "json",
         .type = SPK_ARGUMENT_SWITCH,
         .value = &client.json,
         .help = "print the reply as it came, in JSON"},
        {.name = "interval",
         .type = SPK_ARGUMENT_FLOAT,
         .value = &interval_s,
         .placeholder = "SECONDS",
         .minimum = 0.05,
         .maximum = 3600,
         .help = "pause of watch (1)"},
        {.name = "timeout-ms",
         .type = SPK_ARGUMENT_INT,
         .value = &timeout_ms,
         .placeholder = "MS",
         .minimum = 1,
         .maximum = 600000,
         .help = "how long to wait for a reply (3000)"},
        {.name = "plugin",
         .type = SPK_ARGUMENT_TEXT,
         .value = &plugin,
         .placeholder = "NAME",
         .help = "control plugin that carries the request (ctl_zmq)"},
        {.name = NULL},
    };
    int code = spk_arguments_parse(&usage, table, argc, argv, &words);
    if (code != SPK_ARGUMENTS_GO_ON)
        return code;
    client.timeout_ms = (int)timeout_ms;
    return ask(&client, plugin, &words, interval_s);
}

const struct command cmd_ctl = {"ctl", "ask and command a running service", run};
