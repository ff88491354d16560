// The state of the service: troubles with retry and dismiss, sources, worker, queue, disks, hooks, settings.

import {button, el, panel, put, soon} from '/dom.js';
import {api, get, patch, post} from '/api.js';
import * as format from '/format.js';
import {attempt, field, toast} from '/dialogs.js';

const SOURCE = {ok: 'good', starting: 'busy', degraded: 'warn', missing: 'bad', ended: 'bad'};
const DELIVERY = {
    due: ['waits', 'busy'],
    running: ['runs', 'busy'],
    done: ['done', 'good'],
    given_up: ['given up', 'bad'],
};
const MODE = {
    inotify: 'told at once (inotify)',
    polling: 'looked at every few seconds (polling)',
    camera: 'camera',
};

export function device(worker) {
    if (!worker) return {word: 'unknown', kind: 'busy'};
    if (worker.state === 'warming') {
        const of = worker.of ? ` ${worker.iteration ?? 0}/${worker.of}` : '';
        return {word: `warming up${of}`, kind: 'busy', sub: worker.step};
    }
    if (worker.state === 'starting') return {word: 'starting', kind: 'busy'};
    if (worker.state === 'ended') return {word: 'ended', kind: 'bad', sub: worker.reason};
    return worker.device === 'cuda'
        ? {word: 'GPU', kind: 'good', sub: worker.device_name}
        : {
              word: 'CPU',
              kind: 'good',
              sub: worker.threads ? format.plural(worker.threads, 'thread') : null,
          };
}

function mark(kind) {
    return el('span', {class: `dot-mark ${kind}`, 'aria-hidden': 'true'});
}

export class SystemView {
    constructor(store) {
        this.store = store;
        this.boxes = {};
        for (const name of ['troubles', 'sources', 'worker', 'queue', 'space', 'hooks', 'access'])
            this.boxes[name] = el('div');
        this.hooks = panel('Hooks', this.boxes.hooks);
        this.access = panel('Access', this.boxes.access);
        this.settings = el('form', {
            class: 'fields',
            on: {submit: (event) => event.preventDefault()},
        });
        this.saver = button('Change', () => this.save(), {class: 'primary'});
        this.settingsPanel = el(
            'details',
            {class: 'panel'},
            el('summary', {text: 'Settings'}),
            el('p', {
                class: 'dim',
                text: 'For bursts that begin from now on, until the service ends; the configuration file stays as it is.',
            }),
            this.settings,
            el('div', {class: 'buttons'}, this.saver),
        );
        this.version = el('p', {class: 'dim'});
        this.root = el(
            'div',
            {class: 'system-view'},
            el('h1', {class: 'view-title', text: 'System'}),
            el(
                'div',
                {class: 'columns'},
                panel('Troubles', this.boxes.troubles),
                panel('Sources', this.boxes.sources),
                panel('Worker', this.boxes.worker),
                panel('Disks', this.boxes.space),
                panel('Queue', this.boxes.queue),
                this.hooks,
                this.access,
            ),
            this.settingsPanel,
            this.version,
        );
        this.update = soon(() => this.render());
    }

    open() {
        this.said = {};
        this.stop = this.store.listen((changes) => {
            if (changes.has('status') || changes.has('session')) this.update();
        });
        this.store.refresh(false).catch(() => {});
        this.fetch();
        this.update();
    }

    close() {
        this.stop();
    }

    // Rebuilt only where it says something else: what has the focus stays.
    part(name, data, build) {
        const text = JSON.stringify(data);
        if (this.said[name] === text) return;
        this.said[name] = text;
        const box = this.boxes[name],
            focused = box.contains(document.activeElement) && document.activeElement.dataset.key;
        put(box, ...build());
        if (focused)
            for (const b of box.querySelectorAll('[data-key]'))
                if (b.dataset.key === focused) b.focus();
    }

