// What the stage shows of a burst: URLs of previews, maps and tiles, or what can be drawn without.
// view: burst, found (cover.js), version, selected, pictures (canvases to draw on).

import {burstPath} from '/api.js';
import * as cover from '/cover.js';

function withQuery(link, query) {
    const pairs = Object.entries(query).filter(([, value]) => value);
    if (!pairs.length) return link;
    return `${link}${link.includes('?') ? '&' : '?'}${pairs.map(([k, v]) => `${k}=${encodeURIComponent(v)}`).join('&')}`;
}

// The version that is looked at, once one is out.
export function shown(view) {
    const {versions} = view.burst;
    return (
        versions.find((v) => v.version === view.version) || versions[versions.length - 1] || null
    );
}

export function out(view) {
    const version = shown(view);
    return version && !version.missing && view.burst.summary.state !== 'open' ? version : null;
}

function tilesOf(view, what, version) {
    const {tiles} = view.burst;
    if (!tiles) return null;
    const fill = {what: encodeURIComponent(what)};
    return {
        size: tiles.size,
        levels: tiles.levels,
        url: (level, x, y) =>
            withQuery(
                tiles.template.replace(/\{(\w+)\}/g, (_, part) => ({...fill, level, x, y})[part]),
                {version},
            ),
    };
}

export function stackPicture(view) {
    const {burst} = view,
        version = out(view),
        s = burst.summary;
    const key = `${burst.id}/stack/${version ? version.version : 'live'}`;
    if (version)
        return {
            key,
            base: withQuery(s.links.preview || `${burstPath(burst.id)}/preview.jpg`, {
                version: version.version,
            }),
            tiles: tilesOf(view, 'stack', version.version),
        };
    if (s.links.preview) return {key, base: withQuery(s.links.preview, {n: s.preview})};
    const frame = [...burst.items].reverse().find((f) => f.links.large || f.links.small);
    return frame ? {key, base: frame.links.large || frame.links.small} : null;
}

// The map of a version that is out; before, what is known of it: an estimate of the zones.
export function mapPicture(view, name) {
    const {burst, found} = view,
        version = out(view);
    const has =
        version &&
        (version.files.some((f) => f.name === 'depth.png') ||
            (name === 'winner' && version.files.some((f) => f.name === 'frames.png')));
    const place = burst.items.findIndex((f) => f.frame === view.selected);
    if (has)
        return {
            key: `${burst.id}/${name}/${version.version}`,
            tiles: tilesOf(view, name, version.version),
            base: withQuery(`${burstPath(burst.id)}/maps/${name}.jpg`, {version: version.version}),
        };
    cover.winnerPicture(
        view.pictures[name],
        found,
        burst.items.length,
        name === 'winner' ? place : -1,
    );
    return {
        key: `${burst.id}/${name}/estimate`,
        base: view.pictures[name],
        blocks: name === 'winner',
        below: (stackPicture(view) || {}).base,
    };
}

export function framePicture(view) {
    const frame = view.burst.frame(view.selected);
    if (!frame) return null;
    const base = frame.links.large || frame.links.small;
    // Discarded and refused ones lie nowhere in the stack: as they were shot.
    return {
        key: `${view.burst.id}/${frame.frame}`,
        base,
        tiles: frame.verdict === 'fused' ? tilesOf(view, frame.frame) : null,
        rough: true,
    };
}
