// How things are said.

// Names are bytes: what is no UTF-8 comes as U+10FF00 + byte. What would change the order or the
// place of the text around it is shown as its number.
export function name(text) {
    return String(text ?? '').replace(
        /[\u{10FF00}-\u{10FFFF}]|[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu,
        (c) => {
            const code = c.codePointAt(0);
            return code >= 0x10ff00
                ? '\\x' + (code - 0x10ff00).toString(16).padStart(2, '0')
                : '\\u' + code.toString(16).padStart(4, '0');
        },
    );
}

// To find a picture by, without what all of them have in common.
export function stem(text) {
    return name(text).replace(/\.[A-Za-z0-9]{2,5}$/, '');
}

// The end of a name tells frames apart: its number, where no more has room.
export function tail(text, most) {
    const whole = stem(text);
    if (whole.length <= most) return whole;
    const number = /\d{2,}$/.exec(whole);
    return number && number[0].length <= most ? number[0] : `…${whole.slice(1 - most)}`;
}

export function bytes(count) {
    if (count === null || count === undefined) return '?';
    for (const unit of ['B', 'kB', 'MB', 'GB', 'TB']) {
        if (count < 1000 || unit === 'TB')
            return `${count < 10 && unit !== 'B' ? count.toFixed(1) : Math.round(count)} ${unit}`;
        count /= 1000;
    }
    return '';
}

export function plural(count, one, many) {
    return `${count} ${count === 1 ? one : many || one + 's'}`;
}

export function seconds(ms) {
    const s = Math.max(0, ms) / 1000;
    if (s < 10) return `${s.toFixed(1)} s`;
    if (s < 100) return `${Math.round(s)} s`;
    return span(ms);
}

export function span(ms) {
    const minutes = Math.floor(ms / 60000);
    if (minutes < 1) return `${Math.max(0, Math.floor(ms / 1000))} s`;
    if (minutes < 60) return `${minutes} min`;
    const hours = Math.floor(minutes / 60);
    if (hours < 48) return `${hours} h ${minutes % 60} min`;
    return `${Math.floor(hours / 24)} days`;
}

// A camera's time is what its clock said, wherever the reader is.
export function captured(text) {
    const m = /^(\d{4})-(\d\d)-(\d\d)T(\d\d:\d\d:\d\d)/.exec(text || '');
    if (!m) return 'at an unknown time';
    const month = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ')[m[2] - 1];
    return `${Number(m[3])} ${month} ${m[1]}, ${m[4]}`;
}

export function clock(ms) {
    return new Date(ms).toLocaleTimeString([], {
        hour: '2-digit',
        minute: '2-digit',
        second: '2-digit',
        hour12: false,
    });
}

export function camera(camera) {
    if (!camera || (!camera.model && !camera.make)) return 'unknown camera';
    const model = camera.model || '';
    const first = (camera.make || '').split(' ')[0];
    return name(
        model.toLowerCase().startsWith(first.toLowerCase()) ? model : `${first} ${model}`,
    ).trim();
}

export function exposure(frame) {
    const parts = [];
    if (frame.exposure_s)
        parts.push(
            frame.exposure_s < 0.4
                ? `1/${Math.round(1 / frame.exposure_s)} s`
                : `${frame.exposure_s} s`,
        );
    if (frame.f_number) parts.push(`f/${frame.f_number}`);
    if (frame.iso) parts.push(`ISO ${frame.iso}`);
    if (frame.focal_mm) parts.push(`${frame.focal_mm} mm`);
    return parts.join(' · ');
}
