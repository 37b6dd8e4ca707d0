/* Options and glue of recon_espinnet. */
#include "espinnet.h"

static const struct spk_option options[] = {SPK_NN_OPTIONS(offsetof(struct spk_nn_recon_config, network)),
                                            {.key = "frames",
                                             .type = SPK_OPTION_CHOICE,
                                             .offset = offsetof(struct spk_nn_recon_config, frames),
                                             .choices = "linear|nearest",
                                             .default_value = "linear",
                                             .help = "How fewer than 20 scan positions become the 20 that "
                                                     "the network takes; of more, the first 20 count."},
                                            SPK_NN_FIT_OPTIONS("64", "pad"),
                                            SPK_NN_BULK_OPTION("0"),
                                            SPK_OPTION_END};

SPK_NN_STAGE_ENTRIES(spk_espinnet, options)

static const struct spk_plugin plugin = {
    .abi = SPK_PLUGIN_ABI,
    .size = sizeof(struct spk_plugin),
    .name = "recon_espinnet",
    .summary = "Transmission, dark-field and displacement by the network ESPINNet",
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
