/* recon_xst: its numerics are pipeline/num/tracker. */
#include <speckled/num_tracker.h>

static const struct spk_option options[] = {
    SPK_TRACKER_OPTIONS("3", "Half width of the correlated template; 3 is 7x7 pixels.")};

static spk_status open_instance(const struct spk_host *host, const void *config, void **self,
                                struct spk_error *error)
{
    return spk_tracker_stage_open("xst", host, config, self, error);
}

static const struct spk_plugin plugin = {
    .abi = SPK_PLUGIN_ABI,
    .size = sizeof(struct spk_plugin),
    .name = "recon_xst",
    .summary = "Displacement from one frame by correlating a window (X-ray speckle tracking)",
    .version = "1.0",
    .options = options,
    .config_size = sizeof(struct spk_tracker_config),
    .check = spk_tracker_stage_check,
    .open = open_instance,
    .close = spk_tracker_stage_close,
    .stage = &spk_tracker_stage,
    .device_stage = &spk_tracker_device_stage,
};

const struct spk_plugin *spk_plugin_entry(void)
{
    return &plugin;
}
