/* Runs a fuzz target over its corpus, over changes of it, and over what was learnt, as a unit test: no libFuzzer needed.
 * The target is told by the program's name, test_fuzz_X. The changes are the same every time;
 * $FUZZ_SEED and $FUZZ_CHANGES (of each seed) make others. */
#include <dirent.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"
#include "tests/unit/test.h"

#define SEEDS          "tests/fuzz/corpus"
#define SIZE_MAX_BYTES (64u << 10)

static uint64_t state;

static uint32_t noise(void)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(state >> 33);
}

static int is_seed(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static const char *target(void)
{
    return program_invocation_short_name + strlen("test_fuzz_");
}

/* Calls `use` for each file below `corpora` that is of this target. */
static void each(const char *corpora,
                 void (*use)(const char *name, const uint8_t *data, size_t size))
{
    char directory[512], path[1024];
    struct dirent **entries = NULL;
    snprintf(directory, sizeof(directory), "%s/%s", corpora, target());
    int count = scandir(directory, &entries, is_seed, alphasort);
    if (count <= 0)
        FAIL("no corpus in %s", directory);
    for (int i = 0; i < count; i++) {
        struct stat st;
        snprintf(path, sizeof(path), "%s/%s", directory, entries[i]->d_name);
        int fd = open(path, O_RDONLY);
        CHECK(fd >= 0 && fstat(fd, &st) == 0);
        /* Of the heap and of its size exactly, so that a sanitizer sees reads beyond it. */
        uint8_t *data = malloc((size_t)st.st_size);
        CHECK((data || !st.st_size) && read(fd, data, (size_t)st.st_size) == st.st_size);
        close(fd);
        use(entries[i]->d_name, data, (size_t)st.st_size);
        free(data);
        free(entries[i]);
    }
    free(entries);
}

static void use_it(const char *name, const uint8_t *data, size_t size)
{
    fprintf(stderr, "seed %s\n", name);
    LLVMFuzzerTestOneInput(data, size);
}

TEST(corpus)
{
    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    each(SEEDS, use_it);
}

static void change(const char *name, const uint8_t *data, size_t size)
{
    const char *wanted = getenv("FUZZ_CHANGES");
    int changes = wanted ? atoi(wanted) : 20;
    (void)name;
    if (!size || size > SIZE_MAX_BYTES)
        return;
    for (int n = 0; n < changes; n++) {
        uint8_t *changed = malloc(size);
        size_t length = noise() % 8 ? size : 1 + noise() % size;
        CHECK(changed);
        memcpy(changed, data, size);
        for (uint32_t i = noise() % 8 + 1; i > 0; i--) {
            static const uint8_t odd[] = {0, 1, 0x7f, 0x80, 0xff, '"', '}', ','};
            size_t at = noise() % size;
            changed[at] = noise() % 2 ? (uint8_t)noise() : odd[noise() % sizeof(odd)];
        }
        changed = realloc(changed, length);
        CHECK(changed);
        LLVMFuzzerTestOneInput(changed, length);
        free(changed);
    }
}

TEST(changed_corpus)
{
    const char *seed = getenv("FUZZ_SEED");
    state = seed ? strtoull(seed, NULL, 0) : 1;
    each(SEEDS, change);
}

/* What libFuzzer has learnt: of all that it ran, the least set of inputs that gets everywhere. */
TEST(learnt)
{
    char command[8192];
    snprintf(command, sizeof(command), "tar -xf tests/fuzz/learnt.tar.xz -C '%s'",
             test_directory());
    CHECK_EQ(system(command), 0);
    each(test_directory(), use_it);
}
