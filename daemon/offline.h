/* The graph of `speckled reconstruct`: files in, one file of maps out. */
#ifndef SPECKLED_DAEMON_OFFLINE_H
#define SPECKLED_DAEMON_OFFLINE_H

#include "arguments.h"
#include "configuration.h"

/* What the command line asks for; texts borrowed, NULL where not given. */
struct spk_offline {
    const char *config; /* stages and settings come from this file */
    const char *method; /* recon_<method> */
    const char *file, *reference, *sample, *dark, *flat;
    const char *output, *pictures;
    bool overwrite;
    bool registered; /* take the drift of the modulator out */
    struct spk_texts settings;
};

/* Builds the graph and looks for what would stop it. *configuration: that of offline->config as it was loaded, or NULL; on
 * failure it is destroyed. What is wrong is in `problems` and `error`; what had to be left out (no
 * phase without geometry) is one text in `remark`, else "". *info: what the files hold. SPK_INVALID: wrong usage, unusable
 * files; any other failure: something is not there now. [control] */
spk_status spk_offline_build(struct spk_configuration **configuration, const struct spk_offline *offline,
                             struct spk_source_info *info, char remark[SPK_ERROR_TEXT],
                             struct spk_problems *problems, struct spk_error *error);

#endif
