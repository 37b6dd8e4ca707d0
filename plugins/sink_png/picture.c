#include "picture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SMALL_SIDE = 480, SIDE_MAX = 1 << 15, TICKS = 5, NUMBER_LETTERS = 11 };

/* Where the parts of a picture lie, in its pixels. */
struct layout {
    uint32_t zoom, point, margin;
    uint32_t map_x, map_y, map_width, map_height;
    uint32_t bar_x, bar_width, number_x;
};

static const uint8_t grey = 128;

static struct layout lay_out(uint32_t height, uint32_t width, const char *title, struct picture *picture)
{
    struct layout layout;
    uint32_t longer = height > width ? height : width;
    layout.zoom = longer < SMALL_SIDE ? SMALL_SIDE / longer : 1;
    layout.map_width = width * layout.zoom;
    layout.map_height = height * layout.zoom;
    layout.point = 1 + longer * layout.zoom / 320;
    layout.margin = 8 * layout.point;
    layout.map_x = layout.margin;
    layout.map_y = 2 * layout.margin + LETTER_HEIGHT * layout.point;
    layout.bar_x = layout.map_x + layout.map_width + layout.margin;
    layout.bar_width = 2 * layout.margin;
    layout.number_x = layout.bar_x + layout.bar_width + layout.margin / 2;
    picture->width = layout.number_x + NUMBER_LETTERS * LETTER_WIDTH * layout.point;
    picture->height = layout.map_y + layout.map_height + layout.margin;
    uint32_t text = 2 * layout.margin + (uint32_t)strlen(title) * LETTER_WIDTH * layout.point;
    if (text > picture->width)
        picture->width = text;
    return layout;
}

static uint8_t *pixel_at(const struct picture *picture, uint32_t x, uint32_t y)
{
    return picture->pixels + 3 * ((size_t)y * picture->width + x);
}

static void colour_value(uint8_t rgb[3], float value, bool valid, struct picture_range range,
                         enum picture_colours colours)
{
    if (!valid || !isfinite(value))
        memset(rgb, grey, 3);
    else
        picture_colour(colours, (value - range.low) / (range.high - range.low), rgb);
}

static void draw_map(struct picture *picture, const struct layout *layout, const float *map,
                     const uint8_t *valid, uint32_t width, struct picture_range range,
                     enum picture_colours colours)
{
    for (uint32_t y = 0; y < layout->map_height; y += layout->zoom) {
        uint8_t *line = pixel_at(picture, layout->map_x, layout->map_y + y);
        size_t row = (size_t)(y / layout->zoom) * width;
        for (uint32_t x = 0; x < width; x++) {
            uint8_t rgb[3];
            colour_value(rgb, map[row + x], !valid || valid[row + x], range, colours);
            for (uint32_t copy = 0; copy < layout->zoom; copy++)
                memcpy(line + 3 * ((size_t)x * layout->zoom + copy), rgb, 3);
        }
        for (uint32_t copy = 1; copy < layout->zoom; copy++)
            memcpy(pixel_at(picture, layout->map_x, layout->map_y + y + copy), line,
                   3 * (size_t)layout->map_width);
    }
}

static void draw_bar(struct picture *picture, const struct layout *layout, struct picture_range range,
                     enum picture_colours colours)
{
    uint32_t last = layout->map_height > 1 ? layout->map_height - 1 : 1,
             letter = LETTER_HEIGHT * layout->point;
    for (uint32_t y = 0; y < layout->map_height; y++) {
        uint8_t rgb[3];
        picture_colour(colours, 1 - (double)y / last, rgb);
        for (uint32_t x = 0; x < layout->bar_width; x++)
            memcpy(pixel_at(picture, layout->bar_x + x, layout->map_y + y), rgb, 3);
    }
    int ticks = layout->map_height >= 2 * TICKS * letter ? TICKS : 2;
    for (int tick = 0; tick < ticks; tick++) {
        char number[NUMBER_LETTERS + 1];
        double share = (double)tick / (ticks - 1);
        snprintf(number, sizeof number, "%.4g", range.low + (1 - share) * (range.high - range.low));
        uint32_t room = layout->map_height > letter ? layout->map_height - letter : 0;
        picture_write_text(picture, layout->number_x, layout->map_y + (uint32_t)(share * room), layout->point,
                           number);
    }
}

static spk_status make_room(struct picture *picture, struct spk_error *error)
{
    size_t needed = 3 * (size_t)picture->width * picture->height;
    if (needed > picture->capacity) {
        uint8_t *grown = realloc(picture->pixels, needed);
        if (!grown)
            return spk_fail(error, SPK_NOMEM, "no memory for a picture of %u x %u", picture->height,
                            picture->width);
        picture->pixels = grown;
        picture->capacity = needed;
    }
    memset(picture->pixels, 255, needed);
    return SPK_OK;
}

spk_status picture_draw(struct picture *picture, const float *map, const uint8_t *valid, uint32_t height,
                        uint32_t width, struct picture_range range, enum picture_colours colours,
                        const char *title, struct spk_error *error)
{
    if (!height || !width || height > SIDE_MAX || width > SIDE_MAX)
        return spk_fail(error, SPK_INVALID, "no picture of a map of %u x %u pixels; 1 to %d a side", height,
                        width, SIDE_MAX);
    if (!(range.high > range.low))
        range.high = range.low + 1;
    struct layout layout = lay_out(height, width, title, picture);
    spk_status status = make_room(picture, error);
    if (status)
        return status;
    picture_write_text(picture, layout.map_x, layout.margin, layout.point, title);
    draw_map(picture, &layout, map, valid, width, range, colours);
    draw_bar(picture, &layout, range, colours);
    return SPK_OK;
}

void picture_clear(struct picture *picture)
{
    free(picture->pixels);
    *picture = (struct picture){0};
}
