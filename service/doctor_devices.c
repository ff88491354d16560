/* The doctor's look at devices: the GPU with its driver, cameras on USB. */
#include <glob.h>
#include <libudev.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture/holder.h"
#include "config/base/text.h"
#include "process/device.h"
#include "service/doctor_report.h"

/* The driver in Debian 12's own archive, in parts of it that are not enabled from the start; NVIDIA's own needs
 * `contrib` as well. It is built for the kernel that runs after the next start, whose headers it needs. */
#define DRIVER_OF_DEBIAN 535
#define ENABLE                                                                                     \
    "grep -qx VERSION_CODENAME=bookworm /etc/os-release && "                                       \
    "echo 'deb http://deb.debian.org/debian bookworm contrib non-free non-free-firmware' "         \
    ">/etc/apt/sources.list.d/parfocal-driver.list && apt-get update && "
#define KERNEL    "linux-image-$(dpkg --print-architecture) linux-headers-$(dpkg --print-architecture)"
#define KEYRING   "cuda-keyring_1.1-1_all.deb"
#define DOWNLOADS "/var/cache/apt/archives"
static const char debians_driver[] =
    ENABLE "apt-get install -y " KERNEL " nvidia-driver libcuda1 && reboot";
static const char nvidias_driver[] =
    ENABLE "apt-get install -y wget " KERNEL " && wget -P " DOWNLOADS
           " https://developer.download.nvidia.com/compute/cuda/repos/debian12/x86_64/" KEYRING
           " && dpkg -i " DOWNLOADS "/" KEYRING
           " && apt-get update && apt-get install -y cuda-drivers && reboot"
           " # Debian 12's own is too old";

/* With -u nvidia-modprobe sees to nvidia-uvm alone. The driver with nvidiactl (255) comes first: it then names the
 * minor numbers of its cards. Source: nvidia-modprobe.c. */
#define MODPROBE "nvidia-modprobe"
#define LOAD_UVM MODPROBE " -u -c 0"
#define MAKE_NODES                                                                                 \
    MODPROBE " -c 255 && " MODPROBE " $(sed -n 's/^Device Minor:[[:space:]]*/-c /p' "              \
             "/proc/driver/nvidia/gpus/*/information) && " LOAD_UVM

#define USB_DEVICES "/sys/bus/usb/devices"

static bool is_there(const char *pattern)
{
    glob_t found = {0};
    bool there = glob(pattern, 0, NULL, &found) == 0;
    globfree(&found);
    return there;
}

/* ---- GPU ---- */

/* A display or compute controller of NVIDIA's on the bus, driver or not. */
static bool has_card(void)
{
    glob_t vendors = {0};
    bool found = false;
    glob("/sys/bus/pci/devices/*/vendor", 0, NULL, &vendors);
    for (size_t i = 0; !found && i < vendors.gl_pathc; i++) {
        char path[256], vendor[32], class[32];
        snprintf(path, sizeof(path), "%.*sclass", (int)strlen(vendors.gl_pathv[i]) - 6,
                 vendors.gl_pathv[i]);
        found = pf_doctor_first_line(vendors.gl_pathv[i], vendor, sizeof(vendor)) &&
                strtol(vendor, NULL, 16) == 0x10de &&
                pf_doctor_first_line(path, class, sizeof(class)) &&
                strtol(class, NULL, 16) >> 16 == 3;
    }
    globfree(&vendors);
    return found;
}

/* "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01 ..." -> "535.183.01"; false: none. */
static bool driver_version(char *ret, size_t size)
{
    char line[256];
    if (!pf_doctor_first_line("/proc/driver/nvidia/version", line, sizeof(line)))
        return false;
    snprintf(ret, size, "?");
    for (const char *word = line; *word; word += strcspn(word, " "), word += strspn(word, " ")) {
        size_t length = strcspn(word, " ");
        if (length == strspn(word, "0123456789.") && memchr(word, '.', length)) {
            snprintf(ret, size, "%.*s", (int)length, word);
            break;
        }
    }
    return true;
}

