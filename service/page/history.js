// All bursts there were, newest first: search by date, camera, state and verdict.

import {button, el, put, say} from '/dom.js';
import {api, get} from '/api.js';
import * as format from '/format.js';

const STATES = ['open', 'complete', 'published', 'failed', 'not a stack'];
const WORDS = {
    open: ['arriving', 'live'],
    complete: ['stacking', 'live'],
    published: ['ready', 'good'],
    failed: ['failed', 'bad'],
    'not a stack': ['no stack', 'off'],
};

export class HistoryView {
    constructor(store) {
        this.store = store;
        const change = () => {
            clearTimeout(this.typing);
            this.typing = setTimeout(() => this.search(), 250);
        };
        const labelled = (label, input) =>
            el('label', {class: 'filter'}, el('span', {text: label}), input);
        const choice = (name, words) =>
            el(
                'select',
                {name},
                el('option', {value: '', text: 'any'}),
                words.map(([value, text]) => el('option', {value, text})),
            );
        this.form = el(
            'form',
            {
                class: 'filters panel',
                role: 'search',
                'aria-label': 'Search bursts',
                on: {input: change, submit: (event) => event.preventDefault()},
            },
            labelled('Shot from', el('input', {type: 'date', name: 'from'})),
            labelled('to', el('input', {type: 'date', name: 'to'})),
            labelled(
                'Camera or lens',
                el('input', {
                    type: 'search',
                    name: 'camera',
                    placeholder: 'any',
                    autocomplete: 'off',
                }),
            ),
            labelled(
                'State',
                choice(
                    'state',
                    STATES.map((s) => [s, s]),
                ),
            ),
            labelled(
                'Verdict',
                choice('verdict', [
                    ['fused', 'all frames fused'],
                    ['aside', 'frames set aside'],
                ]),
            ),
            button('Clear', () => {
                this.form.reset();
                this.search();
            }),
        );
        this.count = el('p', {class: 'dim', role: 'status'});
        this.list = el('ul', {class: 'bursts'});
        this.more = button('Show more', () => this.fetch(), {hidden: true});
        this.root = el(
            'div',
            {class: 'history-view'},
            el('h1', {class: 'view-title', text: 'History'}),
            this.form,
            this.count,
            this.list,
            this.more,
        );
    }

    open() {
        this.stop = this.store.listen((changes) => {
            if (!changes.has('bursts') || this.shown > 60) return;
            clearTimeout(this.waiting);
            this.waiting = setTimeout(() => this.search(), 500);
        });
        this.search();
    }

    close() {
        this.stop();
        clearTimeout(this.waiting);
    }

    search() {
        this.next = null;
        this.fetch(true);
    }

    async fetch(anew) {
        const query = new URLSearchParams(
            [...new FormData(this.form)].filter(([, value]) => value),
        );
        query.set('limit', '30');
        if (!anew && this.next) query.set('before', this.next);
        if (this.asked) this.asked.abort();
        this.asked = new AbortController();
        let page;
        try {
            page = await get(`${api}/bursts?${query}`, this.asked.signal);
        } catch (error) {
            if (error.name !== 'AbortError') say(this.count, error.message);
            return;
        }
        const items = page.bursts.map((burst) => this.item(burst));
        const focused =
            document.activeElement &&
            this.list.contains(document.activeElement) &&
            document.activeElement.getAttribute('href');
        if (anew) put(this.list, ...items);
        else this.list.append(...items);
        if (focused)
            for (const link of this.list.querySelectorAll('a'))
                if (link.getAttribute('href') === focused) link.focus();
        this.next = page.next;
        this.more.hidden = !page.next;
        this.shown = this.list.children.length;
        const filtered = [...new FormData(this.form)].some(([, value]) => value);
        say(
            this.count,
            this.shown
                ? format.plural(this.shown, 'burst') + (page.next ? ', and more' : '')
                : filtered
                  ? 'No burst is like that.'
                  : 'No burst yet.',
        );
    }

    item(burst) {
        const [word, kind] = WORDS[burst.state] || [burst.state, ''];
        const link = burst.links.preview || burst.links.thumbnail;
        const counts =
            burst.state === 'published' || burst.fused
                ? `${burst.fused} of ${format.plural(burst.frames, 'frame')} fused`
                : format.plural(burst.frames, 'frame');
        return el(
            'li',
            {},
            el(
                'a',
                {href: `#/burst/${encodeURIComponent(burst.id)}`, class: 'burst-card'},
                el(
                    'span',
                    {class: 'picture'},
                    link
                        ? el('img', {
                              src:
                                  burst.links.preview && burst.version
                                      ? `${link}?version=${burst.version}`
                                      : link,
                              alt: '',
                              loading: 'lazy',
                              decoding: 'async',
                          })
                        : null,
                ),
                el(
                    'span',
                    {class: 'burst-text'},
                    el(
                        'span',
                        {class: 'burst-line'},
                        el('strong', {text: format.captured(burst.first)}),
                        el('span', {class: `badge ${kind}`, text: word}),
                    ),
                    el('span', {text: format.camera(burst.camera)}),
                    el('span', {
                        class: 'dim',
                        text:
                            counts +
                            (burst.aside && burst.state === 'published'
                                ? ` · ${burst.aside} set aside`
                                : '') +
                            (burst.version > 1 ? ` · version ${burst.version}` : ''),
                    }),
                    burst.detail
                        ? el('span', {class: 'dim detail', text: format.name(burst.detail)})
                        : null,
                ),
            ),
        );
    }
}
