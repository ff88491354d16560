// Where the page begins: views by the address's hash, what is always seen at the top, keys, and what
// is read aloud.

import {button, el, put, say} from '/dom.js';
import {api, post} from '/api.js';
import * as format from '/format.js';
import {BurstView} from '/burst.js';
import {CameraView} from '/camera.js';
import {announce, help, toast} from '/dialogs.js';
import {HistoryView} from '/history.js';
import {keep, kept, sound, stayAwake} from '/senses.js';
import {Store} from '/store.js';
import {device, SystemView} from '/system.js';

const KEYS = 'parfocal.keys';

const store = new Store();
const main = document.getElementById('main');
const nav = document.getElementById('nav');
const pills = document.getElementById('pills');
const banner = document.getElementById('banner');
let view = null,
    viewName = '';
let singleKeys = kept(KEYS) !== 'off';

// ---- views

const VIEWS = {
    live: () => new BurstView(store),
    burst: () => new BurstView(store),
    history: () => new HistoryView(store),
    camera: () => new CameraView(store),
    system: () => new SystemView(store),
};
const TITLES = {
    live: 'Live',
    burst: 'Burst',
    history: 'History',
    camera: 'Camera',
    system: 'System',
};

function route(focus) {
    const [, name, id] = /^#\/(\w+)(?:\/(.*))?$/.exec(location.hash) || [null, 'live'];
    const known = name in VIEWS ? name : 'live';
    if (store.session && store.session.access === 'none') {
        login();
        return;
    }
    nav.hidden = pills.hidden = false;
    if (view && view.close) view.close();
    view = VIEWS[known]();
    viewName = known;
    put(main, view.root);
    main.className = `view-${known}`;
    view.open(id ? decodeURIComponent(id) : undefined);
    document.title = `${TITLES[known]} – parfocal`;
    for (const link of nav.querySelectorAll('a')) {
        const here = link.getAttribute('href') === `#/${known === 'burst' ? 'history' : known}`;
        if (here) link.setAttribute('aria-current', 'page');
        else link.removeAttribute('aria-current');
    }
    if (focus) main.focus({preventScroll: true});
}

function login() {
    if (view && view.close) view.close();
    view = null;
    nav.hidden = pills.hidden = true;
    const input = el('input', {
        type: 'password',
        id: 'token',
        autocomplete: 'current-password',
        required: true,
    });
    const wrong = el('p', {class: 'bad-text', role: 'alert'});
    const form = el(
        'form',
        {class: 'panel login'},
        el('h1', {text: 'parfocal'}),
        el('p', {class: 'dim', text: 'This address needs the service’s token.'}),
        el('label', {for: 'token', text: 'Token'}),
        input,
        wrong,
        el('button', {type: 'submit', class: 'primary', text: 'Enter'}),
    );
    form.addEventListener('submit', async (event) => {
        event.preventDefault();
        try {
            store.session = await post(`${api}/session`, {token: input.value});
            await begin();
        } catch (error) {
            say(
                wrong,
                error.status === 401 || error.status === 403
                    ? 'That is not the token.'
                    : error.message,
            );
            input.select();
        }
    });
    put(main, form);
    input.focus();
}

// ---- the top

function pill(kind, word, title, href) {
    return el(
        'a',
        {class: `pill ${kind}`, href, title: title || word},
        el('span', {class: `dot-mark ${kind}`, 'aria-hidden': 'true'}),
        el('span', {text: word}),
    );
}

let pillsSaid = '';

function top() {
    const {status} = store,
        list = [];
    if (store.connection === 'live') list.push(['good', 'Live', 'Connected to the service']);
    else
        list.push([
            store.connection === 'away' ? 'bad' : 'busy',
            store.connection === 'away' ? 'Away' : 'Connecting',
            'The connection to the service',
        ]);
    if (store.session && store.session.access === 'read')
        list.push(['warn', 'Read only', 'This token may look, and change nothing']);
    if (status) {
        const d = device(status.worker);
        list.push([d.kind, d.word, `Worker: ${d.word}${d.sub ? `, ${format.name(d.sub)}` : ''}`]);
        const bad = status.sources.filter((s) => s.state !== 'ok' && s.state !== 'starting');
        list.push([
            bad.length
                ? bad.some((s) => s.state === 'missing' || s.state === 'ended')
                    ? 'bad'
                    : 'warn'
                : 'good',
            bad.length
                ? `${format.plural(bad.length, 'source')} ${bad.length === 1 ? bad[0].state : 'in trouble'}`
                : format.plural(status.sources.length, 'source'),
            status.sources
                .map((s) => `${format.name(s.name)}: ${s.state}${s.mode ? `, ${s.mode}` : ''}`)
                .join('\n'),
        ]);
        // A directory that is not there yet has no space; one that is lost is a trouble.
        const known = status.space.filter((s) => s.total_bytes);
        const tight = known.find((s) => s.free_bytes / s.total_bytes < 0.05);
        const space = tight || known.find((s) => s.what === 'outbox') || known[0];
        if (space)
            list.push([
                tight ? 'warn' : 'good',
                `${format.bytes(space.free_bytes)} free`,
                `${space.what}: ${format.name(space.path)}`,
            ]);
        const waiting = status.queue.frames_waiting;
        if (waiting > 3)
            list.push(['busy', `${waiting} waiting`, 'Frames that wait for the worker']);
        const troubles = status.troubles.length;
        if (troubles)
            list.push([
                'bad',
                format.plural(troubles, 'trouble'),
                status.troubles.map((t) => format.name(t.text)).join('\n'),
            ]);
    }
    const text = JSON.stringify(list);
    if (text !== pillsSaid)
        put(pills, ...list.map(([kind, word, title]) => pill(kind, word, title, '#/system')));
    pillsSaid = text;
    const camera = store.sources().some((s) => s.kind === 'camera');
    document.getElementById('nav-camera').hidden = !camera && viewName !== 'camera';
    away();
}

