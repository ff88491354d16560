/* Shapes drawn into a layer by their signed distance. */
#include <ctype.h>
#include <math.h>
#include <string.h>

#include "tests/gen/layer.h"

struct pf_gen_frame pf_gen_frame_at(float x, float y, float angle)
{
    return (struct pf_gen_frame){x, y, cosf(angle), sinf(angle)};
}

struct shape {
    enum { BOX, LINE, RING } kind;
    float cx, cy; /* centre, in the frame */
    float p[4];
};

static float distance(const struct shape *shape, float x, float y)
{
    if (shape->kind == BOX) {
        float dx = fabsf(x - shape->cx) - shape->p[0] + shape->p[2];
        float dy = fabsf(y - shape->cy) - shape->p[1] + shape->p[2];
        float outside = hypotf(fmaxf(dx, 0), fmaxf(dy, 0));
        return outside + fminf(fmaxf(dx, dy), 0) - shape->p[2];
    }
    if (shape->kind == LINE) {
        float ux = shape->p[0], uy = shape->p[1], length = ux * ux + uy * uy;
        float t = length > 0 ? ((x - shape->cx) * ux + (y - shape->cy) * uy) / length : 0;
        t = fminf(fmaxf(t, 0), 1);
        return hypotf(x - shape->cx - t * ux, y - shape->cy - t * uy) - shape->p[2];
    }
    float d = hypotf(x - shape->cx, y - shape->cy);
    return fmaxf(d - shape->p[0], shape->p[1] - d);
}

/* Paints where the distance is below half a pixel; reach bounds the shape around (cx, cy). */
static void paint(struct pf_gen_layer *layer, struct pf_gen_frame at, const struct shape *shape,
                  float mx, float my, float reach, const float colour[3])
{
    float px = at.x + at.cosine * mx - at.sine * my, py = at.y + at.sine * mx + at.cosine * my;
    int left = (int)floorf(px - reach - 1) - layer->x0,
        right = (int)ceilf(px + reach + 1) - layer->x0;
    int top = (int)floorf(py - reach - 1) - layer->y0,
        bottom = (int)ceilf(py + reach + 1) - layer->y0;
    left = left < 0 ? 0 : left;
    top = top < 0 ? 0 : top;
    right = right >= layer->width ? layer->width - 1 : right;
    bottom = bottom >= layer->height ? layer->height - 1 : bottom;
    for (int y = top; y <= bottom; y++) {
        for (int x = left; x <= right; x++) {
            float dx = (float)(x + layer->x0) - at.x, dy = (float)(y + layer->y0) - at.y;
            float d = distance(shape, at.cosine * dx + at.sine * dy, at.cosine * dy - at.sine * dx);
            float a = fminf(fmaxf(0.5f - d, 0), 1);
            if (a <= 0)
                continue;
            size_t i = (size_t)y * (size_t)layer->width + (size_t)x;
            for (int c = 0; c < 3; c++)
                layer->light[c][i] += a * (colour[c] - layer->light[c][i]);
            if (layer->cover)
                layer->cover[i] += a * (1 - layer->cover[i]);
        }
    }
}

void pf_gen_paint_box(struct pf_gen_layer *layer, struct pf_gen_frame at, float cx, float cy,
                      float half_width, float half_height, float corner, const float colour[3])
{
    struct shape shape = {BOX, cx, cy, {half_width, half_height, corner}};
    paint(layer, at, &shape, cx, cy, hypotf(half_width, half_height), colour);
}

void pf_gen_paint_line(struct pf_gen_layer *layer, struct pf_gen_frame at, float ax, float ay,
                       float bx, float by, float line_width, const float colour[3])
{
    struct shape shape = {LINE, ax, ay, {bx - ax, by - ay, line_width / 2}};
    float reach = hypotf(bx - ax, by - ay) / 2 + line_width / 2;
    paint(layer, at, &shape, (ax + bx) / 2, (ay + by) / 2, reach, colour);
}

void pf_gen_paint_ring(struct pf_gen_layer *layer, struct pf_gen_frame at, float cx, float cy,
                       float radius, float hole, const float colour[3])
{
    struct shape shape = {RING, cx, cy, {radius, hole > 0 ? hole : -1}};
    paint(layer, at, &shape, cx, cy, radius, colour);
}

/* Strokes on a grid 4 wide and 6 high: points as two digits, strokes parted by '|'. */
static const char *glyph(int letter)
{
    static const char *const letters[26] = {
        "062046|1434",
        "00063645443303|33424130 00",
        "4130100105163645",
        "00062644422000",
        "40000646|0333",
        "400006|0333",
        "41301001051636454323",
        "0006|4046|0343",
        "1030|2026|1636",
        "4045361605",
        "0006|4003|0346",
        "000646",
        "0600234046",
        "06004640",
        "1001051636454130 10",
        "060030414233 03",
        "1001051636454130 10|2446",
        "060030414233 03|2346",
        "4130100102133344453616 05",
        "0040|2026",
        "000516364540",
        "002640",
        "0016233640",
        "0046|4006",
        "002340|2326",
        "00400646",
    };
    static const char *const digits[10] = {
        "1001051636454130 10|1531",     "112026|1636", "01103041420646",
        "01103041423313|33444536 1605", "36300444",    "40000232434536 1605",
        "413010010516364544331304",     "004016",      "130201103041423313040516364544 33",
        "423313020110304145361605",
    };
    letter = toupper(letter);
    if (letter >= 'A' && letter <= 'Z')
        return letters[letter - 'A'];
    if (letter >= '0' && letter <= '9')
        return digits[letter - '0'];
    switch (letter) {
    case '-':
        return "1333";
    case '.':
        return "2626";
    case '/':
        return "0640";
    case ':':
        return "2222|2525";
    default:
        return "";
    }
}

float pf_gen_paint_text(struct pf_gen_layer *layer, struct pf_gen_frame at, float x, float y,
                        float height, float stroke, const char *text, const float colour[3])
{
    float unit = height / 6, start = x;
    for (; *text; text++, x += 5.6f * unit) {
        float lx = 0, ly = 0;
        bool down = false;
        for (const char *p = glyph(*text); *p; p++) {
            if (*p == '|')
                down = false;
            if (*p < '0' || *p > '9')
                continue;
            float nx = x + (float)(p[0] - '0') * unit, ny = y + (float)(p[1] - '0') * unit;
            if (down)
                pf_gen_paint_line(layer, at, lx, ly, nx, ny, stroke, colour);
            lx = nx;
            ly = ny;
            down = true;
            p++;
        }
    }
    return x - start;
}

void pf_gen_paint_glint(struct pf_gen_layer *layer, float x, float y, float sigma, float light)
{
    int reach = (int)ceilf(3.5f * sigma);
    int cx = (int)lrintf(x) - layer->x0, cy = (int)lrintf(y) - layer->y0;
    for (int j = cy - reach; j <= cy + reach; j++) {
        for (int i = cx - reach; i <= cx + reach; i++) {
            if (i < 0 || j < 0 || i >= layer->width || j >= layer->height)
                continue;
            float dx = (float)(i + layer->x0) - x, dy = (float)(j + layer->y0) - y;
            size_t at = (size_t)j * (size_t)layer->width + (size_t)i;
            float add = light * expf(-0.5f * (dx * dx + dy * dy) / (sigma * sigma));
            if (layer->cover)
                add *= layer->cover[at];
            for (int c = 0; c < 3; c++)
                layer->light[c][at] += add;
        }
    }
}
