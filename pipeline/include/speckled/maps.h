/* Stacks in, maps out: what the stages of a lane work on and what the sinks receive.
 *
 * Sign convention (Qiao et al., ESPINNet, eq. 1): Is(x) = T(x) (mean_r + D(x) (Ir(x - u) - mean_r)); u is the physical
 * displacement of the pattern in pixels, positive along +x (columns) and +y (rows). */
#ifndef SPECKLED_MAPS_H
#define SPECKLED_MAPS_H

#include <speckled/frame.h>
#include <speckled/option.h>
#include <speckled/stats.h>
#include <stdbool.h>

enum spk_map {
    SPK_MAP_TRANSMISSION,
    SPK_MAP_DARK_FIELD,
    SPK_MAP_DISPLACEMENT_X,
    SPK_MAP_DISPLACEMENT_Y,
    SPK_MAP_PHASE,
    SPK_MAP_QUALITY,
    SPK_MAP_DISPLACEMENT_ERROR, /* standard deviation of u, both components together */
    SPK_MAP_COUNT
};

struct spk_map_info {
    const char *name;      /* "transmission", ... as in files, topics and option values */
    const char *long_name; /* for people */
    const char *unit;      /* "", "px", "rad" */
};

SPK_API const struct spk_map_info *spk_map_info(enum spk_map map);

/* Bits of the maps that a reconstruction by matching fills. */
enum {
    SPK_MAPS_MATCHED = 1 << SPK_MAP_TRANSMISSION | 1 << SPK_MAP_DARK_FIELD | 1 << SPK_MAP_DISPLACEMENT_X |
                       1 << SPK_MAP_DISPLACEMENT_Y | 1 << SPK_MAP_QUALITY
};

/* The bit of the mask of trustworthy pixels beside those of the maps. */
enum { SPK_MAP_VALID_BIT = 1 << SPK_MAP_COUNT };

/* Sets the bit 1u << enum spk_map for each name, SPK_MAP_VALID_BIT for "valid"; no names: all bits. SPK_INVALID on another
 * name; the message names the option `maps`. Any thread. */
SPK_API spk_status spk_maps_parse(const struct spk_strings *names, uint32_t *maps, struct spk_error *error);

/* Set-up of the experiment. 0 = unknown. */
struct spk_geometry {
    double energy_kev;
    double pixel_size_m; /* effective: detector pixel times binning over magnification */
    double distance_m;   /* sample (or modulator, whichever is nearer the detector) to detector */
};

/* Form of the data between two stages. */
struct spk_format {
    uint32_t count;         /* scan positions of a stack */
    uint32_t height, width; /* of a frame, and of a map */
    enum spk_dtype dtype;   /* of raw frames; for stages that see stacks SPK_F32, or SPK_F16: in binary16 */
    struct spk_geometry geometry;
    uint32_t maps; /* bit 1u << enum spk_map for each map that earlier stages fill */
};

/* Frames of one kind, corrected, in scan-position order. */
struct spk_stack {
    uint32_t count, height, width;
    float *data;    /* [count][height][width], 64-byte aligned; NULL: the frames are in `half` */
    uint16_t *half; /* the same as binary16 (half.h), for stages that take it (struct spk_stage); else NULL */
    uint8_t *mask;  /* [height][width], 1 = usable pixel; never NULL */
    uint8_t *present; /* [count], 1 = this position holds a frame */
    uint64_t
        version; /* grows whenever the contents change; compares with versions of this same stack alone */
    uint64_t
        *changed; /* [count] rolling mode: `version` when a position last changed; NULL: not known. The mask
                          may have changed anywhere */
};

/* Where a result comes from and how long it took. Times are CLOCK_MONOTONIC ns unless said otherwise. */
struct spk_provenance {
    uint64_t number;     /* publication order, from 0, without gaps for results that reach the sinks */
    uint64_t series;     /* of the detector */
    int64_t stack;       /* number of the stack in its series */
    uint64_t generation; /* of the configuration: +1 each live change */
    uint64_t reference;  /* how many references had been taken when it was made, from 1 */
    double angle_deg;    /* NAN when unknown */
    bool partial;        /* some scan positions were missing */
    uint32_t count;      /* scan positions */
    uint32_t present;    /* positions that held a frame */
    uint64_t *frame_id;  /* [count] */
    int64_t *frame_ns;   /* [count] CLOCK_REALTIME of the detector, 0 = unknown */
    int64_t first_frame_ns, last_frame_ns; /* arrival */
    int64_t published_ns;                  /* handed to the sinks */
    int64_t published_realtime_ns;         /* the same moment, CLOCK_REALTIME */
    uint32_t stages;
    const char *stage_name[SPK_STAGES_MAX];
    int64_t stage_ns[SPK_STAGES_MAX]; /* time spent in each stage */
    double valid_fraction;            /* of pixels */
    uint32_t iterations;              /* of a stage that refines while time is left; 0 = none */
    bool converged;                   /* they ended by themselves */
    double mean_quality;              /* over valid pixels, NAN when there is no quality map */
    double
        drift_px; /* of the modulator between the scans, taken out, root mean square; NAN unless registered */
    double
        curl_px; /* of the displacement, around 2 x 2 valid pixels, root mean square; NAN unless integrated */
    const char *method; /* the stage recon_* that made the maps; NULL when there was none */
    /* As drift_px, of the sample during its scan; 0: none that stands out of the noise; NAN unless looked for. */
    double sample_drift_px;
};

/* One map set. Borrowed by sinks for the length of a call, or held with spk_result_ref(). */
struct spk_result {
    uint32_t height, width;
    float *map[SPK_MAP_COUNT]; /* [height][width] each, NULL where no stage fills it */
    uint8_t *valid;            /* [height][width], 1 = trustworthy */
    struct spk_geometry geometry;
    struct spk_provenance provenance;
};

/* Takes one more reference and returns `result`. Any thread. */
SPK_API const struct spk_result *spk_result_ref(const struct spk_result *result);
/* Drops a reference and sets *result to NULL. Any thread. */
SPK_API void spk_result_unref(const struct spk_result **result);

#endif
