// Four answers at a glance: is it arriving, is it sharp, is anything missing, when is it done.

import {button, el, say, svg} from '/dom.js';
import * as format from '/format.js';

const ROUND = 2 * Math.PI * 20;

// As the service does (process/coverage.h): fewer cells are chance.
function worth(cells, detail) {
    return cells >= 6 && cells * 30 >= detail;
}

export function missing(burst, found) {
    const skipped = (burst.coverage && burst.coverage.skipped) || [];
    const over = burst.summary.state !== 'open';
    const before = found.known && worth(found.before.size, found.detail) ? found.before.size : 0;
    const beyond =
        found.known && over && worth(found.beyond.size, found.detail) ? found.beyond.size : 0;
    // How many planes are missing between each pair, where the service can tell.
    const counts = (burst.coverage && burst.coverage.missing) || [];
    const planes = skipped.reduce((sum, _, place) => sum + Math.max(1, counts[place] || 1), 0);
    return {skipped, counts, planes, before, beyond, coming: over ? 0 : found.beyond.size};
}

function card(title, extra) {
    const big = el('span', {class: 'big'}),
        sub = el('span', {class: 'sub'});
    const root = el(
        'div',
        {class: 'card'},
        el('div', {class: 'card-text'}, el('h2', {text: title}), big, sub),
        extra || [],
    );
    return {
        root,
        big,
        sub,
        kind: (kind) => {
            root.className = `card ${kind}`;
        },
    };
}

export class Headline {
    constructor(store, act) {
        this.store = store;
        this.frames = card('Frames');
        this.sharp = card('Sharp');
        this.missing = card('Missing');
        this.circle = svg('circle', {
            class: 'ring-left',
            cx: 24,
            cy: 24,
            r: 20,
            'stroke-dasharray': ROUND,
        });
        this.ring = svg(
            'svg',
            {class: 'ring', viewBox: '0 0 48 48', 'aria-hidden': 'true'},
            svg('circle', {class: 'ring-all', cx: 24, cy: 24, r: 20}),
            this.circle,
        );
        this.action = button('Finish now', () => act(this.doing, this.action), {
            class: 'primary',
            hidden: true,
        });
        this.done = card('Done', [this.ring, this.action]);
        this.root = el(
            'section',
            {class: 'headline', 'aria-label': 'At a glance'},
            this.frames.root,
            this.sharp.root,
            this.missing.root,
            this.done.root,
        );
        this.whole = 0;
    }

    show(burst, found) {
        this.burst = burst;
        const s = burst.summary,
            items = burst.items;
        const total = Math.max(s.frames, items.length);
        say(this.frames.big, String(total));
        const lacks = missing(burst, found);

        const share = found.known && found.sharp !== null ? Math.round(found.sharp * 100) : null;
        say(this.sharp.big, share === null ? '–' : `${share} %`);
        const few = items.filter((f) => f.verdict === 'fused').length;
        say(
            this.sharp.sub,
            share !== null
                ? 'of the detail'
                : s.state === 'open'
                  ? `known from 5 frames on${few ? `, ${few} so far` : ''}`
                  : 'not known',
        );
        this.sharp.kind(
            share === null
                ? ''
                : share >= 97
                  ? 'good'
                  : s.state === 'open'
                    ? ''
                    : share < 85
                      ? 'warn'
                      : '',
        );

        const planes = lacks.planes,
            zones = lacks.before + lacks.beyond;
        if (planes) {
            const [from, to] = lacks.skipped[lacks.skipped.length - 1].map((id) => burst.frame(id));
            say(this.missing.big, format.plural(planes, 'plane'));
            say(
                this.missing.sub,
                from && to
                    ? `between ${format.stem(from.name)} and ${format.stem(to.name)}`
                    : 'a focal plane was skipped',
            );
            this.missing.kind('bad');
        } else if (zones) {
            say(this.missing.big, format.plural(zones, 'zone'));
            say(
                this.missing.sub,
                lacks.before && lacks.beyond
                    ? 'before the first and beyond the last frame'
                    : lacks.before
                      ? 'before the first frame'
                      : 'beyond the last frame',
            );
            this.missing.kind('warn');
        } else if (!found.known) {
            say(this.missing.big, '–');
            say(this.missing.sub, 'nothing can be said yet');
            this.missing.kind('');
        } else {
            say(this.missing.big, 'Nothing');
            say(
                this.missing.sub,
                lacks.coming
                    ? `so far; ${format.plural(lacks.coming, 'zone')} still to come`
                    : 'every plane is there',
            );
            this.missing.kind('good');
        }
        this.tick();
    }

    // What changes with time alone.
    tick() {
        const {burst, store} = this;
        if (!burst) return;
        const s = burst.summary,
            now = store.now();
        const open = s.state === 'open';
        const since = burst.lastFrameAt ? now - burst.lastFrameAt : null;
        const arriving = open && since !== null && since < 3000;
        const verdicts = [s.fused ? `${s.fused} fused` : '', s.aside ? `${s.aside} set aside` : '']
            .filter(Boolean)
            .join(', ');
        say(
            this.frames.sub,
            arriving
                ? 'arriving now'
                : open && since !== null
                  ? `last ${format.span(since)} ago`
                  : verdicts || (open ? 'arriving' : 'none'),
        );
        this.frames.kind(arriving ? 'live' : '');
        this.frames.root.title = verdicts;

        const left = open && s.deadline_ms ? s.deadline_ms - now : null;
        this.whole = left === null || left <= 0 ? 0 : Math.max(this.whole, left);
        const {word, sub, kind, action} = this.end(s, left);
        say(this.done.big, word);
        say(this.done.sub, sub);
        this.done.kind(kind);
        this.ring.toggleAttribute('hidden', left === null);
        this.circle.style.strokeDashoffset = String(
            ROUND * (1 - (left > 0 && this.whole ? left / this.whole : 0)),
        );
        this.doing = action;
        this.action.hidden = !action || !store.may();
        if (store.connection === 'away') this.action.disabled = true;
        else if (this.stopped) this.action.disabled = false;
        this.stopped = store.connection === 'away';
        say(
            this.action,
            {finish: 'Finish now', retry: 'Retry', download: 'Download'}[action] || '',
        );
    }

    end(s, left) {
        const {burst} = this;
        if (s.state === 'failed')
            return {
                word: 'Failed',
                sub: format.name(s.detail) || 'no reason is known',
                kind: 'bad',
                action: 'retry',
            };
        if (s.state === 'not a stack')
            return {
                word: 'No stack',
                sub: format.name(s.detail) || 'it is no focus bracket',
                kind: 'warn',
            };
        if (s.state === 'published') {
            const lag =
                burst.lagMs !== null ? `, ${format.seconds(burst.lagMs)} after the last frame` : '';
            return {
                word: 'Ready',
                sub: s.version > 1 ? `version ${s.version}${lag}` : `stacked${lag}`,
                kind: 'good',
                action: 'download',
            };
        }
        if (s.state === 'complete') {
            const words = {writing: 'Writing', publishing: 'Publishing', waiting: 'Waiting'};
            return {
                word: words[s.stage] || 'Stacking',
                sub: format.name(s.complete)
                    ? `ended: ${format.name(s.complete)}`
                    : 'all frames are in',
                kind: 'live',
            };
        }
        if (left === null)
            return {word: 'Open', sub: 'waits for frames', kind: '', action: 'finish'};
        return {
            word: `${Math.max(0, Math.ceil(left / 1000))} s`,
            sub: left > 0 ? 'until the burst closes' : 'closing',
            kind: '',
            action: 'finish',
        };
    }
}
