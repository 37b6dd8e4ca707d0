#include "file.h"

spk_status spk_sim_file_create(struct spk_sim_file **file, const char *path, const struct spk_format *format,
                               uint32_t stacks, struct spk_error *error)
{
    (void)file;
    (void)format;
    (void)stacks;
    return spk_fail(error, SPK_UNSUPPORTED,
                    "cannot write %s: this build has no HDF5; install libhdf5-dev and build again", path);
}

spk_status spk_sim_file_frames(struct spk_sim_file *file, enum spk_role role, uint32_t stack, uint32_t count,
                               const uint16_t *frames, struct spk_error *error)
{
    (void)file;
    (void)role;
    (void)stack;
    (void)count;
    (void)frames;
    return spk_fail(error, SPK_STATE, "no file is open");
}

spk_status spk_sim_file_truth(struct spk_sim_file *file, uint32_t stack, const float *maps,
                              struct spk_error *error)
{
    (void)file;
    (void)stack;
    (void)maps;
    return spk_fail(error, SPK_STATE, "no file is open");
}

spk_status spk_sim_file_close(struct spk_sim_file **file, struct spk_error *error)
{
    (void)error;
    *file = NULL;
    return SPK_OK;
}
