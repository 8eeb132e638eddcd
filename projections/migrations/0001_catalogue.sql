-- The catalogue: which read models there are, in which versions, and how far each has come. Names are unqualified: the
-- search_path says in which namespace this is.

CREATE TABLE source (
    singleton  BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (singleton),
    cluster_id TEXT NOT NULL,
    noted_at   TIMESTAMPTZ NOT NULL DEFAULT now()
);
COMMENT ON TABLE source IS 'The Kafka cluster whose events are folded here. Offsets of another cluster would mean nothing.';
COMMENT ON COLUMN source.singleton IS 'There is one row.';
COMMENT ON COLUMN source.cluster_id IS 'The id that Kafka gives its cluster.';
COMMENT ON COLUMN source.noted_at IS 'When it was first seen.';

CREATE TABLE projections (
    projection TEXT NOT NULL,
    version    INTEGER NOT NULL,
    current    BOOLEAN NOT NULL DEFAULT FALSE,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    failure    TEXT,
    failed_at  TIMESTAMPTZ,
    PRIMARY KEY (projection, version)
);
CREATE UNIQUE INDEX projections_one_current ON projections (projection) WHERE current;
COMMENT ON TABLE projections IS 'Every version of every read model that has tables here.';
COMMENT ON COLUMN projections.projection IS 'The name of the read model.';
COMMENT ON COLUMN projections.version IS 'The version of its tables and its fold.';
COMMENT ON COLUMN projections.current IS 'Whether the views show this version.';
COMMENT ON COLUMN projections.created_at IS 'When its tables were made.';
COMMENT ON COLUMN projections.failure IS 'Why it stopped, when it did: what is in the log contradicts what was folded.';
COMMENT ON COLUMN projections.failed_at IS 'When it stopped.';

-- Rewritten with every batch: room on the page keeps these updates off the index.
CREATE TABLE checkpoints (
    projection     TEXT NOT NULL,
    version        INTEGER NOT NULL,
    topic          TEXT NOT NULL,
    partition      INTEGER NOT NULL,
    next_offset    BIGINT NOT NULL,
    decided_offset BIGINT,
    updated_at     TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (projection, version, topic, partition),
    FOREIGN KEY (projection, version) REFERENCES projections ON DELETE CASCADE
) WITH (fillfactor = 30);
COMMENT ON TABLE checkpoints IS 'How far each read model has come in each partition; it moves in the transaction that writes the rows.';
COMMENT ON COLUMN checkpoints.projection IS 'The name of the read model.';
COMMENT ON COLUMN checkpoints.version IS 'The version of the read model.';
COMMENT ON COLUMN checkpoints.topic IS 'The topic, without the namespace.';
COMMENT ON COLUMN checkpoints.partition IS 'The partition.';
COMMENT ON COLUMN checkpoints.next_offset IS 'Everything below this offset is folded.';
COMMENT ON COLUMN checkpoints.decided_offset IS 'The highest decided position among what is folded: the offset of a command in the same partition of the commands topic.';
COMMENT ON COLUMN checkpoints.updated_at IS 'When it last moved.';

-- Shows the tables of one version as the views of the catalogue's schema, with their comments, to the role of analysts
-- where there is one. In one transaction with `projections.current` it is the switch from one version to another.
CREATE FUNCTION publish(from_schema TEXT) RETURNS VOID LANGUAGE plpgsql AS $$
DECLARE
    to_schema TEXT := current_schema();
    relation  RECORD;
    remark    RECORD;
BEGIN
    FOR relation IN
        SELECT c.oid, c.relname FROM pg_class c
        WHERE c.relnamespace = from_schema::regnamespace AND c.relkind = 'r'
        ORDER BY c.relname
    LOOP
        EXECUTE format('DROP VIEW IF EXISTS %I.%I', to_schema, relation.relname);
        EXECUTE format('CREATE VIEW %I.%I AS SELECT * FROM %I.%I',
            to_schema, relation.relname, from_schema, relation.relname);
        EXECUTE format('COMMENT ON VIEW %I.%I IS %L',
            to_schema, relation.relname, obj_description(relation.oid, 'pg_class'));
        FOR remark IN
            SELECT a.attname, col_description(relation.oid, a.attnum) AS text FROM pg_attribute a
            WHERE a.attrelid = relation.oid AND a.attnum > 0 AND NOT a.attisdropped
        LOOP
            EXECUTE format('COMMENT ON COLUMN %I.%I.%I IS %L',
                to_schema, relation.relname, remark.attname, remark.text);
        END LOOP;
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'factfold_reader') THEN
            EXECUTE format('GRANT SELECT ON %I.%I TO factfold_reader', to_schema, relation.relname);
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION publish IS 'Points the views at the tables of one version of a read model.';
