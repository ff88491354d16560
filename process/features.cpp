#include "process/features.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <new>
#include <vector>

#include <opencv2/calib3d.hpp>
#include <opencv2/core.hpp>
#include <opencv2/features2d.hpp>
#include <opencv2/imgproc.hpp>

#include "process/opencv.h"

struct pf_features {
    pf_features_kind kind;
    int width;
    std::vector<cv::Point2f> points;
    cv::Mat descriptors; /* a row per point */
};

namespace
{

/* The best match must be this much closer than the second best (Lowe 2004). */
const float ratio = 0.8f;
/* Smaller pictures have no features: there is no room for a descriptor. */
const int least_side = 40;

cv::Ptr<cv::Feature2D> detector(pf_features_kind kind)
{
    /* Defocus leaves little contrast: thresholds lower than usual, and the strongest are kept. */
    switch (kind) {
    case PF_FEATURES_ORB:
        return cv::ORB::create(PF_FEATURES_MAX, 1.2f, 8, 15, 0, 2, cv::ORB::HARRIS_SCORE, 31, 7);
    case PF_FEATURES_AKAZE:
        return cv::AKAZE::create(cv::AKAZE::DESCRIPTOR_MLDB, 0, 3, 2e-4f);
    case PF_FEATURES_SIFT:
        break;
    }
    return cv::SIFT::create(PF_FEATURES_MAX, 3, 0.02);
}

/* The strongest first, and equals in one order however many threads have found them. */
bool stronger(const cv::KeyPoint &a, const cv::KeyPoint &b)
{
    if (a.response != b.response)
        return a.response > b.response;
    if (a.pt.y != b.pt.y)
        return a.pt.y < b.pt.y;
    if (a.pt.x != b.pt.x)
        return a.pt.x < b.pt.x;
    if (a.size != b.size)
        return a.size < b.size;
    return a.angle < b.angle;
}

/* SIFT holds eleven pictures of floats, each four times the picture's size: of one with 1.5 megapixels
 * 350 MB. So it looks at strips; their edges overlap by more than all but its coarsest features see. */
constexpr int strip_pixels = 1 << 19, strip_overlap = 96;

void find_by_strips(pf_features_kind kind, const cv::Mat &grey,
                    std::vector<cv::KeyPoint> &keypoints, cv::Mat &descriptors)
{
    int pixels = grey.rows * grey.cols;
    int strips = kind == PF_FEATURES_SIFT ? (pixels + strip_pixels - 1) / strip_pixels : 1;
    for (int strip = 0; strip < strips; strip++) {
        int top = grey.rows * strip / strips, bottom = grey.rows * (strip + 1) / strips;
        int from = std::max(0, top - strip_overlap);
        int to = std::min(grey.rows, bottom + strip_overlap);
        std::vector<cv::KeyPoint> here;
        cv::Mat rows;
        detector(kind)->detectAndCompute(grey.rowRange(from, to), cv::noArray(), here, rows);
        for (size_t i = 0; i < here.size(); i++) {
            here[i].pt.y += (float)from;
            bool own = (strip == 0 || here[i].pt.y >= (float)top) &&
                       (strip == strips - 1 || here[i].pt.y < (float)bottom);
            if (!own)
                continue;
            keypoints.push_back(here[i]);
            descriptors.push_back(rows.row((int)i));
        }
    }
}

int find(pf_features *features, const uint8_t *pixels, int width, int height, bool equalise)
{
    const cv::Mat borrowed(height, width, CV_8UC1, const_cast<uint8_t *>(pixels));
    cv::Mat grey = borrowed, descriptors;
    if (equalise) {
        cv::Mat even;
        cv::createCLAHE(4.0, cv::Size(8, 8))->apply(borrowed, even);
        grey = even;
    }
    std::vector<cv::KeyPoint> keypoints;
    find_by_strips(features->kind, grey, keypoints, descriptors);
    std::vector<int> order(keypoints.size());
    for (size_t i = 0; i < order.size(); i++)
        order[i] = (int)i;
    std::sort(order.begin(), order.end(),
              [&](int a, int b) { return stronger(keypoints[(size_t)a], keypoints[(size_t)b]); });
    if (order.size() > PF_FEATURES_MAX)
        order.resize(PF_FEATURES_MAX);
    for (int row : order) {
        features->points.push_back(keypoints[(size_t)row].pt);
        features->descriptors.push_back(descriptors.row(row));
    }
    return 0;
}

struct Pairs {
    std::vector<cv::Point2f> from, to;
};

/* Points of the target and where they are in the image: only where no other is nearly as alike, and
 * no point of the image twice. */
Pairs pair(const pf_features &target, const pf_features &image)
{
    Pairs pairs;
    if (target.points.size() < 2 || image.points.size() < 2)
        return pairs;
    const cv::BFMatcher matcher(target.kind == PF_FEATURES_SIFT ? cv::NORM_L2 : cv::NORM_HAMMING);
    std::vector<std::vector<cv::DMatch>> nearest;
    matcher.knnMatch(target.descriptors, image.descriptors, nearest, 2);
    std::vector<const cv::DMatch *> best(image.points.size(), nullptr);
    for (const std::vector<cv::DMatch> &two : nearest) {
        if (two.size() < 2 || !(two[0].distance < ratio * two[1].distance))
            continue;
        const cv::DMatch *&holder = best[(size_t)two[0].trainIdx];
        if (!holder || two[0].distance < holder->distance)
            holder = &two[0];
    }
    for (const cv::DMatch *match : best) {
        if (!match)
            continue;
        pairs.from.push_back(target.points[(size_t)match->queryIdx]);
        pairs.to.push_back(image.points[(size_t)match->trainIdx]);
    }
    return pairs;
}

/* The shift that most pairs agree on, then the mean of theirs. One pair is a hypothesis, so all can
 * be tried and chance plays no part. Returns the number that agree. */
int find_shift(const Pairs &pairs, double within, double h[9])
{
    size_t count = pairs.from.size();
    std::vector<cv::Point2d> shifts(count);
    for (size_t i = 0; i < count; i++)
        shifts[i] = cv::Point2d(pairs.to[i]) - cv::Point2d(pairs.from[i]);
    cv::Point2d best;
    int most = 0;
    auto consider = [&](const cv::Point2d &centre, cv::Point2d *mean) {
        cv::Point2d sum;
        int agree = 0;
        for (const cv::Point2d &shift : shifts) {
            if (std::hypot(shift.x - centre.x, shift.y - centre.y) < within) {
                sum += shift;
                agree++;
            }
        }
        *mean = agree ? sum / agree : centre;
        return agree;
    };
    for (const cv::Point2d &shift : shifts) {
        cv::Point2d mean;
        int agree = consider(shift, &mean);
        if (agree > most) {
            most = agree;
            best = mean;
        }
    }
    for (int i = 0; i < 3 && most; i++)
        most = consider(best, &best);
    h[2] = best.x;
    h[5] = best.y;
    return most;
}

int fit(const Pairs &pairs, pf_motion motion, double within, double h[9])
{
    static const size_t needed[] = {1, 2, 3, 4}; /* pairs, by motion */
    const int most_tries = 5000;
    const double confidence = 0.999;
    if (pairs.from.size() < needed[motion])
        return 0;
    if (motion == PF_MOTION_SHIFT)
        return find_shift(pairs, within, h);
    cv::Mat inliers, found;
    if (motion == PF_MOTION_SIMILARITY)
        found = cv::estimateAffinePartial2D(pairs.from, pairs.to, inliers, cv::RANSAC, within,
                                            most_tries, confidence, 20);
    else if (motion == PF_MOTION_AFFINE)
        found = cv::estimateAffine2D(pairs.from, pairs.to, inliers, cv::RANSAC, within, most_tries,
                                     confidence, 20);
    else
        found = cv::findHomography(pairs.from, pairs.to, cv::RANSAC, within, inliers, most_tries,
                                   confidence);
    if (found.empty() || !cv::checkRange(found))
        return 0;
    for (int i = 0; i < found.rows; i++)
        for (int j = 0; j < 3; j++)
            h[3 * i + j] = found.at<double>(i, j);
    return cv::countNonZero(inliers);
}

} // namespace

