/* A library with the part of nvJPEG's interface that parfocal calls, made of libjpeg-turbo: for programs
 * whose GPU is of fibers, where the device's memory is the host's. It does nothing in the background: the stream has
 * been waited for when planes are written, as memory was given back. Made twice, the second time (-DLACKING) without
 * one of its functions. Its transform rounds otherwise than the one that parfocal has of libjpeg-turbo, as the real
 * library's does. It does as the environment says:
 *   NVJPEG_VERSION=N       its major version (12)
 *   NVJPEG_MOST_WIDTH=N    wider pictures are not supported
 *   NVJPEG_SCRATCH=N       bytes of the device that each picture takes and gives back, as of another size; and none at all
 *   NVJPEG_NO_WIDTH=N      pictures as wide as this are not, either
 *   NVJPEG_STATUS=N        what comes of decoding
 *   NVJPEG_SWAPS=1         Cb and Cr change places
 *   NVJPEG_LOG=FILE        a line is added for every picture that it has decoded: its size
 *   NVJPEG_LIVES=FILE      a line is added for every handle and state that is made, and that is no more
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

enum { SUCCESS, NOT_INITIALIZED, INVALID_PARAMETER, BAD_JPEG, NOT_SUPPORTED, ALLOCATOR_FAILURE };
enum { CSS_444, CSS_422, CSS_420, CSS_440, CSS_411, CSS_410, CSS_GRAY, CSS_UNKNOWN = -1 };
enum { COMPONENTS = 4 };

struct allocator {
    int (*take)(void *context, void **ret, size_t size_bytes, void *stream);
    int (*give)(void *context, void *memory, size_t size_bytes, void *stream);
    void *context;
};

struct image {
    unsigned char *channel[COMPONENTS];
    size_t pitch[COMPONENTS];
};

struct handle {
    struct allocator device, pinned;
};

/* What is between the steps of decoding: coefficients, on either side. */
struct state {
    struct handle *handle;
    void *device, *pinned;
    size_t size_bytes;
};

#ifdef LACKING
#define nvjpegDecode nvjpegDecodeOtherwise
#endif

int nvjpegGetProperty(int type, int *value);
int nvjpegCreateExV2(int backend, struct allocator *device, struct allocator *pinned,
                     unsigned flags, struct handle **ret);
int nvjpegDestroy(struct handle *handle);
int nvjpegJpegStateCreate(struct handle *handle, struct state **ret);
int nvjpegJpegStateDestroy(struct state *state);
int nvjpegGetImageInfo(struct handle *handle, const unsigned char *data, size_t length,
                       int *components, int *subsampling, int *widths, int *heights);
int nvjpegDecode(struct handle *handle, struct state *state, const unsigned char *data,
                 size_t length, int format, struct image *to, void *stream);

static int number(const char *name, int otherwise)
{
    const char *text = getenv(name);
    return text ? atoi(text) : otherwise;
}

