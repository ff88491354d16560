#include "capture/names.h"

#include "tests/unit/test.h"

TEST(names_of_images)
{
    static const char *const images[] = {
        "IMG_0001.JPG", "a.jpeg",        "b.TIF",        "c.tiff",  "d.png",
        "IMG_1.CR2",    "IMG_1.nef",     "a.dng",        "-rf.jpg", "a\nb.jpg",
        "\xff\xfe.jpg", "IMG_1 (2).JPG", "e\xcc\x81.jpg"};
    for (size_t i = 0; i < sizeof(images) / sizeof(images[0]); i++)
        if (pf_name_kind(images[i]) != PF_NAME_IMAGE)
            FAIL("%s", images[i]);
    CHECK_EQ(pf_name_kind("IMG_0001"), PF_NAME_BARE);
    CHECK_EQ(pf_name_kind("scan.001"), PF_NAME_BARE);
}

TEST(names_temporary_hidden_and_foreign)
{
    static const char *const foreign[] = {
        "",
        ".",
        "..",
        ".hidden.jpg",
        "._IMG_1.jpg",          /* macOS */
        ".IMG_1.jpg.AbC12x",    /* rsync */
        "IMG_1.jpg.part",       /* Firefox, KDE */
        "IMG_1.jpg.crdownload", /* Chrome */
        "IMG_1.jpg.tmp",
        "IMG_1.jpg.filepart", /* WinSCP */
        "IMG_1.jpg~",
        "~IMG_1.jpg",
        "~syncthing~IMG_1.jpg.tmp", /* Syncthing on Windows */
        ".syncthing.IMG_1.jpg.tmp",
        "#IMG_1.jpg#",
        "IMG_1.jpg_exiftool_tmp",
        "IMG_1.jpg.AbC12x", /* rsync with a temporary directory */
        "IMG_1.jpg.tmp-1234",
        "tmpab12cd",
        "IMG_1.xmp",
        "IMG_1.",
        "notes.txt",
    };
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
        if (pf_name_kind(foreign[i]) != PF_NAME_FOREIGN)
            FAIL("%s", foreign[i]);
    CHECK(pf_name_is_folder("100CANON"));
    CHECK(!pf_name_is_folder(".Trash-1000"));
    CHECK(!pf_name_is_folder("@eaDir"));
}

TEST(names_in_the_order_of_the_camera)
{
    static const char *const sorted[] = {"a/IMG_2.jpg",
                                         "a/IMG_09.jpg",
                                         "a/IMG_9.jpg",
                                         "a/IMG_10.jpg",
                                         "a/IMG_0100.jpg",
                                         "a/IMG_99999999999999999999998.jpg",
                                         "a/IMG_99999999999999999999999.jpg",
                                         "a/IMG_x",
                                         "a/IMG_xx",
                                         "b/1"};
    size_t count = sizeof(sorted) / sizeof(sorted[0]);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count; j++) {
            int order = pf_name_compare(sorted[i], sorted[j]);
            if ((order < 0) != (i < j) || (order > 0) != (i > j))
                FAIL("%s against %s: %d", sorted[i], sorted[j], order);
        }
}
