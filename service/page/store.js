// What is known of the service: fetched once, then kept up by its events. Views read it, and are
// called when something that they named has changed.

import {api, burstPath, get, remove, Stream} from '/api.js';

const STATUS_MS = 5000;
const KEPT = 16;

// Whether a was shot after b; frames of one second are told apart by their counters.
function isLater(a, b) {
    const times = [a.capture_ms ?? Infinity, b.capture_ms ?? Infinity];
    return times[0] === times[1] ? a.counter > b.counter : times[0] > times[1];
}

class Burst {
    constructor(summary) {
        this.id = summary.id;
        this.summary = summary;
        this.items = []; // frames in capture order
        this.coverage = null;
        this.outside = {};
        this.versions = [];
        this.settings = null;
        this.tiles = null;
        this.loaded = false;
        this.loading = null;
        this.missed = []; // events that came while it was fetched
        this.lastFrameAt = 0;
        this.lagMs = null;
    }

    frame(identity) {
        return this.items.find((frame) => frame.frame === identity) || null;
    }

    // Where the stack lies in the world of pixels, upright.
    size() {
        if (this.tiles) return {width: this.tiles.width, height: this.tiles.height};
        const frame = this.items.find((f) => f.reference) || this.items.find((f) => f.width);
        if (!frame) return null;
        const turned = frame.orientation >= 5;
        return {
            width: turned ? frame.height : frame.width,
            height: turned ? frame.width : frame.height,
        };
    }

    count() {
        this.summary.fused = this.items.filter((f) => f.verdict === 'fused').length;
        this.summary.aside = this.items.filter((f) => f.verdict === 'aside').length;
        this.summary.frames = Math.max(this.items.length, this.summary.frames || 0);
    }

    put(frame) {
        const at = this.items.findIndex((f) => f.frame === frame.frame);
        if (at >= 0) {
            const links = {...this.items[at].links};
            for (const [key, link] of Object.entries(frame.links || {}))
                if (link) links[key] = link;
            this.items[at] = {...this.items[at], ...frame, links};
            return;
        }
        let to = this.items.length;
        while (to > 0 && isLater(this.items[to - 1], frame)) to--;
        this.items.splice(to, 0, {links: {}, ...frame});
        // Where the focus was driven, its places are the order.
        if (this.items.every((f) => Number.isFinite(f.focus_at)))
            this.items.sort((a, b) => a.focus_at - b.focus_at);
    }
}

export class Store {
    constructor() {
        this.connection = 'connecting'; // 'live', 'away'
        this.lostAt = 0;
        this.session = null;
        this.status = null;
        this.version = null;
        this.outdated = false;
        this.bursts = new Map();
        this.arriving = new Map(); // frames that are in no burst yet: identity -> name
        this.latest = null; // id of the burst that something happened to last
        this.skew = 0; // the service's clock less ours
        this.camera = {}; // by source: what was answered last
        this.listeners = new Set();
        this.speakers = new Set();
        this.changes = new Set();
        this.stream = new Stream(
            (type, data) => this.hear(type, data),
            (up) => this.connected(up),
        );
        document.addEventListener('visibilitychange', () => {
            if (!document.hidden && this.connection === 'live') this.refresh(false).catch(() => {});
        });
    }

    // ---- for the views

    // f(changes): a Set of 'connection', 'session', 'status', 'bursts', 'camera', 'settings' and ids.
    listen(f) {
        this.listeners.add(f);
        return () => this.listeners.delete(f);
    }

    // f(type, data, burst): every event, at once: for what is to be said aloud.
    overhear(f) {
        this.speakers.add(f);
        return () => this.speakers.delete(f);
    }

    now() {
        return Date.now() + this.skew;
    }

    burst(id) {
        return this.bursts.get(id) || null;
    }

    may() {
        return !this.session || this.session.access === 'full';
    }

    // The token is forgotten here.
    async leave() {
        this.session = await remove(`${api}/session`);
        this.stream.close();
        clearInterval(this.timer);
        this.connection = 'connecting';
        this.touch('session');
    }

    sources() {
        return (this.status && this.status.sources) || [];
    }

    // Bursts that are at work, the newest first.
    open() {
        return [...this.bursts.values()]
            .filter((b) => b.summary.state === 'open' || b.summary.state === 'complete')
            .sort((a, b) => b.summary.opened_ms - a.summary.opened_ms);
    }

