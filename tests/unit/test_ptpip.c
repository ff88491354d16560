/* The real libgphoto2 and the camera for tests understand one another, faults included. What these
 * tests hold libgphoto2 to is what capture/camera.h is built upon. */
#include <arpa/inet.h>
#include <gphoto2/gphoto2.h>
#include <limits.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "tests/unit/test.h"

/* What libgphoto2's drivers forget when they are unloaded is no business of ours. */
void __lsan_disable(void) __attribute__((weak));

#define PICTURE_BYTES 2500000 /* more than one part of 1 MiB */

static char picture[PICTURE_BYTES];
static int control_fd;
static GPContext *context;
static char port[64];

/* Says a line to the camera; the answer. */
static const char *tell(const char *line)
{
    static char answer[4096];
    size_t used = 0;
    dprintf(control_fd, "%s\n", line);
    do {
        ssize_t n = read(control_fd, answer + used, sizeof(answer) - used - 1);
        CHECK(n > 0);
        used += (size_t)n;
    } while (answer[used - 1] != '\n');
    answer[used - 1] = '\0';
    return answer;
}

static void make_pictures(const char *directory)
{
    char path[3 * PATH_MAX];
    for (size_t i = 0; i < sizeof(picture); i++)
        picture[i] = (char)(i * 2654435761u >> 13);
    mkdir(directory, 0777);
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof(path), "%s/%d.%s", directory, i, i % 2 ? "nef" : "jpg");
        FILE *file = fopen(path, "w");
        CHECK(file && fwrite(picture, sizeof(picture), 1, file) == 1 && !fclose(file));
    }
}

static void start_camera(void)
{
    if (__lsan_disable)
        __lsan_disable();
    char program[PATH_MAX], files[2 * PATH_MAX], ports[2 * PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 20);
    CHECK(length > 0);
    program[length] = '\0';
    strcpy(strrchr(program, '/'), "/camera/camera");
    snprintf(files, sizeof(files), "%s/files", test_directory());
    snprintf(ports, sizeof(ports), "%s/ports", test_directory());
    make_pictures(files);
    setenv("HOME", test_directory(), 1);
    if (!fork()) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execl(program, "camera", "--files", files, "--ports", ports, (char *)NULL);
        _exit(127);
    }
    int command, event, control, tries = 0;
    FILE *file;
    while (!(file = fopen(ports, "r"))) {
        CHECK(++tries < 2000);
        usleep(5000);
    }
    CHECK_EQ(fscanf(file, "%d %d %d", &command, &event, &control), 3);
    fclose(file);
    snprintf(port, sizeof(port), "ptpip:127.0.0.1:%d:%d", command, event);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)control),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    control_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(connect(control_fd, (struct sockaddr *)&address, sizeof(address)), 0);
}

static Camera *open_camera(void)
{
    Camera *camera;
    CameraAbilitiesList *abilities;
    CameraAbilities of;
    GPPortInfoList *ports;
    GPPortInfo info;
    context = gp_context_new();
    CHECK_EQ(gp_camera_new(&camera), GP_OK);
    gp_abilities_list_new(&abilities);
    CHECK_EQ(gp_abilities_list_load(abilities, context), GP_OK);
    gp_abilities_list_get_abilities(
        abilities, gp_abilities_list_lookup_model(abilities, "PTP/IP Camera"), &of);
    gp_camera_set_abilities(camera, of);
    gp_abilities_list_free(abilities);
    gp_port_info_list_new(&ports);
    CHECK_EQ(gp_port_info_list_load(ports) >= 0, 1);
    int index = gp_port_info_list_lookup_path(ports, port);
    CHECK(index >= 0);
    gp_port_info_list_get_info(ports, index, &info);
    gp_camera_set_port_info(camera, info);
    gp_port_info_list_free(ports);
    CHECK_EQ(gp_camera_init(camera, context), GP_OK);
    return camera;
}

static void close_camera(Camera *camera)
{
    gp_camera_exit(camera, context);
    gp_camera_free(camera);
    gp_context_unref(context);
    close(control_fd);
}

/* The next event that is `wanted`, or the error that comes instead. */
static int await(Camera *camera, CameraEventType wanted, CameraFilePath *ret)
{
    for (int i = 0; i < 3000; i++) {
        CameraEventType type;
        void *data = NULL;
        int r = gp_camera_wait_for_event(camera, 1000, &type, &data, context);
        if (!r && type == wanted && data && ret)
            *ret = *(CameraFilePath *)data;
        free(data);
        if (r < 0 || type == wanted)
            return r;
        usleep(1000); /* a generic camera does not wait: quirk 1 */
    }
    FAIL("no such event");
}

static int download(Camera *camera, const CameraFilePath *path, unsigned long *ret_bytes,
                    bool *ret_same)
{
    CameraFile *file;
    const char *data = NULL;
    gp_file_new(&file);
    int r =
        gp_camera_file_get(camera, path->folder, path->name, GP_FILE_TYPE_NORMAL, file, context);
    gp_file_get_data_and_size(file, &data, ret_bytes);
    *ret_same = *ret_bytes <= sizeof(picture) && !memcmp(data, picture, *ret_bytes);
    gp_file_unref(file);
    return r;
}