/* A running service cannot use what has come later. */
static void add_without(struct pf_report *report, enum pf_finding finding, const char *commands,
                        const char *driver, const char *what)
{
    bool is_installed = access("/usr/bin/" MODPROBE, X_OK) == 0;
    char *remedy = pf_text("%s%s%s", is_installed ? "" : "apt-get install -y " MODPROBE " && ",
                           commands, report->service ? " && systemctl restart parfocal" : "");
    pf_report_add(report, finding, "gpu", remedy, "NVIDIA driver %s without %s", driver, what);
    free(remedy);
}

void pf_doctor_gpu(struct pf_report *report, const struct pf_settings *settings)
{
    const char *least = pf_device_driver_least();
    const char *get_driver =
        least && atoi(least) > DRIVER_OF_DEBIAN ? nvidias_driver : debians_driver;
    char driver[64] = "";
    struct pf_device device;
    bool wanted = settings->device == PF_DEVICE_CUDA;
    /* What is wanted and cannot be is a failure, what could be and is not a warning. */
    enum pf_finding missing = wanted ? PF_FINDING_FAIL : PF_FINDING_WARN;
    /* Desktop and server cards, then the integrated ones of Jetson boards. */
    bool card = is_there("/dev/nvidia[0-9]*");
    bool node = card || access("/dev/nvhost-gpu", F_OK) == 0 || access("/dev/nvgpu", F_OK) == 0;
    bool loaded = driver_version(driver, sizeof(driver));
    if (!least && (loaded || node || has_card())) {
        pf_report_add(
            report, missing, "gpu",
            "make CUDA=1 deb && apt-get install ./build/deb/parfocal_*.deb # in the source "
            "tree, where the CUDA Toolkit is (nvcc)",
            "an NVIDIA GPU, but this build has no CUDA code; the processor does the work");
        return;
    }
    if (!loaded && !node && has_card()) {
        pf_report_add(report, missing, "gpu", get_driver,
                      "an NVIDIA card, but no driver for it is loaded");
        return;
    }
    if (loaded && atoi(driver) && least && strverscmp(driver, least) < 0) {
        pf_report_add(report, missing, "gpu", get_driver,
                      "NVIDIA driver %s is too old, %s or later is needed", driver, least);
        return;
    }
    if (loaded && (!node || (card && access("/dev/nvidiactl", F_OK) < 0))) {
        add_without(report, missing, MAKE_NODES, driver, "device nodes in /dev");
        return;
    }
    /* Root's doctor would load it by asking CUDA; the service, in its sandbox, cannot. */
    if (card && access("/dev/nvidia-uvm", F_OK) < 0) {
        add_without(report, missing, LOAD_UVM, driver, "its part for computing, nvidia-uvm");
        return;
    }
    /* As the worker does it, without insisting. */
    pf_device_choose(&device, PF_DEVICE_AUTO, (enum pf_fuse)settings->fuse, NULL, NULL, NULL);
    pf_device_close(&device);
    if (!device.reason[0])
        pf_report_add(
            report, PF_FINDING_OK, "gpu", NULL, "%s; JPEGs are decoded %s%s%s", device.name,
            device.decodes ? "on it: " : "by the processor: ",
            device.decodes ? device.decoder : device.undecoded,
            settings->device == PF_DEVICE_CPU ? "; device = cpu: the processor does the work" : "");
    else if (wanted) {
        char *remedy = pf_doctor_set(report, "device", "auto");
        pf_report_add(report, PF_FINDING_FAIL, "gpu", remedy, "device = cuda, but %s",
                      device.reason);
        free(remedy);
    } else if (!loaded && !node)
        pf_report_add(report, PF_FINDING_OK, "gpu", NULL,
                      "no NVIDIA GPU in this machine; the processor does the work");
    else
        pf_report_add(report, device.unusable ? PF_FINDING_WARN : PF_FINDING_OK, "gpu",
                      device.unusable ? get_driver : NULL, "%s; the processor does the work",
                      device.reason);
}

/* ---- cameras on USB ---- */

static long number_of(const char *device, const char *name, int base)
{
    char path[300], line[32];
    snprintf(path, sizeof(path), "%s/%s", device, name);
    return pf_doctor_first_line(path, line, sizeof(line)) ? strtol(line, NULL, base) : -1;
}

