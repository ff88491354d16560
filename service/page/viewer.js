// The stage: one picture, or two with a wipe between them, from the whole down to single pixels.
// The world is the upright picture in pixels; scale is what one of them takes in CSS pixels.

import {el, put, soon} from '/dom.js';

const TILES_MAX = 160;
const MOST = 4; // times 1:1

// One picture: a base that is there at once, and tiles over it where they show more.
class Layer {
    constructor(viewer, name) {
        this.viewer = viewer;
        this.world = el('div', {class: 'world'});
        this.root = el('div', {class: `layer layer-${name}`}, this.world);
        this.base = null;
        this.url = null;
        this.tiles = new Map();
        this.seen = new Set();
        this.source = null;
    }

    // {key, base: URL or canvas, tiles: {size, levels, url(level, x, y)}, rough: the base is another
    // cut of it than the tiles, blocks, below: URL of what shines through}
    show(picture) {
        this.root.hidden = !picture;
        if (!picture) {
            this.clear();
            return;
        }
        if (this.key !== picture.key) this.dropTiles();
        this.key = picture.key;
        this.source = picture.tiles || null;
        this.rough = picture.rough || null;
        if (picture.base instanceof HTMLCanvasElement) {
            this.url = null;
            this.replace(picture.base);
        } else if (picture.base && picture.base !== this.url) {
            this.load(picture.base);
        } else if (!picture.base && this.base) {
            this.url = null;
            this.base.remove();
            this.base = null;
        }
        this.world.classList.toggle('blocks', Boolean(picture.blocks));
        // Below a map that is an estimate, so that one sees of what.
        const below = picture.below ? `url("${new URL(picture.below, location.href)}")` : '';
        this.world.classList.toggle('over', Boolean(below));
        if (this.world.style.backgroundImage !== below) this.world.style.backgroundImage = below;
    }

    // The next picture comes in when it is whole; until then the last one stays.
    async load(url) {
        this.url = url;
        const image = el('img', {class: 'base', alt: '', draggable: 'false'});
        image.src = url;
        try {
            await image.decode();
        } catch {
            if (this.url === url) this.url = null;
            return;
        }
        if (this.url !== url) return;
        this.baseWidth = image.naturalWidth;
        this.viewer.arrived(image);
        this.replace(image);
    }

    replace(element) {
        if (this.base === element) return;
        const old = this.base;
        this.base = element;
        element.classList.add('base');
        this.world.append(element);
        if (old) {
            element.classList.add('fresh');
            setTimeout(() => old.remove(), 400);
        }
        if (element instanceof HTMLCanvasElement) this.baseWidth = 0;
        this.viewer.draw();
    }

    clear() {
        this.dropTiles();
        if (this.base) this.base.remove();
        this.base = this.url = this.source = null;
    }

    dropTiles() {
        for (const tile of this.tiles.values()) tile.remove();
        this.tiles.clear();
        this.seen = new Set();
    }

    place(scale, x, y, size) {
        const style = this.world.style;
        style.width = `${size.width}px`;
        style.height = `${size.height}px`;
        style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
    }

    // Tiles of the level that is as fine as the screen, where they are seen.
    tile(scale, view, size) {
        const source = this.source,
            device = scale * window.devicePixelRatio;
        if (!source || (this.baseWidth && this.baseWidth >= device * size.width && !this.rough)) {
            this.dropTiles();
            return;
        }
        const level = Math.max(
            0,
            Math.min(source.levels - 1, Math.floor(Math.log2(1 / device) + 0.01)),
        );
        const step = source.size * 2 ** level,
            seen = new Set();
        const last = (length) => Math.ceil(length / step) - 1;
        for (
            let ty = Math.max(0, Math.floor(view.y / step));
            ty <= Math.min(last(size.height), Math.floor((view.y + view.height) / step));
            ty++
        )
            for (
                let tx = Math.max(0, Math.floor(view.x / step));
                tx <= Math.min(last(size.width), Math.floor((view.x + view.width) / step));
                tx++
            ) {
                const key = `${level}/${tx}/${ty}`;
                seen.add(key);
                if (!this.tiles.has(key))
                    this.fetch(key, source.url(level, tx, ty), tx * step, ty * step, step, size);
            }
        this.seen = seen;
        this.level = level;
        this.sweep();
    }

    fetch(key, url, x, y, step, size) {
        const tile = el('img', {class: 'tile', alt: '', draggable: 'false'});
        const style = tile.style;
        style.left = `${x}px`;
        style.top = `${y}px`;
        style.width = `${Math.min(step, size.width - x)}px`;
        style.height = `${Math.min(step, size.height - y)}px`;
        this.tiles.set(key, tile);
        tile.onload = () => {
            if (this.tiles.get(key) !== tile) return;
            tile.classList.add('there');
            this.sweep();
        };
        tile.onerror = () => {
            tile.remove();
        };
        tile.src = url;
        this.world.append(tile);
    }

