/* What is known of a camera's card, and who holds a device. */
#include "capture/card.h"

#include <limits.h>
#include <sys/stat.h>

#include "capture/camera_internal.h"
#include "capture/holder.h"
#include "capture/usb_port.h"
#include "config/settings.h"
#include "tests/unit/test.h"

static const struct pf_card_file shot = {.camera = "Test-1",
                                         .folder = "/store/DCIM/100TEST",
                                         .name = "DSC_0042.JPG",
                                         .time_s = 1767325445, /* 2026-01-02 03:44:05 */
                                         .size_bytes = 1000};

static struct pf_card *new_card(void)
{
    struct pf_card *card;
    CHECK_EQ(pf_card_new(&card), 0);
    return card;
}

/* The path under which the file is kept; noted with its size. */
static char *keep(struct pf_card *card, const struct pf_card_file *file, bool recorded)
{
    static char path[PATH_MAX];
    char *name = pf_card_name(card, file);
    CHECK(name);
    snprintf(path, sizeof(path), "/spool/%s/%s", file->camera, name);
    free(name);
    CHECK_EQ(pf_card_note(card, path, file->size_bytes, recorded), 0);
    return path;
}

TEST(a_name_tells_time_and_name)
{
    struct pf_card *card = new_card();
    char *name = pf_card_name(card, &shot);
    CHECK(strstr(name, "20260102-034405-") == name);
    CHECK(strstr(name, "-DSC_0042.JPG"));
    free(name);
    pf_card_free(card);
}

TEST(a_file_is_known_by_camera_folder_name_time_and_size)
{
    struct pf_card *card = new_card();
    struct pf_card_file other = shot;
    CHECK_EQ(pf_card_knows(card, &shot), PF_CARD_NEW);
    const char *path = keep(card, &shot, false);
    CHECK(pf_card_has(card, path));
    CHECK_EQ(pf_card_knows(card, &shot), PF_CARD_KNOWN);
    pf_card_record(card, path);
    CHECK_EQ(pf_card_knows(card, &shot), PF_CARD_RECORDED);
    other.time_s += 3; /* another clock reading of the same file */
    CHECK_EQ(pf_card_knows(card, &other), PF_CARD_RECORDED);
    other.time_s += 3600; /* the name has come again */
    CHECK_EQ(pf_card_knows(card, &other), PF_CARD_NEW);
    other = shot;
    other.size_bytes++;
    CHECK_EQ(pf_card_knows(card, &other), PF_CARD_NEW);
    other = shot;
    other.folder = "/store/DCIM/101TEST";
    CHECK_EQ(pf_card_knows(card, &other), PF_CARD_NEW);
    other = shot;
    other.camera = "Test-2";
    CHECK_EQ(pf_card_knows(card, &other), PF_CARD_NEW);
    pf_card_free(card);
}

TEST(files_that_one_may_be_are_told)
{
    struct pf_card *card = new_card();
    struct pf_card_file again = shot, raw = shot;
    char first[PATH_MAX], second[PATH_MAX];
    CHECK(!pf_card_match(card, &shot, 0));
    strcpy(first, strrchr(keep(card, &shot, true), '/') + 1);
    again.time_s += 5; /* another content of the same size */
    strcpy(second, strrchr(keep(card, &again, false), '/') + 1);
    raw.name = "DSC_0042.NEF";
    keep(card, &raw, true);
    const char *one = pf_card_match(card, &shot, 0), *other = pf_card_match(card, &shot, 1);
    CHECK(one && other && !pf_card_match(card, &shot, 2));
    CHECK(!strcmp(one, first) ? !strcmp(other, second)
                              : !strcmp(one, second) && !strcmp(other, first));
    again.size_bytes++;
    CHECK(!pf_card_match(card, &again, 0));
    pf_card_free(card);
}

TEST(what_was_there_before_has_any_size)
{
    struct pf_card *card = new_card();
    char *name = pf_card_name(card, &shot), path[PATH_MAX];
    snprintf(path, sizeof(path), "/spool/Test-1/%s", name);
    free(name);
    CHECK_EQ(pf_card_note(card, path, -1, false), 0);
    CHECK_EQ(pf_card_knows(card, &shot), PF_CARD_BEFORE);
    pf_card_free(card);
}

TEST(a_camera_is_known_by_what_was_fetched_from_it)
{
    struct pf_card *card = new_card();
    CHECK(!pf_card_has_camera(card, "Test-1"));
    CHECK_EQ(pf_card_note(card, "/spool/Test-1/20260102-034405-1a2b3c4d-A.JPG", -1, false), 0);
    CHECK(!pf_card_has_camera(card, "Test-1"));
    keep(card, &shot, true);
    CHECK(pf_card_has_camera(card, "Test-1"));
    CHECK(!pf_card_has_camera(card, "Test-"));
    CHECK(!pf_card_has_camera(card, ""));
    pf_card_free(card);
}

