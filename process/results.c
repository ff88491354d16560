#include "process/results.h"

#include <errno.h>
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

/* In a format that the stack does not fit into it would be none at all: then as TIFF, with a note. */
static int write_stack(struct pf_burst *burst, struct pf_burst_output *output, const char *dir,
                       char **stack, json_t **ret, struct pf_error *err)
{
    char name[32], note[sizeof(err->text) + 32];
    struct pf_error trouble = {0};
    for (;;) {
        snprintf(name, sizeof(name), "stack.%s", pf_format_extension(output->format));
        free(*stack);
        output->stack_path = *stack = pf_path_join(dir, name);
        if (!*stack)
            return pf_fail(err, ENOMEM, "out of memory for names");
        bool last = output->format == PF_FORMAT_TIFF;
        int r = pf_burst_write(burst, output, ret, last ? err : &trouble);
        if (r == 0 && trouble.code &&
            json_object_set_new(json_object_get(*ret, "stack"), "note", pf_json_bytes(note)) < 0)
            return pf_fail(err, ENOMEM, "out of memory for the result");
        if (r == 0 || last)
            return r;
        if (r != -EFBIG && r != -ENOTSUP)
            return pf_fail(err, trouble.code, "%s", trouble.text);
        snprintf(note, sizeof(note), "written as TIFF: %s", trouble.text);
        output->format = PF_FORMAT_TIFF;
    }
}

int pf_results_write(struct pf_burst *burst, const struct pf_pool *pool, const json_t *command,
                     const char *dir, const struct pf_settings *settings, json_t **ret_event,
                     struct pf_error *err)
{
    double begin_ms = pf_now_ms();
    const bool wanted[PF_MAP_COUNT] = {[PF_MAP_DEPTH] = settings->depth_map,
                                       [PF_MAP_CONFIDENCE] = settings->confidence_map,
                                       [PF_MAP_FRAME] = settings->frame_map};
    char *stack = NULL, *sidecar = pf_path_join(dir, "stack.json");
    char *map[PF_MAP_COUNT] = {0};
    json_t *written = NULL, *engine = NULL, *coverage = NULL;
    struct pf_burst_output output = {.format = (enum pf_format)settings->format,
                                     .jpeg_quality = (int)settings->jpeg_quality,
                                     .order = json_object_get(command, "order")};
    bool named = sidecar != NULL;
    for (int i = 0; i < PF_MAP_COUNT; i++) {
        if (wanted[i])
            named &= (map[i] = pf_path_join(dir, map_files[i].name)) != NULL;
        output.map_path[i] = map[i];
    }
    int r = named ? write_stack(burst, &output, dir, &stack, &written, err)
                  : pf_fail(err, ENOMEM, "out of memory for names");
    if (r == 0) {
        engine = pf_burst_engine(burst, pf_burst_device(burst), pool, pf_now_ms() - begin_ms);
        r = pf_burst_coverage(burst, output.order, true, &coverage, err);
        if (r == 0)
            r = write_sidecar(command, written, coverage, engine, sidecar, err);
    }
    if (r < 0 && named) { /* whatever of it is there already */
        if (stack)
            unlink(stack);
        unlink(sidecar);
        for (int i = 0; i < PF_MAP_COUNT; i++)
            if (map[i])
                unlink(map[i]);
    }
    if (r == 0)
        *ret_event = finished(command, written, sidecar, burst, pf_now_ms() - begin_ms);
    json_decref(engine);
    json_decref(coverage);
    json_decref(written);
    free(stack);
    for (int i = 0; i < PF_MAP_COUNT; i++)
        free(map[i]);
    free(sidecar);
    return r;
}
