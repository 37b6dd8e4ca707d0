/* Names of the files of one run: times and numbers filled into a pattern. */
#ifndef SPECKLED_FILENAME_H
#define SPECKLED_FILENAME_H

#include <speckled/option.h>
#include <stdint.h>
#include <time.h>

enum { FILENAME_SIZE = 2 * SPK_STRING_SIZE };

/* True when each detector series gets a file of its own: the pattern has {number} or {series}. */
bool filename_is_series(const char *pattern);

/* Fills strftime() conversions with `when`, {series} and {number} (four digits each). A pattern without {number} gets "_2",
 * "_3" and so on before its ending from number 2 on. SPK_INVALID when the name would be too long. */
spk_status filename_make(char name[FILENAME_SIZE], const char *pattern, const struct tm *when,
                         uint64_t series, uint64_t number, struct spk_error *error);

#endif
