#include "capture/names.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

enum pf_name_kind pf_name_kind(const char *name)
{
    static const char *const images[] = {"jpg", "jpeg", "jpe", "jfif", "png", "tif", "tiff", "dng",
                                         "cr2", "cr3",  "nef", "arw",  "orf", "raf", "rw2"};
    size_t length = strlen(name);
    if (!length || strchr(".~#", name[0]) || strchr("~#", name[length - 1]))
        return PF_NAME_FOREIGN;
    const char *dot = strrchr(name, '.');
    if (!dot)
        return strncasecmp(name, "tmp", 3) ? PF_NAME_BARE : PF_NAME_FOREIGN;
    for (size_t i = 0; i < sizeof(images) / sizeof(images[0]); i++)
        if (!strcasecmp(dot + 1, images[i]))
            return PF_NAME_IMAGE;
    return dot[1] && dot[1 + strspn(dot + 1, "0123456789")] == '\0' ? PF_NAME_BARE
                                                                    : PF_NAME_FOREIGN;
}

bool pf_name_is_folder(const char *name)
{
    static const char *const waste[] = {
        "@eaDir",    "#recycle", "#snapshot", "$RECYCLE.BIN", "System Volume Information",
        "lost+found"};
    if (name[0] == '.')
        return false;
    for (size_t i = 0; i < sizeof(waste) / sizeof(waste[0]); i++)
        if (!strcasecmp(name, waste[i]))
            return false;
    return true;
}

int pf_name_compare(const char *a, const char *b)
{
    const unsigned char *x = (const unsigned char *)a, *y = (const unsigned char *)b;
    while (*x && *y) {
        if (isdigit(*x) && isdigit(*y)) {
            while (*x == '0')
                x++;
            while (*y == '0')
                y++;
            size_t nx = 0, ny = 0;
            while (isdigit(x[nx]))
                nx++;
            while (isdigit(y[ny]))
                ny++;
            int order = nx != ny ? (nx > ny) - (nx < ny) : memcmp(x, y, nx);
            if (order)
                return order;
            x += nx;
            y += ny;
        } else if (*x != *y) {
            return *x < *y ? -1 : 1;
        } else {
            x++;
            y++;
        }
    }
    if (*x || *y)
        return *x ? 1 : -1;
    return strcmp(a, b); /* 01 and 1 */
}
