#include "service/camera_command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/jsonl.h"
#include "service/camera_talk.h"

static void print_value(const json_t *value)
{
    char *text = pf_json_bytes_value(value);
    if (text)
        printf("%s", text);
    else if (json_is_integer(value))
        printf("%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        printf("%g", json_real_value(value));
    free(text);
}

static void print_setting(const json_t *setting)
{
    size_t i;
    json_t *choice, *lowest = json_object_get(setting, "lowest");
    print_value(json_object_get(setting, "value"));
    printf("%s\n", json_is_true(json_object_get(setting, "readonly")) ? "  (to be read only)" : "");
    json_array_foreach(json_object_get(setting, "choices"), i, choice)
    {
        printf("  ");
        print_value(choice);
        printf("\n");
    }
    if (lowest)
        printf("  from %g to %g\n", json_real_value(lowest),
               json_real_value(json_object_get(setting, "highest")));
}

static void on_camera_answer(struct pf_talk *talk, const json_t *answer)
{
    size_t i;
    json_t *setting;
    (void)talk;
    json_array_foreach(json_object_get(answer, "settings"), i, setting)
    {
        print_value(json_object_get(setting, "name"));
        printf(" = ");
        print_setting(setting);
    }
    setting = json_object_get(answer, "setting");
    if (json_is_object(setting))
        print_setting(setting);
}

int pf_camera_main(int argc, char **argv)
{
    struct pf_settings settings = {0};
    struct pf_error err = {0};
    struct pf_talk talk = {.settings = &settings, .other_fd = -1, .answered = on_camera_answer};
    int r = pf_talk_settings(&settings, &argc, argv, &err);
    const char *what = argc > 1 ? argv[1] : "";
    static const struct {
        const char *what;
        int operands;
    } forms[] = {{"list", 0}, {"get", 1}, {"set", 2}, {"trigger", 0}, {"stop", 0}};
    bool known = false;
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
        known |= !strcmp(forms[i].what, what) && argc == forms[i].operands + 2;
    if (!r && argc > 1 && what[0] == '-')
        r = pf_settings_unknown_option(what, &err);
    if (!r && !known)
        r = pf_fail(&err, EINVAL,
                    "it is: parfocal camera list | get NAME | set NAME VALUE | trigger | stop");
    if (!r)
        talk.source = pf_talk_camera(&settings, &err, &r);
    if (!r) {
        talk.ask = json_pack("{s:s}", "do", what);
        if (argc > 2)
            json_object_set_new(talk.ask, "name", pf_json_bytes(argv[2]));
        if (argc > 3)
            json_object_set_new(talk.ask, "value", pf_json_bytes(argv[3]));
        r = pf_talk_hold(&talk, &err);
    }
    return pf_talk_end(&talk, &settings, r, &err);
}
