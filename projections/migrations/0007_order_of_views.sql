-- As before; but views are taken in the order in which their tables were made, as questions name them: in another order a question
-- and a switch could each wait for the other.
CREATE OR REPLACE FUNCTION publish(from_schema TEXT) RETURNS VOID LANGUAGE plpgsql AS $$
DECLARE
    to_schema TEXT := current_schema();
    relation  RECORD;
    remark    RECORD;
BEGIN
    FOR relation IN
        SELECT c.oid, c.relname FROM pg_class c
        WHERE c.relnamespace = from_schema::regnamespace AND c.relkind = 'r'
        ORDER BY c.oid
    LOOP
        BEGIN
            EXECUTE format('CREATE OR REPLACE VIEW %I.%I AS SELECT * FROM %I.%I',
                to_schema, relation.relname, from_schema, relation.relname);
        EXCEPTION WHEN invalid_table_definition THEN
            EXECUTE format('DROP VIEW %I.%I', to_schema, relation.relname);
            EXECUTE format('CREATE VIEW %I.%I AS SELECT * FROM %I.%I',
                to_schema, relation.relname, from_schema, relation.relname);
        END;
        EXECUTE format('COMMENT ON VIEW %I.%I IS %L',
            to_schema, relation.relname, obj_description(relation.oid, 'pg_class'));
        FOR remark IN
            SELECT a.attname, col_description(relation.oid, a.attnum) AS text FROM pg_attribute a
            WHERE a.attrelid = relation.oid AND a.attnum > 0 AND NOT a.attisdropped
        LOOP
            EXECUTE format('COMMENT ON COLUMN %I.%I.%I IS %L',
                to_schema, relation.relname, remark.attname, remark.text);
        END LOOP;
        IF NOT starts_with(relation.relname, '_')
            AND EXISTS (SELECT FROM pg_roles WHERE rolname = 'factfold_reader')
        THEN
            EXECUTE format('GRANT SELECT ON %I.%I TO factfold_reader', to_schema, relation.relname);
        END IF;
    END LOOP;
END
$$;
