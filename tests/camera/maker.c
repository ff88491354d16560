/* The operations of the makers. */
#include "tests/camera/camera.h"

bool maker_answer(struct camera *camera, unsigned code, uint32_t tid, const uint32_t *parameters,
                  const struct bytes *data)
{
    (void)camera, (void)code, (void)tid, (void)parameters, (void)data;
    return false;
}

size_t maker_operations(const struct camera *camera, const uint16_t **ret)
{
    (void)camera;
    *ret = NULL;
    return 0;
}
