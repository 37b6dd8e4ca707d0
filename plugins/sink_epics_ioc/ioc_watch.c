/* EPICS' own messages, and every put with who and what, in the service's log. */
#include "ioc_parts.h"

#include <asTrapWrite.h>
#include <ctype.h>
#include <dbAccess.h>
#include <dbChannel.h>
#include <db_access.h>
#include <epicsStdio.h>
#include <errlog.h>
#include <speckled/log.h>
#include <stdio.h>
#include <string.h>

static void log_message(void *context, const char *message)
{
    char line[512];
    size_t length = 0;
    (void)context;
    for (const char *c = message; *c && length + 1 < sizeof line; c++) {
        if (*c == '\033') { /* colour: ESC [ ... letter */
            while (*c && !isalpha((unsigned char)*c))
                c++;
            if (!*c)
                break;
        } else if (isprint((unsigned char)*c)) {
            line[length++] = *c;
        }
    }
    line[length] = '\0';
    bool banner = *line == '#' || strncmp(line, "Starting iocInit", 16) == 0 ||
                  strncmp(line, "iocRun", 6) == 0 || !*line;
    bool bad = strcasestr(line, "error") || strcasestr(line, "warn") || strcasestr(line, "fail");
    spk_log(banner ? SPK_LOG_DEBUG : bad ? SPK_LOG_WARNING : SPK_LOG_INFO, "epics", "%s", line);
}

void spk_ioc_watch_messages(void)
{
    errlogAddListener(log_message, NULL);
    eltc(0);
}

static void value_text(char *text, size_t size, const asTrapWriteMessage *message)
{
    if (message->no_elements < 1) {
        snprintf(text, size, "?");
        return;
    }
    if (message->no_elements > 1 && message->dbrType != DBR_CHAR) {
        snprintf(text, size, "[%d values]", message->no_elements);
        return;
    }
    switch (message->dbrType) {
    case DBR_STRING:
        snprintf(text, size, "\"%.40s\"", (const char *)message->data);
        break;
    case DBR_CHAR:
        if (message->no_elements > 1)
            snprintf(text, size, "\"%.*s\"", message->no_elements, (const char *)message->data);
        else
            snprintf(text, size, "%d", *(const dbr_char_t *)message->data);
        break;
    case DBR_SHORT:
        snprintf(text, size, "%d", *(const dbr_short_t *)message->data);
        break;
    case DBR_ENUM:
        snprintf(text, size, "%d", *(const dbr_enum_t *)message->data);
        break;
    case DBR_LONG:
        snprintf(text, size, "%d", *(const dbr_long_t *)message->data);
        break;
    case DBR_FLOAT:
        snprintf(text, size, "%g", (double)*(const dbr_float_t *)message->data);
        break;
    case DBR_DOUBLE:
        snprintf(text, size, "%.9g", *(const dbr_double_t *)message->data);
        break;
    default:
        snprintf(text, size, "?");
    }
}

/* What a record holds after a put whose value the server does not tell. */
static void held_text(char *text, size_t size, struct dbChannel *channel)
{
    char held[MAX_STRING_SIZE];
    long options = 0, count = 1;
    bool known =
        channel && dbChannelGetField(channel, DBR_STRING, held, &options, &count, NULL) == 0 && count == 1;
    snprintf(text, size, "%.*s", MAX_STRING_SIZE, known ? held : "?");
}

/* Channel Access brings the value, so that its puts are logged before they act; PV Access does not. */
static void log_put(asTrapWriteMessage *message, int after)
{
    struct dbChannel *channel = message->serverSpecific; /* dbChannelName() may be a macro */
    const char *name = channel ? dbChannelName(channel) : "?";
    char text[128];
    if ((message->data == NULL) != (after != 0))
        return;
    if (after)
        held_text(text, sizeof text, channel);
    else
        value_text(text, sizeof text, message);
    for (char *c = text; *c; c++)
        if (!isprint((unsigned char)*c))
            *c = ' ';
    if (after)
        spk_log(SPK_LOG_INFO, "epics", "%s@%s puts to %s, now %s", message->userid, message->hostid, name,
                text);
    else
        spk_log(SPK_LOG_INFO, "epics", "%s@%s puts %s to %s", message->userid, message->hostid, text, name);
}

void spk_ioc_watch_quietly(bool quiet)
{
    static FILE *nowhere;
    if (quiet && !nowhere)
        nowhere = fopen("/dev/null", "we");
    epicsSetThreadStdout(quiet ? nowhere : NULL);
}

void spk_ioc_watch_puts(void)
{
    asTrapWriteRegisterListener(log_put);
}
