-- One row per request, whoever spoke of it first: the submit, its progress, or a result that overtook both.
CREATE TABLE requests (
    -- Order of arrival; what paging follows.
    seq INTEGER PRIMARY KEY,
    -- The request id as canonical JSON: "019a…" with its quotes, or an integer of a foreign sender.
    id TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL CHECK (status IN ('queued', 'started', 'retrying', 'succeeded', 'failed')),
    -- All times are microseconds since 1970. NULL here: a request that somebody else put on the queue.
    submitted_at INTEGER,
    started_at INTEGER,
    -- The newest attempt that was heard of; 0 before the first.
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt_at INTEGER,
    finished_at INTEGER,
    -- JSON, as the handler gave it.
    result TEXT,
    -- Why it failed, as a fixed word, and the last error in words.
    reason TEXT,
    error TEXT
) STRICT;

CREATE INDEX requests_by_status ON requests (status, seq);

-- Retention looks for what ended before a time.
CREATE INDEX requests_by_end ON requests (finished_at) WHERE finished_at IS NOT NULL;
