/* parfocal: finds the command and runs it. Each command is a process role of its own. */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "capture/capture.h"
#include "config/base/exit.h"
#include "config/base/version.h"
#include "config/settings_table.h"
#include "process/stack_command.h"
#include "process/worker.h"
#include "service/api_command.h"
#include "service/camera_command.h"
#include "service/config_command.h"
#include "service/doctor.h"
#include "service/help.h"
#include "service/manual.h"
#include "service/serve.h"

static int help_main(int argc, char **argv);

#define WHICH                                                                                      \
    "  --state DIR, -c FILE, --http ADDRESS:PORT, --http-token TOKEN   which service\n"            \
    "Without any of these it is that of ./state, and where that is not the one of "                \
    "/etc/parfocal.conf.\n"

#define INSTALLED                                                                                  \
    "Without --state, -c and ./state it is the service of /etc/parfocal.conf, where that runs\n"   \
    "and has a camera.\n"

/* clang-format off */
const struct pf_command pf_commands[] = {
    {"serve", "[-c FILE] [--source folder:DIR|camera[:PORT]]... [OPTIONS]",
     "watch sources, group frames into bursts, stack them as they come",
     "Results go to OUTBOX/<burst>/: the stack (stack.tif, .png or .jpg), its maps and stack.json.\n"
     "Input files are never changed. SIGTERM and SIGINT end it in order; whatever ends it, the next\n"
     "start goes on where it was. A second service on the same state directory is refused.\n"
     "  SIGUSR1              the bursts that are open are finished: stack them now\n"
     "  SIGUSR2              bursts that have failed are tried again\n",
     "capture bursts engine output maps service http hooks mqtt", pf_serve_main},
    {"stack", "FILES... -o OUT [--depth-map FILE] [--json] [OPTIONS]",
     "stack these files now",
     "  -o, --output OUT     the stack; .tif, .png or .jpg says its format\n"
     "  --depth-map FILE     write the depth map too (a 16-bit PNG; black is the first of FILES)\n"
     "  --confidence-map FILE\n"
     "                       write how sure it is (a 16-bit PNG; white: one frame alone is sharp)\n"
     "  --frame-map FILE     write which frame won where (a 16-bit PNG of numbers from 1)\n"
     "  --json               write the sidecar to standard output: each frame's file, time,\n"
     "                       scores, transform and verdict\n"
     "A frame that cannot be read or aligned is named with its reason; the others are stacked.\n",
     "engine output pair log_format log_level", pf_stack_main},
    {"bracket", "--frames N|--until-covered --step S [--settle MS] [--dry-run] [OPTIONS]",
     "drive a camera's focus through a bracket",
     "Live view on, then shot by shot: trigger, wait for the picture, one step, settle; at last back\n"
     "to the start. The service on the same state directory does it and stacks the burst at once;\n"
     "without one the frames wait in the spool. Ctrl-C stops it in order.\n"
     "  --frames N           shots, 2 to 10000\n"
     "  --until-covered      as many as the subject needs, N [200] at most: on until the sharp zone has\n"
     "                       left the picture, nearer than the start where it began within the subject,\n"
     "                       and once more where a focal plane was skipped\n"
     "  --step S             by which the focus moves between two, in the maker's measure: motor steps\n"
     "                       (Nikon), or the size 1 to 3 of a step (Canon EOS, OM System, Panasonic\n"
     "                       1 to 2); positive is towards far, negative towards near\n"
     "  --settle MS          wait after each step [500]\n"
     "  --dry-run            say what would be done, shoot nothing\n"
     "  --state DIR, --source camera:..., -c FILE   as for serve: which service, and which of its cameras\n"
     INSTALLED,
     "", pf_bracket_main},
    {"camera", "list | get NAME | set NAME VALUE | trigger | stop [OPTIONS]",
     "a camera's own settings, and one shot",
     "  list                 every setting of the camera with its value\n"
     "  get NAME             its value and what it may be\n"
     "  set NAME VALUE       sets it; names and values are the maker's, never translated\n"
     "  trigger              takes a picture\n"
     "  stop                 ends the bracket that the service has begun there, in order\n"
     "A running service on the same state directory is asked, since it owns the camera.\n"
     "  --state DIR, --source camera:..., -c FILE   as for serve: which service, and which of its cameras\n"
     INSTALLED,
     "", pf_camera_main},
    {"status", "[--json] [OPTIONS]", "say how a running service is",
     "Worker, sources, space on disks, bursts that are open, and what is wrong.\n"
     "A service is asked through the socket in its state directory, or at the first address of http\n"
     "where there is none; the other commands below do the same.\n"
     "  --json               as the HTTP interface says it (/api/v1/status)\n"
     WHICH,
     "", pf_status_main},
    {"bursts", "[ID | open|complete|published|failed] [--json] [OPTIONS]",
     "list bursts, newest first, or show one",
     "  --json               as the HTTP interface says it (/api/v1/bursts)\n" WHICH,
     "", pf_bursts_main},
    {"finish", "[ID] [OPTIONS]", "finish a burst now, or all that are open",
     "It is complete, and is stacked, without the wait for silence.\n" WHICH, "", pf_finish_main},
    {"retry", "[ID] [OPTIONS]", "try a burst that has failed again, or all of them",
     "With all their frames but those that were discarded by hand.\n" WHICH, "", pf_retry_main},
    {"dismiss", "[ID] [OPTIONS]", "take a burst that has failed off the troubles, or all of them",
     "It stays failed and can be tried again; if it fails again it is a trouble again.\n" WHICH, "",
     pf_dismiss_main},
    {"restack", "ID [KEY=VALUE...] [OPTIONS]", "stack a burst again with other settings",
     "A burst that is published or has failed gets a new version, made with these settings in place of\n"
     "those in force, for example: parfocal restack ID align=hybrid fuse=soft-depth\n" WHICH,
     "", pf_restack_main},
    {"discard", "ID FRAME [--undo] [OPTIONS]", "leave a frame out of its burst",
     "FRAME is the name of its file, or its identity. A burst that is published gets a new version.\n"
     "  --undo               take it back, or a frame that was set aside as unlike the others\n" WHICH,
     "", pf_discard_main},
    {"scan", "[SOURCE] [OPTIONS]", "look at all sources now, or at one",
     "SOURCE is its name as `parfocal status` says it, folder:/srv/inbox for example.\n" WHICH,
     "", pf_scan_main},
    {"settings", "[KEY[=VALUE]...] [--all] [--json] [OPTIONS]",
     "show or change settings of a running service",
     "All that can be changed while it runs, or those that are named. With values they are changed, all\n"
     "of them or none, until the service ends; for longer they belong into its configuration file.\n"
     "For example: parfocal settings align=hybrid gap=12\n"
     "  --all                also those that hold from the next start of the service on\n"
     "  --json               as the HTTP interface says it (/api/v1/settings)\n" WHICH,
     "", pf_settings_main},
    {"hooks", "[retry ID] [--json] [OPTIONS]",
     "list what hooks have been told, newest first, or tell it again",
     "  --json               as the HTTP interface says it (/api/v1/deliveries)\n" WHICH,
     "", pf_hooks_main},
    {"watch", "[ID] [--json] [OPTIONS]", "print what happens, as it happens",
     "Until Ctrl-C; of one burst, or of all.\n"
     "  --json               a JSON object a line: event and data (x-events of /api/v1/openapi.json)\n" WHICH,
     "", pf_watch_main},
    {"doctor", "[-c FILE] [--json] [OPTIONS]",
     "say what is here, what is missing, and what mends it",
     "Looks at processor, memory, GPU, libraries, clock, watch limits, sources, outbox and state.\n"
     "Status 1 when something would keep `parfocal serve` with the same options from working. Without any\n"
     "it looks at /etc/parfocal.conf where that is; as root, at each path as the installed service's user\n"
     "within what its unit lets it do.\n"
     "  --json               the same as one JSON object\n",
     "capture service", pf_doctor_main},
    {"config", "check | show [-c FILE] [OPTIONS]",
     "check or print the configuration",
     "  check                read the file and the options; say what is wrong, file and line, and what\n"
     "                       `parfocal serve` would refuse\n"
     "  show                 print a commented configuration with the values in force; those that are\n"
     "                       the defaults as comments\n"
     "Without a file it is /etc/parfocal.conf, where that is.\n",
     "capture bursts engine output maps service http hooks mqtt", pf_config_main},
    {"capture", "folder:DIR|camera[:PORT|:SERIAL] [OPTIONS]",
     "the role that sees frames: prints frame records",
     "One JSON object a line on standard output; see service/PROTOCOL.md. `serve` starts one for\n"
     "each source. A camera is the first that is found, the one at PORT as libgphoto2 writes it\n"
     "(usb:001,004, ptpip:192.168.1.1:15740:15740), or the one with this SERIAL number.\n",
     "capture sandbox log_format log_level", pf_capture_main},
    {"process", "[OPTIONS] [DIR...]",
     "the role that knows pixels: reads commands, makes stacks",
     "One JSON object a line on standard input and output; see service/PROTOCOL.md. `serve` starts\n"
     "it. With directories it can write beneath these alone.\n",
     "engine output maps worker_memory sandbox log_format log_level", pf_process_main},
    {"manual", "page | conf | bash | zsh", "print the manual pages or a shell's completion",
     "  page, conf           parfocal(1) and parfocal.conf(5), for man\n"
     "  bash, zsh            what these shells complete a command line with\n",
     "", pf_manual_main},
    {"help", "[COMMAND]", "this, or the help of a command", "", "", help_main},
    {0},
};
/* clang-format on */

