/* JPEG, read by libjpeg-turbo: its own planes where they fit struct pf_image, converted otherwise. */
#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>

#include "process/codec_format.h"
#include "process/convert.h"
#include "process/exif.h"
#include "process/profile.h"

#define BUFFER_BYTES     65536
#define SCANS_MAX        200 /* a progressive file needs about 10; each costs a pass over the picture */
#define SMALL_FILE_BYTES (1 << 20)
#define PADDING_BYTES    1024 /* at most, before the end marker */
#define EOF_TEXT         "the file ends early (truncated)"

struct reader {
    struct jpeg_decompress_struct info;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr manager;
    struct jpeg_progress_mgr progress;
    jmp_buf jump;
    struct pf_source *source;
    struct pf_error *err;
    int result;                     /* negative errno once failed */
    bool head_only;                 /* the picture is not read */
    bool many_scans;                /* all of it is read before any row comes out */
    int least_side;                 /* it is reduced, but not below this; 0: it is not */
    struct pf_image *image, *coded; /* coded: what stays so, and `image` is its reduced picture */
    JSAMPLE *scratch; /* a row for what lies below the picture, or one converted row */
    JOCTET buffer[BUFFER_BYTES];
};

static _Noreturn void leave(struct reader *reader, int code, const char *text)
{
    if (reader->source->error)
        reader->result =
            pf_fail_errno(reader->err, reader->source->error, "reading %s", reader->source->path);
    else
        reader->result = pf_fail(reader->err, code, "%s: %s", reader->source->path, text);
    longjmp(reader->jump, 1);
}

static _Noreturn void on_error(j_common_ptr info)
{
    struct reader *reader = info->client_data;
    char text[JMSG_LENGTH_MAX];
    info->err->format_message(info, text);
    leave(reader, info->err->msg_code == JERR_OUT_OF_MEMORY ? ENOMEM : EBADMSG, text);
}

/* Some cameras pad the picture, which is complete, before its end marker; libjpeg is at the end of the padding,
 * or one byte further if it had to ask for more. What damage leaves over there is hardly one byte again and
 * again. */
static bool is_padding(const struct reader *reader, int64_t count, int marker)
{
    const struct jpeg_decompress_struct *info = &reader->info;
    uint8_t room[PADDING_BYTES + 1], *bytes = room + 1;
    struct pf_source source = *reader->source;
    source.offset -= (int64_t)reader->manager.bytes_in_buffer + count + 1;
    if (marker != JPEG_EOI || count < 1 || count > PADDING_BYTES || source.offset < 0 ||
        (info->output_scanline < info->output_height && !reader->many_scans) ||
        pf_source_read(&source, room, (size_t)count + 1) < (size_t)count + 1)
        return false;
    if (room[count] == 0xff)
        bytes = room;
    return bytes[0] != 0xff && memcmp(bytes, bytes + 1, (size_t)count - 1) == 0;
}

/* A warning means that libjpeg invented pixels: such a frame must not enter a stack. Excepted are
 * remarks on metadata that touch no pixel, and on what follows the last one. */
static void on_message(j_common_ptr info, int level)
{
    const struct jpeg_error_mgr *errors = info->err;
    if (level >= 0 || errors->msg_code == JWRN_JFIF_MAJOR || errors->msg_code == JWRN_BOGUS_ICC ||
        (errors->msg_code == JWRN_EXTRANEOUS_DATA &&
         is_padding(info->client_data, errors->msg_parm.i[0], errors->msg_parm.i[1])))
        return;
    on_error(info);
}

static void on_output(j_common_ptr info)
{
    (void)info;
}

static void on_progress(j_common_ptr info)
{
    struct reader *reader = info->client_data;
    if (reader->info.input_scan_number > SCANS_MAX)
        leave(reader, EBADMSG, "more scans than a picture needs");
}

static void source_init(j_decompress_ptr info)
{
    (void)info;
}

static boolean source_fill(j_decompress_ptr info)
{
    struct reader *reader = info->client_data;
    size_t got = 0;
    if (!reader->coded) /* else all of it was there */
        got = pf_source_read(reader->source, reader->buffer, sizeof(reader->buffer));
    if (!got)
        leave(reader, EBADMSG, EOF_TEXT);
    reader->manager.next_input_byte = reader->buffer;
    reader->manager.bytes_in_buffer = got;
    return TRUE;
}

