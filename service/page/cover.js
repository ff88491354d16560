// Coverage: which zones of the picture are sharp in which frame, and which in none. The service
// speaks of 16 x 16 cells of the picture as stored; here they are turned upright.

export const GRID = 16;
const LAST = GRID - 1;
const FEW = 5; // with fewer frames nothing is known

// EXIF orientation: where a cell (column, row) as stored is in the upright picture.
const TURNS = {
    1: (x, y) => [x, y],
    2: (x, y) => [LAST - x, y],
    3: (x, y) => [LAST - x, LAST - y],
    4: (x, y) => [x, LAST - y],
    5: (x, y) => [y, x],
    6: (x, y) => [LAST - y, x],
    7: (x, y) => [LAST - y, LAST - x],
    8: (x, y) => [y, LAST - x],
};

function upright(orientation) {
    const turn = TURNS[orientation] || TURNS[1];
    return (cell) => {
        const [x, y] = turn(cell % GRID, Math.floor(cell / GRID));
        return y * GRID + x;
    };
}

// A vector of the stored picture, upright.
export function turned(orientation, x, y) {
    switch (orientation) {
        case 2:
            return [-x, y];
        case 3:
            return [-x, -y];
        case 4:
            return [x, -y];
        case 5:
            return [y, x];
        case 6:
            return [-y, x];
        case 7:
            return [-y, -x];
        case 8:
            return [y, -x];
        default:
            return [x, y];
    }
}

// {known, detail, before: Set, beyond: Set, sharp (0..1), winner: [place in items or -1]}
export function coverage(burst) {
    const {items, coverage: said} = burst;
    const fused = items.filter((f) => f.verdict === 'fused');
    const turn = upright((fused.find((f) => f.reference) || fused[0] || {}).orientation || 1);
    const before = new Set(((said && said.before) || []).map(turn));
    const beyond = new Set(((said && said.beyond) || []).map(turn));
    const detail = said ? said.detail : 0;
    const winner = new Array(GRID * GRID).fill(-1);
    const told = said && said.winner;
    for (let cell = 0; cell < GRID * GRID; cell++) {
        if (told) {
            winner[turn(cell)] = told[cell] ?? -1;
            continue;
        }
        let best = 0;
        items.forEach((frame, place) => {
            const grid = frame.verdict === 'fused' && frame.focus && frame.focus.grid;
            if (!grid || !(grid[cell] > best)) return;
            best = grid[cell];
            winner[turn(cell)] = place;
        });
    }
    const missing = before.size + beyond.size;
    return {
        known: Boolean(said) && fused.length >= FEW,
        detail,
        before,
        beyond,
        winner,
        sharp: detail ? Math.max(0, 1 - missing / detail) : null,
    };
}

// From the first frame (blue) to the last (red), as the service colours its maps.
export function hue(place, count) {
    return 230 - (230 * place) / Math.max(1, count - 1);
}

export function colour(place, count) {
    return `hsl(${hue(place, count)} 75% 62%)`;
}

let hatches = null;

function hatch(context, colour) {
    hatches = hatches || new Map();
    if (!hatches.has(colour)) {
        const tile = document.createElement('canvas');
        tile.width = tile.height = 10;
        const c = tile.getContext('2d');
        c.strokeStyle = colour;
        c.lineWidth = 2;
        c.beginPath();
        for (const at of [-10, 0, 10]) {
            c.moveTo(at - 2, 12);
            c.lineTo(at + 12, -2);
        }
        c.stroke();
        hatches.set(colour, tile);
    }
    return context.createPattern(hatches.get(colour), 'repeat');
}

// Marks cells in a picture that lies at x, y with this size on the canvas: hatched, and with a line
// around each zone. faint: it may still become sharp.
export function mark(context, cells, box, colour, faint) {
    if (!cells.size) return;
    const w = box.width / GRID,
        h = box.height / GRID;
    context.save();
    context.globalAlpha = faint ? 0.55 : 1;
    context.fillStyle = hatch(context, colour);
    for (const cell of cells)
        context.fillRect(
            box.x + (cell % GRID) * w,
            box.y + Math.floor(cell / GRID) * h,
            w + 0.5,
            h + 0.5,
        );
    context.beginPath();
    for (const cell of cells) {
        const column = cell % GRID,
            row = Math.floor(cell / GRID);
        const x = box.x + column * w,
            y = box.y + row * h;
        const edge = (other, ax, ay, bx, by) => {
            if (other) return;
            context.moveTo(ax, ay);
            context.lineTo(bx, by);
        };
        edge(row > 0 && cells.has(cell - GRID), x, y, x + w, y);
        edge(row < LAST && cells.has(cell + GRID), x, y + h, x + w, y + h);
        edge(column > 0 && cells.has(cell - 1), x, y, x, y + h);
        edge(column < LAST && cells.has(cell + 1), x + w, y, x + w, y + h);
    }
    context.lineCap = 'square';
    context.setLineDash(faint ? [6, 6] : []);
    for (const [width, ink] of [
        [4, 'rgb(0 0 0 / 55%)'],
        [2, colour],
    ]) {
        context.lineWidth = width;
        context.strokeStyle = ink;
        context.stroke();
    }
    context.restore();
}

// Which frame won where, one cell a pixel: a small canvas to be scaled up. only: the place of a frame
// whose zones stand out, -1 none.
export function winnerPicture(canvas, found, count, only) {
    canvas.width = canvas.height = GRID;
    const context = canvas.getContext('2d');
    context.clearRect(0, 0, GRID, GRID);
    found.winner.forEach((place, cell) => {
        if (place < 0) return;
        context.globalAlpha = only >= 0 && only !== place ? 0.28 : 1;
        context.fillStyle = colour(place, count);
        context.fillRect(cell % GRID, Math.floor(cell / GRID), 1, 1);
    });
}

// How many cells each frame has sharpest.
export function wins(found, count) {
    const won = new Array(count).fill(0);
    for (const place of found.winner) if (place >= 0) won[place]++;
    return won;
}
