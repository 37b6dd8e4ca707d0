#include <speckled/status.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *spk_status_name(spk_status status)
{
    switch (status) {
    case SPK_OK:
        return "ok";
    case SPK_AGAIN:
        return "again";
    case SPK_END:
        return "end";
    case SPK_INVALID:
        return "invalid";
    case SPK_NOMEM:
        return "out of memory";
    case SPK_IO:
        return "input/output";
    case SPK_PROTOCOL:
        return "protocol";
    case SPK_UNSUPPORTED:
        return "unsupported";
    case SPK_DEVICE:
        return "device";
    case SPK_TIMEOUT:
        return "timeout";
    case SPK_STATE:
        return "state";
    }
    return "unknown status";
}

spk_status spk_fail(struct spk_error *error, spk_status status, const char *format, ...)
{
    if (!error)
        return status;
    error->status = status;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    return status;
}

spk_status spk_fail_context(struct spk_error *error, const char *format, ...)
{
    if (!error)
        return SPK_INVALID;
    if (!error->status)
        spk_fail(error, SPK_INVALID, "failed without a reason");
    char context[SPK_ERROR_TEXT];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(context, sizeof context, format, arguments);
    va_end(arguments);

    char message[SPK_ERROR_TEXT];
    memcpy(message, error->text, sizeof message);
    size_t used = (size_t)snprintf(error->text, sizeof error->text, "%s: ", context);
    if (used < sizeof error->text)
        snprintf(error->text + used, sizeof error->text - used, "%s", message);
    return error->status;
}
