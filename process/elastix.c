#include "process/elastix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/base/file.h"
#include "config/base/text.h"
#include "process/program.h"

#define DIRECTORY_PREFIX "parfocal-elastix-"
#define LEAST_SIDE       16
#define LEAST_CONTRAST   0.5  /* of the pictures' own units; below it there is nothing to align */
#define WINDOW           24   /* iterations whose metrics are averaged: each sees other samples */
#define LEAST_GAIN       0.02 /* of what the metric lacks of a perfect fit, from window to window */

/* Coarse to fine. `reduce` is beside our own reduction, `spacing` in units of the final grid's. */
static const struct {
    int reduce, spacing, iterations;
} resolutions[] = {{8, 4, 60}, {4, 2, 60}, {1, 1, 200}};
enum { RESOLUTIONS = sizeof(resolutions) / sizeof(*resolutions) };

struct run {
    const struct pf_elastix_options *options;
    char *directory;
    int resolution; /* -1 before the first */
    int iteration;  /* of it, the last one told; -1 none */
    int done, of;
    double sum[2]; /* of metrics: of the window that is being filled, of the one before */
    int filled, windows;
    bool in_table;
    struct pf_elastix_report report;
};

/* ---- files ---- */

/* Signal state: the directory of the run that is under way, for pf_elastix_interrupt(). */
static char *volatile current_directory;

static char *directory_of_files(void)
{
    const char *given = getenv("TMPDIR");
    const char *const places[] = {given && *given ? given : "/dev/shm", "/dev/shm", "/tmp"};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        if (access(places[i], W_OK | X_OK) == 0)
            return strdup(places[i]);
    return strdup("/tmp");
}

/* Directories of processes that are no more. */
static void sweep(void)
{
    char *place = directory_of_files();
    DIR *listing = place ? opendir(place) : NULL;
    const struct dirent *entry;
    while (listing && (entry = readdir(listing))) {
        size_t prefix = strlen(DIRECTORY_PREFIX);
        if (strncmp(entry->d_name, DIRECTORY_PREFIX, prefix) != 0)
            continue;
        long pid = strtol(entry->d_name + prefix, NULL, 10);
        struct pf_error ignored = {0};
        struct stat st;
        char *path = pf_path_join(place, entry->d_name);
        if (pid > 0 && path && kill((pid_t)pid, 0) < 0 && errno == ESRCH && lstat(path, &st) == 0 &&
            S_ISDIR(st.st_mode) && st.st_uid == geteuid())
            pf_remove_tree(path, &ignored);
        free(path);
    }
    if (listing)
        closedir(listing);
    free(place);
}

static int make_directory(char **ret, struct pf_error *err)
{
    char *place = directory_of_files();
    sweep();
    char *path = place ? pf_text("%s/" DIRECTORY_PREFIX "%ld-XXXXXX", place, (long)getpid()) : NULL;
    free(place);
    if (!path)
        return pf_fail(err, ENOMEM, "out of memory for a directory's name");
    if (!mkdtemp(path)) {
        int code = errno;
        pf_fail_errno(err, code, "making %s", path);
        free(path);
        return -code;
    }
    *ret = path;
    current_directory = path;
    return 0;
}

static void remove_directory(char *path)
{
    struct pf_error ignored = {0};
    current_directory = NULL;
    pf_remove_tree(path, &ignored);
    free(path);
}

void pf_elastix_interrupt(void)
{
    enum { PASSES = 8 };
    const char *path = current_directory;
    pf_program_end();
    int fd = path ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    /* What is removed may make the listing skip what comes after it. */
    for (int pass = 0; pass < PASSES && lseek(fd, 0, SEEK_SET) == 0; pass++) {
        _Alignas(struct dirent64) char listing[4096];
        ssize_t bytes;
        while ((bytes = getdents64(fd, listing, sizeof(listing))) > 0)
            for (ssize_t at = 0; at < bytes;) {
                const struct dirent64 *entry = (const void *)(listing + at);
                unlinkat(fd, entry->d_name, 0);
                at += entry->d_reclen;
            }
        if (unlinkat(AT_FDCWD, path, AT_REMOVEDIR) == 0)
            break;
    }
    close(fd);
}

static int write_file(const struct run *run, const char *name, const void *bytes, size_t size_bytes,
                      struct pf_error *err)
{
    char *path = pf_path_join(run->directory, name);
    FILE *file = path ? fopen(path, "we") : NULL;
    int code = path ? 0 : ENOMEM;
    if (path && (!file || fwrite(bytes, 1, size_bytes, file) != size_bytes))
        code = errno ? errno : EIO;
    if (file && fclose(file) != 0 && !code)
        code = errno;
    if (code)
        pf_fail_errno(err, code, "writing %s for elastix", path ? path : name);
    free(path);
    return -code;
}

