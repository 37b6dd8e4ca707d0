/* load NAME STATUS [TEXT]: loads a plugin and succeeds when the status, by its name, and the message are as expected. */
#include <speckled/plugin.h>

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    const char *text = argc > 3 ? argv[3] : "";
    const struct spk_plugin *plugin = NULL, *again = NULL;
    struct spk_error error = {0};
    spk_status status = spk_plugin_load(argv[1], &plugin, &error);
    printf("%s: %s\n", spk_status_name(status), status ? error.text : plugin->summary);
    if (strcmp(spk_status_name(status), argv[2]) != 0 || !strstr(error.text, text)) {
        printf("expected %s with \"%s\"\n", argv[2], text);
        return 1;
    }
    /* A loaded plugin stays the same; a refused one stays refused. */
    return spk_plugin_load(argv[1], &again, &error) != status || again != plugin;
}
