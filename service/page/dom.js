// Elements, without ever reading text as markup: names of files come from strangers.

const SVG = 'http://www.w3.org/2000/svg';

function fill(element, props, children) {
    for (const [key, value] of Object.entries(props || {})) {
        if (value === null || value === undefined || value === false) continue;
        if (key === 'text') element.textContent = value;
        else if (key === 'on')
            for (const [type, listener] of Object.entries(value))
                element.addEventListener(type, listener);
        else if (key === 'prop') Object.assign(element, value);
        else element.setAttribute(key, value === true ? '' : value);
    }
    append(element, children);
    return element;
}

export function append(element, children) {
    for (const child of children.flat(Infinity))
        if (child !== null && child !== undefined && child !== false) element.append(child);
    return element;
}

// el('p', {class: 'dim', text: '...', on: {click: f}}, children...)
export function el(tag, props, ...children) {
    return fill(document.createElement(tag), props, children);
}

export function svg(tag, props, ...children) {
    return fill(document.createElementNS(SVG, tag), props, children);
}

export function put(element, ...children) {
    element.replaceChildren();
    return append(element, children);
}

// Only what has changed is touched: readers are not told again, selections stay.
export function say(element, text) {
    if (element.textContent !== text) element.textContent = text;
}

export function button(label, listener, props) {
    return el('button', {type: 'button', text: label, on: {click: listener}, ...props});
}

export function panel(title, ...content) {
    return el(
        'section',
        {class: 'panel', 'aria-label': title},
        el('h2', {text: title}),
        ...content,
    );
}

// Calls f once before the next frame is drawn, however often it was asked for.
export function soon(f) {
    let asked = 0;
    const run = () => {
        if (!asked) return;
        cancelAnimationFrame(asked);
        asked = 0;
        f();
    };
    return () => {
        if (asked) return;
        asked = requestAnimationFrame(run);
        // A page that is not seen draws no frames.
        if (document.hidden) setTimeout(run, 250);
    };
}
