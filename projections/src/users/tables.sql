CREATE TABLE users (
    id         UUID PRIMARY KEY,
    version    BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    status     TEXT NOT NULL,
    email_id   UUID NOT NULL,
    email      TEXT,
    name       TEXT,
    roles      TEXT[] NOT NULL,
    sessions   JSONB NOT NULL,
    failure    TEXT
);

COMMENT ON TABLE users IS 'Who there is: one row for each account, also for those that came to nothing.';
COMMENT ON COLUMN users.id IS 'The id; the stream is user-<id>.';
COMMENT ON COLUMN users.version IS 'The version of the last event of the stream.';
COMMENT ON COLUMN users.created_at IS 'When the registration started.';
COMMENT ON COLUMN users.updated_at IS 'When it last changed.';
COMMENT ON COLUMN users.status IS 'registering, active, rejected, deactivated or erased.';
COMMENT ON COLUMN users.email_id IS 'The pseudonym of the address; its stream is email-<email_id>.';
COMMENT ON COLUMN users.email IS 'The address, sealed: GET /v1/users shows it to those who may see it. Null once the person is forgotten.';
COMMENT ON COLUMN users.name IS 'The name, sealed. Null once the person is forgotten.';
COMMENT ON COLUMN users.roles IS 'What the user may do.';
COMMENT ON COLUMN users.sessions IS 'Where the user is logged in.';
COMMENT ON COLUMN users.failure IS 'Why the registration came to nothing, if it did.';

-- Not for analysts.
CREATE TABLE _credentials (
    user_id         UUID PRIMARY KEY,
    password_hash   TEXT,
    password_number INTEGER NOT NULL
);
COMMENT ON TABLE _credentials IS 'How users prove who they are. Only the gateway reads it.';
COMMENT ON COLUMN _credentials.user_id IS 'Whose.';
COMMENT ON COLUMN _credentials.password_hash IS 'The argon2id hash of the password; null once the account is closed.';
COMMENT ON COLUMN _credentials.password_number IS 'How often the password was changed.';
