// A tethered camera: shoot, drive the focus through a bracket, read and set what the camera calls
// its settings.

import {button, el, put, say} from '/dom.js';
import {api, post, remove} from '/api.js';
import * as format from '/format.js';
import {attempt, toast} from '/dialogs.js';

// What a bracket would be, from the answer to a dry run.
function plan({frames, step, until_covered}, {can, error, setting, step_is, step_most}) {
    const why = format.name(error ?? '');
    if (!can) return `Dry run: no. ${why.charAt(0).toUpperCase()}${why.slice(1)}. Nothing was shot.`;
    const counts = step_is === 'count';
    const way = counts
        ? `${step > 0 ? 'far' : 'near'} by ${Math.abs(step)} each, ${Math.abs(step) * (frames - 1)} in all`
        : `${frames - 1} steps of size ${Math.abs(step)} to ${step > 0 ? 'far' : 'near'}`;
    return (
        `Dry run: yes. ${until_covered ? 'At most ' : ''}${frames} frames, ${way}, and back, by ${setting}. ` +
        `The camera has ${counts ? 'steps' : 'sizes of a step'} from 1 to ${step_most}. Nothing was shot.`
    );
}

class Camera {
    constructor(store, source) {
        this.store = store;
        this.id = source.source;
        this.path = `${api}/sources/${source.source}/camera`;
        this.state = el('p', {class: 'dim'});
        this.title = el('h2');
        this.progress = el('progress', {max: 1, value: 0, 'aria-label': 'Bracket', hidden: true});
        this.said = el('p', {role: 'status', class: 'dim'});
        const number = (label, name, value, min, max, help) =>
            el(
                'label',
                {class: 'filter'},
                el('span', {text: label}),
                el('input', {
                    type: 'number',
                    name,
                    min,
                    max,
                    required: true,
                    prop: {value},
                    title: help,
                }),
            );
        this.form = el(
            'form',
            {
                class: 'filters bracket',
                'aria-label': 'Bracket',
                on: {
                    submit: (event) => {
                        event.preventDefault();
                        this.bracket(event.submitter && event.submitter.value === 'dry');
                    },
                },
            },
            number('Frames', 'frames', 20, 2, 10000, 'how many pictures'),
            number(
                'Step',
                'step',
                2,
                -32767,
                32767,
                'in the maker’s measure; positive is towards far',
            ),
            number('Settle, ms', 'settle_ms', 300, 0, 60000, 'pause after each step'),
            el(
                'label',
                {class: 'filter inline'},
                el('input', {type: 'checkbox', name: 'until_covered'}),
                el('span', {text: 'until the subject is covered'}),
            ),
            el('button', {type: 'submit', class: 'primary', text: 'Shoot bracket'}),
            el('button', {type: 'submit', value: 'dry', text: 'Try it dry'}),
        );
        this.stopper = button('Stop', (event) => attempt(() => remove(this.path), event.target), {
            class: 'danger',
            hidden: true,
        });
        this.list = el('div', {class: 'fields camera-settings'});
        this.details = el(
            'details',
            {on: {toggle: (event) => event.target.open && this.fetch()}},
            el('summary', {text: 'Settings of the camera'}),
            this.list,
        );
        this.root = el(
            'section',
            {class: 'panel camera', 'aria-label': 'Camera'},
            el('header', {class: 'row'}, this.title, this.state),
            el(
                'div',
                {class: 'buttons'},
                button('Shoot one', (event) => this.ask({do: 'trigger'}, event.target, 'Shot.')),
            ),
            this.form,
            el('div', {class: 'row'}, this.progress, this.stopper, this.said),
            this.details,
        );
    }

    show(source) {
        say(this.title, format.name(source.model || source.name));
        say(
            this.state,
            [
                source.state === 'ok' ? 'connected' : source.state,
                source.state === 'ok' ? source.serial : source.reason,
                source.port,
                source.pending ? 'frames are being fetched' : null,
            ]
                .filter(Boolean)
                .map(format.name)
                .join(' · '),
        );
        const busy =
            source.ask && source.ask.do === 'bracket' && !source.ask.dry_run ? source.ask : null;
        this.progress.hidden = this.stopper.hidden = !busy;
        if (busy && busy.frames) {
            this.progress.max = busy.frames;
            this.progress.value = busy.taken ?? 0;
        }
        this.details.hidden = !this.store.may(); // asking is an action as well
        const away = source.state !== 'ok' && source.state !== 'degraded';
        for (const control of this.root.querySelectorAll('form button, .buttons button'))
            control.disabled = away || Boolean(busy) || !this.store.may();
        this.answered();
    }

