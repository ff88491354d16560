#include "process/confine.h"

#include "config/base/limits.h"
#include "config/base/sandbox.h"
#include "process/backend.h"

/* What a frame may take beyond what the worker has when it comes. The engine holds up to 28 bytes of
 * a pixel in all, decoding a RAW picture 16 more; a second of one thread does several megapixels. */
#define PIXEL_BYTES 64
#define FRAME_BYTES (1ll << 30)
#define FRAME_CPU_S 60

static struct pf_sandbox sandbox_of(const struct pf_confine *confine)
{
    return (struct pf_sandbox){
        .role = PF_SANDBOX_WORKER,
        .writable = confine->writable[0] ? (const char *const *)confine->writable : NULL,
        .programs = confine->settings->align == PF_ALIGN_BSPLINE,
        .gpu = confine->settings->device != PF_DEVICE_CPU && &pf_backend_cuda,
    };
}

int pf_confine_files(struct pf_confine *confine, struct pf_error *err)
{
    struct pf_sandbox sandbox = sandbox_of(confine);
    return confine->settings->sandbox ? pf_sandbox_files(&sandbox, err) : 0;
}

int pf_confine_calls(struct pf_confine *confine, const struct pf_backend *backend,
                     struct pf_error *err)
{
    struct pf_sandbox sandbox = sandbox_of(confine);
    if (!confine->settings->sandbox)
        return 0;
    sandbox.gpu = backend != &pf_backend_cpu;
    confine->limited = !sandbox.gpu; /* whose driver reserves address space as it likes */
    return pf_sandbox_calls(&sandbox, err);
}

void pf_confine_renew(struct pf_confine *confine)
{
    int64_t pixels = atomic_load(&confine->most_pixels);
    int64_t cpu_s = FRAME_CPU_S + (int64_t)confine->settings->align_timeout + pixels / 1000000;
    if (confine->limited)
        pf_limits_allow(FRAME_BYTES + pixels * PIXEL_BYTES,
                        cpu_s * (confine->threads > 1 ? confine->threads : 1));
}

void pf_confine_declared(void *context, int64_t pixels)
{
    struct pf_confine *confine = context;
    long long most = atomic_load(&confine->most_pixels);
    while (pixels > most)
        if (atomic_compare_exchange_weak(&confine->most_pixels, &most, pixels)) {
            pf_confine_renew(confine);
            return;
        }
}

void pf_confine_forget(struct pf_confine *confine)
{
    atomic_store(&confine->most_pixels, 0);
}
