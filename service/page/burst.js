// One burst: live while it is being shot, and as it came out. The headline, the stage, the strip,
// and beside them what is known.

import {button, el, panel, put, say, soon} from '/dom.js';
import {api, burstPath, get, post} from '/api.js';
import * as cover from '/cover.js';
import * as format from '/format.js';
import {ask, attempt, confirm, toast} from '/dialogs.js';
import {Headline, missing} from '/headline.js';
import {renderAlerts, renderEmpty, renderFrame, renderResult} from '/panels.js';
import {framePicture, mapPicture, out, shown, stackPicture} from '/pictures.js';
import {curve, drift} from '/plots.js';
import {leftOut, Strip} from '/strip.js';
import {Viewer} from '/viewer.js';

const BEFORE = '#7dd3fc',
    BEYOND = '#ffb545';
const RESTACK = [
    'fuse',
    'align',
    'motion',
    'judge',
    'equalise',
    'min_correlation',
    'clip',
    'format',
    'jpeg_quality',
    'depth_map',
    'confidence_map',
    'frame_map',
];

export class BurstView {
    constructor(store) {
        this.store = store;
        this.burst = null;
        this.mode = 'stack';
        this.comparing = false;
        this.wipe = 0.5;
        this.marks = true;
        this.selected = null;
        this.version = 0; // 0: the last one
        this.pictures = {
            depth: document.createElement('canvas'),
            winner: document.createElement('canvas'),
        };
        this.update = soon(() => this.render());
        this.build();
    }

    build() {
        this.headline = new Headline(this.store, (what, control) => this.act(what, control));
        this.alerts = el('div', {class: 'alerts'});
        this.viewer = new Viewer({
            changed: () => this.zoomed(),
            paint: (context, box) => this.paint(context, box),
        });
        this.viewer.wiped = (fraction) => {
            this.wipe = fraction;
        };
        const mode = (name, label) =>
            button(label, () => this.setMode(name), {'aria-pressed': 'false', 'data-mode': name});
        this.modes = el(
            'div',
            {class: 'segmented', role: 'group', 'aria-label': 'What is shown'},
            mode('stack', 'Stack'),
            mode('depth', 'Depth'),
            mode('winner', 'Winner'),
        );
        this.compare = button('Compare', () => this.setCompare(!this.comparing), {
            'aria-pressed': 'false',
        });
        this.marker = button('Coverage', () => this.setMarks(!this.marks), {
            'aria-pressed': 'true',
        });
        this.fit = button('Fit', () => this.viewer.fit(), {'aria-pressed': 'true'});
        this.one = button('1:1', () => this.viewer.oneToOne(), {'aria-pressed': 'false'});
        this.zoom = el('span', {class: 'dim zoom', 'aria-hidden': 'true'});
        this.title = el('h1', {class: 'title'});
        this.sub = el('p', {class: 'dim title-sub'});
        this.legend = el('p', {class: 'legend'});
        this.others = el('nav', {class: 'others', 'aria-label': 'Bursts at work', hidden: true});
        this.stage = el(
            'section',
            {class: 'stage panel', 'aria-label': 'Preview'},
            el(
                'header',
                {class: 'stage-head'},
                el('div', {class: 'titles'}, this.title, this.sub),
                el(
                    'div',
                    {class: 'tools'},
                    this.modes,
                    el(
                        'div',
                        {class: 'segmented', role: 'group', 'aria-label': 'Tools'},
                        this.compare,
                        this.marker,
                    ),
                    el(
                        'div',
                        {class: 'segmented', role: 'group', 'aria-label': 'Zoom'},
                        this.fit,
                        this.one,
                    ),
                ),
            ),
            el('div', {class: 'stage-picture'}, this.viewer.root, this.legend, this.zoom),
        );
        this.strip = new Strip((identity) => this.select(identity));

        this.curveBox = el('div', {class: 'plot'});
        this.driftBox = el('div', {class: 'plot square'});
        this.driftText = el('p', {class: 'plot-text dim'});
        this.mapCanvas = el('canvas', {class: 'zones', role: 'img'});
        this.resultBox = el('div', {});
        this.result = el(
            'section',
            {class: 'panel result', 'aria-label': 'Result'},
            this.resultBox,
        );
        this.frameBox = el('div', {class: 'frame-detail'});
        this.framePanel = panel('Frame', this.frameBox);
        this.side = el(
            'div',
            {class: 'side'},
            this.result,
            this.framePanel,
            panel('Sharpness', this.curveBox),
            el(
                'div',
                {class: 'pair'},
                panel('Drift', this.driftBox, this.driftText),
                panel(
                    'Sharpest where',
                    el(
                        'button',
                        {
                            type: 'button',
                            class: 'zones-button',
                            'aria-label': 'Show which frame won where',
                            on: {click: () => this.setMode('winner')},
                        },
                        this.mapCanvas,
                    ),
                    el(
                        'p',
                        {class: 'plot-text dim scale'},
                        el('span', {text: 'first'}),
                        el('span', {class: 'spectrum', 'aria-hidden': 'true'}),
                        el('span', {text: 'last'}),
                    ),
                ),
            ),
        );
        this.empty = el('section', {class: 'panel empty', hidden: true});
        this.body = el('div', {class: 'burst-body'}, this.stage, this.strip.root, this.side);
        this.root = el(
            'div',
            {class: 'burst-view'},
            this.others,
            this.headline.root,
            this.alerts,
            this.body,
            this.empty,
        );
        new ResizeObserver(this.update).observe(this.curveBox);
    }

