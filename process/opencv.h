/* What the thin files over OpenCV share. C++; included by the C++ files of process/ alone.
 *
 * No exception gets out of such a file, and OpenCV's number of threads, which is the process's, is
 * set before each use, if it is another: nobody may be using them then.
 */
#ifndef PF_OPENCV_H
#define PF_OPENCV_H

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <new>

#include <opencv2/core.hpp>

extern "C" {
#include "config/base/error.h"
}

/* Runs `work`; what it throws becomes an error. */
template <typename Work> int pf_guarded(struct pf_error *err, const char *what, Work work)
{
    try {
        return work();
    } catch (const std::bad_alloc &) {
        return pf_fail(err, ENOMEM, "out of memory for %s", what);
    } catch (const cv::Exception &e) {
        if (e.code == cv::Error::StsNoMem)
            return pf_fail(err, ENOMEM, "out of memory for %s", what);
        return pf_fail(err, EIO, "%s: OpenCV: %s", what, e.err.c_str());
    } catch (const std::exception &e) {
        return pf_fail(err, EIO, "%s: %s", what, e.what());
    } catch (...) {
        return pf_fail(err, EIO, "%s: unknown exception", what);
    }
}

inline void pf_opencv_threads(int threads)
{
#ifdef __SANITIZE_THREAD__
    (void)threads; /* cannot follow the locks of a library that was built without it */
    cv::setNumThreads(1);
#else
    static std::mutex lock;
    static int known = 0;
    std::lock_guard<std::mutex> guard(lock);
    if (threads != known)
        cv::setNumThreads(std::max(1, std::min(threads, cv::getNumberOfCPUs())));
    known = threads;
#endif
}

#endif
