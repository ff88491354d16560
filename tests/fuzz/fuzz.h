/* What the fuzz targets share.
 *
 * A target is one file tests/fuzz/fuzz_X.c with LLVMFuzzerTestOneInput(), and its seeds in
 * tests/fuzz/corpus/X/. It is built twice: with libFuzzer (`make fuzz ONLY=X SECONDS=60`), and with
 * replay.c for `make test`, where no clang is needed. One thread; an input must leave nothing
 * behind, and what it does must not depend on earlier ones.
 */
#ifndef PF_FUZZ_H
#define PF_FUZZ_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/base/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold whatever the input is. */
#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);         \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* A file in memory with these bytes, to be closed; *ret_path (static) names it until then. */
int fuzz_file(const uint8_t *data, size_t size, const char **ret_path);

/* A directory of this process's own in memory where there is some, removed at exit. */
const char *fuzz_directory(void);

/* Nothing is logged from here on; a target says so before the first input. */
void fuzz_quiet(void);

/* Calls `take` with each JSON object of the lines (borrowed), as a reader of the protocol does. */
void fuzz_lines(const uint8_t *data, size_t size, void (*take)(json_t *object, void *context),
                void *context);

#endif