    // ---- life

    open(id) {
        this.fixed = id || null;
        this.stop = this.store.listen((changes) => this.heard(changes));
        this.timer = setInterval(() => this.headline.tick(), 200);
        this.choose();
    }

    close() {
        clearInterval(this.timer);
        if (this.stop) this.stop();
        if (this.burst) this.burst.wanted = false;
    }

    heard(changes) {
        if (!this.fixed && (changes.has('bursts') || changes.has('status'))) this.choose();
        if (this.burst && (changes.has(this.burst.id) || changes.has('session'))) this.update();
        if (!this.burst || changes.has('bursts')) this.update();
    }

    choose() {
        const store = this.store;
        const burst = this.fixed
            ? store.ensure(this.fixed)
            : (this.pinned && store.burst(this.pinned)) || store.current();
        if (burst === this.burst) return;
        if (this.burst) this.burst.wanted = false;
        this.burst = burst;
        this.selected = null;
        this.version = 0;
        this.viewer.size = null;
        this.viewer.show(null, null);
        if (burst) {
            burst.wanted = true;
            if (!burst.loaded && !burst.loading)
                store.load(burst.id).catch((error) => {
                    if (this.burst === burst) this.absent(error.message);
                });
        }
        this.update();
    }

    absent(message) {
        this.body.hidden = this.headline.root.hidden = true;
        this.empty.hidden = false;
        put(
            this.empty,
            el('h1', {text: 'This burst cannot be shown'}),
            el('p', {text: message}),
            el('a', {href: '#/history', text: 'To the history'}),
        );
    }

    // ---- what the hands do

    select(identity) {
        this.selected = identity;
        this.update();
    }

    step(by) {
        const {items} = this.burst || {items: []};
        if (!items.length) return;
        const at = items.findIndex((f) => f.frame === this.selected);
        const to =
            at < 0
                ? by > 0
                    ? 0
                    : items.length - 1
                : Math.min(items.length - 1, Math.max(0, at + by));
        this.select(items[to].frame);
        this.strip.reveal(items[to].frame);
    }

    setMode(mode) {
        this.mode = mode;
        this.update();
    }

    setMarks(on) {
        this.marks = on;
        this.update();
    }

    // With the frame that is selected; without one, with that which has most of the picture sharpest.
    setCompare(on) {
        this.comparing = on;
        if (on && !this.selected && this.burst && this.burst.items.length) {
            const won = cover.wins(cover.coverage(this.burst), this.burst.items.length);
            this.selected = this.burst.items[won.indexOf(Math.max(...won))].frame;
            this.strip.reveal(this.selected);
        }
        this.update();
        this.toWipe = on;
    }

    act(what, control) {
        const path = burstPath(this.burst.id);
        if (what === 'finish') attempt(() => post(`${path}/finish`), control);
        else if (what === 'retry')
            attempt(async () => {
                await post(`${path}/retry`);
                toast('The burst is tried again.');
            }, control);
        else if (what === 'download') {
            const file =
                shown(this) &&
                shown(this).files.find(
                    (f) => f.name.startsWith('stack.') && f.name !== 'stack.json',
                );
            if (file) location.assign(file.link);
        }
    }

