-- Why a replay of the journal left requests out.

-- Nobody was told that they were accepted.
ALTER TABLE replay_jobs ADD COLUMN never_accepted INTEGER NOT NULL DEFAULT 0;
-- They had not ended.
ALTER TABLE replay_jobs ADD COLUMN in_flight INTEGER NOT NULL DEFAULT 0;
-- Older than records are kept: nobody can tell. Counted when they are replayed all the same, too.
ALTER TABLE replay_jobs ADD COLUMN forgotten INTEGER NOT NULL DEFAULT 0;
