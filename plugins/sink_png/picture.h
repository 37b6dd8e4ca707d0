/* A map as a picture: colours, a colour bar with its range, a title with the unit. Arithmetic only. */
#ifndef SPECKLED_PICTURE_H
#define SPECKLED_PICTURE_H

#include <speckled/maps.h>

enum picture_colours { COLOURS_SEQUENTIAL, COLOURS_DIVERGING, COLOURS_COUNT };

/* Values at the ends of the colour bar. */
struct picture_range {
    double low, high;
};

/* 8 bit RGB, rows contiguous. */
struct picture {
    uint32_t width, height;
    uint8_t *pixels; /* [height][width][3] */
    size_t capacity; /* bytes at pixels */
};

/* The range that holds all but `outside_percent` of the usable values at each end. {0, 1} when none is usable. */
struct picture_range picture_find_range(const float *map, const uint8_t *valid, size_t count,
                                        double outside_percent);

/* The same, symmetric about 0 for diverging colours. */
struct picture_range picture_centre(struct picture_range range);

/* Draws a map [height][width]; unusable pixels are grey. Small maps are enlarged by a whole factor. The memory of
 * `picture` grows as needed and is reused; free it with picture_clear(). */
spk_status picture_draw(struct picture *picture, const float *map, const uint8_t *valid, uint32_t height,
                        uint32_t width, struct picture_range range, enum picture_colours colours,
                        const char *title, struct spk_error *error);
void picture_clear(struct picture *picture);

/* Writes a PNG file under a hidden name and renames it, so that viewers never see half of one. */
spk_status picture_write(const struct picture *picture, const char *path, struct spk_error *error);

/* Colour of `share` in 0..1. */
void picture_colour(enum picture_colours colours, double share, uint8_t rgb[3]);

/* Letters of 5 x 7 points, six apart, each point `size` pixels. */
enum { LETTER_WIDTH = 6, LETTER_HEIGHT = 7 };
void picture_write_text(struct picture *picture, uint32_t x, uint32_t y, uint32_t size, const char *text);

#endif
