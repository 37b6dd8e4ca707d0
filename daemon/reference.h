/* config/REFERENCE.md: every section and plugin with its options, made from the option tables. */
#ifndef SPECKLED_DAEMON_REFERENCE_H
#define SPECKLED_DAEMON_REFERENCE_H

#include <speckled/status.h>
#include <stdio.h>

/* Prints the page for the plugins that can be loaded. [control] */
spk_status spk_reference_print(FILE *stream, struct spk_error *error);

#endif
