/* Control requests: one JSON object each, checked member by member. Nothing of sockets here. */
#ifndef CONTROL_REQUEST_H
#define CONTROL_REQUEST_H

#include <speckled/plugin.h>

enum { SPK_CONTROL_VALUE_SIZE = 4096, SPK_CONTROL_REQUEST_MAX = 65536 };

enum spk_control_verb {
    SPK_CONTROL_STATUS,
    SPK_CONTROL_COMMAND, /* one of spk_command_name() */
    SPK_CONTROL_SET,
    SPK_CONTROL_GET,
    SPK_CONTROL_OPTIONS,
};

struct spk_control_request {
    enum spk_control_verb verb;
    enum spk_command command;
    uint32_t count; /* frames of a reference, dark or flat; 0 = as configured */
    bool text;      /* "format": "text": the reply holds lines for people */
    char key[SPK_STRING_SIZE];
    char value[SPK_CONTROL_VALUE_SIZE]; /* as text; a list with commas */
};

/* Reads `text` (no terminating zero needed). Fails with a message that says what was expected. Any thread. */
spk_status spk_control_request_parse(const char *text, size_t size, struct spk_control_request *request,
                                     struct spk_error *error);

#endif