/* MetaImage: a header, and the pixels as they are. */
static int write_picture(const struct run *run, const char *name, const struct pf_reduced *picture,
                         struct pf_error *err)
{
    char header[600], file[32];
    int length = snprintf(header, sizeof(header),
                          "ObjectType = Image\nNDims = 2\nBinaryData = True\n"
                          "BinaryDataByteOrderMSB = %s\nElementSpacing = %.10g %.10g\n"
                          "Offset = %.10g %.10g\nDimSize = %d %d\nElementType = MET_FLOAT\n"
                          "ElementDataFile = %s.raw\n",
                          __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? "True" : "False", picture->scale,
                          picture->scale, picture->offset, picture->offset, picture->width,
                          picture->height, name);
    snprintf(file, sizeof(file), "%s.mhd", name);
    int r = write_file(run, file, header, (size_t)length, err);
    snprintf(file, sizeof(file), "%s.raw", name);
    if (r == 0)
        r = write_file(run, file, picture->pixels,
                       (size_t)picture->width * (size_t)picture->height * sizeof(float), err);
    return r;
}

static int write_parameters(const struct run *run, struct pf_error *err)
{
    char text[3000], schedule[64] = "", grid[64] = "", iterations[64] = "";
    for (int i = 0; i < RESOLUTIONS; i++) {
        size_t s = strlen(schedule), g = strlen(grid), n = strlen(iterations);
        snprintf(schedule + s, sizeof(schedule) - s, " %d %d", resolutions[i].reduce,
                 resolutions[i].reduce);
        snprintf(grid + g, sizeof(grid) - g, " %d", resolutions[i].spacing);
        snprintf(iterations + n, sizeof(iterations) - n, " %d", resolutions[i].iterations);
    }
    /* Correlation knows nothing of gain and offset. The optimiser estimates its own step. */
    int length = snprintf(
        text, sizeof(text),
        "(FixedInternalImagePixelType \"float\")\n(MovingInternalImagePixelType \"float\")\n"
        "(FixedImageDimension 2)\n(MovingImageDimension 2)\n(UseDirectionCosines \"true\")\n"
        "(Registration \"MultiResolutionRegistration\")\n"
        "(Interpolator \"LinearInterpolator\")\n"
        "(ResampleInterpolator \"FinalBSplineInterpolator\")\n"
        "(Resampler \"DefaultResampler\")\n"
        "(FixedImagePyramid \"FixedRecursiveImagePyramid\")\n"
        "(MovingImagePyramid \"MovingRecursiveImagePyramid\")\n"
        "(Optimizer \"AdaptiveStochasticGradientDescent\")\n"
        "(Transform \"BSplineTransform\")\n(Metric \"AdvancedNormalizedCorrelation\")\n"
        "(HowToCombineTransforms \"Compose\")\n(AutomaticParameterEstimation \"true\")\n"
        "(FinalGridSpacingInPhysicalUnits %.6f)\n(GridSpacingSchedule%s)\n"
        "(NumberOfResolutions %d)\n(ImagePyramidSchedule%s)\n(MaximumNumberOfIterations%s)\n"
        "(ImageSampler \"RandomCoordinate\")\n(NumberOfSpatialSamples 3000)\n"
        "(NewSamplesEveryIteration \"true\")\n(RandomSeed 4711)\n"
        "(WriteTransformParametersEachIteration \"true\")\n(WriteResultImage \"false\")\n",
        run->options->spacing_px, grid, (int)RESOLUTIONS, schedule, iterations);
    return write_file(run, "parameters.txt", text, (size_t)length, err);
}

/* ---- its answer ---- */

/* The numbers of "(key a b c)"; how many there are, at most `most`. */
static int numbers_of(const char *text, const char *key, double *ret, int most)
{
    char wanted[64];
    snprintf(wanted, sizeof(wanted), "\n(%s ", key);
    const char *at = strstr(text, wanted);
    int count = 0;
    if (!at)
        return 0;
    at += strlen(wanted);
    for (char *end; count < most; count++, at = end) {
        ret[count] = strtod(at, &end);
        if (end == at)
            break;
    }
    return count;
}

static char *read_text(const char *path)
{
    enum { MOST_BYTES = 64 << 20 };
    FILE *file = fopen(path, "re");
    char *text = NULL;
    struct stat st;
    if (file && fstat(fileno(file), &st) == 0 && st.st_size < MOST_BYTES) {
        text = calloc(1, (size_t)st.st_size + 2);
        if (text) /* each key begins a line, the first one too */
            *text = '\n';
        if (text && fread(text + 1, 1, (size_t)st.st_size, file) != (size_t)st.st_size) {
            free(text);
            text = NULL;
        }
    }
    if (file)
        fclose(file);
    return text;
}