static void source_skip(j_decompress_ptr info, long count)
{
    struct reader *reader = info->client_data;
    if (count <= 0)
        return;
    if ((size_t)count <= reader->manager.bytes_in_buffer) {
        reader->manager.next_input_byte += count;
        reader->manager.bytes_in_buffer -= (size_t)count;
        return;
    }
    reader->source->offset += count - (long)reader->manager.bytes_in_buffer;
    reader->manager.bytes_in_buffer = 0;
}

static void keep_metadata(struct reader *reader)
{
    static const char exif[6] = {'E', 'x', 'i', 'f', 0, 0};
    struct pf_image *image = reader->image;
    jpeg_saved_marker_ptr marker = reader->info.marker_list;

    for (; marker && !image->exif.bytes; marker = marker->next) {
        if (marker->marker != JPEG_APP0 + 1 || marker->data_length <= sizeof(exif) ||
            memcmp(marker->data, exif, sizeof(exif)) != 0)
            continue;
        size_t size = marker->data_length - sizeof(exif);
        image->exif.bytes = malloc(size);
        if (!image->exif.bytes)
            leave(reader, ENOMEM, "out of memory for its EXIF block");
        memcpy(image->exif.bytes, marker->data + sizeof(exif), size);
        image->exif.size_bytes = size;
    }

    JOCTET *icc = NULL;
    unsigned icc_bytes = 0;
    if (jpeg_read_icc_profile(&reader->info, &icc, &icc_bytes)) {
        image->icc.bytes = icc;
        image->icc.size_bytes = icc_bytes;
    }
    image->orientation = pf_exif_orientation(&image->exif);
    reader->result = pf_profile_of_camera(image, &image->exif, reader->err);
    if (reader->result < 0)
        longjmp(reader->jump, 1);
}

static void new_image(struct reader *reader, int bits, int planes, int shift_x, int shift_y)
{
    reader->result =
        pf_image_new(&reader->image, (int)reader->info.image_width, (int)reader->info.image_height,
                     bits, planes, shift_x, shift_y, reader->err);
    if (reader->result < 0)
        longjmp(reader->jump, 1);
    reader->image->source_bits = 8;
}

static void new_scratch(struct reader *reader, size_t size)
{
    reader->scratch = malloc(size);
    if (!reader->scratch)
        leave(reader, ENOMEM, "out of memory for a row");
}

/* 0, or -1 when chroma is neither as large as luma nor half of it. */
static int planar_shifts(const struct jpeg_decompress_struct *info, int *ret_x, int *ret_y)
{
    const jpeg_component_info *luma = &info->comp_info[0];
    *ret_x = *ret_y = 0;
    if (luma->h_samp_factor != info->max_h_samp_factor ||
        luma->v_samp_factor != info->max_v_samp_factor)
        return -1;
    if (info->num_components == 1)
        return 0;
    if (info->num_components != 3)
        return -1;
    const jpeg_component_info *cb = &info->comp_info[1], *cr = &info->comp_info[2];
    if (cb->h_samp_factor != cr->h_samp_factor || cb->v_samp_factor != cr->v_samp_factor)
        return -1;
    *ret_x = luma->h_samp_factor == 2 * cb->h_samp_factor;
    *ret_y = luma->v_samp_factor == 2 * cb->v_samp_factor;
    return luma->h_samp_factor == cb->h_samp_factor << *ret_x &&
                   luma->v_samp_factor == cb->v_samp_factor << *ret_y
               ? 0
               : -1;
}

/* Straight into the planes. libjpeg writes whole blocks: to the right they fit into the stride,
 * which is a multiple of 64; below they go to the scratch row. */