/* Whether its user may use it. */
static void examine_node(struct pf_report *report, const struct pf_doctor_place *place)
{
    char remedy[300];
    const struct passwd *user = getpwuid(geteuid());
    if (access(place->at, R_OK | W_OK) == 0)
        return;
    /* What the rule of udev (60-parfocal.rules) has given it to. */
    snprintf(remedy, sizeof(remedy),
             "adduser %s plugdev && udevadm control --reload && "
             "udevadm trigger --subsystem-match=usb --action=change%s",
             user ? user->pw_name : "USER",
             report->service ? " && systemctl restart parfocal" : " # and log in again");
    pf_report_add(report, PF_FINDING_WARN, "camera", remedy, "%s: %s may not use it", place->path,
                  user ? user->pw_name : "this user");
}

/* What ends it. Of a desktop it is its user's own systemd that starts it again: root asks that one. */
static void end_holder(const char *holder, pid_t pid, char *ret, size_t size)
{
    char path[64];
    struct stat st;
    snprintf(path, sizeof(path), "/proc/%d", (int)pid);
    const struct passwd *user = geteuid() == 0 && stat(path, &st) == 0 ? getpwuid(st.st_uid) : NULL;
    if (strncmp(holder, "gvfs", 4) != 0)
        snprintf(ret, size, "kill %d", (int)pid);
    else if (user && user->pw_uid)
        snprintf(ret, size,
                 "systemctl --user -M %s@ mask --now gvfs-gphoto2-volume-monitor; kill %d",
                 user->pw_name, (int)pid);
    else
        snprintf(ret, size,
                 "systemctl --user mask --now gvfs-gphoto2-volume-monitor; gio mount -s gphoto2");
}

static void look_at_camera(struct pf_report *report, const char *device)
{
    char node[64], product[128] = "a camera", path[300], holder[300], remedy[300];
    snprintf(node, sizeof(node), "/dev/bus/usb/%03ld/%03ld", number_of(device, "busnum", 10),
             number_of(device, "devnum", 10));
    snprintf(path, sizeof(path), "%s/product", device);
    pf_doctor_first_line(path, product, sizeof(product));
    bool ours = false;
    pid_t pid = pf_holder_find(node, &ours, holder, sizeof(holder));
    if (ours)
        pf_report_add(report, PF_FINDING_OK, "camera", NULL,
                      "%s at %s is in use by parfocal (process %d)", product, node, (int)pid);
    else if (pid) {
        end_holder(holder, pid, remedy, sizeof(remedy));
        pf_report_add(report, PF_FINDING_WARN, "camera", remedy, "%s at %s is held by %s", product,
                      node, holder);
    }
    snprintf(path, sizeof(path), "%s at %s", product, node);
    pf_doctor_in_child(report,
                       &(struct pf_doctor_place){.check = "camera", .path = path, .at = node},
                       examine_node);
}

/* An interface for still images: PTP. */
static bool has_still_image(const char *device)
{
    glob_t interfaces = {0};
    char pattern[300];
    bool found = false;
    snprintf(pattern, sizeof(pattern), "%s:*", device);
    glob(pattern, 0, NULL, &interfaces);
    for (size_t i = 0; !found && i < interfaces.gl_pathc; i++)
        found = number_of(interfaces.gl_pathv[i], "bInterfaceClass", 16) == 6 &&
                number_of(interfaces.gl_pathv[i], "bInterfaceSubClass", 16) == 1;
    globfree(&interfaces);
    return found;
}

/* By libgphoto2's rules, which know those whose interface is the maker's own: gvfs takes all of these. */
static bool is_camera_to_udev(struct udev *udev, const char *path)
{
    struct udev_device *device = udev ? udev_device_new_from_syspath(udev, path) : NULL;
    const char *is_camera = device ? udev_device_get_property_value(device, "ID_GPHOTO2") : NULL;
    bool found = is_camera && !strcmp(is_camera, "1");
    udev_device_unref(device);
    return found;
}

void pf_doctor_usb_cameras(struct pf_report *report)
{
    glob_t devices = {0};
    struct udev *udev = udev_new();
    glob(USB_DEVICES "/*/busnum", 0, NULL, &devices);
    for (size_t i = 0; i < devices.gl_pathc; i++) {
        char device[256];
        snprintf(device, sizeof(device), "%.*s",
                 (int)(strlen(devices.gl_pathv[i]) - strlen("/busnum")), devices.gl_pathv[i]);
        if (has_still_image(device) || is_camera_to_udev(udev, device))
            look_at_camera(report, device);
    }
    globfree(&devices);
    udev_unref(udev);
}
