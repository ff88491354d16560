#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "capture/tiff.h"
#include "capture/whole_internal.h"

enum {
    TAG_SUBFILE_TYPE = 254,
    TAG_WIDTH = 256,
    TAG_HEIGHT = 257,
    TAG_PHOTOMETRIC = 262,
    TAG_STRIP_OFFSETS = 273,
    TAG_STRIP_SIZES = 279,
    TAG_RW2_COLUMNS = 2,
    TAG_RW2_FORMAT = 45,
    TAG_RW2_JPEG = 46,    /* a preview, whose EXIF is fuller than the file's */
    TAG_RW2_OFFSET = 280, /* of the sensor's data, whose size is not told */
    TAG_TILE_OFFSETS = 324,
    TAG_TILE_SIZES = 325,
    TAG_SUB_DIRECTORIES = 330,
    TAG_JPEG_OFFSET = 513,
    TAG_JPEG_SIZE = 514,
    TAG_EXIF = 34665,
    TAG_EXIF_WIDTH = 40962,
    TAG_EXIF_HEIGHT = 40963,
    TAG_DNG_VERSION = 50706,
    PHOTOMETRIC_CFA = 32803,
    PHOTOMETRIC_LINEAR_RAW = 34892,
    /* Panasonic's usual compression: 14 values in 16 bytes, in blocks that begin with their rear part. */
    RW2_PACKED = 4,
    RW2_GROUP = 14,
    RW2_GROUP_BYTES = 16,
    RW2_BLOCK_BYTES = 0x4000,
    RW2_FRONT_BYTES = 0x2008,
    MAX_DIRECTORIES = 512,
    MAX_ENTRIES = 65536,  /* of all directories */
    MAX_PARTS = 16 << 20, /* strips and tiles of all directories */
};

struct walk {
    struct pf_whole *whole;
    struct pf_tiff tiff;
    struct pf_tiff sizes; /* the same file through a window of its own: two arrays side by side */
    uint64_t entries, parts;
    int64_t data_at, data_end; /* of the picture data of all directories; 0 none yet */
    int directories;           /* found so far */
    int64_t directory[MAX_DIRECTORIES];
    bool reduced, has_sub_directories;
    bool first_is_picture, has_picture;
    bool raw, rw2, cr2;
    struct { /* of RW2, in the order of their tags from TAG_RW2_COLUMNS on; 0 not told */
        uint64_t columns, rows, top, left, bottom, right;
    } sensor;
    uint64_t rw2_format;
    int64_t rw2_jpeg_at; /* 0 none */
    uint64_t largest;    /* pixels of the largest picture */
    int largest_width, largest_height;
};

struct directory {
    struct pf_tiff_entry offsets, sizes, jpeg_offset, jpeg_size, rw2_offset;
    uint64_t width, height;
    bool is_exif; /* what it says is the picture's size */
};

/* 1 go on, 0 decided. */
static int found_directory(struct walk *walk, int64_t at)
{
    for (int i = 0; i < walk->directories; i++)
        if (walk->directory[i] == at)
            return pf_whole_say(walk->whole, PF_WHOLE_NEVER, "corrupt TIFF: directories in a loop");
    if (walk->directories == MAX_DIRECTORIES)
        return pf_whole_say(walk->whole, PF_WHOLE_NEVER, "a TIFF with more than %d directories",
                            MAX_DIRECTORIES);
    walk->directory[walk->directories++] = at;
    return 1;
}

static int cut(struct walk *walk, const char *what)
{
    return pf_whole_say(walk->whole, PF_WHOLE_NOT_YET, "the TIFF breaks off: %s is missing", what);
}

/* r of a pf_tiff call -> what check functions return (1 go on). */
static int outcome(struct walk *walk, int r, const char *what)
{
    if (r == -ENODATA)
        return cut(walk, what);
    if (r == -EBADMSG)
        return pf_whole_say(walk->whole, PF_WHOLE_NEVER, "corrupt TIFF: %s makes no sense", what);
    return r < 0 ? r : 1;
}

/* A number that matters for the structure; absent or senseless ones stay as they are. */
static int number(struct walk *walk, const struct pf_tiff_entry *entry, uint64_t *ret)
{
    int r = pf_tiff_value(&walk->tiff, entry, 0, ret);
    return r == -EBADMSG ? 1 : outcome(walk, r, "a value");
}