static void read_planes(struct reader *reader, int shift_x, int shift_y)
{
    j_decompress_ptr info = &reader->info;
    new_image(reader, 8, info->num_components, shift_x, shift_y);
    struct pf_image *image = reader->image;
    new_scratch(reader, image->stride_bytes[0]);

    info->raw_data_out = TRUE;
    info->do_fancy_upsampling = FALSE;
    info->do_block_smoothing = FALSE;
    info->dct_method = JDCT_ISLOW;
    jpeg_start_decompress(info);

    JSAMPROW rows[3][4 * DCTSIZE];
    JSAMPARRAY planes[3] = {rows[0], rows[1], rows[2]};
    int lines = info->max_v_samp_factor * DCTSIZE;
    for (int group = 0; info->output_scanline < info->output_height; group++) {
        for (int i = 0; i < info->num_components; i++) {
            int count = info->comp_info[i].v_samp_factor * DCTSIZE;
            int height = pf_image_plane_height(image, i);
            for (int k = 0; k < count; k++) {
                int64_t y = (int64_t)group * count + k;
                rows[i][k] = y < height
                                 ? (JSAMPROW)image->plane[i] + (size_t)y * image->stride_bytes[i]
                                 : reader->scratch;
            }
        }
        if (jpeg_read_raw_data(info, planes, (JDIMENSION)lines) == 0)
            leave(reader, EBADMSG, EOF_TEXT);
    }
}

/* Odd samplings: libjpeg brings chroma to full size. */
static void read_upsampled(struct reader *reader)
{
    j_decompress_ptr info = &reader->info;
    info->out_color_space = JCS_YCbCr;
    info->dct_method = JDCT_ISLOW;
    new_image(reader, 8, 3, 0, 0);
    struct pf_image *image = reader->image;
    new_scratch(reader, (size_t)info->image_width * 3);
    jpeg_start_decompress(info);
    while (info->output_scanline < info->output_height) {
        size_t y = info->output_scanline;
        if (jpeg_read_scanlines(info, &reader->scratch, 1) == 0)
            leave(reader, EBADMSG, EOF_TEXT);
        for (int i = 0; i < 3; i++) {
            uint8_t *out = (uint8_t *)image->plane[i] + y * image->stride_bytes[i];
            for (int x = 0; x < image->width; x++)
                out[x] = reader->scratch[3 * (size_t)x + (size_t)i];
        }
    }
}

/* Components that are red, green and blue. */
static void read_rgb(struct reader *reader)
{
    j_decompress_ptr info = &reader->info;
    info->out_color_space = JCS_RGB;
    info->dct_method = JDCT_ISLOW;
    new_image(reader, 16, 3, 0, 0);
    struct pf_image *image = reader->image;
    image->source_bits = 8;
    new_scratch(reader, (size_t)info->image_width * 3);
    jpeg_start_decompress(info);
    while (info->output_scanline < info->output_height) {
        size_t y = info->output_scanline;
        uint16_t *rows[3];
        if (jpeg_read_scanlines(info, &reader->scratch, 1) == 0)
            leave(reader, EBADMSG, EOF_TEXT);
        for (int i = 0; i < 3; i++) {
            rows[i] = (uint16_t *)((uint8_t *)image->plane[i] + y * image->stride_bytes[i]);
            pf_row_unpack(rows[i], reader->scratch + i, 8, 3, image->width);
        }
        pf_row_from_rgb(rows[0], rows[1], rows[2], image->width);
    }
}

/* libjpeg reduces in the transform: most of the work falls away. */
static void read_reduced(struct reader *reader)
{
    j_decompress_ptr info = &reader->info;
    bool grey = info->jpeg_color_space == JCS_GRAYSCALE;
    int side =
        (int)(info->image_width > info->image_height ? info->image_width : info->image_height);
    if (!grey && info->jpeg_color_space != JCS_YCbCr)
        leave(reader, ENODATA, "a JPEG of unusual colours is not reduced");
    info->scale_num = 1;
    info->scale_denom = 8;
    while (info->scale_denom > 1 && side / (int)info->scale_denom < reader->least_side)
        info->scale_denom /= 2;
    info->out_color_space = grey ? JCS_GRAYSCALE : JCS_YCbCr;
    info->dct_method = JDCT_IFAST;
    jpeg_calc_output_dimensions(info);
    int planes = grey ? 1 : 3;
    reader->result = pf_image_new(&reader->image, (int)info->output_width, (int)info->output_height,
                                  8, planes, 0, 0, reader->err);
    if (reader->result < 0)
        longjmp(reader->jump, 1);
    new_scratch(reader, (size_t)info->output_width * 3);
    keep_metadata(reader);
    jpeg_start_decompress(info);
    while (info->output_scanline < info->output_height) {
        size_t y = info->output_scanline;
        if (jpeg_read_scanlines(info, &reader->scratch, 1) == 0)
            leave(reader, EBADMSG, EOF_TEXT);
        for (int i = 0; i < planes; i++) {
            uint8_t *out = (uint8_t *)reader->image->plane[i] + y * reader->image->stride_bytes[i];
            for (int x = 0; x < reader->image->width; x++)
                out[x] = reader->scratch[planes * x + i];
        }
    }
}

