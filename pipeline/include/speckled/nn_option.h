/* The options that every network plugin has, as the first entries of its table. */
#ifndef SPECKLED_NN_OPTION_H
#define SPECKLED_NN_OPTION_H

#include <speckled/nn.h>
#include <speckled/option.h>

struct spk_nn_choice {
    char weights[SPK_STRING_SIZE]; /* empty: the plugin's own */
    int64_t precision;             /* enum spk_nn_precision */
    int64_t backend;               /* enum spk_nn_backend */
    int64_t memory_mb;
};

/* `offset` is that of the struct spk_nn_choice in the plugin's config structure. */
#define SPK_NN_OPTIONS(at)                                                                                   \
    {.key = "weights",                                                                                       \
     .type = SPK_OPTION_STRING,                                                                              \
     .offset = (at) + offsetof(struct spk_nn_choice, weights),                                               \
     .default_value = "",                                                                                    \
     .help = "File of the trained weights; empty: the one that came with the plugin."},                      \
        {.key = "precision",                                                                                 \
         .type = SPK_OPTION_CHOICE,                                                                          \
         .offset = (at) + offsetof(struct spk_nn_choice, precision),                                         \
         .choices = "float32|bfloat16|float16",                                                              \
         .default_value = "float32",                                                                         \
         .help =                                                                                             \
             "What convolutions multiply in. On a device all three; bfloat16 on processors that have it."},  \
        {.key = "backend",                                                                                   \
         .type = SPK_OPTION_CHOICE,                                                                          \
         .offset = (at) + offsetof(struct spk_nn_choice, backend),                                           \
         .choices = "auto|c|onednn|cuda|cudnn",                                                              \
         .default_value = "auto",                                                                            \
         .help = "What computes convolutions: c and onednn on the processor, cuda and cudnn on a device; "   \
                 "auto is "                                                                                  \
                 "the best that is there."},                                                                 \
    {                                                                                                        \
        .key = "memory", .type = SPK_OPTION_INT, .offset = (at) + offsetof(struct spk_nn_choice, memory_mb), \
        .unit = "MB", .minimum = 0, .maximum = 1 << 20, .default_value = "0",                                \
        .help = "Most that the strips of all threads may take together; 0: about 192 MB each, 48 MB in "     \
                "recon_specklenet. The maps are the same."                                                   \
    }

/* What a choice means to spk_nn_prepare(). */
static inline struct spk_nn_config spk_nn_config_of(const struct spk_nn_choice *choice, struct spk_team *team)
{
    struct spk_nn_config config;
    config.backend = (enum spk_nn_backend)choice->backend;
    config.precision = (enum spk_nn_precision)choice->precision;
    config.team = team;
    config.memory = (size_t)choice->memory_mb << 20;
    config.device = NULL;
    config.stream = NULL;
    return config;
}

#endif