TEST(the_newest_that_was_fetched_from_a_card)
{
    struct pf_card *card = new_card();
    struct pf_card_file file = shot;
    CHECK_EQ(pf_card_newest(card, shot.camera), 0);
    keep(card, &shot, true);
    file.time_s -= 100;
    keep(card, &file, false);
    file.folder = "/"; /* in its memory */
    file.time_s += 10000;
    keep(card, &file, false);
    CHECK_EQ(pf_card_note(card, "/spool/Test-1/20300102-034405-1a2b3c4d-A.JPG", -1, false), 0);
    CHECK_EQ(pf_card_note(card, "/spool/Test-2/20300102-034405-1a2b3c4d-A.JPG", 10, false), 0);
    CHECK_EQ(pf_card_newest(card, shot.camera), shot.time_s);
    pf_card_free(card);
}

TEST(raw_and_jpeg_of_a_shot_differ_in_their_extension_alone)
{
    struct pf_card *card = new_card();
    struct pf_card_file raw = shot;
    char jpeg_path[PATH_MAX];
    raw.name = "DSC_0042.NEF";
    raw.time_s += 2; /* it was written later */
    strcpy(jpeg_path, keep(card, &shot, false));
    const char *raw_path = keep(card, &raw, false);
    CHECK_EQ(strrchr(jpeg_path, '.') - jpeg_path, strrchr(raw_path, '.') - raw_path);
    CHECK_EQ(strncmp(jpeg_path, raw_path, (size_t)(strrchr(raw_path, '.') - raw_path)), 0);
    pf_card_free(card);
}

TEST(a_name_is_never_given_twice)
{
    struct pf_card *card = new_card();
    char first[PATH_MAX];
    strcpy(first, keep(card, &shot, false));
    struct pf_card_file again = shot;
    again.size_bytes = 2000;
    CHECK(strcmp(first, keep(card, &again, false)) != 0);
    CHECK_EQ(pf_card_knows(card, &again), PF_CARD_KNOWN);
    pf_card_free(card);
}

TEST(what_is_noted_again_is_one)
{
    struct pf_card *card = new_card();
    const char *path = keep(card, &shot, false);
    CHECK_EQ(pf_card_note(card, path, shot.size_bytes, true), 0);
    CHECK_EQ(pf_card_note(card, path, shot.size_bytes, false), 0);
    CHECK_EQ(pf_card_knows(card, &shot), PF_CARD_RECORDED);
    CHECK(pf_card_match(card, &shot, 0));
    CHECK(!pf_card_match(card, &shot, 1));
    CHECK_EQ(pf_card_note(card, path, 900, false), 0); /* ours and the camera's size may differ */
    struct pf_card_file smaller = shot;
    smaller.size_bytes = 900;
    CHECK_EQ(pf_card_knows(card, &smaller), PF_CARD_KNOWN);
    pf_card_free(card);
}

TEST(hostile_names_and_times_stay_inside)
{
    struct pf_card *card = new_card();
    struct pf_card_file file = shot;
    file.name = "../../etc/pass\nwd";
    file.time_s = INT64_MAX;
    char *name = pf_card_name(card, &file);
    CHECK(name && !strchr(name, '/') && !strchr(name, '\n'));
    free(name);
    CHECK_EQ(pf_card_note(card, "", 1, false), 0);
    CHECK_EQ(pf_card_note(card, "/x", 1, false), 0);
    CHECK_EQ(pf_card_note(card, "20260102-034405-1a2b3c4d-", 1, false), 0);
    CHECK_EQ(pf_card_note(card, "/a/20269999-034405-1a2b3c4d-x.jpg", 1, false), 0);
    CHECK(!pf_card_has(card, "/a/b/c"));
    pf_card_free(card);
}

TEST(sources_name_cameras)
{
    CHECK_STR(pf_settings_camera("camera"), "");
    CHECK_STR(pf_settings_camera("camera:usb:001,004"), "usb:001,004");
    CHECK_STR(pf_settings_camera("camera:4711"), "4711");
    CHECK_STR(pf_settings_camera("camera:"), NULL);
    CHECK_STR(pf_settings_camera("cameras"), NULL);
    CHECK_STR(pf_settings_camera("folder:camera"), NULL);
}

static void put_device(const char *name, const char *bus, const char *device)
{
    char path[2 * PATH_MAX];
    const char *const files[] = {"busnum", bus, "devnum", device};
    snprintf(path, sizeof(path), "%s/%s", test_directory(), name);
    CHECK_EQ(mkdir(path, 0777), 0);
    for (int i = 0; i < 4; i += 2) {
        snprintf(path, sizeof(path), "%s/%s/%s", test_directory(), name, files[i]);
        FILE *file = fopen(path, "we");
        CHECK(file && fprintf(file, "%s\n", files[i + 1]) > 0);
        CHECK_EQ(fclose(file), 0);
    }
}