/* One that decoders other than libjpeg know well: a single scan of Huffman codes, planes as ours. A file
 * larger than its samples, and that by a good deal, is not kept in memory. */
static bool may_stay_coded(struct reader *reader, bool planar)
{
    j_decompress_ptr info = &reader->info;
    int64_t samples = (int64_t)info->image_width * info->image_height * info->num_components;
    return reader->source->limits->coded_side && planar && !info->arith_code &&
           !jpeg_has_multiple_scans(info) &&
           (info->jpeg_color_space == JCS_YCbCr || info->jpeg_color_space == JCS_GRAYSCALE) &&
           reader->source->size_bytes <= samples + SMALL_FILE_BYTES;
}

static int decode_coded(struct pf_image **ret, const struct pf_coded *coded, struct pf_error *err)
{
    const struct pf_decode_limits limits = {.max_pixels = INT64_MAX};
    struct pf_source source = {.fd = -1,
                               .bytes = coded->bytes,
                               .path = coded->path,
                               .size_bytes = (int64_t)coded->size_bytes,
                               .limits = &limits};
    return pf_decode_jpeg(ret, &source, err);
}

/* The whole file into memory, where libjpeg begins anew: what it finds sound is what is kept. */
static void take_file(struct reader *reader, int shift_x, int shift_y)
{
    struct pf_source *source = reader->source;
    j_decompress_ptr info = &reader->info;
    size_t size = (size_t)source->size_bytes;
    struct pf_image *image = NULL;
    reader->result =
        pf_image_new_coded(&image, (int)info->image_width, (int)info->image_height,
                           info->num_components, shift_x, shift_y, size, source->path, reader->err);
    if (reader->result < 0)
        longjmp(reader->jump, 1);
    reader->coded = image;
    image->coded->decode = decode_coded;
    source->offset = 0;
    if (pf_source_read(source, image->coded->bytes, size) < size)
        leave(reader, EBADMSG, EOF_TEXT);
    jpeg_abort_decompress(info);
    reader->manager.next_input_byte = image->coded->bytes;
    reader->manager.bytes_in_buffer = size;
    jpeg_read_header(info, TRUE);
    bool same = (int)info->image_width == image->width &&
                (int)info->image_height == image->height && info->num_components == image->planes &&
                planar_shifts(info, &shift_x, &shift_y) == 0 && image->chroma_shift_x == shift_x &&
                image->chroma_shift_y == shift_y && !jpeg_has_multiple_scans(info);
    if (!same)
        leave(reader, EBADMSG, "the file changes while it is read");
}

/* Decoding entropy is what finds all that libjpeg has to say against a file, and most of the work; the
 * small picture falls off on the way. What follows the end marker is none of the picture's. */
static void read_coded(struct reader *reader, int shift_x, int shift_y)
{
    take_file(reader, shift_x, shift_y);
    reader->least_side = reader->source->limits->coded_side;
    read_reduced(reader);
    jpeg_finish_decompress(&reader->info);
    struct pf_coded *coded = reader->coded->coded;
    coded->size_bytes = (size_t)(reader->manager.next_input_byte - coded->bytes);
    reader->result = pf_image_copy_metadata(reader->coded, reader->image, reader->err);
    if (reader->result < 0)
        longjmp(reader->jump, 1);
    coded->reduced = reader->image;
    reader->image = reader->coded;
    reader->coded = NULL;
}

static void read_head(struct reader *reader)
{
    reader->result = pf_image_new(&reader->image, 1, 1, 8, 1, 0, 0, reader->err);
    if (reader->result < 0)
        longjmp(reader->jump, 1);
    keep_metadata(reader);
}