    // Coarser tiles stay below until those that are seen are there.
    sweep() {
        const waiting = [...this.seen].some(
            (key) => this.tiles.has(key) && !this.tiles.get(key).complete,
        );
        for (const [key, tile] of this.tiles) {
            if (this.seen.has(key) || (waiting && this.tiles.size < TILES_MAX)) continue;
            if (!waiting && key.startsWith(`${this.level}/`) && this.tiles.size < TILES_MAX)
                continue;
            tile.remove();
            this.tiles.delete(key);
        }
    }
}

export class Viewer {
    constructor({changed, paint}) {
        this.changed = changed; // (viewer) after zooming
        this.paint = paint; // (context, box of the picture) what lies over it
        this.size = null;
        this.scale = 1;
        this.x = this.y = 0;
        this.fitted = true;
        this.wipe = null;
        this.pointers = new Map();
        this.a = new Layer(this, 'a');
        this.b = new Layer(this, 'b');
        this.marks = el('canvas', {class: 'marks', 'aria-hidden': 'true'});
        this.handle = el(
            'div',
            {
                class: 'wipe',
                role: 'slider',
                tabindex: '0',
                'aria-label': 'Wipe between stack and frame',
                'aria-valuemin': '0',
                'aria-valuemax': '100',
                hidden: true,
            },
            el('span', {class: 'grip', 'aria-hidden': 'true'}),
        );
        this.left = el('span', {class: 'side-label left', hidden: true});
        this.right = el('span', {class: 'side-label right', hidden: true});
        this.root = el(
            'div',
            {
                class: 'viewer',
                tabindex: '0',
                role: 'group',
                'aria-roledescription': 'picture',
                'aria-label': 'Preview',
            },
            this.a.root,
            this.b.root,
            this.marks,
            this.left,
            this.right,
            this.handle,
        );
        this.draw = soon(() => this.render());
        new ResizeObserver(() => {
            if (this.fitted) this.fit();
            this.draw();
        }).observe(this.root);
        this.listen();
    }

    label(text) {
        this.root.setAttribute('aria-label', text);
    }

    // A picture without a size of its own (a preview before any frame is known) has that of its image.
    arrived(image) {
        if (!this.size) this.resize({width: image.naturalWidth, height: image.naturalHeight});
    }

    resize(size) {
        if (
            !size ||
            (this.size && this.size.width === size.width && this.size.height === size.height)
        )
            return;
        this.size = size;
        this.fit();
    }

    show(a, b, wipe) {
        this.a.show(a);
        this.b.show(b);
        this.setWipe(b ? wipe : null);
        this.draw();
    }

    setWipe(fraction) {
        this.wipe = fraction;
        const on = fraction !== null;
        this.handle.hidden = this.left.hidden = this.right.hidden = !on;
        if (on) {
            this.handle.style.left = `${fraction * 100}%`;
            this.handle.setAttribute('aria-valuenow', Math.round(fraction * 100));
            this.handle.setAttribute('aria-valuetext', `${Math.round(fraction * 100)} % stack`);
            this.b.root.style.clipPath = `inset(0 0 0 ${fraction * 100}%)`;
            this.left.style.maxWidth = `calc(${fraction * 100}% - 1.5rem)`;
            this.right.style.maxWidth = `calc(${(1 - fraction) * 100}% - 1.5rem)`;
        }
        if (on && this.wiped) this.wiped(fraction);
    }

    // ---- zoom

    least() {
        if (!this.size) return 1;
        const {clientWidth: w, clientHeight: h} = this.root;
        return Math.max(1e-4, Math.min(w / this.size.width, h / this.size.height));
    }

    fit() {
        this.fitted = true;
        if (!this.size) return;
        this.scale = this.least();
        this.clamp();
        this.draw();
        this.changed(this);
    }

    // 1:1 is one pixel of the picture for one of the screen.
    percent() {
        return Math.round(this.scale * window.devicePixelRatio * 100);
    }

    zoomTo(scale, cx, cy) {
        if (!this.size) return;
        const {clientWidth: w, clientHeight: h} = this.root;
        const low = this.least(),
            high = Math.max(low, MOST / window.devicePixelRatio);
        const next = Math.min(high, Math.max(low, scale));
        cx = cx ?? w / 2;
        cy = cy ?? h / 2;
        this.x = cx - ((cx - this.x) * next) / this.scale;
        this.y = cy - ((cy - this.y) * next) / this.scale;
        this.scale = next;
        this.fitted = next <= low * 1.001;
        this.clamp();
        this.draw();
        this.changed(this);
    }

    oneToOne(cx, cy) {
        this.zoomTo(1 / window.devicePixelRatio, cx, cy);
    }

    pan(dx, dy) {
        this.x += dx;
        this.y += dy;
        this.clamp();
        this.draw();
    }