/* The tags that Panasonic has in place of those of a TIFF. */
static int take_rw2(struct walk *walk, const struct pf_tiff_entry *entry)
{
    uint64_t *const sensor[] = {&walk->sensor.columns, &walk->sensor.rows,   &walk->sensor.top,
                                &walk->sensor.left,    &walk->sensor.bottom, &walk->sensor.right};
    unsigned index = entry->tag - (unsigned)TAG_RW2_COLUMNS;
    if (index < sizeof(sensor) / sizeof(sensor[0]))
        return number(walk, entry, sensor[index]);
    if (entry->tag == TAG_RW2_FORMAT)
        return number(walk, entry, &walk->rw2_format);
    if (entry->tag == TAG_RW2_JPEG && entry->type == PF_TIFF_UNDEFINED)
        walk->rw2_jpeg_at = entry->value_at;
    return 1;
}

static int take_entry(struct walk *walk, const struct pf_tiff_entry *entry, bool is_first,
                      struct directory *directory)
{
    uint64_t value = 0;
    int r = 1;
    if (walk->rw2 && is_first && entry->tag <= TAG_RW2_JPEG)
        return take_rw2(walk, entry);
    switch (entry->tag) {
    case TAG_WIDTH:
        return number(walk, entry, &directory->width);
    case TAG_HEIGHT:
        return number(walk, entry, &directory->height);
    /* CR2: the sensor's directory does not say its size, and the preview before it may be small. */
    case TAG_EXIF_WIDTH:
        directory->is_exif = walk->cr2;
        return walk->cr2 ? number(walk, entry, &directory->width) : 1;
    case TAG_EXIF_HEIGHT:
        return walk->cr2 ? number(walk, entry, &directory->height) : 1;
    case TAG_SUBFILE_TYPE:
        r = number(walk, entry, &value);
        if (is_first)
            walk->reduced = value & 1;
        return r;
    case TAG_PHOTOMETRIC:
        r = number(walk, entry, &value);
        if (r == 1 && (value == PHOTOMETRIC_CFA || value == PHOTOMETRIC_LINEAR_RAW))
            walk->raw = true;
        return r;
    case TAG_DNG_VERSION:
        walk->raw = true;
        walk->whole->format = "dng";
        return 1;
    case TAG_RW2_OFFSET:
        if (walk->rw2)
            directory->rw2_offset = *entry;
        return 1;
    case TAG_STRIP_OFFSETS:
    case TAG_TILE_OFFSETS:
        directory->offsets = *entry;
        return 1;
    case TAG_STRIP_SIZES:
    case TAG_TILE_SIZES:
        directory->sizes = *entry;
        return 1;
    case TAG_JPEG_OFFSET:
        directory->jpeg_offset = *entry;
        return 1;
    case TAG_JPEG_SIZE:
        directory->jpeg_size = *entry;
        return 1;
    case TAG_SUB_DIRECTORIES:
    case TAG_EXIF:
        walk->has_sub_directories |= entry->tag == TAG_SUB_DIRECTORIES;
        for (uint64_t i = 0; r == 1 && i < entry->count; i++) {
            int64_t at = 0;
            r = outcome(walk, pf_tiff_value(&walk->tiff, entry, i, &value), "a directory");
            if (r == 1)
                r = outcome(walk, pf_tiff_offset(&walk->tiff, value, &at), "a directory");
            if (r == 1)
                r = at ? found_directory(walk, at) : cut(walk, "a directory");
        }
        return r;
    default:
        return 1;
    }
}

static void note_data(struct walk *walk, int64_t at, int64_t end)
{
    if (!walk->data_end || at < walk->data_at)
        walk->data_at = at;
    if (end > walk->data_end)
        walk->data_end = end;
}

static int check_parts(struct walk *walk, const struct pf_tiff_entry *offsets,
                       const struct pf_tiff_entry *sizes)
{
    walk->parts += offsets->count;
    if (sizes->count < offsets->count || walk->parts > MAX_PARTS)
        return pf_whole_say(walk->whole, PF_WHOLE_NEVER, "corrupt TIFF: strips without sizes");
    for (uint64_t i = 0; i < offsets->count; i++) {
        uint64_t offset, size;
        int64_t at;
        int r = pf_tiff_value(&walk->tiff, offsets, i, &offset);
        if (!r)
            r = pf_tiff_value(&walk->sizes, sizes, i, &size);
        if (!r)
            r = pf_tiff_offset(&walk->tiff, offset, &at);
        if (r < 0)
            return outcome(walk, r, "picture data");
        if (!at || !size || !pf_tiff_inside(&walk->tiff, at, size))
            return cut(walk, "picture data");
        note_data(walk, at, at + (int64_t)size);
    }
    return 1;
}

