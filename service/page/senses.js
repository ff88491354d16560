// What reaches a photographer who does not look at the page: a sound when something is missing, and a
// screen that stays on while frames come.

const KEY = 'parfocal.sound';

let context = null;

export function kept(key) {
    try {
        return localStorage.getItem(key);
    } catch {
        return null; // a browser may keep nothing
    }
}

export function keep(key, value) {
    try {
        localStorage.setItem(key, value);
    } catch {
        /* then for this visit */
    }
}

export const sound = {
    on: kept(KEY) === 'on',

    // Called from a click: browsers make no sound before one.
    set(on) {
        sound.on = on;
        keep(KEY, on ? 'on' : 'off');
        if (on) sound.play([660]);
    },

    // Tones in Hz, one after the other.
    play(tones) {
        if (!sound.on || !window.AudioContext) return;
        context ||= new AudioContext();
        context.resume();
        tones.forEach((tone, place) => {
            const oscillator = context.createOscillator(),
                gain = context.createGain();
            const from = context.currentTime + place * 0.18;
            oscillator.frequency.value = tone;
            gain.gain.setValueAtTime(0, from);
            gain.gain.linearRampToValueAtTime(0.25, from + 0.02);
            gain.gain.linearRampToValueAtTime(0, from + 0.16);
            oscillator.connect(gain).connect(context.destination);
            oscillator.start(from);
            oscillator.stop(from + 0.17);
        });
    },
};

// Where the browser can (a secure address), the screen stays on while `wanted`.
let lock = null;

export async function stayAwake(wanted) {
    if (!navigator.wakeLock || wanted === Boolean(lock)) return;
    if (!wanted) {
        lock.release().catch(() => {});
        lock = null;
        return;
    }
    try {
        lock = await navigator.wakeLock.request('screen');
        lock.addEventListener('release', () => {
            lock = null;
        });
    } catch {
        /* not now: it is asked again */
    }
}