    clamp() {
        const {clientWidth: w, clientHeight: h} = this.root;
        const width = this.size.width * this.scale,
            height = this.size.height * this.scale;
        this.x = width <= w ? (w - width) / 2 : Math.min(0, Math.max(w - width, this.x));
        this.y = height <= h ? (h - height) / 2 : Math.min(0, Math.max(h - height, this.y));
    }

    render() {
        const {clientWidth: w, clientHeight: h} = this.root;
        if (!w || !h) return;
        const size = this.size;
        if (size) {
            const view = {
                x: -this.x / this.scale,
                y: -this.y / this.scale,
                width: w / this.scale,
                height: h / this.scale,
            };
            for (const layer of [this.a, this.b]) {
                layer.place(this.scale, this.x, this.y, size);
                if (!layer.root.hidden) layer.tile(this.scale, view, size);
            }
        }
        const ratio = window.devicePixelRatio,
            canvas = this.marks;
        if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(h * ratio)) {
            canvas.width = Math.round(w * ratio);
            canvas.height = Math.round(h * ratio);
        }
        const context = canvas.getContext('2d');
        context.setTransform(ratio, 0, 0, ratio, 0, 0);
        context.clearRect(0, 0, w, h);
        if (size)
            this.paint(context, {
                x: this.x,
                y: this.y,
                width: size.width * this.scale,
                height: size.height * this.scale,
            });
        this.root.classList.toggle('zoomed', !this.fitted);
        this.root.classList.toggle('pixels', this.scale * ratio > 1.5);
    }

    // ---- hands

    listen() {
        const {root, handle, pointers} = this;
        const at = (event) => {
            const box = root.getBoundingClientRect();
            return {x: event.clientX - box.left, y: event.clientY - box.top};
        };
        root.addEventListener(
            'wheel',
            (event) => {
                // On a page that scrolls, the wheel is the page's until one has zoomed in.
                const scrolls = document.documentElement.scrollHeight > window.innerHeight + 4;
                if (scrolls && this.fitted && !event.ctrlKey) return;
                event.preventDefault();
                const {x, y} = at(event);
                this.zoomTo(this.scale * 2 ** (-event.deltaY / (event.deltaMode ? 8 : 300)), x, y);
            },
            {passive: false},
        );
        root.addEventListener('dblclick', (event) => {
            const {x, y} = at(event);
            if (this.fitted) this.oneToOne(x, y);
            else this.fit();
        });
        root.addEventListener('pointerdown', (event) => {
            if (event.button > 0 || event.target.closest('.wipe')) return;
            pointers.set(event.pointerId, at(event));
            root.setPointerCapture(event.pointerId);
        });
        root.addEventListener('pointermove', (event) => {
            const old = pointers.get(event.pointerId);
            if (!old) return;
            const now = at(event);
            pointers.set(event.pointerId, now);
            if (pointers.size === 1 && !this.fitted) this.pan(now.x - old.x, now.y - old.y);
            if (pointers.size !== 2) return;
            const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
            const apart = (p) => Math.max(1, Math.hypot(p.x - other.x, p.y - other.y));
            this.zoomTo(
                (this.scale * apart(now)) / apart(old),
                (now.x + other.x) / 2,
                (now.y + other.y) / 2,
            );
        });
        for (const type of ['pointerup', 'pointercancel'])
            root.addEventListener(type, (event) => pointers.delete(event.pointerId));

        handle.addEventListener('pointerdown', (event) => {
            handle.setPointerCapture(event.pointerId);
            event.preventDefault();
            handle.focus();
        });
        handle.addEventListener('pointermove', (event) => {
            if (!handle.hasPointerCapture(event.pointerId)) return;
            this.setWipe(Math.min(1, Math.max(0, at(event).x / root.clientWidth)));
        });
        handle.addEventListener('keydown', (event) => {
            const steps = {
                ArrowLeft: -0.02,
                ArrowRight: 0.02,
                ArrowDown: -0.02,
                ArrowUp: 0.02,
                PageDown: -0.1,
                PageUp: 0.1,
            };
            let to = null;
            if (event.key in steps) to = this.wipe + steps[event.key];
            else if (event.key === 'Home') to = 0;
            else if (event.key === 'End') to = 1;
            if (to === null) return;
            event.preventDefault();
            event.stopPropagation();
            this.setWipe(Math.min(1, Math.max(0, to)));
        });
        root.addEventListener('keydown', (event) => {
            if (event.target !== root || event.ctrlKey || event.metaKey || event.altKey) return;
            const step = 60;
            const pans = {
                ArrowLeft: [step, 0],
                ArrowRight: [-step, 0],
                ArrowUp: [0, step],
                ArrowDown: [0, -step],
            };
            if (event.key in pans && !this.fitted) this.pan(...pans[event.key]);
            else if (event.key === '+' || event.key === '=') this.zoomTo(this.scale * 1.5);
            else if (event.key === '-') this.zoomTo(this.scale / 1.5);
            else return;
            event.preventDefault();
            event.stopPropagation();
        });
    }

    names(left, right) {
        put(this.left, left);
        put(this.right, right);
    }
}
