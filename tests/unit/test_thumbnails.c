/* Thumbnails are kept within their bound. */
#include "service/thumbnails.h"

#include <sys/stat.h>
#include <time.h>

#include "config/base/text.h"
#include "tests/unit/test.h"

/* A file of so many kilobytes, so many seconds old. */
static void put(const char *name, int kilobytes, int age_s)
{
    char *path = pf_text("%s/thumbnails/%s", test_directory(), name);
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    struct timespec times[2] = {{time(NULL) - age_s, 0}, {time(NULL) - age_s, 0}};
    CHECK(fd >= 0 && ftruncate(fd, (off_t)kilobytes << 10) == 0 && futimens(fd, times) == 0);
    close(fd);
    free(path);
}

static bool is_there(const char *name)
{
    char *path = pf_text("%s/thumbnails/%s", test_directory(), name);
    bool ret = access(path, F_OK) == 0;
    free(path);
    return ret;
}

TEST(the_oldest_go_and_what_is_being_written_stays)
{
    struct pf_thumbnails *thumbnails = NULL;
    struct pf_error err = {0};
    char *last = pf_text("%s/thumbnails/c.jpg", test_directory());
    char *directory = pf_text("%s/thumbnails", test_directory());
    CHECK_EQ(mkdir(directory, 0700), 0);
    put("a.jpg", 500, 300);
    put("b.jpg", 500, 200);
    put("killed.jpg.part", 1, 400);
    CHECK_OK(pf_thumbnails_new(&thumbnails, test_directory(), "thumbnails", 1, &err), &err);
    CHECK(is_there("a.jpg") && is_there("b.jpg") && !is_there("killed.jpg.part"));
    put("written.jpg.part", 1, 500);
    put("c.jpg", 100, 100);
    pf_thumbnails_note(thumbnails, last);
    CHECK(!is_there("a.jpg") && is_there("b.jpg") && is_there("c.jpg"));
    CHECK(is_there("written.jpg.part"));
    pf_thumbnails_free(thumbnails);
    free(directory);
    free(last);
}
