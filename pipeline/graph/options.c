/* Option tables of the graph itself. */
#include <speckled/pipeline.h>

#define OPTION(field) .offset = offsetof(struct spk_pipeline_config, field), .key = #field

const struct spk_option spk_pipeline_options[] = {
    {OPTION(mode), .type = SPK_OPTION_CHOICE, .choices = "stack|rolling|single|tomo",
     .default_value = "stack",
     .help = "How frames become map sets: `stack`: `count` samples make one; `rolling`: each sample replaces "
             "its scan "
             "position and makes one; `single`: each sample makes one; `tomo`: stacks are angles of one "
             "reference."},
    {OPTION(count), .type = SPK_OPTION_INT, .minimum = 0, .maximum = 4096, .default_value = "0",
     .help = "Scan positions (frames) of a stack; 0: as many as the source says. `single` has 1."},
    {OPTION(roles), .type = SPK_OPTION_CHOICE, .choices = "frame|count|context", .default_value = "frame",
     .help =
         "Where role and scan position of a frame come from: `frame`: its header, and counting for what the "
         "header "
         "leaves open; `count`: its number alone; `context`: a control plugin such as ctl_epics_context."},
    {OPTION(count_reference), .type = SPK_OPTION_BOOL, .default_value = "true",
     .help = "Where frames are counted: a series starts with `count` reference frames."},
    {OPTION(count_dark), .type = SPK_OPTION_BOOL, .default_value = "false",
     .help = "Where frames are counted: a series starts with `dark_frames` dark frames."},
    {OPTION(count_flat), .type = SPK_OPTION_BOOL, .default_value = "false",
     .help = "Where frames are counted: flat frames follow the darks at the start of a series."},
    {OPTION(dark_frames), .type = SPK_OPTION_INT, .minimum = 0, .maximum = 100000, .default_value = "0",
     .help = "Frames averaged into a dark; 0: all that come in a row, or 10 where they are counted."},
    {OPTION(flat_frames), .type = SPK_OPTION_INT, .minimum = 0, .maximum = 100000, .default_value = "0",
     .help = "Frames averaged into a flat; 0: all that come in a row, or 10 where they are counted."},
    {OPTION(publish_partial), .type = SPK_OPTION_BOOL, .default_value = "false",
     .help =
         "Publish stacks that were closed incomplete, marked as partial, instead of dropping their frames."},
    {OPTION(stack_timeout_ms), .type = SPK_OPTION_INT, .unit = "ms", .minimum = 0, .maximum = 86400000,
     .default_value = "0", .help = "Close an open stack when no frame came for so long; 0: never."},
    {OPTION(method), .type = SPK_OPTION_STRING, .default_value = "", .live = true,
     .help = "Of several stages recon_*, the one that makes the maps, such as `umpa`; empty: the first. The "
             "others get every "
             "reference too and stand by: the method changes between two stacks."},
    {OPTION(lanes), .type = SPK_OPTION_INT, .minimum = 1, .maximum = 16, .default_value = "1",
     .help = "Lanes that reconstruct successive stacks side by side; results keep their order. Rolling mode "
             "has one."},
    {OPTION(threads), .type = SPK_OPTION_INT, .minimum = 0, .maximum = 256, .default_value = "0",
     .help = "Threads of each lane; 0: one for each processor this process may use."},
    {OPTION(frames), .type = SPK_OPTION_INT, .minimum = 2, .maximum = 65536, .default_value = "64",
     .help = "Frames the service can hold between arrival and correction."},
    {OPTION(block), .type = SPK_OPTION_BOOL, .default_value = "false",
     .help = "When the service is full, let the source wait (files) instead of dropping frames (detectors)."},
    {OPTION(acquire), .type = SPK_OPTION_BOOL, .default_value = "true",
     .help = "Accept frames from the start, without waiting for the command `start`."},
    {OPTION(device), .type = SPK_OPTION_STRINGS, .default_value = "cpu",
     .help = "Where the lanes run: `cpu`, `cuda`, `cuda:1`; of several, each lane takes the next. Stages "
             "that have no "
             "code for the device run on the processor. `speckled plugins` lists the devices."},
    {OPTION(device_fault), .type = SPK_OPTION_CHOICE, .choices = "cpu|rebuild|stop", .default_value = "cpu",
     .help = "When a device fails, or is not there at the start: `cpu`: the lane goes on without; `rebuild`: "
             "the device is "
             "opened again, and the lane goes on without when that fails; `stop`: the service ends."},
    SPK_OPTION_END,
};

const struct spk_option spk_geometry_options[] = {
    {.key = "energy_kev",
     .offset = offsetof(struct spk_geometry, energy_kev),
     .type = SPK_OPTION_FLOAT,
     .unit = "keV",
     .minimum = 0,
     .maximum = 1000,
     .default_value = "0",
     .help = "Photon energy; 0: as the source says. Needed for the phase."},
    {.key = "pixel_size_m",
     .offset = offsetof(struct spk_geometry, pixel_size_m),
     .type = SPK_OPTION_FLOAT,
     .unit = "m",
     .minimum = 0,
     .maximum = 0.1,
     .default_value = "0",
     .help = "Effective pixel size of the detector, before binning; 0: as the source says. Needed for the "
             "phase."},
    {.key = "distance_m",
     .offset = offsetof(struct spk_geometry, distance_m),
     .type = SPK_OPTION_FLOAT,
     .unit = "m",
     .minimum = 0,
     .maximum = 1000,
     .default_value = "0",
     .help = "Distance from the sample (or the modulator, whichever is nearer the detector) to the detector; "
             "0: as the "
             "source says. Needed for the phase."},
    SPK_OPTION_END,
};

const struct spk_option spk_queue_options[] = {
    {.key = "queue",
     .offset = offsetof(struct spk_node, queue),
     .type = SPK_OPTION_CHOICE,
     .choices = "block|drop|latest",
     .default_value = "drop",
     .help = "What a sink that falls behind means: `block`: everything waits for it; `drop`: it misses "
             "results; `latest`: "
             "it gets the newest result only."},
    {.key = "queue_size",
     .offset = offsetof(struct spk_node, queue_size),
     .type = SPK_OPTION_INT,
     .minimum = 1,
     .maximum = 64,
     .default_value = "4",
     .help = "Results that wait for the sink at most."},
    SPK_OPTION_END,
};
