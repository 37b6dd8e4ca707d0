/* Memory that stages share: it grows, hands out arrays, and what another stage has left there shows in no map. */
#include "integrate.h"
#include "test.h"
#include "umpa_scene.h"

static struct spk_team *team;
static struct spk_scratch *scratch;

static void test_memory(void)
{
    struct spk_scratch *s = NULL;
    struct spk_error error = {0};
    REQUIRE(!spk_scratch_create(&s, &error), "%s", error.text);
    CHECK(!spk_scratch_memory(s), "there is memory that nobody reserved");
    REQUIRE(!spk_scratch_reserve(s, 1000, &error), "%s", error.text);
    char *memory = spk_scratch_memory(s);
    memory[0] = memory[999] = 7;
    CHECK((uintptr_t)memory % 64 == 0, "%p", (void *)memory);
    CHECK(!spk_scratch_reserve(s, 10, &error) && spk_scratch_memory(s) == memory, "less than there is");
    CHECK(spk_scratch_reserve(s, SIZE_MAX / 2, &error) == SPK_NOMEM && spk_scratch_memory(s) == memory,
          "what cannot be had takes nothing away");
    REQUIRE(!spk_scratch_reserve(s, 1 << 20, NULL), "no memory");
    memory = spk_scratch_memory(s);
    memset(memory, 1, 1 << 20);
    spk_scratch_clear(s);
    CHECK(!spk_scratch_memory(s), "memory after it was given back");
    spk_scratch_destroy(&s);
    spk_scratch_destroy(&s);
}

static void test_arrays(void)
{
    unsigned char memory[256] = {0};
    struct spk_scratch_cut count = {NULL, 0}, cut = {memory, 0};
    CHECK(!spk_scratch_take(&count, 3, 7) && !spk_scratch_take(&count, 64, 1) && count.used == 128,
          "counted %zu bytes", count.used);
    CHECK(spk_scratch_take(&cut, 3, 7) == memory && spk_scratch_take(&cut, 64, 1) == memory + 64 &&
              cut.used == 128,
          "handed out %zu bytes", cut.used);
}

/* Everything that is reserved, and so everything that a stage may read. */
static void fill(int byte, size_t bytes)
{
    memset(spk_scratch_memory(scratch), byte, bytes);
}

enum { HEIGHT = 203, WIDTH = 151, MAPS = 6, BYTES = 64 << 20 };

/* All bits set is no number. */
static void test_umpa(int64_t window, int64_t refine, int64_t passes)
{
    const struct scene_truth truth = {.t = 0.8, .d = 0.7, .ux = 1.37, .uy = -0.61, .gain = 1, .photons = 500};
    const size_t bytes = (size_t)HEIGHT * WIDTH * sizeof(float);
    struct scene s;
    struct spk_umpa_config config = scene_config();
    struct spk_error error = {0};
    float *kept = malloc(MAPS * bytes);
    config.window = window;
    config.refine = refine;
    config.passes = passes;
    scene_create(&s, 3, HEIGHT, WIDTH);
    scene_fill(&s, &truth);
    s.sample.mask[40 * WIDTH + 30] = 0;
    for (int byte = 0; byte < 256; byte += 255) {
        struct spk_umpa *umpa = NULL;
        REQUIRE(!spk_umpa_create(&umpa, &config, 3, HEIGHT, WIDTH, team, scratch, spk_isa_best(), &error),
                "%s", error.text);
        REQUIRE(!spk_scratch_reserve(scratch, BYTES, &error), "%s", error.text);
        fill(byte, BYTES);
        CHECK(!spk_umpa_reference(umpa, &s.reference, &error), "%s", error.text);
        fill(byte, BYTES);
        CHECK(!spk_umpa_process(umpa, &s.sample, &s.maps, &error), "%s", error.text);
        for (unsigned i = 0; i < MAPS; i++) {
            CHECK(!byte || !memcmp((char *)kept + i * bytes, s.map[i], bytes),
                  "window %d, refine %d, passes %d: map %u depends on what was left", (int)window,
                  (int)refine, (int)passes, i);
            memcpy((char *)kept + i * bytes, s.map[i], bytes);
        }
        spk_umpa_destroy(&umpa);
    }
    scene_destroy(&s);
    free(kept);
}

/* The same plans of transforms both times: others round otherwise. */
static void test_integrate(int64_t method)
{
    enum { PIXELS = HEIGHT * WIDTH };
    static float ux[PIXELS], uy[PIXELS], phase[2][PIXELS];
    static uint8_t valid[PIXELS];
    const struct spk_integrate_config config = {.method = method, .iterations = 5};
    struct spk_integrate *integrate = NULL;
    struct spk_error error = {0};
    for (size_t i = 0; i < PIXELS; i++) {
        ux[i] = (float)scene_normal();
        uy[i] = (float)scene_normal();
        valid[i] = i % 97 != 0 && i > 3 * WIDTH;
    }
    REQUIRE(!spk_integrate_create(&integrate, &config, HEIGHT, WIDTH, team, scratch, &error), "%s",
            error.text);
    REQUIRE(!spk_scratch_reserve(scratch, BYTES, &error), "%s", error.text);
    for (int i = 0; i < 2; i++) {
        fill(255 * i, BYTES);
        spk_integrate_run(integrate, ux, uy, valid, 1, phase[i]);
    }
    CHECK(!memcmp(phase[0], phase[1], sizeof phase[0]), "method %d: the phase depends on what was left",
          (int)method);
    spk_integrate_destroy(&integrate);
}

int main(void)
{
    struct spk_error error = {0};
    REQUIRE(!spk_team_create(&team, 3, &error), "%s", error.text);
    REQUIRE(!spk_scratch_create(&scratch, &error), "%s", error.text);
    test_memory();
    test_arrays();
    test_umpa(0, SPK_UMPA_GLOBAL, 2);
    test_umpa(0, SPK_UMPA_WINDOW, 5);
    test_umpa(0, SPK_UMPA_NONE, 1);
    test_umpa(2, SPK_UMPA_WINDOW, 2);
    test_umpa(2, SPK_UMPA_NONE, 1);
    test_integrate(SPK_INTEGRATE_DCT);
    test_integrate(SPK_INTEGRATE_FC_ANTISYMMETRIC);
    test_integrate(SPK_INTEGRATE_FC);
    test_integrate(SPK_INTEGRATE_MASKED);
    spk_scratch_destroy(&scratch);
    spk_team_destroy(&team);
    return test_end();
}