/* -ENODATA: not there, or not whole. */
static int parse_field(const char *text, struct pf_field **ret)
{
    double size[2], origin[2], spacing[2], count;
    struct pf_error ignored = {0};
    struct pf_field *field = NULL;
    if (!text || !strstr(text, "\n(Transform \"BSplineTransform\")") ||
        numbers_of(text, "GridSize", size, 2) != 2 ||
        numbers_of(text, "GridOrigin", origin, 2) != 2 ||
        numbers_of(text, "GridSpacing", spacing, 2) != 2 ||
        numbers_of(text, "NumberOfParameters", &count, 1) != 1 ||
        !(size[0] > 0 && size[1] > 0 && size[0] < 1e4 && size[1] < 1e4) ||
        count != 2 * size[0] * size[1] || !(spacing[0] > 0 && spacing[1] > 0) ||
        !isfinite(origin[0] + origin[1] + spacing[0] + spacing[1]))
        return -ENODATA;
    int nodes = (int)size[0] * (int)size[1];
    double *values = calloc(2 * (size_t)nodes, sizeof(*values));
    int r = values ? pf_field_new_grid(&field, (int)size[0], (int)size[1], &ignored) : -ENOMEM;
    if (r == 0 && numbers_of(text, "TransformParameters", values, 2 * nodes) != 2 * nodes)
        r = -ENODATA;
    for (int i = 0; r == 0 && i < nodes; i++) {
        field->nodes[i][0] = (float)values[i];
        field->nodes[i][1] = (float)values[nodes + i];
        if (!isfinite(field->nodes[i][0]) || !isfinite(field->nodes[i][1]))
            r = -ENODATA;
    }
    free(values);
    if (r < 0) {
        pf_field_free(field);
        return r == -EINVAL ? -ENODATA : r;
    }
    field->origin_x = origin[0];
    field->origin_y = origin[1];
    field->spacing_x = spacing[0];
    field->spacing_y = spacing[1];
    *ret = field;
    return 0;
}

int pf_elastix_read(const char *path, struct pf_field **ret, struct pf_error *err)
{
    char *text = read_text(path);
    int r = parse_field(text, ret);
    free(text);
    if (r == -ENOMEM)
        return pf_fail(err, ENOMEM, "out of memory for a displacement field");
    return r < 0 ? pf_fail(err, EIO, "%s: no B-spline of elastix'", path) : 0;
}

static int read_answer(const struct run *run, bool stopped, struct pf_field **ret,
                       struct pf_error *err)
{
    char name[64];
    int r = -ENODATA;
    /* A stopped one has left what each iteration gave; the last may be half written. */
    for (int back = 0; r == -ENODATA && back < (stopped ? 3 : 1); back++) {
        if (stopped)
            snprintf(name, sizeof(name), "TransformParameters.0.R%d.It%07d.txt", run->resolution,
                     run->iteration - back);
        else
            snprintf(name, sizeof(name), "TransformParameters.0.txt");
        char *path = pf_path_join(run->directory, name), *text = path ? read_text(path) : NULL;
        r = path ? parse_field(text, ret) : -ENOMEM;
        free(text);
        free(path);
    }
    if (r == -ENOMEM)
        return pf_fail(err, ENOMEM, "out of memory for a displacement field");
    if (r < 0)
        return pf_fail(err, EIO, "elastix has left no usable %s", name);
    return 0;
}

/* ---- its words ---- */

/* True when the metric has stopped getting better: what it lacks of a perfect fit has shrunk by less
 * than a fiftieth from one window of iterations to the next. */
static bool has_converged(struct run *run, double metric)
{
    run->sum[0] += metric;
    if (++run->filled < WINDOW)
        return false;
    double now = run->sum[0] / WINDOW, before = run->sum[1];
    run->report.metric = now;
    run->sum[1] = now;
    run->sum[0] = 0;
    run->filled = 0;
    return run->windows++ && before - now < LEAST_GAIN * fmax(1 + before, 1e-6);
}

static enum pf_program_next on_line(void *context, const char *text)
{
    struct run *run = context;
    if (strncmp(text, "1:ItNr", 6) == 0) {
        run->resolution++;
        run->iteration = -1;
        run->in_table = true;
        run->sum[0] = run->sum[1] = 0;
        run->filled = run->windows = 0;
        return PF_PROGRAM_GO_ON;
    }
    int iteration;
    double metric;
    if (!run->in_table || sscanf(text, "%d\t%lf", &iteration, &metric) != 2) {
        run->in_table = run->in_table && !*text;
        return PF_PROGRAM_GO_ON;
    }
    run->iteration = iteration;
    run->done++;
    run->report.iterations++;
    struct pf_iteration told = {run->options->step, run->done, run->of, metric};
    if (run->options->call.told)
        run->options->call.told(run->options->call.context, &told);
    run->report.converged =
        has_converged(run, metric) && run->resolution == RESOLUTIONS - 1 && iteration >= 2;
    return run->report.converged ? PF_PROGRAM_STOP : PF_PROGRAM_GO_ON;
}

