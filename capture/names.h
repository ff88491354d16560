/* File names: which may be frames, and in what order a camera made them.
 *
 * Capture process, any thread; pure functions on byte strings.
 */
#ifndef PF_NAMES_H
#define PF_NAMES_H

#include <stdbool.h>

enum pf_name_kind {
    PF_NAME_FOREIGN, /* hidden, temporary, or of another kind: never opened */
    PF_NAME_IMAGE,   /* called a JPEG, PNG, TIFF or RAW picture */
    PF_NAME_BARE,    /* no extension, or a number: the content decides */
};

/* `name` without directory. Temporary names are those of cp, rsync, Syncthing, browsers, editors,
 * upload and synchronising tools; a rename into place is what makes them ours. */
enum pf_name_kind pf_name_kind(const char *name);

/* Whether to look into a sub-folder of this name: not hidden ones, thumbnails and waste baskets. */
bool pf_name_is_folder(const char *name);

/* Order of two paths with numbers by value: IMG_9 before IMG_10. Never 0 for different paths. */
int pf_name_compare(const char *a, const char *b);

#endif
