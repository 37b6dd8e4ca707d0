/* A plugin with one defect, which the gate must refuse. NAME, ENTRY and the statement DEFECT are given by CMakeLists.txt;
 * without a defect it loads. */
#include <speckled/plugin.h>

static spk_status never_open(const struct spk_host *host, const void *config, void **self,
                             struct spk_error *error)
{
    (void)host, (void)config, (void)self;
    return spk_fail(error, SPK_UNSUPPORTED, "never opened");
}

static void never_close(void **self)
{
    *self = NULL;
}

static spk_status never_publish(void *self, const struct spk_result *result, struct spk_error *error)
{
    (void)self, (void)result;
    return spk_fail(error, SPK_UNSUPPORTED, "never published");
}

static spk_status never_serve(void *self, struct spk_error *error)
{
    (void)self;
    return spk_fail(error, SPK_UNSUPPORTED, "never served");
}

SPK_API const struct spk_plugin *ENTRY(void);

const struct spk_plugin *ENTRY(void)
{
    static struct spk_sink sink = {.publish = never_publish};
    static struct spk_control control = {.serve = never_serve};
    static struct spk_plugin plugin = {
        .abi = SPK_PLUGIN_ABI,
        .size = sizeof plugin,
        .name = NAME,
        .summary = "A sink that is never opened.",
        .version = "1.0",
        .open = never_open,
        .close = never_close,
        .sink = &sink,
    };
    (void)control;
    DEFECT;
    return &plugin;
}