TEST(where_a_device_is_plugged_in)
{
    char place[64] = "";
    put_device("usb1", "1", "1");
    put_device("1-2.3", "1", "14");
    put_device("2-2", "2", "14");
    CHECK(pf_usb_port(test_directory(), "usb:001,014", place, sizeof(place)));
    CHECK_STR(place, "usb-1-2.3");
    CHECK(pf_usb_port(test_directory(), "usb:002,014", place, sizeof(place)));
    CHECK_STR(place, "usb-2-2");
    CHECK(!pf_usb_port(test_directory(), "usb:001,015", place, sizeof(place)));
    CHECK(!pf_usb_port(test_directory(), "ptpip:1.2.3.4", place, sizeof(place)));
    CHECK(!pf_usb_port("/nowhere", "usb:001,014", place, sizeof(place)));
}

/* Quirk 13: a camera that is held by another program is named with that program. */
TEST(quirk_13_the_holder_of_a_device_is_named)
{
    char path[2 * PATH_MAX], holder[256];
    int ends[2];
    bool ours = false;
    CHECK(pf_holder_device("usb:001,004", path, sizeof(path)));
    CHECK_STR(path, "/dev/bus/usb/001/004");
    CHECK(!pf_holder_device("usb:", path, sizeof(path)));
    CHECK(!pf_holder_device("ptpip:1.2.3.4", path, sizeof(path)));

    snprintf(path, sizeof(path), "%s/device", test_directory());
    int fd = open(path, O_CREAT | O_RDWR, 0600);
    CHECK(fd >= 0);
    CHECK_EQ(pf_holder_find(path, &ours, holder, sizeof(holder)), 0); /* that is us */
    CHECK_EQ(pipe(ends), 0);
    pid_t pid = fork();
    if (!pid) {
        char byte;
        close(ends[1]);
        _exit(read(ends[0], &byte, 1) != 0);
    }
    close(fd);
    CHECK_EQ(pf_holder_find(path, &ours, holder, sizeof(holder)), pid);
    CHECK(ours);
    char number[32];
    snprintf(number, sizeof(number), "process %d", (int)pid);
    CHECK(strstr(holder, number));
    CHECK(strstr(holder, "test_card"));
    close(ends[1]);
    waitpid(pid, NULL, 0);

    /* Another program, whatever it calls itself. */
    CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
    pid = fork();
    if (!pid) {
        if (dup2(ends[0], STDIN_FILENO) == 0 && open(path, O_RDWR) >= 0)
            execlp("cat", "test_card (process 1)", NULL);
        _exit(1);
    }
    close(ends[0]);
    bool found = false;
    for (int i = 0; i < 1000 && !(found && !ours); i++) {
        found = pf_holder_find(path, &ours, holder, sizeof(holder)) == pid;
        usleep(10000);
    }
    CHECK(found && !ours);
    CHECK(!strncmp(holder, "test_card (process 1) (process ", 31));
    close(ends[1]);
    waitpid(pid, NULL, 0);
}

#define KB     GP_STORAGEINFO_FREESPACEKBYTES
#define IMAGES GP_STORAGEINFO_FREESPACEIMAGES

TEST(a_camera_is_full_when_all_its_cards_are)
{
    static const struct {
        CameraStorageInformation stores[2];
        int count;
        int64_t free_kb;
        bool full;
    } cases[] = {
        {{{.fields = KB | IMAGES, .freekbytes = 5000, .freeimages = 100}, {.fields = KB | IMAGES}},
         2,
         5000,
         false},
        {{{.fields = KB | IMAGES}, {.fields = KB | IMAGES, .freekbytes = 5000, .freeimages = 100}},
         2,
         5000,
         false},
        {{{.fields = KB | IMAGES}, {.fields = KB | IMAGES}}, 2, 0, true},
        {{{.fields = KB | IMAGES, .freekbytes = 900}}, 1, 900, true}, /* too little for one */
        {{{.fields = IMAGES, .freeimages = 7}}, 1, 0, false},
        {{{.fields = KB, .freekbytes = 7}}, 1, 7, false},
        {{{.fields = KB}, {.fields = 0}}, 2, 0, true},
        {{{.fields = 0}}, 1, 0, false},
        {{{.fields = 0}}, 0, 0, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pf_camera_room room = pf_camera_room_of(cases[i].stores, cases[i].count);
        CHECK_EQ(room.free_kb, cases[i].free_kb);
        CHECK_EQ(room.full, cases[i].full);
    }
}
