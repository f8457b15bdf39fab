-- One row per request, whoever spoke of it first: the submit, its progress, or a result that overtook both.
CREATE TABLE requests (
    -- Order of arrival; what paging follows.
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The request id as canonical JSON: "019a…" with its quotes, or an integer of a foreign sender.
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    status TEXT NOT NULL CHECK (status IN ('queued', 'started', 'retrying', 'succeeded', 'failed')),
    -- All times are microseconds since 1970. NULL here: a request that somebody else put on the queue.
    submitted_at BIGINT,
    started_at BIGINT,
    -- The newest attempt that was heard of; 0 before the first.
    attempts BIGINT NOT NULL DEFAULT 0,
    next_attempt_at BIGINT,
    finished_at BIGINT,
    -- JSON, as the handler gave it: jsonb would reorder it, and refuse the escape \u0000.
    result TEXT,
    -- Why it failed, as a fixed word, and the last error in words.
    reason TEXT,
    error TEXT
);

CREATE INDEX requests_by_status ON requests (status, seq);

-- Retention looks for what ended before a time.
CREATE INDEX requests_by_end ON requests (finished_at) WHERE finished_at IS NOT NULL;

-- Whose records these are. Two pipelines in one table would take each other's ids and retention times for their own.
CREATE TABLE pipeline (
    only_one BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (only_one),
    exchange TEXT NOT NULL
);