    // The burst that the live view shows.
    current() {
        const open = this.open();
        const last = this.latest && this.bursts.get(this.latest);
        return open.find((b) => b === last) || open[0] || last || null;
    }

    // ---- fetching

    async start() {
        this.session = await get(`${api}/session`);
        this.touch('session');
        if (this.session.access === 'none') return;
        await this.refresh(true);
        this.stream.open(this.status.last_event);
        clearInterval(this.timer);
        this.timer = setInterval(() => {
            if (!document.hidden && this.connection === 'live') this.refresh(false).catch(() => {});
        }, STATUS_MS);
    }

    async refresh(all) {
        this.take(await get(`${api}/status`));
        if (!all) return;
        for (const burst of this.bursts.values()) burst.loaded = false;
        for (const summary of this.status.open) this.ensure(summary.id, summary);
        const page = await get(`${api}/bursts?limit=1`);
        if (page.bursts[0]) {
            this.ensure(page.bursts[0].id, page.bursts[0]);
            this.latest =
                this.latest && this.bursts.has(this.latest) ? this.latest : page.bursts[0].id;
        }
        const open = this.open();
        if (open[0]) this.latest = open[0].id;
        await Promise.all(
            [...this.bursts.values()]
                .filter((b) => b.wanted || b.id === this.latest || open.includes(b))
                .map((b) => this.load(b.id).catch(() => {})),
        );
        this.touch('bursts');
    }

    take(status) {
        this.skew = status.now_ms - Date.now();
        this.status = status;
        this.touch('status');
    }

    ensure(id, summary) {
        let burst = this.bursts.get(id);
        if (!burst) {
            burst = new Burst({
                id,
                state: 'open',
                frames: 0,
                fused: 0,
                aside: 0,
                version: 0,
                wanted: 0,
                camera: {},
                opened_ms: this.now(),
                changed_ms: this.now(),
                links: {},
                ...summary,
            });
            this.bursts.set(id, burst);
            this.forget();
        } else if (summary) {
            burst.summary = {...burst.summary, ...summary};
        }
        return burst;
    }

    // A page may stay open for weeks.
    forget() {
        for (const burst of this.bursts.values()) {
            if (this.bursts.size <= KEPT) break;
            const busy = burst.summary.state === 'open' || burst.summary.state === 'complete';
            if (!busy && !burst.wanted && burst.id !== this.latest) this.bursts.delete(burst.id);
        }
    }

    // A burst with its frames. What happens to it meanwhile is applied to what came.
    async load(id) {
        const burst = this.ensure(id);
        if (burst.loading) {
            burst.again = true;
            return burst.loading;
        }
        burst.missed = [];
        burst.loading = get(`${burstPath(id)}?grids=true`).then((full) => {
            const {items, coverage, versions, settings, tiles, curve, drift, ...summary} = full;
            burst.summary = {...burst.summary, ...summary};
            burst.items = items.map((frame) => ({...frame, links: {...frame.links}}));
            Object.assign(burst, {coverage, versions: versions || [], settings, tiles});
            burst.loaded = true;
        });
        try {
            await burst.loading;
        } catch (error) {
            if (!burst.items.length && error.status === 404) this.bursts.delete(id);
            throw error;
        } finally {
            burst.loading = null;
            const missed = burst.missed.splice(0);
            for (const [type, data] of missed) this.apply(type, data);
            this.touch(id, 'bursts');
            if (burst.again) {
                burst.again = false;
                this.load(id).catch(() => {});
            }
        }
        return undefined;
    }

    // ---- events

    connected(up) {
        if (up && this.connection === 'away') this.refresh(false).catch(() => {});
        if (!up && this.connection !== 'away') this.lostAt = Date.now();
        this.connection = up ? 'live' : 'away';
        this.touch('connection');
        // A service that has a token now answers the stream with 401, which no page is told.
        if (!up)
            get(`${api}/session`).then(
                (session) => {
                    const changed = !this.session || session.access !== this.session.access;
                    this.session = session;
                    if (changed) this.touch('session');
                    if (session.access === 'none') this.stream.close();
                },
                () => {},
            );
    }

    hear(type, data) {
        const id = typeof data.burst === 'string' ? data.burst : null;
        const burst = id && this.bursts.get(id);
        if (burst && burst.loading) burst.missed.push([type, data]);
        this.apply(type, data);
        for (const speaker of this.speakers) speaker(type, data, id && this.bursts.get(id));
    }

