// The strip of frames: thumbnails, score, verdict. One stop for the Tab key, arrows inside.

import {el, say} from '/dom.js';
import * as format from '/format.js';

// By hand, or as unlike the others: it can be taken back.
export function leftOut(frame) {
    return frame.discarded || (frame.verdict === 'aside' && frame.cause === 'stray');
}

export function verdict(frame) {
    if (frame.discarded) return {word: 'discarded', kind: 'off'};
    if (frame.verdict === 'fused')
        return {word: frame.reference ? 'reference' : 'fused', kind: 'good'};
    if (frame.verdict === 'aside') return {word: 'aside', kind: 'bad'};
    if (frame.state === 'decoding') {
        const p = frame.progress;
        return {word: p && p.iteration ? `aligning ${p.iteration}` : 'in hand', kind: 'busy'};
    }
    return {word: 'waiting', kind: 'busy'};
}

// In four characters.
function figures(sharpness) {
    return sharpness.toFixed(sharpness < 10 ? 2 : sharpness < 100 ? 1 : 0);
}

export class Strip {
    // picked(identity, deliberate)
    constructor(picked) {
        this.picked = picked;
        this.cells = new Map();
        this.follow = true;
        this.selected = null;
        this.list = el('div', {
            class: 'frames',
            role: 'listbox',
            'aria-orientation': 'horizontal',
            'aria-label': 'Frames',
        });
        this.empty = el('p', {class: 'frames-empty dim', text: 'No frames yet'});
        this.root = el(
            'section',
            {class: 'strip panel', 'aria-label': 'Strip of frames'},
            this.list,
            this.empty,
        );
        this.list.addEventListener('keydown', (event) => this.key(event));
        // Whoever has scrolled back wants to look at what is there.
        this.list.addEventListener(
            'scroll',
            () => {
                const {scrollLeft, clientWidth, scrollWidth} = this.list;
                this.follow = scrollLeft + clientWidth > scrollWidth - 60;
            },
            {passive: true},
        );
    }

    show(items, skipped, arriving, selected, best) {
        const seen = new Set();
        let before = null;
        this.selected = selected;
        items.forEach((frame, place) => {
            seen.add(frame.frame);
            const cell = this.cell(frame.frame);
            const gap = skipped.some((pair) => pair[1] === frame.frame);
            this.fill(cell, frame, place, gap, best);
            // Moved only when it is not where it belongs: a frame that has the focus keeps it.
            const wanted = before ? before.nextSibling : this.list.firstChild;
            if (cell.root !== wanted) this.list.insertBefore(cell.root, wanted);
            before = cell.root;
        });
        for (const [identity, label] of arriving) {
            seen.add(identity);
            const cell = this.cell(identity);
            say(cell.name, format.tail(label, 7));
            say(cell.word, 'arriving');
            cell.root.className = 'frame busy';
            cell.root.setAttribute('aria-label', `${format.name(label)}: arriving`);
            this.list.append(cell.root);
        }
        for (const [identity, cell] of this.cells)
            if (!seen.has(identity)) {
                cell.root.remove();
                this.cells.delete(identity);
            }
        this.empty.hidden = this.cells.size > 0;
        this.list.hidden = this.cells.size === 0;
        this.rove();
        const width = this.list.scrollWidth;
        if (width !== this.width && this.follow) this.list.scrollLeft = width;
        this.width = width;
    }

    cell(identity) {
        let cell = this.cells.get(identity);
        if (cell) return cell;
        cell = {
            picture: el('span', {class: 'picture'}),
            name: el('span', {class: 'name'}),
            word: el('span', {class: 'word'}),
            bar: el('span', {class: 'bar-fill'}),
        };
        cell.root = el(
            'div',
            {
                class: 'frame',
                role: 'option',
                tabindex: '-1',
                'aria-selected': 'false',
                'data-frame': identity,
            },
            cell.picture,
            el('span', {class: 'bar', 'aria-hidden': 'true'}, cell.bar),
            el('span', {class: 'caption', 'aria-hidden': 'true'}, cell.name, cell.word),
        );
        cell.root.addEventListener('click', () => this.pick(identity));
        this.cells.set(identity, cell);
        return cell;
    }

    fill(cell, frame, place, gap, best) {
        const {word, kind} = verdict(frame),
            links = frame.links || {};
        const link = links.large || links.small;
        if (link && cell.link !== link) {
            cell.link = link;
            const image = el('img', {alt: '', src: link, decoding: 'async', draggable: 'false'});
            // The small one stays until the larger one is there.
            image.decode().then(
                () => cell.link === link && cell.picture.replaceChildren(image),
                () => {
                    if (cell.link === link) cell.link = null;
                },
            );
        }
        cell.root.title =
            format.name(frame.name) + (frame.reason ? `: ${format.name(frame.reason)}` : '');
        const short = kind === 'good' && frame.sharpness ? figures(frame.sharpness) : word;
        say(cell.word, short);
        say(cell.name, format.tail(frame.name, 12 - short.length));
        const part = frame.sharpness && best ? frame.sharpness / best : 0;
        cell.bar.style.width = `${Math.round(part * 100)}%`;
        const selected = frame.frame === this.selected;
        cell.root.className = `frame ${kind}${selected ? ' selected' : ''}${gap ? ' after-gap' : ''}${frame.reference ? ' reference' : ''}`;
        cell.root.setAttribute('aria-selected', selected);
        const score = frame.sharpness ? `, sharpness ${frame.sharpness.toFixed(2)}` : '';
        const why =
            frame.verdict === 'aside' && frame.reason ? `: ${format.name(frame.reason)}` : '';
        cell.root.setAttribute(
            'aria-label',
            `${gap ? 'A focal plane is missing before this. ' : ''}Frame ${place + 1}, ${format.name(frame.name)}${score}, ${word}${why}`,
        );
    }

    // One cell is the list's stop: the selected one, else the first.
    rove() {
        const cells = [...this.list.children];
        const stop = cells.find((c) => c.dataset.frame === this.selected) || cells[0];
        for (const cell of cells) cell.tabIndex = cell === stop ? 0 : -1;
    }

    pick(identity) {
        this.picked(identity);
    }

    reveal(identity) {
        const cell = this.cells.get(identity);
        if (cell) cell.root.scrollIntoView({block: 'nearest', inline: 'nearest'});
    }

    key(event) {
        const cells = [...this.list.children],
            at = cells.indexOf(document.activeElement);
        if (at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
        const to = {ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: cells.length - 1}[
            event.key
        ];
        if (event.key === 'Enter' || event.key === ' ') this.pick(cells[at].dataset.frame);
        else if (to === undefined) return;
        else if (cells[to]) {
            cells[to].focus();
            this.pick(cells[to].dataset.frame);
        }
        event.preventDefault();
        event.stopPropagation();
    }
}