static void read_picture(struct reader *reader)
{
    j_decompress_ptr info = &reader->info;
    int shift_x = 0, shift_y = 0;

    jpeg_save_markers(info, JPEG_APP0 + 1, 0xffff);
    jpeg_save_markers(info, JPEG_APP0 + 2, 0xffff);
    jpeg_read_header(info, TRUE);
    reader->result =
        pf_source_check_size(reader->source, info->image_width, info->image_height, reader->err);
    if (reader->result < 0)
        longjmp(reader->jump, 1);

    reader->many_scans = jpeg_has_multiple_scans(info);
    if (reader->head_only) {
        read_head(reader);
        return;
    }
    if (reader->least_side) {
        read_reduced(reader);
        return;
    }
    bool planar = planar_shifts(info, &shift_x, &shift_y) == 0;
    if (may_stay_coded(reader, planar)) {
        read_coded(reader, shift_x, shift_y);
        return;
    }
    switch (info->jpeg_color_space) {
    case JCS_GRAYSCALE:
        info->out_color_space = JCS_GRAYSCALE;
        read_planes(reader, 0, 0);
        break;
    case JCS_YCbCr:
        if (planar)
            read_planes(reader, shift_x, shift_y);
        else
            read_upsampled(reader);
        break;
    case JCS_RGB:
        read_rgb(reader);
        break;
    case JCS_CMYK:
    case JCS_YCCK:
        leave(reader, ENOTSUP, "a CMYK picture, which is not read");
    default:
        leave(reader, ENOTSUP, "a JPEG of an unknown colour space");
    }
    keep_metadata(reader);        /* finishing forgets the markers */
    jpeg_finish_decompress(info); /* reads up to the end marker */
}

static struct reader *new_reader(struct pf_source *source, struct pf_error *err)
{
    struct reader *reader = calloc(1, sizeof(*reader));
    if (!reader) {
        pf_fail(err, ENOMEM, "%s: out of memory for decoding", source->path);
        return NULL;
    }
    reader->source = source;
    reader->err = err;
    return reader;
}

/* Frees the reader; *ret and, if somebody asks, *ret_head on success, which lacks the EXIF block. */
static int run_reader(struct reader *reader, struct pf_image **ret, struct pf_jpeg_head *ret_head)
{
    if (!reader)
        return -ENOMEM;
    reader->info.err = jpeg_std_error(&reader->errors);
    reader->errors.error_exit = on_error;
    reader->errors.emit_message = on_message;
    reader->errors.output_message = on_output;
    reader->info.client_data = reader;

    if (setjmp(reader->jump) == 0) {
        jpeg_create_decompress(&reader->info);
        reader->manager.init_source = source_init;
        reader->manager.fill_input_buffer = source_fill;
        reader->manager.skip_input_data = source_skip;
        reader->manager.resync_to_restart = jpeg_resync_to_restart;
        reader->manager.term_source = source_init;
        reader->info.src = &reader->manager;
        reader->progress.progress_monitor = on_progress;
        reader->info.progress = &reader->progress;
        read_picture(reader);
        reader->result = 0;
    }

    int r = reader->result;
    if (r == 0) {
        *ret = reader->image;
        reader->image = NULL;
    }
    if (r == 0 && ret_head)
        *ret_head = (struct pf_jpeg_head){.width = (int)reader->info.image_width,
                                          .height = (int)reader->info.image_height,
                                          .many_scans = reader->many_scans};
    pf_image_free(reader->image);
    pf_image_free(reader->coded);
    free(reader->scratch);
    jpeg_destroy_decompress(&reader->info);
    free(reader);
    return r;
}

int pf_decode_jpeg(struct pf_image **ret, struct pf_source *source, struct pf_error *err)
{
    return run_reader(new_reader(source, err), ret, NULL);
}

int pf_decode_jpeg_reduced(struct pf_image **ret, struct pf_source *source, int least_side,
                           struct pf_error *err)
{
    struct reader *reader = new_reader(source, err);
    if (reader)
        reader->least_side = least_side;
    return run_reader(reader, ret, NULL);
}

int pf_jpeg_read_head(struct pf_source *source, struct pf_jpeg_head *ret, struct pf_error *err)
{
    struct pf_image *head = NULL;
    struct reader *reader = new_reader(source, err);
    if (reader)
        reader->head_only = true;
    int r = run_reader(reader, &head, ret);
    if (r < 0)
        return r;
    ret->exif = head->exif;
    head->exif = (struct pf_blob){0};
    pf_image_free(head);
    return 0;
}
