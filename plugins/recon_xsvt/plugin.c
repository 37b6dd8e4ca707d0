/* recon_xsvt: its numerics are pipeline/num/tracker. */
#include <speckled/num_tracker.h>

static const struct spk_option options[] = {
    SPK_TRACKER_OPTIONS("0", "Neighbours on each side that join a pixel's vector; 0: the pixel alone.")};

static spk_status open_instance(const struct spk_host *host, const void *config, void **self,
                                struct spk_error *error)
{
    return spk_tracker_stage_open("xsvt", host, config, self, error);
}

static const struct spk_plugin plugin = {
    .abi = SPK_PLUGIN_ABI,
    .size = sizeof(struct spk_plugin),
    .name = "recon_xsvt",
    .summary =
        "Displacement by correlating each pixel's values over the frames (X-ray speckle vector tracking)",
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
