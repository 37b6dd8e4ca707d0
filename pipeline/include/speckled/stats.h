/* The account of every frame, and the health of the service.
 *
 * Conservation law, for frames: received = published + dropped + rejected + in flight. A frame is published when a result that
 * it is part of reaches the sinks, or when the reference, dark or flat it belongs to comes into force. */
#ifndef SPECKLED_STATS_H
#define SPECKLED_STATS_H

#include <speckled/frame.h>
#include <stdbool.h>

/* Why a message never became a frame of a stack: something is wrong with it. */
enum spk_reject {
    SPK_REJECT_HEADER,    /* unreadable header */
    SPK_REJECT_TYPE,      /* htype, element type, encoding or byte order that is not understood */
    SPK_REJECT_SIZE,      /* byte count disagrees with shape and type */
    SPK_REJECT_EMPTY,     /* metadata only: no image in it */
    SPK_REJECT_BAD_FRAME, /* marked bad by its sender */
    SPK_REJECT_PARTS,     /* wrong number of message parts */
    SPK_REJECT_DECODE,    /* compressed data that does not decode */
    SPK_REJECT_SHAPE,     /* not the shape or element type of this series */
    SPK_REJECT_ROLE,      /* role, position or stack that cannot be placed */
    SPK_REJECT_DUPLICATE, /* this frame, or its place, was already there */
    SPK_REJECT_LATE,      /* its stack is already closed */
    SPK_REJECT_COUNT
};

/* Why a good frame was not used. */
enum spk_drop {
    SPK_DROP_NO_BUFFER,    /* source: no free frame */
    SPK_DROP_QUEUE_FULL,   /* source: the assembler's ring was full */
    SPK_DROP_IDLE,         /* assembler: not acquiring */
    SPK_DROP_NO_REFERENCE, /* assembler: a sample before the first reference */
    SPK_DROP_NO_STACK,     /* assembler: all stack buffers busy */
    SPK_DROP_INCOMPLETE,   /* assembler: its stack was closed incomplete and is not published */
    SPK_DROP_ABORTED,      /* assembler: abort or shutdown with its stack open */
    SPK_DROP_FAULT,        /* lane: the stage failed */
    SPK_DROP_COUNT
};

SPK_API const char *spk_reject_name(enum spk_reject reason); /* "header", "type", ... */
SPK_API const char *spk_drop_name(enum spk_drop reason);     /* "no_buffer", ... */

enum spk_state { SPK_STATE_IDLE, SPK_STATE_ACQUIRING, SPK_STATE_ENDED, SPK_STATE_FAULT };
SPK_API const char *spk_state_name(enum spk_state state);

enum { SPK_STAGES_MAX = 8, SPK_SINKS_MAX = 8 };

/* Percentiles of a latency, in ns; counted since start. */
struct spk_latency {
    uint64_t count;
    int64_t p50_ns, p99_ns, max_ns;
};

struct spk_sink_stats {
    char name[64];
    uint64_t delivered, dropped, failed; /* results */
    uint32_t queue_size, queue_used;
    struct spk_latency latency; /* time in the sink */
    char message[128];          /* of the last failure, "" when there was none */
};

/* Time that the stages spend, each kind of call by itself. */
struct spk_stage_stats {
    char name[64];
    struct spk_latency correct; /* a frame */
    struct spk_latency process; /* a stack */
};

struct spk_stats {
    enum spk_state state;
    char message[256]; /* one line on what is going on or what failed last */
    int64_t uptime_ns;
    uint64_t received;
    uint64_t published[SPK_ROLE_COUNT]; /* frames by role */
    uint64_t dropped[SPK_DROP_COUNT];
    uint64_t rejected[SPK_REJECT_COUNT];
    uint64_t in_flight;  /* frames on their way or in open stacks, counted there */
    uint64_t disordered; /* frames numbered no higher than one before in their series: late, duplicate */
    uint64_t missing;    /* frame numbers a series skipped */
    uint64_t results;    /* map sets handed to the sinks */
    uint64_t partial;    /* of these, with positions missing */
    uint64_t pixels, valid_pixels;     /* of all map sets */
    uint64_t references, darks, flats; /* taken */
    uint64_t device_faults;            /* of lanes' devices */
    uint64_t generation;
    uint32_t frames_size, frames_free;    /* the frame pool */
    uint32_t ring_size, ring_used;        /* source to assembler */
    struct spk_latency latency;           /* arrival of a stack's last frame to publication */
    struct spk_latency reconstruction;    /* time in the stages */
    double frame_rate_hz, result_rate_hz; /* over the last seconds */
    uint32_t stages;
    struct spk_stage_stats stage[SPK_STAGES_MAX];
    uint32_t sinks;
    struct spk_sink_stats sink[SPK_SINKS_MAX];
    char method[64]; /* the stage recon_* that makes the maps from now on, "" = there is none */
};

/* Sums of the parts, for checking the law. */
SPK_API uint64_t spk_stats_published(const struct spk_stats *stats);
SPK_API uint64_t spk_stats_dropped(const struct spk_stats *stats);
SPK_API uint64_t spk_stats_rejected(const struct spk_stats *stats);
/* Share of valid pixels over all map sets, NAN before the first. */
SPK_API double spk_stats_valid_fraction(const struct spk_stats *stats);

#endif
