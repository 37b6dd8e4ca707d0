/* Seen by clang-tidy before every file: what its analyser cannot know from the declarations. */
#include <speckled/status.h>

/* Its value is its `status`, which is never SPK_OK. */
#define spk_fail(error, status, ...) ((void)(spk_fail)((error), (status), __VA_ARGS__), (status))
