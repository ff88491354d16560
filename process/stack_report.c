#include "process/stack_report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture/frame.h"
#include "config/base/jsonl.h"
#include "config/base/version.h"
#include "config/options.h"
#include "process/burst.h"

void pf_stack_file_identify(struct pf_stack_file *file)
{
    struct pf_error ignored = {0};
    struct pf_frame seen = {0};
    struct stat st;
    if (file->identity.text[0] || stat(file->path, &st) < 0 || !S_ISREG(st.st_mode))
        return;
    struct pf_file_stamp stamp = pf_file_stamp_of(&st);
    if (pf_frame_look(file->path, "", &stamp, 0, &seen, &ignored) == 0 && seen.record) {
        file->record = seen.record;
        file->identity = seen.record->id;
    }
    if (file->identity.text[0])
        return;
    int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return;
    if (pf_identity_of_fd(fd, &file->identity, &ignored) < 0)
        file->identity.text[0] = '\0';
    close(fd);
}

void pf_stack_file_clear(struct pf_stack_file *file)
{
    json_decref(file->facts);
    pf_record_free(file->record);
    *file = (struct pf_stack_file){0};
}

static json_t *frame_object(const struct pf_stack_file *file)
{
    char captured[PF_RECORD_CAPTURED_CHARS];
    json_t *frame = json_pack("{s:o}", "path", pf_json_bytes(file->path));
    if (file->companion)
        json_object_set_new(frame, "companion", pf_json_bytes(file->companion));
    if (file->identity.text[0])
        json_object_set_new(frame, "identity", json_string(file->identity.text));
    if (file->record && pf_record_captured(file->record, captured))
        json_object_set_new(frame, "captured", json_string(captured));
    json_object_update(frame, file->facts);
    return frame;
}

int pf_stack_report_print(const struct pf_stack_report *report)
{
    json_t *frames = json_array();
    int fused = 0;
    for (int i = 0; i < report->count; i++) {
        const json_t *facts = report->files[i].facts;
        const char *verdict = json_string_value(json_object_get(facts, "verdict"));
        fused += verdict && strcmp(verdict, "fused") == 0;
        json_array_append_new(frames, frame_object(&report->files[i]));
    }
    json_t *document = json_pack(
        "{s:s, s:o, s:i, s:i, s:o, s:o, s:o, s:f}", "parfocal", pf_version(), "settings",
        pf_options_json(report->settings,
                        "align equalise motion min_correlation align_timeout "
                        "judge coverage fuse focus_order resample clip jpeg_quality"),
        "fused", fused, "aside", report->count - fused, "frames", frames, "output",
        report->output ? json_incref(report->output) : json_null(), "engine",
        pf_burst_engine(report->burst, report->device, report->pool, report->finish_ms, 0),
        "total_ms", report->total_ms);
    if (document && report->coverage)
        json_object_set(document, "coverage", report->coverage);
    if (document && report->failure)
        json_object_set_new(document, "error", pf_json_bytes(report->failure->text));
    char *text = pf_json_text(document, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    json_decref(document);
    if (!text)
        return -ENOMEM;
    int r = puts(text) < 0 ? -errno : 0;
    free(text);
    return r;
}
