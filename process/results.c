#include "process/results.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/base/file.h"
#include "config/base/jsonl.h"
#include "config/base/time.h"

static int write_sidecar(const json_t *command, const json_t *output, json_t *coverage,
                         json_t *engine, const char *path, struct pf_error *err)
{
    const json_t *given = json_object_get(command, "sidecar");
    json_t *sidecar = json_is_object(given) ? json_copy((json_t *)given) : json_object();
    if (!sidecar || json_object_set(sidecar, "output", (json_t *)output) < 0 ||
        json_object_set(sidecar, "coverage", coverage) < 0 ||
        json_object_set(sidecar, "engine", engine) < 0) {
        json_decref(sidecar);
        return pf_fail(err, ENOMEM, "out of memory for %s", path);
    }
    char *text = pf_json_text(sidecar, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    json_decref(sidecar);
    if (!text)
        return pf_fail(err, ENOMEM, "out of memory for %s", path);
    size_t length = strlen(text);
    text[length] = '\n'; /* in the place of the final NUL */
    int r = pf_write_file_durable(path, text, length + 1, err);
    free(text);
    return r;
}

static json_t *file_entry(const json_t *written)
{
    return json_pack("{s:O, s:O}", "name", json_object_get(written, "name"), "size_bytes",
                     json_object_get(written, "size_bytes"));
}

/* A map among the results: its name there, and its file. */
static const struct {
    const char *output, *name;
} map_files[PF_MAP_COUNT] = {[PF_MAP_DEPTH] = {"depth", "depth.png"},
                             [PF_MAP_CONFIDENCE] = {"confidence", "confidence.png"},
                             [PF_MAP_FRAME] = {"frame_map", "frames.png"}};

/* The fields of `finished`; NULL on out of memory. */
static json_t *finished(const json_t *command, const json_t *output, const char *sidecar,
                        const struct pf_burst *burst, double finish_ms)
{
    json_t *files = json_array();
    struct stat st = {0};
    stat(sidecar, &st);
    json_array_append_new(files, file_entry(json_object_get(output, "stack")));
    for (int i = 0; i < PF_MAP_COUNT; i++)
        if (json_is_object(json_object_get(output, map_files[i].output)))
            json_array_append_new(files, file_entry(json_object_get(output, map_files[i].output)));
    json_array_append_new(
        files, json_pack("{s:s, s:I}", "name", "stack.json", "size_bytes", (json_int_t)st.st_size));
    return json_pack("{s:O, s:o, s:O?, s:i, s:i, s:f}", "dir", json_object_get(command, "dir"),
                     "files", files, "note",
                     json_object_get(json_object_get(output, "stack"), "note"), "fused",
                     pf_burst_fused(burst), "aside", pf_burst_aside(burst), "finish_ms", finish_ms);
}

/* Stack and maps, as they lie in a directory. */
struct pf_results {
    json_t *written; /* `output` of the sidecar */
    char *dir;
    enum pf_format format; /* that was wanted */
    int jpeg_quality;
    bool maps[PF_MAP_COUNT];
    json_t *order; /* NULL: as they were added */
    size_t added;  /* frames of the burst */
    double ms;     /* that it took */
};

struct pf_results *pf_results_free(struct pf_results *results)
{
    if (!results)
        return NULL;
    json_decref(results->written);
    json_decref(results->order);
    free(results->dir);
    free(results);
    return NULL;
}

/* What is wanted, with nothing written yet. NULL on out of memory. */
static struct pf_results *results_new(const struct pf_burst *burst, const json_t *command,
                                      const char *dir, const struct pf_settings *settings)
{
    struct pf_results *results = calloc(1, sizeof(*results));
    if (!results)
        return NULL;
    results->dir = strdup(dir);
    results->format = (enum pf_format)settings->format;
    results->jpeg_quality = (int)settings->jpeg_quality;
    results->maps[PF_MAP_DEPTH] = settings->depth_map;
    results->maps[PF_MAP_CONFIDENCE] = settings->confidence_map;
    results->maps[PF_MAP_FRAME] = settings->frame_map;
    results->order = json_incref(json_object_get(command, "order"));
    results->added = pf_burst_added(burst);
    return results->dir ? results : pf_results_free(results);
}

/* In a format that the stack does not fit into it would be none at all: then as TIFF, with a note. */
static int write_as(struct pf_burst *burst, struct pf_burst_output *output,
                    struct pf_results *results, struct pf_error *err)
{
    char name[32], note[sizeof(err->text) + 32];
    struct pf_error trouble = {0};
    for (;;) {
        snprintf(name, sizeof(name), "stack.%s", pf_format_extension(output->format));
        char *stack = pf_path_join(results->dir, name);
        if (!stack)
            return pf_fail(err, ENOMEM, "out of memory for names");
        bool last = output->format == PF_FORMAT_TIFF;
        output->stack_path = stack;
        int r = pf_burst_write(burst, output, &results->written, last ? err : &trouble);
        free(stack);
        if (r == 0 && trouble.code &&
            json_object_set_new(json_object_get(results->written, "stack"), "note",
                                pf_json_bytes(note)) < 0)
            return pf_fail(err, ENOMEM, "out of memory for the result");
        if (r == 0 || last)
            return r;
        if (r != -EFBIG && r != -ENOTSUP)
            return pf_fail(err, trouble.code, "%s", trouble.text);
        snprintf(note, sizeof(note), "written as TIFF: %s", trouble.text);
        output->format = PF_FORMAT_TIFF;
    }
}

/* Their names are ours, and plain text; the directory may be gone. */
static const char *name_of(const struct pf_results *results, const char *key)
{
    return json_string_value(json_object_get(json_object_get(results->written, key), "name"));
}

/* Takes no memory: that may be what is missing. */
static void remove_files(const struct pf_results *results)
{
    int dir = open(results->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const char *stack = name_of(results, "stack");
    if (dir < 0)
        return;
    if (stack)
        unlinkat(dir, stack, 0);
    for (int i = 0; i < PF_MAP_COUNT; i++)
        if (name_of(results, map_files[i].output))
            unlinkat(dir, map_files[i].name, 0);
    close(dir);
}

struct pf_results *pf_results_remove(struct pf_results *results)
{
    if (results)
        remove_files(results);
    return pf_results_free(results);
}

/* Nothing of it stays on failure. */
static int write_files(struct pf_burst *burst, struct pf_results *results,
                       const struct pf_cancel *cancel, struct pf_error *err)
{
    double begin_ms = pf_now_ms();
    char *map[PF_MAP_COUNT] = {0};
    struct pf_burst_output output = {.format = results->format,
                                     .jpeg_quality = results->jpeg_quality,
                                     .order = results->order,
                                     .cancel = cancel};
    bool named = true;
    for (int i = 0; i < PF_MAP_COUNT; i++) {
        if (results->maps[i])
            named &= (map[i] = pf_path_join(results->dir, map_files[i].name)) != NULL;
        output.map_path[i] = map[i];
    }
    int r = named ? write_as(burst, &output, results, err)
                  : pf_fail(err, ENOMEM, "out of memory for names");
    if (r < 0)
        remove_files(results);
    for (int i = 0; i < PF_MAP_COUNT; i++)
        free(map[i]);
    results->ms = pf_now_ms() - begin_ms;
    return r;
}

static bool is_there(const struct pf_results *results, int dir, const char *key)
{
    struct stat st;
    const char *name = name_of(results, key);
    const json_t *size = json_object_get(json_object_get(results->written, key), "size_bytes");
    return !name || (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                     st.st_size == json_integer_value(size));
}

static bool are_there(const struct pf_results *results)
{
    int dir = open(results->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool there = dir >= 0 && is_there(results, dir, "stack");
    for (int i = 0; there && i < PF_MAP_COUNT; i++)
        there = is_there(results, dir, map_files[i].output);
    if (dir >= 0)
        close(dir);
    return there;
}

/* Whether what was written ahead is what is wanted now. */
static bool serves(const struct pf_results *ahead, const struct pf_results *wanted)
{
    return ahead && ahead->added == wanted->added && !strcmp(ahead->dir, wanted->dir) &&
           ahead->format == wanted->format && ahead->jpeg_quality == wanted->jpeg_quality &&
           !memcmp(ahead->maps, wanted->maps, sizeof(ahead->maps)) &&
           (ahead->order == wanted->order || json_equal(ahead->order, wanted->order)) &&
           are_there(ahead);
}

int pf_results_write_ahead(struct pf_burst *burst, const json_t *command, const char *dir,
                           const struct pf_settings *settings, const struct pf_cancel *cancel,
                           struct pf_results **ret, struct pf_error *err)
{
    struct pf_results *results = results_new(burst, command, dir, settings);
    int r = results ? write_files(burst, results, cancel, err)
                    : pf_fail(err, ENOMEM, "out of memory for the result");
    if (r < 0) {
        pf_results_free(results);
        return r;
    }
    *ret = results;
    return 0;
}

int pf_results_write(struct pf_burst *burst, const struct pf_pool *pool, const json_t *command,
                     const char *dir, const struct pf_settings *settings,
                     const struct pf_results *ahead, json_t **ret_event, struct pf_error *err)
{
    double begin_ms = pf_now_ms(), ahead_ms = 0;
    struct pf_results *own = results_new(burst, command, dir, settings);
    char *sidecar = pf_path_join(dir, "stack.json");
    json_t *engine = NULL, *coverage = NULL;
    const struct pf_results *results = own;
    int r = own && sidecar ? 0 : pf_fail(err, ENOMEM, "out of memory for the result");
    if (r == 0 && serves(ahead, own)) {
        results = ahead;
        ahead_ms = ahead->ms;
    } else if (r == 0) {
        if (ahead)
            remove_files(ahead);
        r = write_files(burst, own, NULL, err);
    }
    if (r == 0) {
        engine =
            pf_burst_engine(burst, pf_burst_device(burst), pool, pf_now_ms() - begin_ms, ahead_ms);
        r = pf_burst_coverage(burst, own->order, true, &coverage, err);
        if (r == 0)
            r = write_sidecar(command, results->written, coverage, engine, sidecar, err);
        if (r < 0) { /* whatever of it is there already */
            unlink(sidecar);
            remove_files(results);
        }
    }
    if (r == 0)
        *ret_event = finished(command, results->written, sidecar, burst, pf_now_ms() - begin_ms);
    json_decref(engine);
    json_decref(coverage);
    pf_results_free(own);
    free(sidecar);
    return r;
}
