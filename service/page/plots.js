// The sharpness curve and the drift plot, as SVG drawn in CSS pixels.

import {put, svg} from '/dom.js';
import {colour, turned, wins} from '/cover.js';
import * as format from '/format.js';

function size(root) {
    return {w: Math.max(160, root.clientWidth), h: Math.max(90, root.clientHeight)};
}

// said: the plot in words, for who does not see it.
function draw(root, {w, h}, said, parts) {
    put(
        root,
        svg(
            'svg',
            {viewBox: `0 0 ${w} ${h}`, width: w, height: h, role: 'img', 'aria-label': said},
            parts,
        ),
    );
}

function nice(range) {
    const power = 10 ** Math.floor(Math.log10(range || 1));
    return [1, 1.5, 2, 3, 4, 5, 7, 10].find((n) => n * power >= range * 0.999) * power;
}

// Sharpness of each frame in capture order, how much of the picture each has sharpest, and where a
// focal plane is missing.
export function curve(root, {items, skipped, selected, found, picked}) {
    const {w, h} = size(root);
    const left = 34,
        right = 10,
        top = 12,
        bottom = 20,
        fused = items.filter((f) => f.verdict === 'fused');
    const most = nice(Math.max(0, ...items.map((f) => f.sharpness || 0)) * 1.02 || 1);
    const step = (w - left - right) / Math.max(1, items.length - 1 || 1);
    const x = (place) => (items.length < 2 ? (left + w - right) / 2 : left + place * step);
    const y = (value) => h - bottom - (value / most) * (h - top - bottom);
    const won = wins(found, items.length),
        wonMost = Math.max(1, ...won);
    const parts = [];
    for (const value of [0, most / 2, most]) {
        parts.push(
            svg('line', {class: 'grid', x1: left, x2: w - right, y1: y(value), y2: y(value)}),
        );
        parts.push(
            svg('text', {
                class: 'tick',
                x: left - 6,
                y: y(value) + 4,
                'text-anchor': 'end',
                text: String(Number(value.toFixed(2))),
            }),
        );
    }
    const wide = Math.max(2, Math.min(18, step * 0.62));
    items.forEach((frame, place) => {
        if (!won[place]) return;
        const tall = (won[place] / wonMost) * (h - top - bottom) * 0.6;
        parts.push(
            svg('rect', {
                class: 'won',
                x: x(place) - wide / 2,
                y: h - bottom - tall,
                width: wide,
                height: tall,
                fill: colour(place, items.length),
            }),
        );
    });
    for (const [from, to] of skipped) {
        const a = items.findIndex((f) => f.frame === from),
            b = items.findIndex((f) => f.frame === to);
        if (a < 0 || b < 0) continue;
        const middle = (x(a) + x(b)) / 2,
            half = Math.max(3, Math.abs(x(b) - x(a)) / 2 - 3);
        parts.push(
            svg('rect', {
                class: 'gap',
                x: middle - half,
                y: top - 8,
                width: half * 2,
                height: h - bottom - top + 8,
                rx: 3,
            }),
        );
        parts.push(
            svg('text', {
                class: 'gap-mark',
                x: middle,
                y: top + 8,
                'text-anchor': 'middle',
                text: '!',
            }),
        );
    }
    let path = '';
    items.forEach((frame, place) => {
        if (frame.verdict === 'fused' && frame.sharpness !== null)
            path += `${path ? 'L' : 'M'}${x(place).toFixed(1)} ${y(frame.sharpness).toFixed(1)}`;
    });
    parts.push(svg('path', {class: 'line', d: path || 'M0 0'}));
    items.forEach((frame, place) => {
        const kind =
            frame.verdict === 'fused' ? 'good' : frame.verdict === 'aside' ? 'bad' : 'busy';
        const at = {cx: x(place), cy: frame.sharpness ? y(frame.sharpness) : h - bottom};
        const chosen = frame.frame === selected;
        parts.push(
            svg('circle', {
                class: `dot ${kind}${chosen ? ' selected' : ''}`,
                ...at,
                r: chosen ? 6.5 : 4,
            }),
        );
        parts.push(
            svg(
                'rect',
                {
                    class: 'hit',
                    x: x(place) - Math.max(6, step / 2),
                    y: 0,
                    width: Math.max(12, step),
                    height: h,
                    on: {click: () => picked(frame.frame)},
                },
                svg('title', {
                    text: `${format.name(frame.name)}${frame.sharpness ? `: ${frame.sharpness.toFixed(2)}` : ''}${won[place] ? `, sharpest in ${won[place]} zones` : ''}`,
                }),
            ),
        );
    });
    if (items.length) {
        parts.push(
            svg('text', {
                class: 'tick',
                x: x(0),
                y: h - 4,
                'text-anchor': items.length < 2 ? 'middle' : 'start',
                text: '1',
            }),
        );
        if (items.length > 1)
            parts.push(
                svg('text', {
                    class: 'tick',
                    x: x(items.length - 1),
                    y: h - 4,
                    'text-anchor': 'end',
                    text: String(items.length),
                }),
            );
    }
    const peak = fused.reduce(
        (best, f) => (!best || f.sharpness > best.sharpness ? f : best),
        null,
    );
    const said = !items.length
        ? 'Sharpness curve: no frames yet'
        : `Sharpness curve of ${format.plural(items.length, 'frame')}` +
          (peak
              ? `; sharpest is ${format.name(peak.name)} with ${peak.sharpness.toFixed(2)}`
              : '') +
          (skipped.length ? `; ${format.plural(skipped.length, 'focal plane')} missing` : '');
    draw(root, {w, h}, said, parts);
}

