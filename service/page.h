/* The page: what a browser is given, as it lies in service/page/, built into the program.
 *
 * Constant data; callable from any thread. Every file is kept as gzip alone, the way it goes over
 * the wire (Content-Encoding: gzip); packaging/embed-page.sh makes the table when the program is
 * built. Nothing of it comes from the file system at run time, so no path of a request can reach
 * there.
 */
#ifndef PF_PAGE_H
#define PF_PAGE_H

#include <stddef.h>

struct pf_page_file {
    const char *path; /* in a URL, "/" the page itself, "/app.js" */
    const char *type; /* Content-Type */
    const char *etag; /* with its quotes; another content has another one */
    const unsigned char *gzip;
    size_t gzip_bytes;
};

extern const struct pf_page_file pf_page_files[];
extern const size_t pf_page_file_count;

/* The file of exactly this path; NULL: there is none. */
const struct pf_page_file *pf_page_find(const char *path);

#endif