int pf_features_new(struct pf_features **ret, enum pf_features_kind kind, const uint8_t *pixels,
                    int width, int height, bool equalise, int threads, struct pf_error *err)
{
    pf_features *features = new (std::nothrow) pf_features();
    if (!features)
        return pf_fail(err, ENOMEM, "out of memory for features");
    features->kind = kind;
    features->width = width;
    int r = pf_guarded(err, "finding features", [&]() {
        pf_opencv_threads(threads);
        if (width < least_side || height < least_side)
            return 0;
        return find(features, pixels, width, height, equalise);
    });
    if (r < 0) {
        delete features;
        return r;
    }
    *ret = features;
    return 0;
}

struct pf_features *pf_features_free(struct pf_features *features)
{
    delete features;
    return nullptr;
}

int pf_features_count(const struct pf_features *features)
{
    return (int)features->points.size();
}

int pf_features_match(const struct pf_features *target, const struct pf_features *image,
                      enum pf_motion motion, int threads, double h[9], struct pf_features_fit *ret,
                      struct pf_error *err)
{
    static const double identity[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    if (target->kind != image->kind)
        return pf_fail(err, EINVAL, "features of two kinds cannot be matched");
    double found[9];
    pf_features_fit result = {0, 0};
    std::memcpy(found, identity, sizeof(found));
    int r = pf_guarded(err, "matching features", [&]() {
        pf_opencv_threads(threads);
        const Pairs pairs = pair(*target, *image);
        result.matches = (int)pairs.from.size();
        /* Places are good to a pixel or so; the places of blurred things a little less. */
        result.inliers = fit(pairs, motion, std::max(1.5, target->width / 600.0), found);
        return 0;
    });
    if (r < 0)
        return r;
    std::memcpy(h, result.inliers ? found : identity, sizeof(found));
    *ret = result;
    return 0;
}