// How far the middle of the picture has moved against the reference: a path, in pixels.
export function moved(frame) {
    const h = frame.transform;
    if (!h || h.length !== 9 || !frame.width) return null;
    const x = frame.width / 2,
        y = frame.height / 2,
        w = h[6] * x + h[7] * y + h[8];
    if (!w) return null;
    const [dx, dy] = turned(
        frame.orientation,
        (h[0] * x + h[1] * y + h[2]) / w - x,
        (h[3] * x + h[4] * y + h[5]) / w - y,
    );
    return {dx, dy, scale: Math.hypot(h[0], h[3]), turn: Math.atan2(h[3], h[0])};
}

export function drift(root, {items, selected, picked}) {
    const {w, h} = size(root),
        pad = 14;
    const steps = items
        .map((frame, place) => ({frame, place, at: moved(frame)}))
        .filter((s) => s.at && s.frame.verdict === 'fused');
    const far = Math.max(0.5, ...steps.map((s) => Math.hypot(s.at.dx, s.at.dy)));
    const reach = nice(far),
        scale = (Math.min(w, h) / 2 - pad) / reach;
    const x = (dx) => w / 2 + dx * scale,
        y = (dy) => h / 2 + dy * scale;
    const parts = [1, 0.5].map((part) =>
        svg('circle', {class: 'round', cx: w / 2, cy: h / 2, r: reach * part * scale}),
    );
    parts.push(
        svg('line', {class: 'grid', x1: w / 2, x2: w / 2, y1: pad, y2: h - pad}),
        svg('line', {class: 'grid', x1: x(-reach), x2: x(reach), y1: h / 2, y2: h / 2}),
        svg('text', {
            class: 'tick',
            x: Math.min(w - 2, x(reach) + 4),
            y: h / 2 - 5,
            'text-anchor': x(reach) + 44 > w ? 'end' : 'start',
            text: `${reach} px`,
        }),
    );
    if (steps.length > 1)
        parts.push(
            svg('path', {
                class: 'line thin',
                d: steps
                    .map(
                        (s, i) =>
                            `${i ? 'L' : 'M'}${x(s.at.dx).toFixed(1)} ${y(s.at.dy).toFixed(1)}`,
                    )
                    .join(''),
            }),
        );
    for (const {frame, place, at} of steps) {
        const chosen = frame.frame === selected;
        parts.push(
            svg(
                'circle',
                {
                    class: `dot${chosen ? ' selected' : ''}`,
                    cx: x(at.dx),
                    cy: y(at.dy),
                    r: chosen ? 6.5 : 3.5,
                    fill: colour(place, items.length),
                    on: {click: () => picked(frame.frame)},
                },
                svg('title', {
                    text: `${format.name(frame.name)}: ${at.dx.toFixed(1)}, ${at.dy.toFixed(1)} px`,
                }),
            ),
        );
    }
    const last = steps[steps.length - 1];
    const said = last
        ? `Drift: at most ${far.toFixed(1)} pixels from the reference`
        : 'Drift: nothing aligned yet';
    draw(root, {w, h}, said, parts);
    return last
        ? {far, breathing: (last.at.scale - 1) * 100, turn: (last.at.turn * 180) / Math.PI}
        : null;
}
