/* CR3: Canon's compression there and back, what its boxes tell, and what no camera would write. */
#include <libraw/libraw.h>
#include <unistd.h>

#include "process/codec_format.h"
#include "process/exif.h"
#include "tests/gen/cr3.h"
#include "tests/gen/crx.h"
#include "tests/unit/raw_files.h"

enum { LEVELS = 1 << PF_GEN_CRX_BITS, MIDDLE = LEVELS / 2 };

static const struct pf_gen_exif m50 = {.present = true,
                                       .make = "Canon",
                                       .model = "Canon EOS M50",
                                       .time_ms = 1767323045670,
                                       .orientation = 1};

/* Sensor values of kinds that the coder treats differently. */
static int value_of(int kind, int x, int y, uint32_t random)
{
    switch (kind) {
    case 0: /* nothing but runs */
        return MIDDLE;
    case 1:
        return 2048;
    case 2: /* codes that escape */
        return (int)(random % LEVELS);
    case 3:
        return random & 1 ? LEVELS - 1 : 0;
    case 4:
        return (x * 40 + y * 20) % LEVELS;
    case 5: /* long runs that end */
        return 2048 + (random % 100 == 0);
    case 6:
        return random % 300 ? MIDDLE : (int)(random >> 8) % LEVELS;
    case 7: /* runs and edges */
        return (x / 7 + y / 5) % 2 ? 3000 : 9000;
    default: /* a picture's noise */
        return (MIDDLE + (int)(random % 7) + 4 * x) % LEVELS;
    }
}

static uint16_t *new_sensor(int kind, int columns, int rows)
{
    uint16_t *sensor = malloc((size_t)columns * (size_t)rows * sizeof(*sensor));
    CHECK(sensor);
    for (int i = 0; i < columns * rows; i++)
        sensor[i] = (uint16_t)value_of(kind, i % columns, i / columns, scramble((uint32_t)i + 1));
    return sensor;
}

static void write_sensor(const char *path, const uint16_t *sensor, int columns, int rows,
                         int tile_width)
{
    const struct pf_gen_cr3_jpeg jpeg = {(const uint8_t *)"\xff\xd8\xff\xd9", 4, 160, 120};
    struct pf_gen_cr3 cr3 = {.sensor = sensor,
                             .columns = columns,
                             .rows = rows,
                             .tile_width = tile_width,
                             .exif = &m50,
                             .whole = jpeg,
                             .preview = jpeg,
                             .thumbnail = jpeg};
    size_t size;
    cr3.whole.width = columns - PF_GEN_CR3_LEFT - PF_GEN_CR3_RIGHT;
    cr3.whole.height = rows - PF_GEN_CR3_TOP - PF_GEN_CR3_BOTTOM;
    uint8_t *bytes = pf_gen_cr3_wrap(&cr3, &size);
    spit(path, bytes, size);
    free(bytes);
}

/* What LibRaw makes of each value, before it develops them. */
TEST(cr3_gives_each_sensor_value_back)
{
    static const int sizes[][3] = {{96, 64, 96},   {96, 64, 48},    {70, 54, 70},  {66, 50, 66},
                                   {200, 150, 68}, {202, 150, 102}, {300, 70, 300}};
    const char *path = file_name("a.cr3");
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
        for (int kind = 0; kind < 9; kind++) {
            int columns = sizes[s][0], rows = sizes[s][1], wrong = 0;
            uint16_t *sensor = new_sensor(kind, columns, rows);
            write_sensor(path, sensor, columns, rows, sizes[s][2]);
            libraw_data_t *raw = libraw_init(0);
            CHECK(raw);
            CHECK_EQ(libraw_open_file(raw, path), LIBRAW_SUCCESS);
            CHECK_EQ(raw->sizes.raw_width, columns);
            CHECK_EQ(raw->sizes.raw_height, rows);
            CHECK_EQ(libraw_unpack(raw), LIBRAW_SUCCESS);
            for (int i = 0; i < columns * rows; i++)
                wrong += raw->rawdata.raw_image[i] != sensor[i];
            if (wrong)
                FAIL("%d x %d, kind %d: %d values differ", columns, rows, kind, wrong);
            libraw_close(raw);
            free(sensor);
        }
}
