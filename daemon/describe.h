/* Options in words, for errors, `speckled plugins` and the reference. */
#ifndef SPECKLED_DAEMON_DESCRIBE_H
#define SPECKLED_DAEMON_DESCRIBE_H

#include <speckled/option.h>

/* Room for the longest description. */
enum { SPK_DESCRIPTION_SIZE = 512 };

/* What the option takes: "a whole number, 1 .. 128 px", "one of drop, block". */
void spk_option_describe(const struct spk_option *option, char text[SPK_DESCRIPTION_SIZE]);

#endif