function away() {
    if (store.connection === 'away' && Date.now() - store.lostAt > 1200) {
        if (!banner.firstChild)
            put(
                banner,
                el('strong', {text: 'The service is away.'}),
                el('span', {
                    text: ' What you see is what was known last; it is tried again by itself.',
                }),
            );
    } else if (store.outdated) {
        if (!banner.querySelector('button'))
            put(
                banner,
                el('span', {text: 'The service is of another version now. '}),
                button('Load the new page', () => location.reload(), {class: 'small'}),
            );
    } else if (banner.firstChild) {
        put(banner);
    }
    banner.hidden = !banner.firstChild;
    document.body.classList.toggle('away', store.connection === 'away');
}

store.listen((changes) => {
    if (['connection', 'status', 'session'].some((c) => changes.has(c))) top();
    if (changes.has('session') && store.session.access === 'none') login();
    if (changes.has('session')) document.body.classList.toggle('read-only', !store.may());
});
setInterval(away, 500);
setInterval(
    () => stayAwake(!document.hidden && store.open().some((b) => b.summary.state === 'open')),
    2000,
);

// ---- what is read aloud, and what happens elsewhere

let spoken = 0;

store.overhear((type, data, burst) => {
    const name = (id) => {
        const frame = burst && burst.frame(id);
        return frame ? format.stem(frame.name) : '';
    };
    if (type === 'burst.skipped' || type === 'burst.outside' || type === 'burst.failed')
        sound.play([880, 660, 880]);
    if (type === 'burst.published') sound.play([520, 660]);
    if (type === 'burst.skipped')
        announce(
            `A focal plane was skipped between ${format.stem(data.from_name || name(data.from))} and ${format.stem(data.to_name || name(data.to))}.`,
            true,
        );
    else if (type === 'burst.outside')
        announce(
            `${format.plural(data.cells, 'zone')} of ${data.detail} are sharp in no frame: ${data.side === 'before' ? 'before the first' : 'beyond the last'} frame.`,
            true,
        );
    else if (type === 'burst.opened') {
        announce('A burst begins.');
        if (viewName !== 'live')
            toast('A burst is arriving.', 'good', {
                label: 'Live',
                run: () => {
                    location.hash = '#/live';
                },
            });
    } else if (type === 'burst.complete') announce('All frames are in. The stack is being made.');
    else if (type === 'burst.published') {
        announce(`The stack is ready: ${format.plural(data.summary.fused, 'frame')} fused.`);
    } else if (type === 'burst.failed') {
        const text = `A burst failed: ${format.name(data.summary.detail) || 'no reason is known'}`;
        if (view && view.burst && view.burst.id === data.burst) announce(text, true);
        else
            toast(text, 'bad', {
                label: 'Show',
                run: () => {
                    location.hash = `#/burst/${encodeURIComponent(data.burst)}`;
                },
            });
    } else if (type === 'frame.aside')
        announce(
            `${format.stem(data.frame.name)} is set aside: ${format.name(data.frame.reason) || ''}`,
        );
    else if (type === 'frame.rejected')
        toast(`${format.name(data.name)}: ${format.name(data.reason)}`, 'bad');
    else if (type === 'trouble' && data.on && !data.trouble.id.startsWith('burst.'))
        toast(format.name(data.trouble.text), 'bad');
    else if (type === 'frame.scored' && Date.now() - spoken > 5000) {
        // Not each one: they may come faster than anybody speaks.
        spoken = Date.now();
        announce(`${format.plural(burst ? burst.items.length : 1, 'frame')} in.`);
    }
});

// ---- keys

document.addEventListener('keydown', (event) => {
    if (
        event.defaultPrevented ||
        event.ctrlKey ||
        event.metaKey ||
        event.altKey ||
        (!singleKeys && event.key !== '?')
    )
        return;
    if (
        event.target.closest('input, select, textarea, dialog') ||
        document.querySelector('dialog[open]')
    )
        return;
    const views = {1: 'live', 2: 'history', 3: 'camera', 4: 'system'};
    if (event.key === '?') showHelp();
    else if (views[event.key]) location.hash = `#/${views[event.key]}`;
    else if (!view || !view.key || !view.key(event)) return;
    event.preventDefault();
});

function showHelp() {
    help([
        {
            label: 'keys without Ctrl',
            on: singleKeys,
            set: (on) => {
                singleKeys = on;
                keep(KEYS, on ? 'on' : 'off');
            },
        },
        {
            label: 'a sound when a focal plane is missing, and when a stack is ready',
            on: sound.on,
            set: sound.set,
        },
    ]);
}

document.getElementById('keys').addEventListener('click', showHelp);
document.getElementById('skip').addEventListener('click', () => main.focus());
addEventListener('hashchange', () => route(true));

// ---- begin

async function begin() {
    for (let wait = 500; ; wait = Math.min(4000, wait * 2)) {
        try {
            await store.start();
            break;
        } catch {
            store.connection = 'away';
            store.lostAt = store.lostAt || Date.now();
            top();
            await new Promise((resolve) => {
                setTimeout(resolve, wait);
            });
        }
    }
    route(false);
}

top();
begin();
