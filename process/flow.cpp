#include "process/flow.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <new>
#include <vector>

#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#include <opencv2/video/tracking.hpp>

#include "process/field_fit.h"
#include "process/opencv.h"

namespace
{

const int least_side = 64;       /* pixels; less has no room for the pyramid */
const int cell = 8;              /* pixels of a cell, which is one point of the fit */
const float least_texture = 2;   /* gradient, grey levels a pixel, that flow can hold on to */
const double alike_px = 0.5;     /* between there and back again, */
const double alike_share = 0.02; /* and of the way */
const double smoothness = 0.02;
/* What a cell's flow is worth: it is smooth by construction, so its pixels tell much the same. */
const double exact_px = 0.1;

cv::Mat flow_between(const cv::Mat &from, const cv::Mat &to)
{
    cv::Mat flow;
    cv::DISOpticalFlow::create(cv::DISOpticalFlow::PRESET_MEDIUM)->calc(from, to, flow);
    return flow;
}

/* Flow at a place between pixels; false outside. */
bool flow_at(const cv::Mat &flow, float x, float y, cv::Point2f *ret)
{
    if (!(x >= 0 && y >= 0 && x < (float)(flow.cols - 1) && y < (float)(flow.rows - 1)))
        return false;
    int ix = (int)x, iy = (int)y;
    float tx = x - (float)ix, ty = y - (float)iy;
    const cv::Point2f *upper = flow.ptr<cv::Point2f>(iy) + ix;
    const cv::Point2f *lower = flow.ptr<cv::Point2f>(iy + 1) + ix;
    *ret = (upper[0] * (1 - tx) + upper[1] * tx) * (1 - ty) +
           (lower[0] * (1 - tx) + lower[1] * tx) * ty;
    return true;
}

struct Cell {
    double dx = 0, dy = 0;
    int textured = 0, alike = 0;
};

/* Mean flow of the pixels of a cell whose way there and back agree. */
Cell look_at(const cv::Mat &there, const cv::Mat &back, const cv::Mat &texture, int left, int top)
{
    Cell result;
    for (int y = top; y < std::min(top + cell, there.rows); y++)
        for (int x = left; x < std::min(left + cell, there.cols); x++) {
            if (texture.at<float>(y, x) < least_texture)
                continue;
            result.textured++;
            const cv::Point2f way = there.at<cv::Point2f>(y, x);
            cv::Point2f home;
            if (!flow_at(back, (float)x + way.x, (float)y + way.y, &home))
                continue;
            double gap = std::hypot(way.x + home.x, way.y + home.y);
            if (!(gap < alike_px + alike_share * std::hypot(way.x, way.y)))
                continue;
            result.alike++;
            result.dx += way.x;
            result.dy += way.y;
        }
    return result;
}

cv::Mat texture_of(const cv::Mat &grey)
{
    cv::Mat gx, gy, strength;
    cv::Sobel(grey, gx, CV_32F, 1, 0, 3, 0.125);
    cv::Sobel(grey, gy, CV_32F, 0, 1, 3, 0.125);
    cv::magnitude(gx, gy, strength);
    return strength;
}

int find(const cv::Mat &fixed, const cv::Mat &moving, double scale, double offset,
         struct pf_field **ret, double *ret_agreement, struct pf_error *err)
{
    const cv::Mat there = flow_between(fixed, moving), back = flow_between(moving, fixed);
    const cv::Mat texture = texture_of(fixed);
    std::vector<pf_field_point> points;
    double textured = 0, alike = 0;
    for (int top = 0; top < fixed.rows; top += cell)
        for (int left = 0; left < fixed.cols; left += cell) {
            const Cell here = look_at(there, back, texture, left, top);
            textured += here.textured;
            alike += here.alike;
            if (2 * here.alike < here.textured || here.alike < cell)
                continue;
            pf_field_point point = {};
            point.x = scale * (left + 0.5 * (cell - 1)) + offset;
            point.y = scale * (top + 0.5 * (cell - 1)) + offset;
            point.d[0] = scale * here.dx / here.alike;
            point.d[1] = scale * here.dy / here.alike;
            point.about[0] = point.about[2] = 1 / (exact_px * scale * exact_px * scale);
            points.push_back(point);
        }
    *ret_agreement = textured > 0 ? alike / textured : 0;
    if (points.empty() || *ret_agreement < PF_FLOW_LEAST_AGREEMENT)
        return pf_fail(err, ENODATA,
                       "flow there and back agree on %.0f %% of what has texture, %.0f %% are "
                       "needed",
                       100 * *ret_agreement, 100 * PF_FLOW_LEAST_AGREEMENT);
    pf_field *field = nullptr;
    int r = pf_field_new(&field, (int)(scale * fixed.cols), (int)(scale * fixed.rows),
                         5 * cell * scale, err);
    if (r == 0)
        r = pf_field_fit(field, points.data(), (int)points.size(), smoothness, err);
    if (r < 0) {
        pf_field_free(field);
        return r;
    }
    *ret = field;
    return 0;
}

} // namespace

int pf_flow_find(const uint8_t *fixed, const uint8_t *moving, int width, int height, double scale,
                 double offset, int threads, struct pf_field **ret, double *ret_agreement,
                 struct pf_error *err)
{
    *ret_agreement = 0;
    if (width < least_side || height < least_side)
        return pf_fail(err, EINVAL, "%d x %d pixels are too few for flow", width, height);
    return pf_guarded(err, "optical flow", [&]() {
        pf_opencv_threads(threads);
        const cv::Mat a(height, width, CV_8UC1, const_cast<uint8_t *>(fixed));
        const cv::Mat b(height, width, CV_8UC1, const_cast<uint8_t *>(moving));
        return find(a, b, scale, offset, ret, ret_agreement, err);
    });
}