    async finish() {
        const {burst, store} = this;
        if (!burst || burst.summary.state !== 'open' || !store.may()) return;
        if (
            await confirm(
                'Finish the burst now?',
                `${format.plural(burst.items.length, 'frame')} are in. Frames that come later make a new burst.`,
                'Finish now',
            )
        )
            this.act('finish');
    }

    async restack() {
        const {burst, store} = this;
        if (!burst || !['published', 'failed'].includes(burst.summary.state) || !store.may())
            return;
        const all = await attempt(() => get(`${api}/settings`));
        if (!all) return;
        const rows = RESTACK.map((key) => all.settings.find((s) => s.key === key)).filter(Boolean);
        const settings = await ask(
            'Restack with…',
            'A new version is made from the same frames; the earlier ones stay.',
            rows,
            burst.settings || {},
            'Restack',
        );
        if (!settings) return;
        const answer = await attempt(() => post(`${burstPath(burst.id)}/restack`, {settings}));
        if (answer) {
            this.version = 0;
            toast(`Version ${answer.version ?? burst.summary.version + 1} is being made.`);
        }
    }

    async discard() {
        const frame = this.burst && this.burst.frame(this.selected);
        if (!frame || !this.store.may()) return;
        const path = `${burstPath(this.burst.id)}/frames/${encodeURIComponent(frame.frame)}`;
        const back = leftOut(frame);
        const done = await attempt(() => post(`${path}/${back ? 'restore' : 'discard'}`));
        if (done && back) toast(`${format.name(frame.name)} is taken back.`);
        else if (done)
            toast(`${format.name(frame.name)} is left out.`, '', {
                label: 'Undo',
                run: () => attempt(() => post(`${path}/restore`)),
            });
    }

    key(event) {
        const keys = {
            ArrowLeft: () => this.step(-1),
            ArrowRight: () => this.step(1),
            c: () => this.setCompare(!this.comparing),
            s: () => this.setMode('stack'),
            d: () => this.setMode('depth'),
            w: () => this.setMode('winner'),
            m: () => this.setMarks(!this.marks),
            0: () => this.viewer.fit(),
            z: () => this.viewer.oneToOne(),
            '+': () => this.viewer.zoomTo(this.viewer.scale * 1.5),
            '-': () => this.viewer.zoomTo(this.viewer.scale / 1.5),
            f: () => this.finish(),
            x: () => this.discard(),
            r: () => this.restack(),
        };
        const run =
            this.burst && keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
        if (run) run();
        return Boolean(run);
    }

    // ---- the picture

    paint(context, box) {
        if (!this.burst || !this.found || !this.marks || !this.found.known) return;
        const open = this.burst.summary.state === 'open',
            lacks = missing(this.burst, this.found);
        if (open || lacks.before)
            cover.mark(context, this.found.before, box, BEFORE, open && !lacks.before);
        if (open || lacks.beyond) cover.mark(context, this.found.beyond, box, BEYOND, open);
    }

    zoomed() {
        const {viewer} = this,
            percent = viewer.percent();
        this.fit.setAttribute('aria-pressed', viewer.fitted);
        this.one.setAttribute('aria-pressed', percent === 100);
        say(this.zoom, viewer.size ? `${percent} %` : '');
    }

    // ---- drawing