TEST(a_shot_arrives_and_is_the_same_byte_by_byte)
{
    CameraFilePath path;
    unsigned long bytes;
    bool same;
    start_camera();
    Camera *camera = open_camera();
    tell("shoot");
    CHECK_EQ(await(camera, GP_EVENT_FILE_ADDED, &path), GP_OK);
    CHECK_STR(path.name, "TEST0001.JPG");
    CHECK_EQ(download(camera, &path, &bytes, &same), GP_OK);
    CHECK_EQ(bytes, PICTURE_BYTES);
    CHECK(same);
    CHECK_EQ(await(camera, GP_EVENT_CAPTURE_COMPLETE, NULL), GP_OK);
    close_camera(camera);
}

TEST(a_triggered_pair_is_two_files_of_one_name)
{
    CameraFilePath path;
    start_camera();
    Camera *camera = open_camera();
    tell("pairs 1");
    CHECK_EQ(gp_camera_trigger_capture(camera, context), GP_OK);
    CHECK_EQ(await(camera, GP_EVENT_FILE_ADDED, &path), GP_OK);
    CHECK_STR(path.name, "TEST0001.JPG");
    CHECK_EQ(await(camera, GP_EVENT_FILE_ADDED, &path), GP_OK);
    CHECK_STR(path.name, "TEST0001.NEF");
    unsigned long bytes;
    bool same;
    CHECK_EQ(download(camera, &path, &bytes, &same), GP_OK);
    CHECK(bytes == PICTURE_BYTES && same);
    close_camera(camera);
}

TEST(busy_at_the_event_loses_it)
{
    start_camera();
    Camera *camera = open_camera();
    tell("busy 1");
    tell("shoot");
    CHECK_EQ(await(camera, GP_EVENT_FILE_ADDED, NULL), GP_ERROR_CAMERA_BUSY);
    tell("shoot");
    CameraFilePath path;
    CHECK_EQ(await(camera, GP_EVENT_FILE_ADDED, &path), GP_OK);
    CHECK_STR(path.name, "TEST0002.NEF");
    close_camera(camera);
}

TEST(a_dropped_link_leaves_a_part_and_a_plain_error)
{
    CameraFilePath path;
    unsigned long bytes;
    bool same;
    start_camera();
    Camera *camera = open_camera();
    tell("shoot");
    CHECK_EQ(await(camera, GP_EVENT_FILE_ADDED, &path), GP_OK);
    tell("drop 1 1500000");
    CHECK_EQ(download(camera, &path, &bytes, &same), GP_ERROR);
    CHECK(bytes > 0 && bytes < PICTURE_BYTES && same);
    gp_camera_exit(camera, context);
    CHECK_EQ(gp_camera_init(camera, context), GP_OK);
    CHECK_EQ(download(camera, &path, &bytes, &same), GP_OK);
    CHECK(bytes == PICTURE_BYTES && same);
    close_camera(camera);
}

TEST(a_short_size_grows_with_a_changed_event)
{
    CameraFilePath path;
    unsigned long bytes;
    bool same;
    start_camera();
    Camera *camera = open_camera();
    tell("short 1");
    tell("shoot");
    CHECK_EQ(await(camera, GP_EVENT_FILE_ADDED, &path), GP_OK);
    CHECK_EQ(download(camera, &path, &bytes, &same), GP_OK);
    CHECK(bytes < PICTURE_BYTES && same);
    CHECK_EQ(await(camera, GP_EVENT_FILE_CHANGED, &path), GP_OK);
    CHECK_EQ(download(camera, &path, &bytes, &same), GP_OK);
    CHECK(bytes == PICTURE_BYTES && same);
    close_camera(camera);
}

TEST(a_refused_delete_claims_to_be_done)
{
    CameraFilePath path;
    start_camera();
    Camera *camera = open_camera();
    tell("refuse 1");
    tell("shoot");
    CHECK_EQ(await(camera, GP_EVENT_FILE_ADDED, &path), GP_OK);
    CHECK_EQ(gp_camera_file_delete(camera, path.folder, path.name, context), GP_OK);
    CHECK(strstr(tell("list"), "TEST0001.JPG"));
    /* It shows when the folder is listed again. */
    CameraList *list;
    gp_list_new(&list);
    gp_filesystem_reset(camera->fs);
    CHECK_EQ(gp_camera_folder_list_files(camera, path.folder, list, context), GP_OK);
    CHECK_EQ(gp_list_count(list), 1);
    CHECK_EQ(gp_camera_file_delete(camera, path.folder, path.name, context), GP_OK);
    CHECK(!strstr(tell("list"), "TEST0001.JPG"));
    gp_filesystem_reset(camera->fs);
    CHECK_EQ(gp_camera_folder_list_files(camera, path.folder, list, context), GP_OK);
    CHECK_EQ(gp_list_count(list), 0);
    gp_list_free(list);
    close_camera(camera);
}