    answered() {
        const answer = this.store.camera[this.id];
        if (!answer || answer === this.seen) return;
        this.seen = answer;
        this.said.classList.remove('bad-text');
        if ('can' in answer) return; // a dry run: told to the one who asked
        if (answer.frames && !answer.done) {
            this.progress.hidden = this.stopper.hidden = false;
            this.progress.max = answer.frames;
            this.progress.value = answer.taken;
            say(this.said, `${answer.taken} of ${answer.frames} shot`);
        } else if (answer.error) {
            this.progress.hidden = this.stopper.hidden = true;
            say(this.said, format.name(answer.error));
        } else if (answer.finish) {
            this.progress.hidden = this.stopper.hidden = true;
            say(
                this.said,
                `${format.plural(answer.taken ?? 0, 'frame')} shot${answer.covered ? '; the subject is covered' : ''}; the focus is back.`,
            );
        }
    }

    ask(what, control, said) {
        return attempt(async () => {
            const answer = await post(this.path, what);
            if (said) toast(said);
            return answer;
        }, control);
    }

    async bracket(dry) {
        const form = new FormData(this.form);
        const wanted = {
            do: 'bracket',
            frames: Number(form.get('frames')),
            step: Number(form.get('step')),
            settle_ms: Number(form.get('settle_ms')),
            dry_run: dry,
            until_covered: form.has('until_covered'),
        };
        const answer = await this.ask(wanted);
        if (!answer) return;
        say(this.said, dry ? plan(wanted, answer) : 'The bracket begins.');
        this.said.classList.toggle('bad-text', dry && !answer.can);
    }

    async fetch() {
        put(this.list, el('p', {class: 'dim', text: 'Asking the camera…'}));
        const answer = await this.ask({do: 'list'});
        const settings = (answer && answer.settings) || [];
        put(
            this.list,
            ...(settings.length
                ? settings.map((s) => this.row(s))
                : [el('p', {class: 'dim', text: 'It has told none.'})]),
        );
    }

    // What may be chosen is asked for when somebody wants to change it.
    row(setting) {
        const id = `camera-${this.id}-${setting.name}`,
            fixed = setting.readonly || !this.store.may();
        const value = el('span', {class: 'value', text: format.name(setting.value)});
        const root = el(
            'div',
            {class: 'field text'},
            el('span', {
                class: 'camera-name',
                id,
                text: format.name(setting.label || setting.name),
            }),
            value,
        );
        if (fixed) return root;
        root.append(
            button(
                'Change',
                async (event) => {
                    const answer = await this.ask({do: 'get', name: setting.name}, event.target);
                    if (!answer) return;
                    const full = answer.setting || setting;
                    const input =
                        full.choices && full.choices.length
                            ? el(
                                  'select',
                                  {'aria-labelledby': id},
                                  full.choices.map((c) =>
                                      el('option', {
                                          value: c,
                                          text: format.name(c),
                                          prop: {selected: c === full.value},
                                      }),
                                  ),
                              )
                            : el('input', {
                                  type: full.lowest !== undefined ? 'number' : 'text',
                                  min: full.lowest,
                                  max: full.highest,
                                  step: full.step ?? 'any',
                                  'aria-labelledby': id,
                                  prop: {value: full.value ?? ''},
                              });
                    const set = button(
                        'Set',
                        async (click) => {
                            if (
                                !(await this.ask(
                                    {do: 'set', name: setting.name, value: String(input.value)},
                                    click.target,
                                    `${setting.label || setting.name} is set.`,
                                ))
                            )
                                return;
                            root.replaceWith(this.row({...full, value: input.value}));
                        },
                        {class: 'small primary'},
                    );
                    put(root, root.firstChild, input, set);
                    input.focus();
                },
                {class: 'small', 'aria-describedby': id},
            ),
        );
        return root;
    }
}

export class CameraView {
    constructor(store) {
        this.store = store;
        this.cameras = new Map();
        this.list = el('div', {class: 'cameras'});
        this.none = el('p', {
            class: 'panel empty-line dim',
            text: 'No camera is among the sources. The service finds one when it is started with a source “camera”.',
        });
        this.root = el(
            'div',
            {class: 'camera-view'},
            el('h1', {class: 'view-title', text: 'Camera'}),
            this.list,
            this.none,
        );
    }

    open() {
        this.stop = this.store.listen((changes) => {
            if (changes.has('status') || changes.has('camera') || changes.has('session'))
                this.render();
        });
        this.render();
    }

    close() {
        this.stop();
    }

    render() {
        const sources = this.store.sources().filter((s) => s.kind === 'camera');
        this.none.hidden = sources.length > 0;
        for (const source of sources) {
            let camera = this.cameras.get(source.source);
            if (!camera) {
                camera = new Camera(this.store, source);
                this.cameras.set(source.source, camera);
                this.list.append(camera.root);
            }
            camera.show(source);
        }
    }
}
