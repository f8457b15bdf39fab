-- Dead letters with what a replay of them needs, and the replays themselves.

-- The newest replay of a request that was heard of; 0 before the first.
ALTER TABLE requests ADD COLUMN replays INTEGER NOT NULL DEFAULT 0;
-- When it is no longer worth beginning.
ALTER TABLE requests ADD COLUMN deadline INTEGER;

-- Retention tells successes and failures apart.
CREATE INDEX requests_by_status_and_end ON requests (status, finished_at) WHERE finished_at IS NOT NULL;
DROP INDEX requests_by_end;

-- One row per failure: the present one of a request that failed, and those before it was replayed.
CREATE TABLE dead_letters (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    request_id TEXT NOT NULL REFERENCES requests (id) ON DELETE CASCADE,
    -- Which replay of the request failed; 0 before the first.
    replay INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    failed_at INTEGER NOT NULL,
    reason TEXT NOT NULL,
    error TEXT NOT NULL,
    -- The request's body as it came; NULL once a replay of it is on the queue.
    body BLOB,
    traceparent TEXT,
    deadline INTEGER,
    -- When the next replay was begun.
    replayed_at INTEGER,
    -- How often its copy in the dead-letter queue is still looked for.
    sweeps_left INTEGER NOT NULL DEFAULT 0,
    UNIQUE (request_id, replay)
) STRICT;

CREATE INDEX dead_letters_not_replayed ON dead_letters (seq) WHERE replayed_at IS NULL;
CREATE INDEX dead_letters_to_sweep ON dead_letters (seq) WHERE sweeps_left > 0;

-- What was asked to be put back on the queue, and how far that is.
CREATE TABLE replay_jobs (
    id TEXT PRIMARY KEY,
    -- Where the requests come from: `dead-letters`.
    source TEXT NOT NULL,
    -- JSON; NULL where each request was named.
    filter TEXT,
    -- Requests per second.
    rate INTEGER NOT NULL,
    total INTEGER NOT NULL,
    replayed INTEGER NOT NULL DEFAULT 0,
    skipped INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    -- Where in its source the filter goes on, and where it ends. NULL: there is nothing more to choose.
    next_place INTEGER,
    last_place INTEGER,
    started_at INTEGER NOT NULL,
    finished_at INTEGER,
    -- 1 once somebody asked to end it.
    cancelled INTEGER NOT NULL DEFAULT 0,
    waiting_for TEXT,
    error TEXT
) STRICT;

CREATE INDEX replay_jobs_unfinished ON replay_jobs (id) WHERE finished_at IS NULL;

-- Requests of a job that are not known to be on the queue yet.
CREATE TABLE replay_items (
    job_id TEXT NOT NULL REFERENCES replay_jobs (id) ON DELETE CASCADE,
    -- Where in the job's source.
    place INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    -- Which replay of the request it becomes.
    replay INTEGER NOT NULL,
    -- 1 from the moment at which it may be published.
    begun INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (job_id, place)
) STRICT;

-- Which replica does what only one of them may do at a time.
CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    ends_at INTEGER NOT NULL
) STRICT;
