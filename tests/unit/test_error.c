/* Errors: the first description wins, texts are bounded, NULL is allowed. */
#include "config/base/error.h"
#include "tests/unit/test.h"

TEST(first_description_wins)
{
    struct pf_error err = {0};
    CHECK_EQ(pf_fail(&err, ENOENT, "no %s", "frame"), -ENOENT);
    CHECK_EQ(pf_fail_errno(&err, EIO, "later"), -EIO);
    CHECK_EQ(err.code, ENOENT);
    CHECK_STR(err.text, "no frame");
    pf_error_clear(&err);
    CHECK_EQ(pf_fail_errno(&err, EIO, "reading %s", "x"), -EIO);
    CHECK_STR(err.text, "reading x: Input/output error");
}

TEST(null_is_allowed)
{
    CHECK_EQ(pf_fail(NULL, EINVAL, "dropped"), -EINVAL);
    CHECK_EQ(pf_fail_errno(NULL, EINVAL, "dropped"), -EINVAL);
    pf_error_clear(NULL);
}

TEST(long_text_is_cut)
{
    struct pf_error err = {0};
    char name[2000];
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    pf_fail_errno(&err, ENOENT, "%s", name);
    CHECK_EQ(strlen(err.text), sizeof(err.text) - 1);
    CHECK_EQ(err.code, ENOENT);
}
