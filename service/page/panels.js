// What is said of a burst beside its picture: alerts, the result, a frame, and that there is none.

import {button, el, put} from '/dom.js';
import * as format from '/format.js';
import {missing} from '/headline.js';
import {shown} from '/pictures.js';
import {moved} from '/plots.js';
import {leftOut, verdict} from '/strip.js';

// What is missing, in words.
export function renderAlerts(view, skipped) {
    const {burst} = view,
        lacks = missing(burst, view.found),
        alerts = [];
    const label = (id) => {
        const frame = burst.frame(id);
        return frame ? format.stem(frame.name) : 'a frame';
    };
    const alert = (kind, strong, rest, ...more) =>
        alerts.push(
            el(
                'div',
                {class: `alert ${kind}`},
                el('p', {}, el('strong', {text: strong}), rest),
                ...more,
            ),
        );
    // The last ones: what can still be shot.
    skipped.slice(-3).forEach(([from, to], place) => {
        const count = lacks.counts[skipped.length - Math.min(3, skipped.length) + place] || 1;
        alert(
            'bad',
            count > 1 ? `${count} focal planes were skipped` : 'A focal plane was skipped',
            ` between ${label(from)} and ${label(to)}. Shoot ${count > 1 ? 'them' : 'it'} again while the subject is there.`,
            button(
                'Show',
                () => {
                    view.select(to);
                    view.strip.reveal(to);
                },
                {class: 'small'},
            ),
        );
    });
    if (skipped.length > 3)
        alert('bad', `Before these, planes were skipped in ${skipped.length - 3} more places.`, '');
    if (lacks.before)
        alert(
            'warn',
            `${format.plural(lacks.before, 'zone')} before the first frame`,
            ': begin the bracket earlier.',
        );
    if (lacks.beyond)
        alert(
            'warn',
            `${format.plural(lacks.beyond, 'zone')} beyond the last frame`,
            ': go on further.',
        );
    const key = alerts.map((a) => a.textContent).join('\n');
    if (key !== view.alerted) put(view.alerts, ...alerts);
    view.alerted = key;
}

// Rebuilt only when it says something else, so that the focus stays in it.
export function renderResult(view, s) {
    const version = view.burst.versions.length ? shown(view) : null;
    const state = JSON.stringify([
        view.burst.id,
        s.state,
        s.stage,
        s.detail,
        view.burst.versions,
        version && version.version,
        view.store.may(),
    ]);
    if (state === view.resultState) return;
    view.resultState = state;
    const again =
        view.store.may() && ['published', 'failed'].includes(s.state)
            ? button('Restack with…', () => view.restack())
            : null;
    const choose =
        view.burst.versions.length > 1 &&
        el(
            'select',
            {
                'aria-label': 'Version',
                on: {
                    change: (event) => {
                        view.version = Number(event.target.value);
                        view.update();
                    },
                },
            },
            view.burst.versions.map((v) =>
                el('option', {
                    value: v.version,
                    text: `Version ${v.version}`,
                    prop: {selected: v === version},
                }),
            ),
        );
    const parts = [
        el(
            'div',
            {class: 'head'},
            el('h2', {text: 'Result'}),
            choose,
            s.state === 'failed' &&
                view.store.may() &&
                button('Retry', (event) => view.act('retry', event.target), {class: 'primary'}),
            again,
        ),
    ];
    if (s.state === 'failed')
        parts.push(el('p', {class: 'bad-text', text: format.name(s.detail) || 'It has failed.'}));
    if (version) {
        if (version.missing)
            parts.push(el('p', {class: 'bad-text', text: format.name(version.missing)}));
        parts.push(
            el(
                'ul',
                {class: 'files', 'aria-label': 'Files'},
                version.files.map((file) =>
                    el(
                        'li',
                        {},
                        el(
                            'a',
                            {href: file.link, download: file.name},
                            file.name,
                            el('span', {class: 'dim', text: format.bytes(file.size_bytes)}),
                        ),
                    ),
                ),
            ),
        );
        if (version.directory)
            parts.push(el('p', {class: 'dim path', text: format.name(version.directory)}));
    } else if (s.state === 'open') {
        parts.push(
            el('p', {
                class: 'dim',
                text: 'The stack grows with each frame; its files are written when the burst closes.',
            }),
        );
    } else if (s.state === 'complete') {
        parts.push(el('p', {class: 'dim', text: 'The files are being written.'}));
    } else if (s.state === 'not a stack') {
        parts.push(el('p', {class: 'dim', text: format.name(s.detail) || 'No focus bracket.'}));
    }
    put(view.resultBox, ...parts);
}

