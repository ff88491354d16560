/* Makers' files byte by byte: bytes that grow, numbers in either order, TIFF directories.
 *
 * Used by tests/gen/ only; any thread, one per object. Everything passed in is copied; the program ends when
 * memory does. A directory is filled in ascending order of its tags, then written once; what it only points to
 * is told to it when it stands. Source: TIFF 6.0 (Adobe 1992).
 */
#ifndef PF_GEN_CONTAINER_H
#define PF_GEN_CONTAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pf_gen_bytes {
    uint8_t *data; /* the owner frees */
    size_t size, room;
    size_t base; /* offsets count from here */
    bool big_endian;
};

void pf_gen_put(struct pf_gen_bytes *bytes, const void *data, size_t size); /* NULL: zeros */
void pf_gen_put_number(struct pf_gen_bytes *bytes, uint32_t number, int size);
void pf_gen_set_number(struct pf_gen_bytes *bytes, size_t at, uint32_t number, int size);
void pf_gen_align(struct pf_gen_bytes *bytes, size_t multiple);

enum { PF_GEN_ENTRIES = 64 };

struct pf_gen_directory {
    struct pf_gen_bytes values;
    struct {
        uint16_t tag, type;
        uint32_t count;
        size_t at;
    } entry[PF_GEN_ENTRIES];
    int entries;
};

void pf_gen_shorts(struct pf_gen_directory *to, uint16_t tag, const uint16_t *values, int count);
void pf_gen_short(struct pf_gen_directory *to, uint16_t tag, uint16_t value);
void pf_gen_longs(struct pf_gen_directory *to, uint16_t tag, const uint32_t *values, int count);
void pf_gen_long(struct pf_gen_directory *to, uint16_t tag, uint32_t value);
void pf_gen_text(struct pf_gen_directory *to, uint16_t tag, const char *text); /* NULL: nothing */
void pf_gen_ratio(struct pf_gen_directory *to, uint16_t tag, double value);    /* 0: nothing */
void pf_gen_undefined(struct pf_gen_directory *to, uint16_t tag, const void *data, size_t size);

/* Writes the directory and what does not fit into its entries behind it; the directory is empty then.
 * Returns where it stands in `bytes`. No other follows until pf_gen_link() says so. */
size_t pf_gen_directory_write(struct pf_gen_bytes *bytes, struct pf_gen_directory *directory);
/* The entry's value is what begins at `target` of `bytes`: `count` values, or 1 and the offset itself. */
void pf_gen_point(struct pf_gen_bytes *bytes, size_t directory, uint16_t tag, uint32_t count,
                  size_t target);
void pf_gen_link(struct pf_gen_bytes *bytes, size_t directory, size_t next);

#endif
