-- What is to be done about requests that do not come back from their retry queue.

-- When a request that waits for its next attempt is missed, if nothing more was heard of it.
ALTER TABLE requests ADD COLUMN missed_at INTEGER;
-- How often it was put on the queue again for that since its last attempt.
ALTER TABLE requests ADD COLUMN put_back INTEGER NOT NULL DEFAULT 0;
-- What that takes, as JSON; NULL if nobody sent it.
ALTER TABLE requests ADD COLUMN spare TEXT;

-- With the status, for a version that does not know these columns leaves them behind when a request ends.
CREATE INDEX requests_missed ON requests (status, missed_at) WHERE missed_at IS NOT NULL;
