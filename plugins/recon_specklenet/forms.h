/* Numbers and orders that all files of specklenet share, those for a device included. */
#ifndef SPECKLENET_FORMS_H
#define SPECKLENET_FORMS_H

enum {
    GRID = 4,
    LEVELS = 3,
    COARSE_RADIUS = 5, /* px of half-resolution frames: +-10 px */
    COARSE_OFFSETS = (2 * COARSE_RADIUS + 1) * (2 * COARSE_RADIUS + 1),
    FINE_RADIUS = 2,
    BORDER = 2,          /* of warped frames: the wider of FINE_RADIUS and the derivative's reach */
    WINDOW_FEATURES = 7, /* a window, in front of the network of the fusion */
    GLOBAL_FEATURES = 9,
    JOINT = 3, /* transmissions from two windows each */
    NOISE_BINS = 8,
    BASE_WINDOW = 3,  /* from which the other windows' T and D are told */
    MISFIT_WINDOW = 2 /* whose residual and contrast describe a pixel */
};

/* Planes of a window's features; those behind all windows. */
enum net_window_feature {
    FEATURE_X,
    FEATURE_Y,
    FEATURE_T,
    FEATURE_D,
    FEATURE_ERROR_X,
    FEATURE_ERROR_Y,
    FEATURE_MISFIT
};
enum net_global_feature {
    FEATURE_JOINT_MISFIT,
    FEATURE_JOINT_SECOND,
    FEATURE_BASE_T,
    FEATURE_BASE_D,
    FEATURE_NOISE,
    FEATURE_CONTRAST,
    FEATURE_FLOW_X,
    FEATURE_FLOW_Y,
    FEATURE_COUNT
};

/* Planes of the network's choice behind the weights: corrections, then logarithms of expected errors. */
enum net_choice { CHOICE_X, CHOICE_Y, CHOICE_T, CHOICE_D, CHOICE_ERROR };

enum {
    SPK_NET_SUPPORTS = 7,     /* windows of the least squares, 1 to 65 px */
    SPK_NET_NARROW = 5,       /* those round each pixel's own displacement; wider ones have a mean one too */
    SPK_NET_LEVEL_WINDOWS = 4 /* windows of the correlation volumes */
};

/* Frame means that the least squares are made of: r the warped reference, x and y its derivatives by u, s the sample. */
enum spk_net_sum {
    SPK_NET_R,
    SPK_NET_X,
    SPK_NET_Y,
    SPK_NET_S,
    SPK_NET_RR,
    SPK_NET_RX,
    SPK_NET_RY,
    SPK_NET_XX,
    SPK_NET_XY,
    SPK_NET_YY,
    SPK_NET_RS,
    SPK_NET_XS,
    SPK_NET_YS,
    SPK_NET_SS,
    SPK_NET_SUMS
};

/* What one window's least squares give, a row each. */
enum spk_net_fit {
    SPK_FIT_X, /* displacement, px from where the reference was warped to */
    SPK_FIT_Y,
    SPK_FIT_T,
    SPK_FIT_D,
    SPK_FIT_ERROR_X, /* logarithm of its standard error */
    SPK_FIT_ERROR_Y,
    SPK_FIT_RESIDUAL, /* mean square that is left */
    SPK_FIT_CONTRAST, /* variance of the reference */
    SPK_FITS
};

/* Frame means at a known displacement: r the warped reference, s the sample over the warped envelope, less 1. */
enum spk_net_pair { SPK_PAIR_R, SPK_PAIR_RR, SPK_PAIR_S, SPK_PAIR_RS, SPK_PAIR_SS, SPK_PAIRS };

#endif
