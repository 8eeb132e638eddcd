-- Names are ordered by their bytes, whatever the database's language: a page goes on where the last one ended.
CREATE TABLE functions (
    name         TEXT COLLATE "C" PRIMARY KEY,
    version      BIGINT NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL,
    updated_at   TIMESTAMPTZ NOT NULL,
    revision     INTEGER,
    language     TEXT,
    code_sha256  TEXT,
    code_bytes   BIGINT,
    path         TEXT,
    public       BOOLEAN,
    time_ms      INTEGER,
    memory_bytes BIGINT,
    output_bytes INTEGER,
    calls_max    INTEGER,
    binding      INTEGER,
    bound_topic  TEXT,
    bound_types  TEXT[],
    bound_from   TIMESTAMPTZ,
    schedule     INTEGER,
    cron         TEXT,
    time_zone    TEXT,
    tick_input   JSON,
    next_tick    TIMESTAMPTZ,
    settings     JSON NOT NULL,
    secrets      JSON NOT NULL
);

COMMENT ON TABLE functions IS 'Which functions there are: one row for each name, also for those that were removed, with the revision that answers.';
COMMENT ON COLUMN functions.name IS 'The name; the stream is function-<name>.';
COMMENT ON COLUMN functions.version IS 'The version of the last event of the stream.';
COMMENT ON COLUMN functions.created_at IS 'When it was deployed first.';
COMMENT ON COLUMN functions.updated_at IS 'When it last changed.';
COMMENT ON COLUMN functions.revision IS 'The revision that answers calls. Null once the function was removed, and so is all that is said of it up to calls_max.';
COMMENT ON COLUMN functions.language IS 'javascript, typescript, python, component or command.';
COMMENT ON COLUMN functions.code_sha256 IS 'The SHA-256 of the code, in hexadecimal digits.';
COMMENT ON COLUMN functions.code_bytes IS 'How long the code is, in bytes.';
COMMENT ON COLUMN functions.path IS 'The path that it answers, besides /fn/<name>, if it has one.';
COMMENT ON COLUMN functions.public IS 'Whether everybody may call it; else whoever has an access token.';
COMMENT ON COLUMN functions.time_ms IS 'How long a call may run, in milliseconds.';
COMMENT ON COLUMN functions.memory_bytes IS 'How much memory a call may have, in bytes.';
COMMENT ON COLUMN functions.output_bytes IS 'How long the output of a call may be, in bytes.';
COMMENT ON COLUMN functions.calls_max IS 'How many calls may run at once, in each gateway.';
COMMENT ON COLUMN functions.binding IS 'Which binding of the function it is that gives it events: 1, 2, 3 … Null while it is not bound, as is all that is said of it up to bound_from.';
COMMENT ON COLUMN functions.bound_topic IS 'The topic whose events it is given.';
COMMENT ON COLUMN functions.bound_types IS 'The types of events that it is given; empty where it is given all of them.';
COMMENT ON COLUMN functions.bound_from IS 'From which time on, by the broker''s clock; null where from the first event on.';
COMMENT ON COLUMN functions.schedule IS 'Which schedule of the function it is that it ticks by: 1, 2, 3 … Null while it has none, as is all that follows.';
COMMENT ON COLUMN functions.cron IS 'When it ticks: minute, hour, day of the month, month, day of the week.';
COMMENT ON COLUMN functions.time_zone IS 'By whose clock, as the IANA time zone database calls it.';
COMMENT ON COLUMN functions.tick_input IS 'What each tick says, as it was given.';
COMMENT ON COLUMN functions.next_tick IS 'When it ticks next; null where it does not any more.';
COMMENT ON COLUMN functions.settings IS 'Its settings by their names, as they were given.';
COMMENT ON COLUMN functions.secrets IS 'Its secrets by their names, each sealed.';

CREATE TABLE function_revisions (
    name          TEXT COLLATE "C" NOT NULL,
    revision      INTEGER NOT NULL,
    deployed_at   TIMESTAMPTZ NOT NULL,
    language      TEXT NOT NULL,
    code_sha256   TEXT NOT NULL,
    code_bytes    BIGINT NOT NULL,
    path          TEXT,
    public        BOOLEAN NOT NULL,
    time_ms       INTEGER NOT NULL,
    memory_bytes  BIGINT NOT NULL,
    output_bytes  INTEGER NOT NULL,
    calls_max     INTEGER NOT NULL,
    input_schema  JSON,
    output_schema JSON,
    PRIMARY KEY (name, revision)
);

COMMENT ON TABLE function_revisions IS 'What was deployed: one row for each revision of a function, also for those that it cannot be put back to any more.';
COMMENT ON COLUMN function_revisions.name IS 'The name of the function.';
COMMENT ON COLUMN function_revisions.revision IS '1, 2, 3 … within the function, also after it was removed.';
COMMENT ON COLUMN function_revisions.deployed_at IS 'When it was deployed.';
COMMENT ON COLUMN function_revisions.language IS 'javascript, typescript, python, component or command.';
COMMENT ON COLUMN function_revisions.code_sha256 IS 'The SHA-256 of the code, in hexadecimal digits.';
COMMENT ON COLUMN function_revisions.code_bytes IS 'How long the code is, in bytes.';
COMMENT ON COLUMN function_revisions.path IS 'The path that it answers, besides /fn/<name>, if it has one.';
COMMENT ON COLUMN function_revisions.public IS 'Whether everybody may call it; else whoever has an access token.';
COMMENT ON COLUMN function_revisions.time_ms IS 'How long a call may run, in milliseconds.';
COMMENT ON COLUMN function_revisions.memory_bytes IS 'How much memory a call may have, in bytes.';
COMMENT ON COLUMN function_revisions.output_bytes IS 'How long the output of a call may be, in bytes.';
COMMENT ON COLUMN function_revisions.calls_max IS 'How many calls may run at once, in each gateway.';
COMMENT ON COLUMN function_revisions.input_schema IS 'The JSON Schema of its input, as it was given, if it was.';
COMMENT ON COLUMN function_revisions.output_schema IS 'The JSON Schema of its output, as it was given, if it was.';
