/* Sockets of this machine, by their path. */
#include "config/base/local_socket.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/base/file.h"
#include "config/base/text.h"
#include "tests/unit/test.h"

static int entries_of(const char *directory)
{
    DIR *opened = opendir(directory);
    int count = 0;
    while (opened && readdir(opened))
        count++;
    if (opened)
        closedir(opened);
    return count - 2;
}

/* What is said at one end of a socket is heard at the other. */
static bool speaks(int listening, int client)
{
    char heard = 0;
    int served = accept(listening, NULL, NULL);
    bool ret = served >= 0 && write(client, "x", 1) == 1 && read(served, &heard, 1) == 1;
    if (served >= 0)
        close(served);
    return ret && heard == 'x';
}

TEST(a_path_longer_than_an_address)
{
    struct pf_error err = {0};
    char name[101] = {0};
    memset(name, 'd', 100);
    char *directory = pf_text("%s/%s/%s", test_directory(), name, name);
    char *path = pf_text("%s/socket", directory), *own = pf_text("%s/own", directory);
    struct stat st;
    CHECK(pf_make_directories(directory, &err) == 0);
    CHECK(pf_local_connect(path, &err) == -ENOENT);
    int shared = pf_local_listen(path, PF_LOCAL_SHARED, 4, &err);
    int ours = pf_local_listen(own, PF_LOCAL_OURS, 4, &err);
    CHECK(shared >= 0);
    CHECK(ours >= 0);
    CHECK_EQ(entries_of(directory), 2); /* nothing of how they were made */
    CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0770);
    CHECK(stat(own, &st) == 0 && (st.st_mode & 0777) == 0700);
    CHECK(fcntl(ours, F_GETFL) & O_NONBLOCK);
    int client = pf_local_connect(path, &err);
    CHECK(client >= 0);
    CHECK(!(fcntl(client, F_GETFL) & O_NONBLOCK));
    CHECK(speaks(shared, client));
    close(client);
    close(shared);
    close(ours);
    CHECK(pf_local_connect(path, &err) == -ECONNREFUSED);
    CHECK(strstr(err.text, path) != NULL);
    free(directory);
    free(path);
    free(own);
}

TEST(what_lies_there)
{
    struct pf_error err = {0};
    char *path = pf_text("%s/socket", test_directory()), *made = pf_text("%s.new", path);
    /* What has ended is replaced, also one that had not begun. */
    int fd = pf_local_listen(path, PF_LOCAL_SHARED, 4, &err);
    CHECK(fd >= 0);
    close(fd);
    CHECK(link(path, made) == 0);
    fd = pf_local_listen(path, PF_LOCAL_SHARED, 4, &err);
    CHECK(fd >= 0);
    CHECK(access(made, F_OK) < 0);
    /* One that answers stays, unless its directory is held by one alone. */
    CHECK(pf_local_listen(path, PF_LOCAL_SHARED, 4, &err) == -EADDRINUSE);
    CHECK(strstr(err.text, path) != NULL);
    int client = pf_local_connect(path, &err), asked = accept(fd, NULL, NULL);
    CHECK(client >= 0);
    CHECK(asked >= 0); /* it was asked whether it answers */
    close(asked);
    CHECK(speaks(fd, client));
    int other = pf_local_listen(path, PF_LOCAL_OURS, 4, &err),
        to_other = pf_local_connect(path, &err);
    CHECK(other >= 0);
    CHECK(speaks(other, to_other));
    close(to_other);
    close(other);
    close(client);
    close(fd);
    unlink(path);
    /* What is no socket is nobody's to replace. */
    CHECK(pf_write_file_durable(path, "mine", 4, &err) == 0);
    CHECK(pf_local_listen(path, PF_LOCAL_OURS, 4, &err) == -EADDRINUSE);
    CHECK(pf_local_listen(path, PF_LOCAL_SHARED, 4, &err) == -EADDRINUSE);
    CHECK_EQ(entries_of(test_directory()), 1);
    free(path);
    free(made);
}

TEST(names_that_cannot_be)
{
    struct pf_error err = {0};
    char name[66] = {0};
    memset(name, 'n', 65);
    char *path = pf_text("%s/%s", test_directory(), name),
         *none = pf_text("%s/no/socket", test_directory());
    CHECK(pf_local_listen(path, PF_LOCAL_OURS, 4, &err) == -ENAMETOOLONG);
    CHECK(pf_local_connect(path, &err) == -ENAMETOOLONG);
    path[strlen(path) - 1] = '\0';
    int fd = pf_local_listen(path, PF_LOCAL_OURS, 4, &err);
    CHECK(fd >= 0);
    close(fd);
    CHECK(pf_local_listen(none, PF_LOCAL_OURS, 4, &err) == -ENOENT);
    free(path);
    free(none);
}
