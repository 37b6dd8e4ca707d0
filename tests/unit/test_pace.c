/* What a stack may take of the time between stacks. */
#include "test.h"

#include <speckled/num_pace.h>

int main(void)
{
    /* a lane that waited for the stack has most of the time between them; one that did not gives up half of what it took */
    CHECK_NEAR((double)spk_pace_allowance(0, 1000000, 900000), 700000, 1);
    CHECK_NEAR((double)spk_pace_allowance(500000, 1000000, 50000), 250000, 1);
    CHECK(spk_pace_allowance(0, 1000000, 0) == 0);

    struct spk_pace pace = {0};
    spk_pace_start(&pace);
    CHECK(pace.allowance_ns == 0, "a first stack may take %lld ns", (long long)pace.allowance_ns);
    CHECK(spk_pace_deadline_ns(&pace, 0) == pace.started_ns);
    CHECK(spk_pace_deadline_ns(&pace, 20) == pace.started_ns + 20000000);
    spk_pace_stop(&pace);
    CHECK(pace.stopped_ns >= pace.started_ns);
    pace.started_ns -= 4000000000;
    pace.stopped_ns = pace.started_ns; /* four seconds of nothing to do */
    spk_pace_start(&pace);
    CHECK(pace.allowance_ns >= 2800000000, "%lld ns", (long long)pace.allowance_ns);
    CHECK(spk_pace_deadline_ns(&pace, 0) == pace.started_ns + pace.allowance_ns);
    return test_end();
}