export function renderFrame(view, frame) {
    view.framePanel.hidden = !frame;
    const state = frame && JSON.stringify([frame, view.comparing, view.store.may()]);
    if (!frame || state === view.frameState) return;
    const focused =
        view.frameBox.contains(document.activeElement) && document.activeElement.textContent;
    view.frameState = state;
    const {word, kind} = verdict(frame),
        at = moved(frame);
    const rows = [
        ['Verdict', word],
        ['Why', frame.reason && format.name(frame.reason)],
        ['Sharpness', frame.sharpness && frame.sharpness.toFixed(2)],
        ['Shot', frame.captured && format.captured(frame.captured)],
        ['Exposure', format.exposure(frame)],
        [
            'Moved',
            at &&
                !frame.reference &&
                `${Math.hypot(at.dx, at.dy).toFixed(1)} px, correlation ${(frame.correlation ?? 0).toFixed(3)}`,
        ],
        ['Gain', frame.gain && Math.abs(frame.gain - 1) > 0.005 && frame.gain.toFixed(2)],
        ['Beside it', frame.companion && format.name(frame.companion)],
        [
            'Took',
            frame.decode_ms &&
                `${Math.round((frame.decode_ms || 0) + (frame.align_ms || 0) + (frame.fuse_ms || 0))} ms`,
        ],
    ].filter(([, value]) => value);
    const out = ['open', 'complete', 'published', 'failed'].includes(view.burst.summary.state);
    put(
        view.frameBox,
        el(
            'p',
            {class: 'frame-name'},
            el('span', {class: `dot-mark ${kind}`, 'aria-hidden': 'true'}),
            el('bdi', {text: format.name(frame.name)}),
        ),
        el(
            'dl',
            {},
            rows.map(([key, value]) => [el('dt', {text: key}), el('dd', {text: value})]),
        ),
        el(
            'div',
            {class: 'buttons'},
            button(view.comparing ? 'End compare' : 'Compare', () =>
                view.setCompare(!view.comparing),
            ),
            view.store.may() &&
                out &&
                button(leftOut(frame) ? 'Take back' : 'Discard frame', () => view.discard(), {
                    class: leftOut(frame) ? '' : 'danger',
                }),
        ),
    );
    if (focused)
        for (const b of view.frameBox.querySelectorAll('button'))
            if (b.textContent === focused) b.focus();
}

export function renderEmpty(view) {
    const {burst, store} = view;
    view.body.hidden = view.headline.root.hidden = true;
    view.empty.hidden = false;
    put(view.alerts);
    if (burst && burst.loading) {
        put(view.empty, el('p', {class: 'dim', text: 'Fetching the burst…'}));
        return;
    }
    const sources = store.sources(),
        worker = store.status && store.status.worker;
    put(
        view.empty,
        el('div', {class: 'aperture', 'aria-hidden': 'true'}),
        el('h1', {text: 'Waiting for the first frame'}),
        worker && worker.state === 'warming'
            ? el('p', {
                  text: `The worker is warming up${worker.step ? `: ${format.name(worker.step)}` : ''}${worker.of ? ` (${worker.iteration ?? 0} of ${worker.of})` : ''}`,
              })
            : null,
        el('p', {
            class: 'dim',
            text: 'Put a focus bracket into a source, or let a camera write it there. It appears here while it is being shot.',
        }),
        el(
            'ul',
            {class: 'source-list'},
            sources.map((source) =>
                el(
                    'li',
                    {},
                    el('span', {
                        class: `dot-mark ${source.state === 'ok' ? 'good' : source.state === 'starting' ? 'busy' : 'bad'}`,
                        'aria-hidden': 'true',
                    }),
                    el('bdi', {text: format.name(source.name)}),
                    el('span', {
                        class: 'dim',
                        text: ` ${source.state === 'ok' ? 'is watched' : source.state}`,
                    }),
                ),
            ),
        ),
    );
}