/* Where the data ends follows from the sensor's size; of a compression that we do not know it is not told:
 * whoever asks waits until the file has rested. */
static int check_rw2(struct walk *walk, const struct pf_tiff_entry *offset)
{
    uint64_t value, size_bytes = (uint64_t)walk->tiff.bytes->size_bytes;
    uint64_t columns = walk->sensor.columns, rows = walk->sensor.rows;
    int r = pf_tiff_value(&walk->tiff, offset, 0, &value);
    if (r < 0)
        return outcome(walk, r, "picture data");
    if (!value || value >= size_bytes)
        return cut(walk, "picture data");
    if (walk->rw2_format != RW2_PACKED || !columns || columns % RW2_GROUP || columns > UINT16_MAX ||
        !rows || rows > UINT16_MAX) {
        note_data(walk, (int64_t)value, walk->tiff.bytes->size_bytes);
        walk->whole->trailer_missing = true;
        return 1;
    }
    uint64_t packed = columns / RW2_GROUP * rows * RW2_GROUP_BYTES, over = packed % RW2_BLOCK_BYTES;
    uint64_t end = value + packed - over;
    if (over)
        end += over < RW2_FRONT_BYTES ? RW2_BLOCK_BYTES - RW2_FRONT_BYTES + over : RW2_BLOCK_BYTES;
    if (end > size_bytes)
        return cut(walk, "picture data");
    note_data(walk, (int64_t)value, (int64_t)end);
    return 1;
}

/* The picture within the sensor, or all of that. */
static void take_sensor(struct walk *walk)
{
    uint64_t width = walk->sensor.right - walk->sensor.left;
    uint64_t height = walk->sensor.bottom - walk->sensor.top;
    if (walk->sensor.right <= walk->sensor.left || walk->sensor.bottom <= walk->sensor.top) {
        width = walk->sensor.columns;
        height = walk->sensor.rows;
    }
    walk->largest_width = width <= INT32_MAX ? (int)width : 0;
    walk->largest_height = height <= INT32_MAX ? (int)height : 0;
}

/* Of a TIFF the first picture counts; a RAW file's own one is larger than its previews. */
static void take_picture(struct walk *walk, const struct directory *directory, bool is_first)
{
    struct pf_whole *whole = walk->whole;
    bool has_data = directory->offsets.count || directory->rw2_offset.count;
    bool has_size = directory->width && directory->height && directory->width <= INT32_MAX &&
                    directory->height <= INT32_MAX;
    walk->has_picture |= has_data;
    if (is_first)
        walk->first_is_picture = has_data && has_size;
    if (!(has_data || directory->is_exif) || !has_size)
        return;
    if (is_first || directory->width * directory->height > walk->largest) {
        walk->largest = directory->width * directory->height;
        walk->largest_width = (int)directory->width;
        walk->largest_height = (int)directory->height;
    }
    if (is_first) {
        whole->width = (int)directory->width;
        whole->height = (int)directory->height;
    }
}

static int check_directory(struct walk *walk, int index)
{
    int64_t at = walk->directory[index], next;
    uint64_t count;
    struct directory directory = {.width = 0};
    int r = outcome(walk, pf_tiff_count(&walk->tiff, at, &count), "a directory");
    if (r <= 0)
        return r;
    if (!count)
        return cut(walk, "a directory");
    walk->entries += count < MAX_ENTRIES ? count : MAX_ENTRIES;
    if (walk->entries > MAX_ENTRIES)
        return pf_whole_say(walk->whole, PF_WHOLE_NEVER, "corrupt TIFF: a senseless directory");
    for (uint64_t i = 0; i < count; i++) {
        struct pf_tiff_entry entry;
        r = outcome(walk, pf_tiff_entry(&walk->tiff, at, i, &entry), "a directory");
        if (r == 1 && !pf_tiff_inside(&walk->tiff, entry.value_at, entry.size_bytes))
            r = cut(walk, "a value");
        if (r == 1)
            r = take_entry(walk, &entry, index == 0, &directory);
        if (r <= 0)
            return r;
    }
    r = outcome(walk, pf_tiff_next(&walk->tiff, at, &next), "a directory");
    if (r == 1 && next)
        r = found_directory(walk, next);
    if (r == 1 && directory.rw2_offset.count)
        r = check_rw2(walk, &directory.rw2_offset);
    else if (r == 1 && directory.offsets.count)
        r = check_parts(walk, &directory.offsets, &directory.sizes);
    if (r == 1 && directory.jpeg_offset.count && directory.jpeg_size.count)
        r = check_parts(walk, &directory.jpeg_offset, &directory.jpeg_size);
    if (r == 1)
        take_picture(walk, &directory, index == 0);
    return r;
}

