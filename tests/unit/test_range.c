#include "service/http/range.h"

#include "tests/unit/test.h"

static void check(const char *range, const char *if_range, int64_t bytes, int r, int64_t from,
                  int64_t count)
{
    int64_t ret_from = -1, ret_count = -1;
    int got = pf_range_of(range, if_range, "\"e\"", bytes, &ret_from, &ret_count);
    if (got != r || ret_from != from || ret_count != count)
        printf("%s of %lld: %d, %lld + %lld\n", range ? range : "none", (long long)bytes, got,
               (long long)ret_from, (long long)ret_count);
    CHECK_EQ(got, r);
    CHECK_EQ(ret_from, from);
    CHECK_EQ(ret_count, count);
}

TEST(single_ranges)
{
    check("bytes=0-0", NULL, 10, 1, 0, 1);
    check("bytes=0-", NULL, 10, 1, 0, 10);
    check("bytes=3-5", NULL, 10, 1, 3, 3);
    check("bytes=3-", NULL, 10, 1, 3, 7);
    check("bytes=9-9", NULL, 10, 1, 9, 1);
    check("bytes=3-99", NULL, 10, 1, 3, 7);
    check("Bytes= 3-5 ", NULL, 10, 1, 3, 3);
    check("bytes=-4", NULL, 10, 1, 6, 4);
    check("bytes=-10", NULL, 10, 1, 0, 10);
    check("bytes=-99", NULL, 10, 1, 0, 10);
    check("bytes=5-99999999999999999999999999", NULL, 10, 1, 5, 5);
    check("bytes=5000000000-5999999999", NULL, INT64_C(8000000000), 1, INT64_C(5000000000),
          1000000000);
}

TEST(nothing_there)
{
    check("bytes=10-", NULL, 10, -ERANGE, -1, -1);
    check("bytes=10-20", NULL, 10, -ERANGE, -1, -1);
    check("bytes=99999999999999999999999999-", NULL, 10, -ERANGE, -1, -1);
    check("bytes=-0", NULL, 10, -ERANGE, -1, -1);
    check("bytes=0-", NULL, 0, -ERANGE, -1, -1);
    check("bytes=-1", NULL, 0, -ERANGE, -1, -1);
}

TEST(the_whole_where_it_is_not_understood)
{
    const char *const odd[] = {"",          "bytes",     "bytes=",    "bytes=-",       "bytes=a-b",
                               "bytes=5-3", "bytes=1",   "items=1-2", "bytes=1-2,4-5", "bytes=1-2x",
                               "bytes=--2", "bytes=1--", "bytes=+1-2"};
    check(NULL, NULL, 10, 0, -1, -1);
    for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++)
        check(odd[i], NULL, 10, 0, -1, -1);
}

TEST(only_of_the_same_file)
{
    check("bytes=3-5", "\"e\"", 10, 1, 3, 3);
    check("bytes=3-5", "\"f\"", 10, 0, -1, -1);
    check("bytes=3-5", "W/\"e\"", 10, 0, -1, -1);
    check("bytes=3-5", "Sat, 28 Nov 2026 17:00:00 GMT", 10, 0, -1, -1);
    check("bytes=30-", "\"f\"", 10, 0, -1, -1);
}
