/* The version of this build, as `git describe` has it; "unknown" outside a working copy.
 *
 * Callable from any process and thread; static text. A function and not a macro, so that a commit
 * rebuilds one object only.
 */
#ifndef PF_VERSION_H
#define PF_VERSION_H

const char *pf_version(void);

/* What the pictures that are made here name as their Software (EXIF, TIFF, PNG). */
#define PF_SOFTWARE "parfocal"

#endif