/* All of it is there: is it a picture, and of which kind? */
static int conclude(struct walk *walk)
{
    struct pf_whole *whole = walk->whole;
    /* NEF, ARW and their like: the first picture is a thumbnail, the others hang below it. */
    walk->raw |= walk->reduced && walk->has_sub_directories;
    if (walk->raw ? !walk->has_picture : !walk->first_is_picture)
        return pf_whole_say(whole, PF_WHOLE_NEVER, "corrupt TIFF: %s",
                            walk->raw ? "there is no picture in it"
                                      : "its first directory is no picture");
    int r = pf_whole_data(walk->tiff.bytes, whole, walk->data_at, walk->data_end);
    if (r < 0)
        return r == -ENODATA ? cut(walk, "picture data") : r;
    if (walk->raw && !strcmp(whole->format, "tiff"))
        whole->format = "raw";
    if (walk->rw2)
        take_sensor(walk);
    if (walk->raw) {
        whole->width = walk->largest_width;
        whole->height = walk->largest_height;
    }
    whole->exif_at = 0;
    whole->exif_size_bytes = walk->tiff.bytes->size_bytes;
    whole->exif_scattered = true;
    if (walk->rw2_jpeg_at && pf_whole_jpeg_exif(walk->tiff.bytes, walk->rw2_jpeg_at, whole))
        whole->exif_scattered = false;
    whole->state = PF_WHOLE_YES;
    return 0;
}

int pf_whole_tiff(struct pf_bytes *bytes, struct pf_whole *whole)
{
    uint8_t head[10] = "";
    struct walk *walk = calloc(1, sizeof(*walk));
    struct pf_bytes *second = malloc(sizeof(*second));
    int r = -ENOMEM;
    if (!walk || !second)
        goto out;
    walk->whole = whole;
    r = pf_tiff_open(&walk->tiff, bytes, 0);
    if (r == -ENODATA || (!r && !walk->tiff.first)) {
        r = pf_whole_say(whole, PF_WHOLE_NOT_YET, "the TIFF has no directory yet");
        goto out;
    }
    if (r == -EBADMSG) {
        r = pf_whole_say(whole, PF_WHOLE_NEVER, "corrupt TIFF: senseless header");
        goto out;
    }
    if (r == 0)
        r = pf_bytes_read(bytes, 0, head, sizeof(head));
    if (r == -ENODATA)
        r = pf_whole_say(whole, PF_WHOLE_NOT_YET, "the TIFF has no directory yet");
    if (r < 0 || whole->reason[0])
        goto out;
    walk->rw2 = head[2] == 'U';
    if (walk->tiff.odd)
        whole->format = walk->rw2 ? "rw2" : "orf";
    walk->cr2 = !walk->tiff.odd && !walk->tiff.big && !memcmp(head + 8, "CR", 2);
    if (walk->cr2)
        whole->format = "cr2";
    walk->raw = strcmp(whole->format, "tiff") != 0;
    if (bytes->fd < 0)
        pf_bytes_of_memory(second, bytes->memory, (size_t)bytes->size_bytes);
    else
        pf_bytes_of_file(second, bytes->fd, bytes->size_bytes);
    walk->sizes = walk->tiff;
    walk->sizes.bytes = second;

    r = found_directory(walk, walk->tiff.first);
    for (int i = 0; r == 1 && i < walk->directories; i++)
        r = check_directory(walk, i);
    if (r == 1)
        r = conclude(walk);
out:
    free(second);
    free(walk);
    return r;
}