    apply(type, data) {
        const [kind] = type.split('.');
        if (kind === 'burst' || type === 'preview') this.onBurst(type, data);
        else if (kind === 'frame') this.onFrame(type, data);
        else this.onService(type, data);
    }

    onService(type, data) {
        const status = this.status;
        if (type === 'hello') {
            this.outdated = this.version !== null && this.version !== data.version;
            this.version = this.version ?? data.version;
            this.touch('connection');
        } else if (type === 'reset') {
            this.arriving.clear();
            this.refresh(true).catch(() => {});
        } else if (type === 'source' && status) {
            // Cameras come while the service runs.
            const at = status.sources.findIndex((s) => s.source === data.source.source);
            if (at >= 0) status.sources[at] = {...status.sources[at], ...data.source};
            else status.sources.push(data.source);
        } else if (type === 'delivery' && status) {
            const rest = (status.hooks || []).filter((h) => h.id !== data.delivery.id);
            status.hooks = [data.delivery, ...rest];
        } else if (type === 'worker' && status) {
            status.worker = data.worker;
        } else if (type === 'trouble' && status) {
            status.troubles = status.troubles.filter((t) => t.id !== data.trouble.id);
            if (data.on) status.troubles.push(data.trouble);
            status.health = status.troubles.length ? 'degraded' : 'ok';
        } else if (type === 'camera') {
            this.camera[data.source] = data.answer;
            this.touch('camera');
        } else if (type === 'settings') {
            this.touch('settings');
        }
        this.touch('status');
    }

    onFrame(type, data) {
        const identity =
            typeof data.frame === 'string' ? data.frame : data.frame && data.frame.frame;
        if (type === 'frame.seen') this.arriving.set(identity, data.name);
        if (type === 'frame.rejected' || type === 'frame.joined') this.arriving.delete(identity);
        if (!data.burst) {
            if (type === 'frame.rejected') this.touch('status');
            this.touch('bursts');
            return;
        }
        const burst = this.ensure(data.burst);
        const frame = burst.frame(identity);
        if (type === 'frame.joined') {
            burst.put(data.frame);
            burst.summary.frames = data.frames;
            burst.summary.last = data.frame.captured ?? burst.summary.last;
            burst.lastFrameAt = this.now();
            if (data.late) burst.summary.state = 'open';
            this.latest = burst.id;
            if (!burst.loaded && !burst.loading && data.frames > burst.items.length)
                this.load(burst.id).catch(() => {});
        } else if (type === 'frame.decoding' && frame) {
            frame.state = 'decoding';
        } else if (type === 'frame.progress' && frame) {
            frame.progress = data;
        } else if (type === 'frame.thumbnail' && frame) {
            frame.links[data.size] = data.link;
        } else if (type === 'frame.scored' || type === 'frame.aside') {
            burst.put({...data.frame, progress: null});
            burst.count();
        } else if (type === 'frame.restored') {
            if (frame)
                Object.assign(frame, {
                    discarded: false,
                    verdict: null,
                    cause: null,
                    reason: null,
                    state: 'waiting',
                });
            burst.count();
        }
        this.touch(burst.id);
    }

    onBurst(type, data) {
        const known = this.bursts.has(data.burst);
        const burst = this.ensure(data.burst, data.summary);
        const summary = burst.summary;
        if (type === 'burst.stage') summary.stage = data.stage;
        else if (type === 'burst.deadline') summary.deadline_ms = data.deadline_ms;
        else if (type === 'burst.coverage') burst.coverage = data.coverage;
        else if (type === 'burst.outside') burst.outside[data.side] = data;
        else if (type === 'preview') {
            summary.preview = data.preview;
            summary.links = {...summary.links, preview: data.link};
        }
        if (data.lag_ms !== undefined) burst.lagMs = data.lag_ms;
        if (type === 'burst.opened') {
            this.latest = data.burst;
            burst.loaded = true; // all of it comes as events
        }
        const anew = ['burst.published', 'burst.failed', 'burst.again', 'burst.not_a_stack'];
        if ((anew.includes(type) && known) || (!known && type !== 'burst.opened'))
            this.load(data.burst).catch(() => {});
        if (type !== 'burst.deadline') this.touch('bursts');
        this.touch(data.burst);
    }

    // ---- telling the views, once for all that comes together

    touch(...names) {
        const first = this.changes.size === 0;
        for (const name of names) this.changes.add(name);
        if (first)
            queueMicrotask(() => {
                const changes = this.changes;
                this.changes = new Set();
                for (const listener of [...this.listeners]) listener(changes);
            });
    }
}
