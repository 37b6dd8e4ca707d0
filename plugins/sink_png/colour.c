/* Colour maps, each as 33 points to be joined by lines (within 2 of 255 of the originals).
 * Sequential: viridis (S. van der Walt, N. Smith, 2015, CC0). Diverging: K. Moreland, Diverging Color Maps for Scientific
 * Visualization, ISVC 2009. */
#include "picture.h"

enum { POINTS = 33 };

static const uint8_t points[COLOURS_COUNT][POINTS][3] = {
    [COLOURS_SEQUENTIAL] = {{68, 1, 84},    {71, 13, 96},   {72, 24, 106},  {72, 35, 116},  {71, 45, 123},
                            {69, 54, 129},  {66, 64, 134},  {63, 73, 137},  {59, 82, 139},  {55, 90, 141},
                            {51, 99, 141},  {47, 106, 142}, {44, 114, 142}, {41, 122, 142}, {38, 129, 142},
                            {35, 137, 142}, {33, 144, 140}, {31, 152, 139}, {31, 159, 136}, {33, 166, 133},
                            {40, 174, 128}, {49, 181, 123}, {62, 188, 116}, {76, 194, 108}, {93, 201, 99},
                            {110, 206, 88}, {130, 211, 76}, {150, 216, 63}, {171, 220, 50}, {192, 223, 36},
                            {213, 226, 26}, {234, 229, 26}, {253, 231, 37}},
    [COLOURS_DIVERGING] = {{59, 76, 192},   {68, 90, 204},   {77, 104, 215},  {87, 117, 225},
                           {98, 130, 234},  {108, 142, 241}, {119, 154, 247}, {130, 165, 251},
                           {141, 176, 254}, {152, 185, 255}, {163, 194, 254}, {174, 201, 252},
                           {184, 208, 249}, {194, 213, 244}, {204, 217, 238}, {213, 219, 230},
                           {221, 221, 221}, {229, 216, 209}, {236, 211, 197}, {241, 204, 185},
                           {244, 196, 173}, {247, 187, 160}, {247, 177, 148}, {247, 166, 135},
                           {244, 154, 123}, {241, 141, 111}, {236, 127, 99},  {229, 112, 88},
                           {222, 96, 77},   {213, 80, 66},   {203, 62, 56},   {192, 40, 47},
                           {180, 4, 38}},
};

void picture_colour(enum picture_colours colours, double share, uint8_t rgb[3])
{
    double at = share <= 0 ? 0 : share >= 1 ? POINTS - 1 : share * (POINTS - 1);
    int below = at >= POINTS - 1 ? POINTS - 2 : (int)at;
    for (int c = 0; c < 3; c++) {
        double a = points[colours][below][c], b = points[colours][below + 1][c];
        rgb[c] = (uint8_t)(a + (b - a) * (at - below) + 0.5);
    }
}
