#include "account.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void print(const struct spk_detector_account *account, FILE *file)
{
    uint64_t messages = 0;
    for (int i = 0; i < SPK_LETTER_COUNT; i++)
        messages += account->sent[i];
    fprintf(file, "{\"frames\":%" PRIu64 ",\"messages\":%" PRIu64 ",\"good\":%" PRIu64 ",\"stops\":%" PRIu64,
            account->frames, messages, account->sent[SPK_LETTER_FRAME], account->sent[SPK_LETTER_STOP]);
    for (int i = 0; i < SPK_FAULT_COUNT; i++)
        fprintf(file, ",\"%s\":%" PRIu64, spk_fault_name((enum spk_fault)i), account->fault[i]);
    fprintf(file, ",\"aborted\":%" PRIu64 ",\"unsent\":%" PRIu64 "}\n", account->aborted, account->unsent);
}

spk_status spk_detector_account_write(const struct spk_detector_account *account, const char *path,
                                      struct spk_error *error)
{
    bool standard = strcmp(path, "-") == 0;
    FILE *file = standard ? stdout : fopen(path, "w");
    if (!file)
        return spk_fail(error, SPK_IO, "cannot write the report %s: %s", path, strerror(errno));
    print(account, file);
    int failed = standard ? fflush(file) : fclose(file);
    return failed ? spk_fail(error, SPK_IO, "cannot write the report %s: %s", path, strerror(errno)) : SPK_OK;
}