static const struct pf_command *find_command(const char *name)
{
    for (const struct pf_command *command = pf_commands; command->name; command++)
        if (strcmp(command->name, name) == 0)
            return command;
    return NULL;
}

static int unknown_command(const char *name)
{
    const struct pf_command *nearest = NULL;
    int least = 3; /* edits */
    for (const struct pf_command *command = pf_commands; command->name; command++) {
        int distance = pf_edit_distance(name, strlen(name), command->name, strlen(command->name));
        if (distance < least) {
            least = distance;
            nearest = command;
        }
    }
    if (nearest)
        fprintf(stderr, "parfocal: unknown command %.100s; did you mean `parfocal %s`?\n", name,
                nearest->name);
    else
        fprintf(stderr, "parfocal: unknown command %.100s; `parfocal help` lists them\n", name);
    return PF_EXIT_USAGE;
}

static int help_main(int argc, char **argv)
{
    if (argc < 2) {
        pf_help_program(stdout);
        return PF_EXIT_OK;
    }
    const struct pf_command *command = find_command(argv[1]);
    if (!command)
        return unknown_command(argv[1]);
    pf_help_command(stdout, command);
    return PF_EXIT_OK;
}

static int print_version(void)
{
    printf("parfocal %s\n", pf_version());
    return PF_EXIT_OK;
}

