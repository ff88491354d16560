// The service's API (service/http/openapi.json), as fetch and as a stream of events.

export class ApiError extends Error {
    constructor(status, code, message) {
        super(message);
        this.status = status;
        this.code = code;
    }
}

async function call(method, path, body, signal) {
    const headers = {Accept: 'application/json'};
    if (method !== 'GET') headers['Content-Type'] = 'application/json';
    let response;
    try {
        response = await fetch(path, {
            method,
            headers,
            signal,
            cache: 'no-store',
            credentials: 'same-origin',
            body: method === 'GET' || body === undefined ? undefined : JSON.stringify(body),
        });
    } catch (error) {
        if (error.name === 'AbortError') throw error;
        throw new ApiError(0, 'away', 'The service does not answer.');
    }
    const answer = await response.json().catch(() => null);
    if (!response.ok) {
        const said = answer && answer.error;
        throw new ApiError(
            response.status,
            said ? said.code : 'unknown',
            said ? said.message : `The service answered with status ${response.status}.`,
        );
    }
    return answer;
}

export const get = (path, signal) => call('GET', path, undefined, signal);
export const post = (path, body) => call('POST', path, body ?? {});
export const patch = (path, body) => call('PATCH', path, body);
export const remove = (path) => call('DELETE', path);

export const api = '/api/v1';
export const burstPath = (id) => `${api}/bursts/${encodeURIComponent(id)}`;

const TYPES = [
    'hello',
    'reset',
    'frame.seen',
    'frame.recorded',
    'frame.rejected',
    'frame.joined',
    'frame.decoding',
    'frame.thumbnail',
    'frame.progress',
    'frame.scored',
    'frame.aside',
    'frame.restored',
    'burst.opened',
    'burst.complete',
    'burst.published',
    'burst.failed',
    'burst.not_a_stack',
    'burst.again',
    'burst.stage',
    'burst.deadline',
    'burst.coverage',
    'burst.skipped',
    'burst.outside',
    'preview',
    'source',
    'worker',
    'camera',
    'trouble',
    'settings',
    'delivery',
];

const RETRY_MS = [500, 1000, 2000, 4000];

// Events from `after` on, through every loss of the connection: heard(type, data) for each;
// changed(true) when it is open, changed(false) when it is lost.
export class Stream {
    constructor(heard, changed) {
        this.heard = heard;
        this.changed = changed;
        this.tries = 0;
        this.last = null;
        this.timer = 0;
    }

    open(after) {
        this.close();
        this.last = after ?? this.last;
        const query = this.last ? `?after=${encodeURIComponent(this.last)}` : '';
        const source = new EventSource(`${api}/events${query}`);
        this.source = source;
        source.onopen = () => {
            this.tries = 0;
            this.changed(true);
        };
        // The browser would try again by itself, but not after every kind of failure, and slowly.
        source.onerror = () => {
            if (this.source !== source) return;
            this.close();
            this.changed(false);
            const wait = RETRY_MS[Math.min(this.tries++, RETRY_MS.length - 1)];
            this.timer = setTimeout(() => this.open(), wait);
        };
        for (const type of TYPES)
            source.addEventListener(type, (event) => {
                if (event.lastEventId) this.last = event.lastEventId;
                let data = null;
                try {
                    data = JSON.parse(event.data);
                } catch {
                    return;
                }
                this.heard(type, data);
            });
    }

    close() {
        clearTimeout(this.timer);
        if (this.source) this.source.close();
        this.source = null;
    }
}
