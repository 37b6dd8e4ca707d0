/* Residual bias of recon_umpa between pixels: a reference against itself, moved by known fractions of a pixel. The mean error over
 * the map, which noise averages out of, is the bias. */
#include "test.h"
#include "umpa_scene.h"

enum { N = 10, SIZE = 144, RIM = 16, SHIFTS = 7 };

static struct spk_team *team;

static void check_bias(double photons, enum spk_umpa_quality quality, int64_t window)
{
    static const double shift[SHIFTS] = {0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9};
    struct spk_umpa_config config = scene_config();
    config.quality = quality;
    config.window = window;
    for (unsigned i = 0; i < SHIFTS; i++) {
        const struct scene_truth truth = {
            .t = 1, .d = 1, .ux = shift[i], .uy = -shift[(i + 3) % SHIFTS], .gain = 1, .photons = photons};
        struct spk_error error = {0};
        struct spk_umpa *umpa = NULL;
        struct scene s;
        scene_create(&s, N, SIZE, SIZE);
        scene_fill(&s, &truth);
        REQUIRE(!spk_umpa_create(&umpa, &config, N, SIZE, SIZE, team, NULL, spk_isa_best(), &error), "%s",
                error.text);
        REQUIRE(!spk_umpa_reference(umpa, &s.reference, &error), "%s", error.text);
        REQUIRE(!spk_umpa_process(umpa, &s.sample, &s.maps, &error), "%s", error.text);
        double x = scene_mean(&s, s.maps.displacement_x, RIM) - truth.ux;
        double y = scene_mean(&s, s.maps.displacement_y, RIM) - truth.uy;
        printf("%5g photons, quality %d, window %d, shift %5.2f %5.2f: bias %8.5f %8.5f px\n", photons,
               (int)quality, (int)window, truth.ux, truth.uy, x, y);
        CHECK(fabs(x) < 0.005 && fabs(y) < 0.005);
        spk_umpa_destroy(&umpa);
        scene_destroy(&s);
    }
}

int main(void)
{
    struct spk_error error = {0};
    REQUIRE(!spk_team_create(&team, 3, &error), "%s", error.text);
    static const double photons[] = {0, 1000};
    for (unsigned i = 0; i < sizeof photons / sizeof photons[0]; i++) {
        check_bias(photons[i], SPK_UMPA_LIVE, 0);
        check_bias(photons[i], SPK_UMPA_BEST, 0);
    }
    check_bias(0, SPK_UMPA_LIVE, 2);
    spk_team_destroy(&team);
    return test_end();
}
