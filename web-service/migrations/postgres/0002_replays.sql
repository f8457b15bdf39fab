-- Dead letters with what a replay of them needs, and the replays themselves.

-- The newest replay of a request that was heard of; 0 before the first.
ALTER TABLE requests ADD COLUMN replays BIGINT NOT NULL DEFAULT 0;
-- When it is no longer worth beginning.
ALTER TABLE requests ADD COLUMN deadline BIGINT;

-- Retention tells successes and failures apart.
CREATE INDEX requests_by_status_and_end ON requests (status, finished_at) WHERE finished_at IS NOT NULL;
DROP INDEX requests_by_end;

-- One row per failure: the present one of a request that failed, and those before it was replayed.
CREATE TABLE dead_letters (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    request_id TEXT COLLATE "C" NOT NULL REFERENCES requests (id) ON DELETE CASCADE,
    -- Which replay of the request failed; 0 before the first.
    replay BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    failed_at BIGINT NOT NULL,
    reason TEXT NOT NULL,
    error TEXT NOT NULL,
    -- The request's body as it came; NULL once a replay of it is on the queue.
    body BYTEA,
    traceparent TEXT,
    deadline BIGINT,
    -- When the next replay was begun.
    replayed_at BIGINT,
    -- How often its copy in the dead-letter queue is still looked for.
    sweeps_left BIGINT NOT NULL DEFAULT 0,
    UNIQUE (request_id, replay)
);

CREATE INDEX dead_letters_not_replayed ON dead_letters (seq) WHERE replayed_at IS NULL;
CREATE INDEX dead_letters_to_sweep ON dead_letters (seq) WHERE sweeps_left > 0;

-- What was asked to be put back on the queue, and how far that is.
CREATE TABLE replay_jobs (
    id TEXT COLLATE "C" PRIMARY KEY,
    -- Where the requests come from: `dead-letters`.
    source TEXT NOT NULL,
    -- JSON; NULL where each request was named.
    filter TEXT,
    -- Requests per second.
    rate BIGINT NOT NULL,
    total BIGINT NOT NULL,
    replayed BIGINT NOT NULL DEFAULT 0,
    skipped BIGINT NOT NULL DEFAULT 0,
    failed BIGINT NOT NULL DEFAULT 0,
    -- Where in its source the filter goes on, and where it ends. NULL: there is nothing more to choose.
    next_place BIGINT,
    last_place BIGINT,
    started_at BIGINT NOT NULL,
    finished_at BIGINT,
    -- 1 once somebody asked to end it.
    cancelled BIGINT NOT NULL DEFAULT 0,
    waiting_for TEXT,
    error TEXT
);

CREATE INDEX replay_jobs_unfinished ON replay_jobs (id) WHERE finished_at IS NULL;

-- Requests of a job that are not known to be on the queue yet.
CREATE TABLE replay_items (
    job_id TEXT COLLATE "C" NOT NULL REFERENCES replay_jobs (id) ON DELETE CASCADE,
    -- Where in the job's source.
    place BIGINT NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    -- Which replay of the request it becomes.
    replay BIGINT NOT NULL,
    -- 1 from the moment at which it may be published.
    begun BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (job_id, place)
);

-- Which replica does what only one of them may do at a time.
CREATE TABLE leases (
    name TEXT COLLATE "C" PRIMARY KEY,
    owner TEXT NOT NULL,
    ends_at BIGINT NOT NULL
);
