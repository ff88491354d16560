#include "process/frame_facts.h"

#include <math.h>

#include "config/base/jsonl.h"

json_t *pf_facts_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *numbers(const double *values, int count)
{
    json_t *array = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(array, pf_facts_number(values[i]));
    return array;
}

static json_t *focus_facts(const struct pf_focus *focus)
{
    json_t *grid = json_array();
    for (int i = 0; i < PF_FOCUS_GRID * PF_FOCUS_GRID; i++)
        json_array_append_new(grid, pf_facts_number((double)focus->grid[i]));
    return json_pack("{s:o, s:o, s:o, s:o}", "laplacian_variance",
                     pf_facts_number(focus->laplacian_variance), "tenengrad",
                     pf_facts_number(focus->tenengrad), "modified_laplacian",
                     pf_facts_number(focus->modified_laplacian), "grid", grid);
}

static const char *const methods[] = {
    [PF_ALIGN_AUTO] = NULL,     [PF_ALIGN_ECC] = "ecc",         [PF_ALIGN_ORB] = "orb",
    [PF_ALIGN_AKAZE] = "akaze", [PF_ALIGN_SIFT] = "sift",       [PF_ALIGN_HYBRID] = "hybrid",
    [PF_ALIGN_FLOW] = "flow",   [PF_ALIGN_BSPLINE] = "bspline", [PF_ALIGN_SYN] = "syn",
    [PF_ALIGN_NONE] = NULL};

static const char *const causes[] = {[PF_CAUSE_NONE] = NULL,
                                     [PF_CAUSE_UNLIKE] = "unlike",
                                     [PF_CAUSE_BLANK] = "blank",
                                     [PF_CAUSE_SOFT] = "soft",
                                     [PF_CAUSE_FAILED] = "failed"};

static json_t *displacement_facts(const struct pf_displacement *displacement)
{
    if (!displacement->any)
        return json_null();
    json_t *grid = json_array();
    for (int i = 0; i < PF_FOCUS_GRID * PF_FOCUS_GRID; i++)
        json_array_append_new(grid,
                              json_pack("[o, o]", pf_facts_number((double)displacement->grid[i][0]),
                                        pf_facts_number((double)displacement->grid[i][1])));
    return json_pack("{s:o, s:o, s:o}", "mean_px", pf_facts_number(displacement->mean_px),
                     "most_px", pf_facts_number(displacement->most_px), "grid", grid);
}

json_t *pf_facts_of_frame(const struct pf_frame_result *result, const struct pf_image *image,
                          double decode_ms)
{
    bool fused = result->verdict == PF_VERDICT_FUSED;
    json_t *reason = fused ? json_null() : pf_json_bytes(result->reason);
    return json_pack(
        "{s:s, s:s?, s:o, s:b, s:o, s:o, s:o, s:s?, s:o, s:o, s:o, s:i, s:i, s:o, s:o, s:o}",
        "verdict", fused ? "fused" : "aside", "cause", causes[result->cause], "reason", reason,
        "reference", result->is_reference, "focus",
        result->measured ? focus_facts(&result->focus) : json_null(), "transform",
        fused ? numbers(result->transform, 9) : json_null(), "displacement",
        displacement_facts(&result->displacement), "aligned_by",
        fused ? methods[result->aligned_by] : NULL, "correlation",
        pf_facts_number(result->correlation), "gain",
        fused ? pf_facts_number(result->light.gain) : json_null(), "balance",
        fused ? numbers(result->light.balance, 3) : json_null(), "width", image->width, "height",
        image->height, "decode_ms", pf_facts_number(decode_ms), "align_ms",
        pf_facts_number(result->align_ms), "fuse_ms",
        pf_facts_number(result->fuse_ms + result->focus_ms));
}
