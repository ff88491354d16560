#include "config/base/version.h"

const char *pf_version(void)
{
    return PF_VERSION;
}
