/* JPEG, written by libjpeg-turbo from the image's own planes: no colour conversion, no resampling. */
#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>

#include "process/codec_format.h"
#include "process/convert.h"

#define BUFFER_BYTES  65536
#define SEGMENT_BYTES 65533 /* an APP segment without its length */

struct writer {
    struct jpeg_compress_struct info;
    struct jpeg_error_mgr errors;
    struct jpeg_destination_mgr manager;
    jmp_buf jump;
    const struct pf_encode_job *job;
    struct pf_error *err;
    int result;
    JSAMPLE *rows; /* one group of rows of all planes, padded to whole blocks */
    JOCTET buffer[BUFFER_BYTES];
};

static void on_error(j_common_ptr info)
{
    struct writer *writer = info->client_data;
    char text[JMSG_LENGTH_MAX];
    info->err->format_message(info, text);
    writer->result =
        pf_fail(writer->err, info->err->msg_code == JERR_OUT_OF_MEMORY ? ENOMEM : ENOTSUP, "%s: %s",
                writer->job->sink->path, text);
    longjmp(writer->jump, 1);
}

static void on_message(j_common_ptr info, int level)
{
    (void)info;
    (void)level;
}

static void on_output(j_common_ptr info)
{
    (void)info;
}

static void sink_init(j_compress_ptr info)
{
    struct writer *writer = info->client_data;
    writer->manager.next_output_byte = writer->buffer;
    writer->manager.free_in_buffer = sizeof(writer->buffer);
}

static void sink_put(struct writer *writer, size_t size)
{
    if (!pf_sink_write(writer->job->sink, writer->buffer, size)) {
        writer->result = -writer->job->sink->error;
        longjmp(writer->jump, 1);
    }
}

static boolean sink_empty(j_compress_ptr info)
{
    struct writer *writer = info->client_data;
    sink_put(writer, sizeof(writer->buffer));
    sink_init(info);
    return TRUE;
}

static void sink_term(j_compress_ptr info)
{
    struct writer *writer = info->client_data;
    sink_put(writer, sizeof(writer->buffer) - writer->manager.free_in_buffer);
}

static void write_metadata(struct writer *writer)
{
    static const JOCTET header[6] = {'E', 'x', 'i', 'f', 0, 0};
    const struct pf_blob *exif = writer->job->exif, *icc = writer->job->icc;

    if (exif->size_bytes && exif->size_bytes <= SEGMENT_BYTES - sizeof(header)) {
        jpeg_write_m_header(&writer->info, JPEG_APP0 + 1,
                            (unsigned)(sizeof(header) + exif->size_bytes));
        for (size_t i = 0; i < sizeof(header); i++)
            jpeg_write_m_byte(&writer->info, header[i]);
        for (size_t i = 0; i < exif->size_bytes; i++)
            jpeg_write_m_byte(&writer->info, exif->bytes[i]);
    }
    /* 255 segments at the most (ICC.1:2010, B.4). */
    if (icc->size_bytes && icc->size_bytes <= 255u * (SEGMENT_BYTES - 14))
        jpeg_write_icc_profile(&writer->info, icc->bytes, (unsigned)icc->size_bytes);
}

static void write_planes(struct writer *writer)
{
    j_compress_ptr info = &writer->info;
    const struct pf_image *image = writer->job->image;
    JSAMPROW rows[3][2 * DCTSIZE];
    JSAMPARRAY planes[3] = {rows[0], rows[1], rows[2]};
    size_t padded[3] = {0}, total = 0;
    int lines = info->max_v_samp_factor * DCTSIZE;

    for (int i = 0; i < image->planes; i++) {
        padded[i] = ((size_t)pf_image_plane_width(image, i) + DCTSIZE - 1) / DCTSIZE * DCTSIZE;
        total += padded[i] * (size_t)info->comp_info[i].v_samp_factor * DCTSIZE;
    }
    writer->rows = malloc(total);
    if (!writer->rows) {
        writer->result =
            pf_fail(writer->err, ENOMEM, "%s: out of memory for encoding", writer->job->sink->path);
        longjmp(writer->jump, 1);
    }
    for (int group = 0; info->next_scanline < info->image_height; group++) {
        JSAMPLE *out = writer->rows;
        for (int i = 0; i < image->planes; i++) {
            int count = info->comp_info[i].v_samp_factor * DCTSIZE;
            int width = pf_image_plane_width(image, i);
            int last = pf_image_plane_height(image, i) - 1;
            for (int k = 0; k < count; k++, out += padded[i]) {
                int64_t y = (int64_t)group * count + k;
                pf_row_to_8_bits(out, image, i, y < last ? (int)y : last);
                memset(out + width, out[width - 1], padded[i] - (size_t)width);
                rows[i][k] = out;
            }
        }
        jpeg_write_raw_data(info, planes, (JDIMENSION)lines);
    }
}

static void write_picture(struct writer *writer)
{
    j_compress_ptr info = &writer->info;
    const struct pf_image *image = writer->job->image;
    bool colour = image->planes == 3;

    info->image_width = (JDIMENSION)image->width;
    info->image_height = (JDIMENSION)image->height;
    info->input_components = image->planes;
    info->in_color_space = colour ? JCS_YCbCr : JCS_GRAYSCALE;
    jpeg_set_defaults(info);
    jpeg_set_colorspace(info, info->in_color_space);
    jpeg_set_quality(info, writer->job->options->jpeg_quality, TRUE);
    for (int i = 0; i < image->planes; i++) {
        info->comp_info[i].h_samp_factor = i == 0 ? 1 << image->chroma_shift_x : 1;
        info->comp_info[i].v_samp_factor = i == 0 ? 1 << image->chroma_shift_y : 1;
    }
    info->raw_data_in = TRUE;
    info->dct_method = JDCT_ISLOW;
    info->write_JFIF_header = writer->job->exif->size_bytes == 0; /* EXIF wants to come first */
    jpeg_start_compress(info, TRUE);
    write_metadata(writer);
    write_planes(writer);
    jpeg_finish_compress(info);
}

int pf_encode_jpeg(const struct pf_encode_job *job, struct pf_error *err)
{
    struct writer *writer = calloc(1, sizeof(*writer));
    if (!writer)
        return pf_fail(err, ENOMEM, "%s: out of memory for encoding", job->sink->path);
    writer->job = job;
    writer->err = err;
    writer->info.err = jpeg_std_error(&writer->errors);
    writer->errors.error_exit = on_error;
    writer->errors.emit_message = on_message;
    writer->errors.output_message = on_output;
    writer->info.client_data = writer;

    if (setjmp(writer->jump) == 0) {
        jpeg_create_compress(&writer->info);
        writer->manager.init_destination = sink_init;
        writer->manager.empty_output_buffer = sink_empty;
        writer->manager.term_destination = sink_term;
        writer->info.dest = &writer->manager;
        write_picture(writer);
        writer->result = 0;
    }
    int r = writer->result;
    free(writer->rows);
    jpeg_destroy_compress(&writer->info);
    free(writer);
    return r;
}