/* ---- all together ---- */

static int check_picture(const struct pf_reduced *picture, const char *which, struct pf_error *err)
{
    size_t count = (size_t)picture->width * (size_t)picture->height;
    double sum = 0, squares = 0;
    if (picture->width < LEAST_SIDE || picture->height < LEAST_SIDE)
        return pf_fail(err, EINVAL, "%d x %d pixels are too few for elastix", picture->width,
                       picture->height);
    for (size_t i = 0; i < count; i++) {
        sum += (double)picture->pixels[i];
        squares += (double)picture->pixels[i] * (double)picture->pixels[i];
    }
    double mean = sum / (double)count, variance = squares / (double)count - mean * mean;
    if (!(variance > LEAST_CONTRAST * LEAST_CONTRAST))
        return pf_fail(err, EINVAL, "%s has nothing that could be aligned", which);
    return 0;
}

static int run_in(struct run *run, const struct pf_reduced *fixed, const struct pf_reduced *moving,
                  struct pf_field **ret, struct pf_error *err)
{
    char *parameters = pf_path_join(run->directory, "parameters.txt");
    char *fixed_path = pf_path_join(run->directory, "fixed.mhd");
    char *moving_path = pf_path_join(run->directory, "moving.mhd"), threads[16];
    snprintf(threads, sizeof(threads), "%d", run->options->threads);
    const char *const argv[] = {"elastix",  "-f",   fixed_path,     "-m",       moving_path, "-p",
                                parameters, "-out", run->directory, "-threads", threads,     NULL};
    bool stopped = false;
    int r = parameters && fixed_path && moving_path
                ? 0
                : pf_fail(err, ENOMEM, "out of memory for the names of files");
    if (r == 0)
        r = write_picture(run, "fixed", fixed, err);
    if (r == 0)
        r = write_picture(run, "moving", moving, err);
    if (r == 0)
        r = write_parameters(run, err);
    if (r == 0 && !pf_program_is_there(argv[0]))
        r = pf_fail(err, ENOENT, "elastix is not installed (apt-get install elastix)");
    if (r == 0)
        r = pf_program_run(argv, run->options->limit_s, on_line, run, &stopped, err);
    if (r == 0 && run->resolution != RESOLUTIONS - 1)
        r = pf_fail(err, EIO, "elastix ended after %d of %d resolutions, though with status 0",
                    run->resolution + 1, (int)RESOLUTIONS);
    if (r == 0)
        r = read_answer(run, stopped, ret, err);
    free(parameters);
    free(fixed_path);
    free(moving_path);
    return r;
}

int pf_elastix_run(const struct pf_reduced *fixed, const struct pf_reduced *moving,
                   const struct pf_elastix_options *options, struct pf_field **ret,
                   struct pf_elastix_report *ret_report, struct pf_error *err)
{
    struct run run = {.options = options, .resolution = -1, .iteration = -1};
    for (int i = 0; i < RESOLUTIONS; i++)
        run.of += resolutions[i].iterations;
    int r = check_picture(fixed, "the stack", err);
    if (r == 0)
        r = check_picture(moving, "the frame", err);
    if (r == 0)
        r = make_directory(&run.directory, err);
    if (r < 0)
        return r;
    r = run_in(&run, fixed, moving, ret, err);
    remove_directory(run.directory);
    *ret_report = run.report;
    return r;
}

int pf_elastix_warm_up(double limit_s, int threads, const struct pf_iteration_call *call,
                       struct pf_error *err)
{
    enum { SIDE = 64 };
    static float pixels[2][SIDE * SIDE];
    for (int k = 0; k < 2; k++)
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++)
                pixels[k][y * SIDE + x] =
                    (float)(128 + 60 * sin(0.31 * x + 0.2 * k) * cos(0.23 * y) + 9 * sin(x * y));
    struct pf_reduced fixed = {pixels[0], SIDE, SIDE, 1, 0}, moving = {pixels[1], SIDE, SIDE, 1, 0};
    struct pf_elastix_options options = {.spacing_px = 16,
                                         .limit_s = limit_s,
                                         .threads = threads,
                                         .step = "warming up elastix",
                                         .call = *call};
    struct pf_elastix_report report;
    struct pf_field *field = NULL;
    int r = pf_elastix_run(&fixed, &moving, &options, &field, &report, err);
    pf_field_free(field);
    return r;
}