    render() {
        const status = this.store.status,
            may = this.store.may();
        if (!status) return;
        const minute = Math.floor(this.store.now() / 60000);
        this.part('troubles', [status.troubles, may, minute], () =>
            status.troubles.length
                ? [
                      el(
                          'ul',
                          {class: 'rows'},
                          status.troubles.map((t) =>
                              el(
                                  'li',
                                  {},
                                  mark('bad'),
                                  el(
                                      'div',
                                      {class: 'grow'},
                                      el('p', {text: format.name(t.text)}),
                                      el('p', {
                                          class: 'dim',
                                          text: `for ${format.span(this.store.now() - t.since_ms)}${t.retry ? '' : '; it is tried again by itself'}`,
                                      }),
                                  ),
                                  t.retry &&
                                      may &&
                                      button(
                                          'Retry',
                                          (event) =>
                                              attempt(async () => {
                                                  await post(t.retry);
                                                  toast('It is tried again.');
                                              }, event.target),
                                          {'data-key': t.id},
                                      ),
                                  t.dismiss &&
                                      may &&
                                      button(
                                          'Dismiss',
                                          (event) =>
                                              attempt(async () => {
                                                  await post(t.dismiss);
                                                  toast('Dismissed: the burst stays failed.');
                                              }, event.target),
                                          {'data-key': `dismiss-${t.id}`},
                                      ),
                              ),
                          ),
                      ),
                  ]
                : [el('p', {class: 'row'}, mark('good'), el('span', {text: 'All is well.'}))],
        );
        this.part('sources', [status.sources, may, minute], () => [
            el(
                'ul',
                {class: 'rows'},
                status.sources.map((s) =>
                    el(
                        'li',
                        {},
                        mark(SOURCE[s.state] || 'busy'),
                        el(
                            'div',
                            {class: 'grow'},
                            el(
                                'p',
                                {},
                                el('bdi', {text: format.name(s.name)}),
                                s.model
                                    ? el('span', {class: 'dim', text: ` ${format.name(s.model)}`})
                                    : null,
                            ),
                            el('p', {
                                class: 'dim',
                                text: [
                                    s.state === 'ok' ? MODE[s.mode] || s.mode : s.state,
                                    s.pending ? 'frames are on their way' : null,
                                    s.files !== null && s.files !== undefined
                                        ? format.plural(s.files, 'file')
                                        : null,
                                    s.scanned_ms ? `looked at ${format.clock(s.scanned_ms)}` : null,
                                ]
                                    .filter(Boolean)
                                    .join(' · '),
                            }),
                            s.reason
                                ? el('p', {
                                      class: s.state === 'ok' ? 'dim' : 'warn-text',
                                      text: format.name(s.reason),
                                  })
                                : null,
                        ),
                        may &&
                            button(
                                'Look now',
                                (event) =>
                                    attempt(async () => {
                                        await post(`${api}/sources/${s.source}/scan`);
                                        toast(`${format.name(s.name)} is looked at.`);
                                    }, event.target),
                                {class: 'small', 'data-key': String(s.source)},
                            ),
                    ),
                ),
            ),
        ]);
        this.part('worker', status.worker, () => {
            const w = status.worker,
                d = device(w);
            return [
                el(
                    'p',
                    {class: 'row'},
                    mark(d.kind),
                    el('strong', {text: d.word}),
                    el('span', {class: 'dim', text: d.sub ? format.name(d.sub) : ''}),
                ),
                w.state === 'warming' && w.of
                    ? el('progress', {
                          value: w.iteration ?? 0,
                          max: w.of,
                          'aria-label': 'Warming up',
                      })
                    : null,
                w.reason && w.state === 'ready'
                    ? el('p', {class: 'dim', text: `no GPU: ${format.name(w.reason)}`})
                    : null,
                w.retry_at_ms
                    ? el('p', {
                          class: 'dim',
                          text: `started again at ${format.clock(w.retry_at_ms)}`,
                      })
                    : null,
                w.losses
                    ? el('p', {
                          class: 'warn-text',
                          text: `the GPU has failed ${format.plural(w.losses, 'time')}`,
                      })
                    : null,
            ];
        });
        this.part('space', status.space, () => [
            el(
                'ul',
                {class: 'rows'},
                status.space.map((s) => {
                    const share = s.total_bytes ? 1 - s.free_bytes / s.total_bytes : null;
                    return el(
                        'li',
                        {},
                        el(
                            'div',
                            {class: 'grow'},
                            el(
                                'p',
                                {},
                                el('strong', {text: s.what}),
                                el('span', {class: 'dim', text: ` ${format.name(s.path)}`}),
                            ),
                            share === null
                                ? el('p', {
                                      class: 'warn-text',
                                      text: format.name(s.error) || 'its space is not known',
                                  })
                                : el('meter', {
                                      min: 0,
                                      max: 1,
                                      high: 0.9,
                                      value: share,
                                      'aria-label': `${s.what}: ${Math.round(share * 100)} % full`,
                                  }),
                            share === null
                                ? null
                                : el('p', {
                                      class: 'dim',
                                      text: `${format.bytes(s.free_bytes)} of ${format.bytes(s.total_bytes)} free`,
                                  }),
                        ),
                    );
                }),
            ),
        ]);
        const q = status.queue;
        this.part('queue', q, () => [
            el(
                'dl',
                {class: 'numbers'},
                [
                    [q.bursts, 'bursts at work'],
                    [q.frames_waiting, 'frames waiting'],
                    [q.frames_in_hand, 'in the worker'],
                    [q.held ?? 0, 'in no burst yet'],
                ].map(([n, what]) =>
                    el('div', {}, el('dt', {text: what}), el('dd', {text: String(n)})),
                ),
            ),
        ]);
        const hooks = [...(status.hooks || [])]
            .sort((a, b) => b.created_ms - a.created_ms)
            .slice(0, 8);
        this.hooks.hidden = !hooks.length;
        this.part('hooks', [hooks, may], () => [
            el(
                'ul',
                {class: 'rows'},
                hooks.map((h) => this.delivery(h, may)),
            ),
        ]);
        this.access.hidden = !this.store.session || !this.store.session.token_needed;
        this.part('access', may, () => [
            el(
                'ul',
                {class: 'rows'},
                el(
                    'li',
                    {},
                    mark(may ? 'good' : 'warn'),
                    el('p', {
                        class: 'grow',
                        text: may
                            ? 'This token may do everything.'
                            : 'Read only: this token may look, and change nothing.',
                    }),
                ),
            ),
            el(
                'div',
                {class: 'buttons'},
                button(may ? 'Leave' : 'Use another token', (event) =>
                    attempt(() => this.store.leave(), event.target),
                ),
            ),
        ]);
        this.saver.hidden = !may;
        for (const input of this.settings.querySelectorAll('input, select')) input.disabled = !may;
        put(
            this.version,
            `parfocal ${status.version}, running for ${format.span(status.uptime_ms)}`,
        );
    }

