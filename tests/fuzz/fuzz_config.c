/* Configurations of hostile bytes: the first line, up to a newline, is a --set argument, the rest is the file. */
#include "configuration.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char setting[300] = "";
    struct spk_problems problems = {0};
    struct spk_configuration *configuration;
    setenv("SPECKLED_PLUGIN_PATH", FIXTURES, 1);
    const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
    size_t length = end ? (size_t)(end - data) : 0;
    if (length < sizeof setting && length)
        memcpy(setting, data, length);
    const char *settings[] = {setting};
    size_t skip = end ? length + 1 : 0;
    spk_status status = spk_configuration_parse(&configuration, (const char *)data + skip, size - skip,
                                                settings, setting[0] != '\0', &problems);
    if ((status == SPK_OK) != (problems.count == 0) || (status == SPK_OK) != (configuration != NULL))
        abort();
    spk_problems_clear(&problems);
    spk_configuration_destroy(&configuration);
    return 0;
}
