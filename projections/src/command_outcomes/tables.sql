CREATE TABLE command_outcomes (
    decided      TEXT PRIMARY KEY,
    stored       TEXT NOT NULL,
    command_id   TEXT NOT NULL,
    source       TEXT NOT NULL,
    stream       TEXT,
    command      TEXT,
    status       TEXT NOT NULL,
    version      BIGINT,
    reason       TEXT,
    detail       TEXT,
    rejection    JSONB,
    first        TEXT,
    forwarded_to INTEGER,
    due          TIMESTAMPTZ,
    after        TEXT,
    decided_at   TIMESTAMPTZ NOT NULL,
    auth_kind    TEXT,
    auth_id      TEXT,
    correlation  TEXT
);

COMMENT ON TABLE command_outcomes IS 'What became of each command: one row for each record of a commands topic that was decided.';
COMMENT ON COLUMN command_outcomes.decided IS 'The position of the record that was decided.';
COMMENT ON COLUMN command_outcomes.stored IS 'Where the client stored the command: another position when it was misplaced and forwarded, or waited for its time.';
COMMENT ON COLUMN command_outcomes.command_id IS 'The id of the command.';
COMMENT ON COLUMN command_outcomes.source IS 'Who made that id.';
COMMENT ON COLUMN command_outcomes.stream IS 'The stream that the command is about.';
COMMENT ON COLUMN command_outcomes.command IS 'The type of the command, where its trace says it; an accepted one is named by its events.';
COMMENT ON COLUMN command_outcomes.status IS 'accepted, rejected, no-change, repeated, forwarded, scheduled or dead-lettered.';
COMMENT ON COLUMN command_outcomes.version IS 'Accepted: the version of the stream after the command.';
COMMENT ON COLUMN command_outcomes.reason IS 'Rejected or dead-lettered: the name of the problem.';
COMMENT ON COLUMN command_outcomes.detail IS 'The same in a sentence.';
COMMENT ON COLUMN command_outcomes.rejection IS 'Rejected: the whole answer.';
COMMENT ON COLUMN command_outcomes.first IS 'Repeated: the position that was decided first under the same id.';
COMMENT ON COLUMN command_outcomes.forwarded_to IS 'Forwarded: the partition to which the command was moved; its copy there has a row of its own.';
COMMENT ON COLUMN command_outcomes.due IS 'Scheduled: the time for which the command waits; its copy, which is decided then, has a row of its own.';
COMMENT ON COLUMN command_outcomes.after IS 'The last command of the partition that gave events before this one; a read that is to be after this outcome must have seen it.';
COMMENT ON COLUMN command_outcomes.decided_at IS 'The broker''s time of the command.';
COMMENT ON COLUMN command_outcomes.auth_kind IS 'On whose behalf: user, system, …';
COMMENT ON COLUMN command_outcomes.auth_id IS 'Which user, or which part of the system.';
COMMENT ON COLUMN command_outcomes.correlation IS 'What belongs together, across streams and services.';
