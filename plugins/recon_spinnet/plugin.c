/* Options and glue of recon_spinnet. */
#include "spinnet.h"

static const struct spk_option options[] = {SPK_NN_OPTIONS(offsetof(struct spk_nn_recon_config, network)),
                                            SPK_NN_FIT_OPTIONS("64", "pad"), SPK_NN_BULK_OPTION("16"),
                                            SPK_OPTION_END};

SPK_NN_STAGE_ENTRIES(spk_spinnet, options)

static const struct spk_plugin plugin = {
    .abi = SPK_PLUGIN_ABI,
    .size = sizeof(struct spk_plugin),
    .name = "recon_spinnet",
    .summary = "Displacement and transmission from one image by the network SPINNet",
    .version = "1.0",
    .options = options,
    .config_size = sizeof(struct spk_nn_recon_config),
    .check = check_instance,
    .open = open_instance,
    .close = spk_nn_stage_close,
    .stage = &spk_nn_stage,
    .device_stage = &spk_nn_device_stage,
};

const struct spk_plugin *spk_plugin_entry(void)
{
    return &plugin;
}
