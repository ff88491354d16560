#include "service/page.h"

#include <string.h>

const struct pf_page_file *pf_page_find(const char *path)
{
    for (size_t i = 0; i < pf_page_file_count; i++)
        if (strcmp(pf_page_files[i].path, path) == 0)
            return &pf_page_files[i];
    return NULL;
}