    // What a hook was told, and what came of it.
    delivery(h, may) {
        const [word, kind] = DELIVERY[h.state] || [h.state, 'busy'];
        const tries = h.tries > 1 ? `${h.tries} tries` : null;
        const again = h.state === 'due' && h.tries ? `again at ${format.clock(h.next_ms)}` : null;
        return el(
            'li',
            {},
            mark(kind),
            el(
                'div',
                {class: 'grow'},
                el('p', {text: [h.hook, h.burst || h.event].filter(Boolean).map(format.name).join(' · ')}),
                el('p', {
                    class: 'dim',
                    text: [word, tries, again, format.name(h.target)].filter(Boolean).join(' · '),
                }),
                h.error ? el('p', {class: 'warn-text', text: format.name(h.error)}) : null,
            ),
            h.state === 'given_up' &&
                may &&
                button(
                    'Retry',
                    (event) =>
                        attempt(
                            () => post(`${api}/deliveries/${encodeURIComponent(h.id)}/retry`),
                            event.target,
                        ),
                    {class: 'small', 'data-key': `hook-${h.id}`},
                ),
        );
    }

    async fetch() {
        try {
            this.rows = (await get(`${api}/settings`)).settings.filter((s) => s.changeable);
        } catch {
            return;
        }
        this.settingsPanel.hidden = !this.rows.length;
        this.fields = this.rows.map((row) => field(row, row.value));
        put(this.settings, ...this.fields.map((f) => f.root));
        this.update();
    }

    async save() {
        const changed = {};
        for (const f of this.fields) {
            if (!f.input.reportValidity()) return;
            const row = this.rows.find((r) => r.key === f.key);
            if (f.value() !== row.value) changed[f.key] = f.value();
        }
        if (!Object.keys(changed).length) {
            toast('Nothing was changed.');
            return;
        }
        if (await attempt(() => patch(`${api}/settings`, changed), this.saver)) {
            toast('Changed.');
            this.fetch();
        }
    }
}
