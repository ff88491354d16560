// What is asked of the photographer, and what is said in passing.

import {append, button, el} from '/dom.js';

// ---- said in passing: seen, and read aloud

const regions = {};

export function announce(text, urgent) {
    const region = (regions[urgent] ||= document.getElementById(urgent ? 'urgent' : 'polite'));
    region.textContent = '';
    // The same words twice are two messages.
    setTimeout(() => {
        region.textContent = text;
    }, 50);
}

export function toast(text, kind, action) {
    const box = document.getElementById('toasts');
    const item = el('div', {class: `toast ${kind || ''}`}, el('span', {text}));
    const away = () => item.remove();
    if (action)
        item.append(
            button(
                action.label,
                () => {
                    away();
                    action.run();
                },
                {class: 'small'},
            ),
        );
    item.append(button('×', away, {class: 'close', 'aria-label': 'Dismiss'}));
    box.append(item);
    while (box.children.length > 4) box.firstChild.remove();
    setTimeout(away, kind === 'bad' ? 15000 : 6000);
    announce(text, kind === 'bad');
}

// Does what an action asks of the service; what goes wrong is told.
export async function attempt(doing, control) {
    if (control) control.disabled = true;
    try {
        return await doing();
    } catch (error) {
        toast(error.message, 'bad');
        return null;
    } finally {
        if (control) control.disabled = false;
    }
}

// ---- dialogs

function open(dialog) {
    document.body.append(dialog);
    dialog.addEventListener('close', () => dialog.remove());
    dialog.addEventListener('click', (event) => event.target === dialog && dialog.close());
    dialog.showModal();
    return dialog;
}

export function dialog(title, ...content) {
    const id = `dialog-${Math.round(performance.now() * 1000)}`;
    return open(
        el(
            'dialog',
            {'aria-labelledby': id},
            el(
                'header',
                {},
                el('h2', {id, text: title}),
                button('×', (event) => event.target.closest('dialog').close(), {
                    class: 'close',
                    'aria-label': 'Close',
                }),
            ),
            ...content,
        ),
    );
}

// true when it is to be done.
export function confirm(title, text, label) {
    return new Promise((resolve) => {
        let yes = false;
        const box = dialog(
            title,
            el('p', {text}),
            el(
                'div',
                {class: 'buttons'},
                button('Cancel', () => box.close(), {autofocus: true}),
                button(
                    label,
                    () => {
                        yes = true;
                        box.close();
                    },
                    {class: 'primary'},
                ),
            ),
        );
        box.addEventListener('close', () => resolve(yes));
    });
}

// ---- settings as form fields

let fields = 0;

// {root, key, value()} of a row of GET /settings.
export function field(setting, value) {
    const id = `field-${++fields}`,
        label = setting.key.replaceAll('_', ' ');
    const help = el('span', {class: 'help', id: `${id}-help`, text: setting.help || ''});
    const common = {id, name: setting.key, 'aria-describedby': `${id}-help`};
    let input, read;
    if (setting.type === 'bool') {
        input = el('input', {...common, type: 'checkbox', prop: {checked: Boolean(value)}});
        read = () => input.checked;
    } else if (setting.type === 'choice' && setting.choices) {
        input = el(
            'select',
            common,
            setting.choices.map((word) =>
                el('option', {value: word, text: word, prop: {selected: word === value}}),
            ),
        );
        read = () => input.value;
    } else if (setting.type === 'int' || setting.type === 'real') {
        input = el('input', {
            ...common,
            type: 'number',
            min: setting.minimum,
            max: setting.maximum,
            required: true,
            step: setting.type === 'int' ? 1 : 'any',
            prop: {value: value ?? ''},
        });
        read = () => Number(input.value);
    } else {
        input = el('input', {
            ...common,
            type: 'text',
            prop: {value: value ?? ''},
            spellcheck: 'false',
        });
        read = () => input.value;
    }
    const unit =
        setting.unit &&
        !label.includes(setting.unit) &&
        setting.type !== 'choice' &&
        setting.type !== 'text'
            ? ` (${setting.unit})`
            : '';
    const root = el(
        'div',
        {class: `field ${setting.type}`},
        el('label', {for: id, text: label + unit}),
        input,
        help,
    );
    return {root, key: setting.key, input, value: read};
}

// Resolves to the settings that were changed against `values`; null: it was cancelled.
export function ask(title, text, settings, values, label) {
    return new Promise((resolve) => {
        let answer = null;
        const all = settings.map((setting) => field(setting, values[setting.key] ?? setting.value));
        const form = el('form', {method: 'dialog'});
        append(form, [
            el('p', {class: 'dim', text}),
            el(
                'div',
                {class: 'fields'},
                all.map((f) => f.root),
            ),
            el(
                'div',
                {class: 'buttons'},
                button('Cancel', () => box.close()),
                el('button', {type: 'submit', class: 'primary', text: label}),
            ),
        ]);
        form.addEventListener('submit', () => {
            answer = {};
            for (const f of all)
                if (f.value() !== (values[f.key] ?? undefined)) answer[f.key] = f.value();
        });
        const box = dialog(title, form);
        if (all.length) all[0].input.focus();
        box.addEventListener('close', () => resolve(answer));
    });
}

const KEYS = [
    ['1 2 3 4', 'Live, history, camera, system'],
    ['← →', 'the frame before, the next frame'],
    ['C', 'compare: wipe between the stack and the frame'],
    ['S D W', 'stack, depth map, which frame won where'],
    ['M', 'marks of what no frame has sharp'],
    ['0 Z', 'the whole picture, 1:1'],
    ['+ −', 'zoom'],
    ['F', 'finish the burst now'],
    ['X', 'discard the frame, or take back one that is left out'],
    ['R', 'restack with other settings'],
    ['?', 'this list'],
];

// choices: [{label, on, set(on)}]
export function help(choices) {
    dialog(
        'This page',
        el(
            'dl',
            {class: 'keys'},
            KEYS.map(([keys, what]) => [
                el(
                    'dt',
                    {},
                    keys.split(' ').map((key) => el('kbd', {text: key})),
                ),
                el('dd', {text: what}),
            ]),
        ),
        choices.map((choice, place) => {
            const id = `choice-${place}`;
            const box = el('input', {
                type: 'checkbox',
                id,
                prop: {checked: choice.on},
                on: {change: () => choice.set(box.checked)},
            });
            return el('p', {class: 'field bool'}, box, el('label', {for: id, text: choice.label}));
        }),
    );
}
