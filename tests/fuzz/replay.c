/* Runs a fuzz target on every file of a folder and on fixed mutations of each, where there is no libFuzzer. As many
 * mutations as the test has by default; others by hand: replay FOLDER MUTATIONS. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef MUTATIONS
#define MUTATIONS 400
#endif

enum { INPUT_SIZE = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t random_state;

static uint64_t random_below(uint64_t limit)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (random_state >> 33) % limit;
}

/* Changes a few bytes, cuts the end off, or doubles a piece; returns the new size. */
static size_t mutate(uint8_t *data, size_t size)
{
    static const uint8_t interesting[] = {0, 0xff, '\n', '\t', ' ', ':', '-', '[', '{', '"', '&', '*', '0'};
    for (uint64_t i = 1 + random_below(4); i && size; i--) {
        size_t at = random_below(size);
        if (random_below(2))
            data[at] = interesting[random_below(sizeof interesting)];
        else
            data[at] = (uint8_t)(data[at] ^ 1u << random_below(8));
    }
    if (size && random_below(4) == 0)
        size = random_below(size);
    size_t piece = size ? random_below(size) : 0;
    if (random_below(4) == 0 && size + piece <= INPUT_SIZE) {
        memcpy(data + size, data + size - piece, piece);
        size += piece;
    }
    return size;
}

/* The input lies in memory of its own size, so that reading past its end is seen. */
static void run_exact(const uint8_t *data, size_t size)
{
    uint8_t *exact = malloc(size ? size : 1);
    if (!exact)
        exit(1);
    memcpy(exact, data, size);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

static int run_file(const char *path, int mutations)
{
    static uint8_t original[INPUT_SIZE], changed[INPUT_SIZE];
    FILE *file = fopen(path, "rb");
    if (!file)
        return 0;
    size_t size = fread(original, 1, sizeof original, file);
    fclose(file);
    random_state = size;
    run_exact(original, size);
    for (int i = 0; i < mutations; i++) {
        memcpy(changed, original, size);
        run_exact(changed, mutate(changed, size));
    }
    return 1;
}

int main(int argc, char **argv)
{
    int count = 0;
    int mutations = argc == 3 ? atoi(argv[2]) : MUTATIONS;
    DIR *folder = argc == 2 || argc == 3 ? opendir(argv[1]) : NULL;
    if (!folder) {
        fprintf(stderr, "usage: %s FOLDER [MUTATIONS]\n", argv[0]);
        return 2;
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        if (entry->d_name[0] != '.')
            count += run_file(path, mutations);
    }
    closedir(folder);
    printf("%d inputs, %d mutations of each\n", count, mutations);
    return count == 0;
}
