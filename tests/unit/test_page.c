/* What a browser is given: whole, small, and of itself alone. */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "service/page.h"
#include "tests/unit/test.h"

#define FIRST_LOAD_MAX 150000

/* Heap, NUL-terminated; the test fails when it is no gzip. */
static char *text_of(const struct pf_page_file *file)
{
    size_t room = 1 << 20;
    char *text = calloc(1, room);
    z_stream z = {.next_in = (Bytef *)file->gzip, .avail_in = (uInt)file->gzip_bytes};
    CHECK(text && inflateInit2(&z, 16 + MAX_WBITS) == Z_OK);
    z.next_out = (Bytef *)text;
    z.avail_out = (uInt)room - 1;
    CHECK_EQ(inflate(&z, Z_FINISH), Z_STREAM_END);
    inflateEnd(&z);
    return text;
}

TEST(finds_files_by_their_exact_path)
{
    CHECK(pf_page_find("/") != NULL);
    CHECK_STR(pf_page_find("/")->type, "text/html; charset=utf-8");
    const char *none[] = {"", "/index.html", "//", "/.", "/../service/page.h", "/page.css/"};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        CHECK(pf_page_find(none[i]) == NULL);
}

TEST(first_load_is_small)
{
    size_t bytes = 0;
    for (size_t i = 0; i < pf_page_file_count; i++)
        bytes += pf_page_files[i].gzip_bytes;
    CHECK(bytes < FIRST_LOAD_MAX);
}

TEST(etags_are_quoted_and_differ)
{
    for (size_t i = 0; i < pf_page_file_count; i++) {
        CHECK_EQ(strlen(pf_page_files[i].etag), 18);
        CHECK_EQ(pf_page_files[i].etag[0], '"');
        for (size_t j = 0; j < i; j++)
            CHECK(strcmp(pf_page_files[i].etag, pf_page_files[j].etag) != 0);
    }
}

/* A strict Content-Security-Policy, and a house without the internet. */
TEST(nothing_comes_from_elsewhere_and_nothing_is_inline)
{
    for (size_t i = 0; i < pf_page_file_count; i++) {
        char *text = text_of(&pf_page_files[i]);
        for (char *at = text; (at = strstr(at, "://")) != NULL; at++)
            CHECK(strncmp(at, "://www.w3.org/2000/svg", 22) == 0);
        CHECK(strstr(text, "innerHTML") == NULL);
        CHECK(strstr(text, "insertAdjacentHTML") == NULL);
        CHECK(strstr(text, "eval(") == NULL);
        CHECK(strstr(text, "style=\"") == NULL);
        CHECK(strstr(text, "onclick=\"") == NULL);
        CHECK(strstr(text, "@import") == NULL);
        free(text);
    }
}

/* What a file of the page refers to is there. */
TEST(references_lead_somewhere)
{
    for (size_t i = 0; i < pf_page_file_count; i++) {
        char *text = text_of(&pf_page_files[i]);
        const char *kinds[] = {" from '/", " src=\"/", " href=\"/"};
        for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
            for (char *at = text; (at = strstr(at, kinds[k])) != NULL; at++) {
                char path[64] = "";
                const char *begin = at + strlen(kinds[k]) - 1;
                size_t length = strcspn(begin, "'\"");
                CHECK(length < sizeof(path));
                memcpy(path, begin, length);
                if (!pf_page_find(path))
                    FAIL("%s refers to %s, which is not there", pf_page_files[i].path, path);
            }
        free(text);
    }
}