static void add_line(const char *variable, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void add_line(const char *variable, const char *format, ...)
{
    const char *path = getenv(variable);
    FILE *file = path ? fopen(path, "a") : NULL;
    if (!file)
        return;
    va_list args;
    va_start(args, format);
    vfprintf(file, format, args);
    va_end(args);
    fclose(file);
}

int nvjpegGetProperty(int type, int *value)
{
    if (type < 0 || type > 2)
        return INVALID_PARAMETER;
    *value = type == 0 ? number("NVJPEG_VERSION", 12) : 3;
    return SUCCESS;
}

int nvjpegCreateExV2(int backend, struct allocator *device, struct allocator *pinned,
                     unsigned flags, struct handle **ret)
{
    if (backend != 0 || flags != 4 || !device || !pinned)
        return INVALID_PARAMETER;
    *ret = calloc(1, sizeof(**ret));
    if (!*ret)
        return ALLOCATOR_FAILURE;
    **ret = (struct handle){*device, *pinned};
    add_line("NVJPEG_LIVES", "handle made\n");
    return SUCCESS;
}

int nvjpegDestroy(struct handle *handle)
{
    add_line("NVJPEG_LIVES", "handle ended\n");
    free(handle);
    return SUCCESS;
}

int nvjpegJpegStateCreate(struct handle *handle, struct state **ret)
{
    *ret = calloc(1, sizeof(**ret));
    if (!*ret)
        return ALLOCATOR_FAILURE;
    (*ret)->handle = handle;
    add_line("NVJPEG_LIVES", "state made\n");
    return SUCCESS;
}

static void give_memory(struct state *state)
{
    struct allocator *device = &state->handle->device, *pinned = &state->handle->pinned;
    if (state->device)
        device->give(device->context, state->device, state->size_bytes, NULL);
    if (state->pinned)
        pinned->give(pinned->context, state->pinned, state->size_bytes, NULL);
    state->device = state->pinned = NULL;
    state->size_bytes = 0;
}

int nvjpegJpegStateDestroy(struct state *state)
{
    add_line("NVJPEG_LIVES", "state ended\n");
    give_memory(state);
    free(state);
    return SUCCESS;
}

static int take_memory(struct state *state, size_t size_bytes, void *stream)
{
    struct allocator *device = &state->handle->device, *pinned = &state->handle->pinned;
    if (size_bytes <= state->size_bytes)
        return SUCCESS;
    give_memory(state);
    state->size_bytes = size_bytes;
    if (device->take(device->context, &state->device, size_bytes, stream) ||
        pinned->take(pinned->context, &state->pinned, size_bytes, stream)) {
        give_memory(state);
        return ALLOCATOR_FAILURE;
    }
    return SUCCESS;
}

static int use_scratch(struct state *state, void *stream)
{
    struct allocator *device = &state->handle->device;
    const size_t sizes[] = {(size_t)number("NVJPEG_SCRATCH", 0), 0};
    for (int i = 0; i < 2; i++) {
        void *memory = NULL;
        if (device->take(device->context, &memory, sizes[i], stream) || !memory ||
            device->give(device->context, memory, 0, stream))
            return ALLOCATOR_FAILURE;
    }
    return device->give(device->context, NULL, 0, stream);
}

/* ---- libjpeg-turbo ---- */

struct reader {
    struct jpeg_decompress_struct info;
    struct jpeg_error_mgr errors;
    jmp_buf jump;
    int status;
};

static void on_error(j_common_ptr info)
{
    longjmp(((struct reader *)info->client_data)->jump, 1);
}

static void on_message(j_common_ptr info, int level)
{
    (void)info, (void)level; /* it is content with more than libjpeg is */
}

static void begin(struct reader *reader, const unsigned char *data, size_t length)
{
    reader->info.err = jpeg_std_error(&reader->errors);
    reader->errors.error_exit = on_error;
    reader->errors.emit_message = on_message;
    reader->info.client_data = reader;
    jpeg_create_decompress(&reader->info);
    jpeg_mem_src(&reader->info, data, length);
}

static int size_of(int whole, int factor, int most)
{
    return (whole * factor + most - 1) / most;
}

static int subsampling_of(const struct jpeg_decompress_struct *info)
{
    const jpeg_component_info *at = info->comp_info;
    if (info->num_components == 1)
        return CSS_GRAY;
    if (info->num_components != 3 || at[1].h_samp_factor != 1 || at[1].v_samp_factor != 1)
        return CSS_UNKNOWN;
    int x = at[0].h_samp_factor, y = at[0].v_samp_factor;
    return x > 2 || y > 2 ? CSS_UNKNOWN
           : x == 1       ? (y == 1 ? CSS_444 : CSS_440)
                          : (y == 1 ? CSS_422 : CSS_420);
}

int nvjpegGetImageInfo(struct handle *handle, const unsigned char *data, size_t length,
                       int *components, int *subsampling, int *widths, int *heights)
{
    struct reader reader = {.status = BAD_JPEG};
    (void)handle;
    if (setjmp(reader.jump) == 0) {
        begin(&reader, data, length);
        jpeg_read_header(&reader.info, TRUE);
        *components = reader.info.num_components;
        *subsampling = subsampling_of(&reader.info);
        for (int i = 0; i < COMPONENTS; i++) {
            const jpeg_component_info *at = &reader.info.comp_info[i];
            bool there = i < *components;
            widths[i] = there ? size_of((int)reader.info.image_width, at->h_samp_factor,
                                        reader.info.max_h_samp_factor)
                              : 0;
            heights[i] = there ? size_of((int)reader.info.image_height, at->v_samp_factor,
                                         reader.info.max_v_samp_factor)
                               : 0;
        }
        reader.status = SUCCESS;
    }
    jpeg_destroy_decompress(&reader.info);
    return reader.status;
}

static void read_planes(struct reader *reader, const struct image *to)
{
    j_decompress_ptr info = &reader->info;
    JSAMPROW rows[3][2 * DCTSIZE];
    JSAMPARRAY planes[3] = {rows[0], rows[1], rows[2]};
    static JSAMPLE wide[3][2 * DCTSIZE][1 << 16];
    info->raw_data_out = TRUE;
    info->do_fancy_upsampling = FALSE;
    info->dct_method = JDCT_FLOAT;
    jpeg_start_decompress(info);
    for (int i = 0; i < info->num_components; i++)
        for (int k = 0; k < 2 * DCTSIZE; k++)
            rows[i][k] = wide[i][k];
    for (int group = 0; info->output_scanline < info->output_height; group++) {
        jpeg_read_raw_data(info, planes, (JDIMENSION)(info->max_v_samp_factor * DCTSIZE));
        for (int i = 0; i < info->num_components; i++) {
            const jpeg_component_info *at = &info->comp_info[i];
            int width = size_of((int)info->image_width, at->h_samp_factor, info->max_h_samp_factor);
            int height =
                size_of((int)info->image_height, at->v_samp_factor, info->max_v_samp_factor);
            int channel = i && number("NVJPEG_SWAPS", 0) ? 3 - i : i;
            int first = group * at->v_samp_factor * DCTSIZE;
            for (int k = 0; k < at->v_samp_factor * DCTSIZE && first + k < height; k++)
                memcpy(to->channel[channel] + (size_t)(first + k) * to->pitch[channel], rows[i][k],
                       (size_t)width);
        }
    }
    jpeg_finish_decompress(info);
}

int nvjpegDecode(struct handle *handle, struct state *state, const unsigned char *data,
                 size_t length, int format, struct image *to, void *stream)
{
    struct reader reader;
    int components, subsampling, widths[COMPONENTS], heights[COMPONENTS];
    int status =
        nvjpegGetImageInfo(handle, data, length, &components, &subsampling, widths, heights);
    if (status == SUCCESS && (format != 0 || components > 3 || !stream))
        status = INVALID_PARAMETER;
    if (status == SUCCESS && (widths[0] > number("NVJPEG_MOST_WIDTH", 1 << 16) ||
                              widths[0] == number("NVJPEG_NO_WIDTH", -1)))
        status = NOT_SUPPORTED;
    if (status == SUCCESS)
        status = number("NVJPEG_STATUS", SUCCESS);
    size_t samples = 0;
    for (int i = 0; status == SUCCESS && i < components; i++)
        samples += (size_t)widths[i] * (size_t)heights[i];
    if (status == SUCCESS)
        status = take_memory(state, samples * sizeof(JCOEF), stream);
    if (status == SUCCESS)
        status = use_scratch(state, stream);
    if (status != SUCCESS)
        return status;
    reader.status = BAD_JPEG;
    if (setjmp(reader.jump) == 0) {
        begin(&reader, data, length);
        jpeg_read_header(&reader.info, TRUE);
        read_planes(&reader, to);
        add_line("NVJPEG_LOG", "%d x %d\n", (int)reader.info.image_width,
                 (int)reader.info.image_height);
        reader.status = SUCCESS;
    }
    jpeg_destroy_decompress(&reader.info);
    return reader.status;
}
