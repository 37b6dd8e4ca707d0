/* Commands: puts of clients that reach the service. */
#include "ioc_parts.h"

#include <speckled/clock.h>
#include <speckled/log.h>
#include <stdio.h>
#include <string.h>

void spk_ioc_notice(struct spk_ioc *ioc, const char *text)
{
    pthread_mutex_lock(&ioc->lock);
    snprintf(ioc->notice, sizeof ioc->notice, "%.*s", (int)sizeof ioc->notice - 1, text);
    ioc->notice_until_ns = spk_clock_monotonic_ns() + SPK_IOC_NOTICE_S * 1000000000LL;
    pthread_mutex_unlock(&ioc->lock);
}

bool spk_ioc_notice_take(struct spk_ioc *ioc, char text[SPK_STRING_SIZE])
{
    pthread_mutex_lock(&ioc->lock);
    bool current = *ioc->notice && spk_clock_monotonic_ns() < ioc->notice_until_ns;
    if (current)
        memcpy(text, ioc->notice, sizeof ioc->notice);
    pthread_mutex_unlock(&ioc->lock);
    return current;
}

static spk_status command(struct spk_ioc *ioc, enum spk_command command)
{
    struct spk_error error = {0};
    char answer[SPK_STRING_SIZE + SPK_ERROR_TEXT];
    spk_status status = SPK_STATE;
    pthread_mutex_lock(&ioc->lock);
    if (ioc->put_host)
        status = ioc->put_host->command(ioc->put_host->context, command, 0, &error);
    pthread_mutex_unlock(&ioc->lock);
    if (status)
        snprintf(answer, sizeof answer, "%s refused: %s", spk_command_name(command),
                 *error.text ? error.text : "the service is stopping");
    else
        snprintf(answer, sizeof answer, "%s: accepted", spk_command_name(command));
    spk_ioc_notice(ioc, answer);
    return status;
}

static spk_status put_acquire(struct spk_point *point, void *context)
{
    struct spk_ioc *ioc = context;
    atomic_store(&ioc->health.acquire_put_ns, spk_clock_monotonic_ns());
    return command(ioc, point->integer ? SPK_COMMAND_START : SPK_COMMAND_STOP);
}

/* A button: only its way down is a command. */
static spk_status put_button(struct spk_point *point, void *context)
{
    const struct ioc_command *button = context;
    return point->integer ? command(button->ioc, button->command) : SPK_OK;
}

void spk_ioc_control_connect(struct spk_ioc *ioc)
{
    ioc->health.acquire = spk_point_connect_put("command.acquire", put_acquire, ioc);
    for (int i = SPK_COMMAND_ABORT; i < SPK_COMMAND_COUNT; i++) {
        char name[SPK_POINT_NAME];
        snprintf(name, sizeof name, "command.%s", spk_command_name((enum spk_command)i));
        ioc->command[i] = (struct ioc_command){(enum spk_command)i, ioc};
        spk_point_connect_put(name, put_button, &ioc->command[i]);
    }
}