    render() {
        const {burst, store} = this;
        this.renderOthers();
        if (!burst || (!burst.items.length && burst.summary.frames === 0)) {
            renderEmpty(this);
            return;
        }
        this.body.hidden = this.headline.root.hidden = false;
        this.empty.hidden = true;
        if (this.selected && !burst.frame(this.selected)) this.selected = null;
        const found = (this.found = cover.coverage(burst)),
            s = burst.summary;
        const skipped = (burst.coverage && burst.coverage.skipped) || [];
        const best = Math.max(0, ...burst.items.map((f) => f.sharpness || 0));

        say(this.title, format.camera(s.camera));
        say(this.sub, `${format.captured(s.first)} · ${burst.id}`);
        this.headline.show(burst, found);
        // The tab of a window that lies behind another says it, too.
        document.title = `${this.headline.done.big.textContent} · ${format.plural(burst.items.length, 'frame')} – parfocal`;
        renderAlerts(this, skipped);
        this.strip.show(
            burst.items,
            skipped,
            burst.summary.state === 'open' ? store.arriving : [],
            this.selected,
            best,
        );

        this.viewer.resize(burst.size());
        const first = this.mode === 'stack' ? stackPicture(this) : mapPicture(this, this.mode);
        const second = this.comparing ? framePicture(this) : null;
        this.viewer.show(first, second, this.wipe);
        if (this.toWipe && second) this.viewer.handle.focus({preventScroll: true});
        this.toWipe = false;
        const frame = burst.frame(this.selected);
        if (second)
            this.viewer.names(
                {stack: 'Stack', depth: 'Depth', winner: 'Winner'}[this.mode],
                format.name(frame.name),
            );
        for (const b of this.modes.children)
            b.setAttribute('aria-pressed', b.dataset.mode === this.mode);
        this.compare.setAttribute('aria-pressed', Boolean(second));
        this.compare.disabled = !burst.items.length;
        this.marker.setAttribute('aria-pressed', this.marks);
        const lacks = missing(burst, found);
        this.viewer.label(this.describe(s, lacks));
        this.renderLegend(s, lacks);
        this.zoomed();

        curve(this.curveBox, {
            items: burst.items,
            skipped,
            selected: this.selected,
            found,
            picked: (id) => this.select(id),
        });
        const far = drift(this.driftBox, {
            items: burst.items,
            selected: this.selected,
            picked: (id) => this.select(id),
        });
        say(
            this.driftText,
            far
                ? `most ${far.far.toFixed(1)} px · breathing ${far.breathing.toFixed(1)} %`
                : 'nothing aligned yet',
        );
        cover.winnerPicture(
            this.mapCanvas,
            found,
            burst.items.length,
            burst.items.findIndex((f) => f.frame === this.selected),
        );
        this.mapCanvas.setAttribute(
            'aria-label',
            `Which frame is sharpest where, on ${cover.GRID} by ${cover.GRID} zones`,
        );
        renderResult(this, s);
        renderFrame(this, frame);
    }

    describe(s, lacks) {
        const what =
            this.mode === 'stack'
                ? s.state === 'published'
                    ? 'The stack'
                    : 'The stack so far'
                : this.mode === 'depth'
                  ? 'Depth map'
                  : 'Which frame won where';
        const zones = lacks.before + lacks.beyond;
        return `${what}${zones ? `; ${format.plural(zones, 'zone')} sharp in no frame` : ''}${this.comparing ? '; compared with a frame' : ''}`;
    }

    renderLegend(s, lacks) {
        const entries = [];
        const open = s.state === 'open';
        if (this.marks && this.found.known) {
            if (lacks.before)
                entries.push(el('span', {class: 'key before', text: 'before the first frame'}));
            if (open && lacks.coming)
                entries.push(el('span', {class: 'key beyond', text: 'not sharp yet'}));
            if (lacks.beyond)
                entries.push(el('span', {class: 'key beyond', text: 'beyond the last frame'}));
        }
        if (this.mode !== 'stack') {
            entries.push(
                el(
                    'span',
                    {class: 'key-scale'},
                    el('span', {text: 'first frame'}),
                    el('span', {class: 'spectrum', 'aria-hidden': 'true'}),
                    el('span', {text: 'last'}),
                ),
            );
            if (!out(this)) entries.push(el('span', {text: 'estimated from 16 × 16 zones'}));
        }
        put(this.legend, ...entries);
        this.legend.hidden = !entries.length;
    }

    renderOthers() {
        if (this.fixed) {
            if (this.others.hidden)
                put(this.others, el('a', {href: '#/history', text: '← History'}));
            this.others.hidden = false;
            return;
        }
        const open = this.store.open();
        this.others.hidden = open.length < 2;
        if (open.length < 2) {
            if (this.pinned && !open.length) this.pinned = null;
            return;
        }
        put(
            this.others,
            el('span', {class: 'dim', text: `${open.length} bursts at work`}),
            ...open.map((b) =>
                button(
                    `${format.camera(b.summary.camera)} · ${format.plural(b.summary.frames, 'frame')}`,
                    () => {
                        this.pinned = b.id;
                        this.choose();
                    },
                    {class: 'small', 'aria-pressed': String(b === this.burst)},
                ),
            ),
        );
    }
}