static bool is_one_of(const char *text, const char *shortly, const char *fully)
{
    return strcmp(text, shortly) == 0 || strcmp(text, fully) == 0;
}

static int run(int argc, char **argv)
{
    if (argc < 2) {
        pf_help_program(stderr);
        return PF_EXIT_USAGE;
    }
    if (is_one_of(argv[1], "-h", "--help"))
        return help_main(1, argv);
    if (is_one_of(argv[1], "-V", "--version"))
        return print_version();
    const struct pf_command *command = find_command(argv[1]);
    if (!command)
        return unknown_command(argv[1]);
    for (int i = 2; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (is_one_of(argv[i], "-h", "--help")) {
            pf_help_command(stdout, command);
            return PF_EXIT_OK;
        }
        if (is_one_of(argv[i], "-V", "--version"))
            return print_version();
    }
    return command->run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    /* Descriptors 0 to 2 are taken, so that no file of ours gets the number of an output. */
    int fd;
    while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= STDERR_FILENO)
        ;
    if (fd >= 0)
        close(fd);
    signal(SIGPIPE, SIG_IGN);
    setlocale(LC_CTYPE, ""); /* names of files; numbers stay as C writes them */

    int status = run(argc, argv);
    if (fflush(stdout) == EOF && status == PF_EXIT_OK) {
        fprintf(stderr, "parfocal: writing standard output: %s\n", strerror(errno));
        status = PF_EXIT_FAILURE;
    }
    return status;
}
