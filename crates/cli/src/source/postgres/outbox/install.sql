-- The outbox of Newsreel: triggers note here what changes in the mapped tables, until it is published.
-- May be run again at any time, also with another mapping. `newsreel source postgres uninstall` takes it out.
BEGIN;
SET LOCAL client_min_messages = warning;

DO $$
BEGIN
    IF to_regnamespace('newsreel') IS NULL THEN
        CREATE SCHEMA newsreel;
    END IF;
END $$;

CREATE TABLE IF NOT EXISTS newsreel.outbox (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    source text NOT NULL,
    operation text NOT NULL,
    before jsonb,
    after jsonb
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
CREATE INDEX IF NOT EXISTS outbox_of_transaction ON newsreel.outbox (xid, seq);

-- One row. The id is another one after changes were lost or tables were added, so that the source notices.
CREATE TABLE IF NOT EXISTS newsreel.history (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    published bigint NOT NULL DEFAULT 0,
    format int NOT NULL DEFAULT 1
);
INSERT INTO newsreel.history DEFAULT VALUES ON CONFLICT DO NOTHING;
UPDATE newsreel.history SET format = 1 WHERE format <> 1;

CREATE TABLE IF NOT EXISTS newsreel.mapped (
    source text PRIMARY KEY,
    schema_name text NOT NULL,
    table_name text NOT NULL,
    relation oid NOT NULL,
    columns text[] NOT NULL,
    compared text[] NOT NULL,
    skips_unchanged boolean NOT NULL
);

CREATE OR REPLACE FUNCTION newsreel.emptied() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE newsreel.history SET id = gen_random_uuid();
    RETURN NULL;
END $$;
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'newsreel.outbox'::regclass AND tgname = 'deleted_by_others') THEN
        CREATE TRIGGER deleted_by_others AFTER DELETE ON newsreel.outbox FOR EACH STATEMENT
            WHEN (current_setting('newsreel.reader', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION newsreel.emptied();
        CREATE TRIGGER truncated AFTER TRUNCATE ON newsreel.outbox FOR EACH STATEMENT EXECUTE FUNCTION newsreel.emptied();
    END IF;
END $$;

CREATE OR REPLACE FUNCTION newsreel.digest(written text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT encode(sha256(convert_to(written, getdatabaseencoding())), 'hex')
$$;

-- A value that is only compared: of a long one the digest tells as much.
CREATE OR REPLACE FUNCTION newsreel.brief(written text) RETURNS text LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN CASE WHEN octet_length(written) > 200 THEN newsreel.digest(written) ELSE written END;
END $$;

-- The text of a column as SQL. The output function of its type gives it, as for the log; a cast may give another.
CREATE OR REPLACE FUNCTION newsreel.written(row_name text, column_name text, is_compared boolean) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('CASE WHEN %1$s.%2$I IS NOT DISTINCT FROM NULL THEN NULL ELSE %3$s(''%%s'', %1$s.%2$I)%4$s END', row_name, column_name,
        CASE WHEN is_compared THEN 'newsreel.brief(format' ELSE 'format' END, CASE WHEN is_compared THEN ')' ELSE '' END)
$$;

-- A row by the columns that are still there. Slow, and for a table whose columns changed under the trigger.
CREATE OR REPLACE FUNCTION newsreel.row_of(changed record, relation oid, wanted text[], compared text[]) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    names text;
    texts text;
    found_row jsonb;
BEGIN
    SELECT string_agg(quote_literal(attname), ', ' ORDER BY attnum),
           string_agg(newsreel.written('($1)', attname::text, attname::text = ANY (compared)), ', ' ORDER BY attnum)
        INTO names, texts
        FROM pg_attribute
        WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped AND attname::text = ANY (wanted);
    IF names IS NULL THEN
        RETURN '{}';
    END IF;
    EXECUTE format('SELECT jsonb_object(ARRAY[%s]::text[], ARRAY[%s]::text[])', names, texts) INTO found_row USING changed;
    RETURN found_row;
END $$;

-- Writes the trigger function of a table: each column as the text that PostgreSQL's log would have.
CREATE OR REPLACE FUNCTION newsreel.write_trigger(source text, writer text, wanted text[], compared text[], skips_unchanged boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $write$
DECLARE
    names text;
    olds text;
    news text;
BEGIN
    SELECT coalesce(string_agg(quote_literal(name), ', '), ''),
           coalesce(string_agg(newsreel.written('OLD', name, name = ANY (compared)), ', '), ''),
           coalesce(string_agg(newsreel.written('NEW', name, name = ANY (compared)), ', '), '')
        INTO names, olds, news
        FROM unnest(wanted) name;
    EXECUTE format($create$
        CREATE OR REPLACE FUNCTION newsreel.%I() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER
        SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO' SET intervalstyle = 'postgres'
        SET bytea_output = 'hex' SET extra_float_digits = '1' AS %L
    $create$, writer, format($body$
DECLARE
    before_row jsonb;
    after_row jsonb;
BEGIN
    BEGIN
        IF TG_OP IN ('UPDATE', 'DELETE') THEN
            before_row := jsonb_object(ARRAY[%2$s]::text[], ARRAY[%3$s]::text[]);
        END IF;
        IF TG_OP IN ('INSERT', 'UPDATE') THEN
            after_row := jsonb_object(ARRAY[%2$s]::text[], ARRAY[%4$s]::text[]);
        END IF;
    EXCEPTION WHEN undefined_column OR datatype_mismatch THEN
        IF TG_OP IN ('UPDATE', 'DELETE') THEN
            before_row := newsreel.row_of(OLD, TG_RELID, %5$L, %7$L);
        END IF;
        IF TG_OP IN ('INSERT', 'UPDATE') THEN
            after_row := newsreel.row_of(NEW, TG_RELID, %5$L, %7$L);
        END IF;
    END;
    IF %6$L AND TG_OP = 'UPDATE' AND before_row = after_row THEN
        RETURN NULL;
    END IF;
    INSERT INTO newsreel.outbox (source, operation, before, after) VALUES (%1$L, left(TG_OP, 1), before_row, after_row);
    -- A transaction that notified cannot be prepared, so a database with prepared transactions is polled.
    IF current_setting('max_prepared_transactions') = '0' THEN
        PERFORM pg_notify('newsreel', '');
    END IF;
    RETURN NULL;
END
    $body$, source, names, olds, news, wanted, skips_unchanged, compared));
END $write$;

CREATE OR REPLACE FUNCTION newsreel.attach(name text, name_of_schema text, name_of_table text, wanted text[], compared text[], skips boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    writer text := 'write_' || left(newsreel.digest(name), 32);
    root oid;
    missing text;
    part regclass;
    there pg_trigger;
    is_renewed boolean;
BEGIN
    SELECT c.oid INTO root FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = name_of_schema AND c.relname = name_of_table AND c.relkind IN ('r', 'p');
    IF root IS NULL THEN
        RAISE EXCEPTION 'there is no table %: write from = "schema.table"', to_json(name);
    END IF;
    SELECT string_agg(to_json(w)::text, ', ') INTO missing FROM unnest(wanted) w
        WHERE NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = root AND attnum > 0 AND NOT attisdropped AND attname = w);
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION '% has no column %: the mapping reads it', name, missing;
    END IF;
    PERFORM newsreel.write_trigger(name, writer, wanted, compared, skips);
    -- What changed while a trigger was not there, or was switched off, is not known.
    is_renewed := NOT EXISTS (SELECT FROM newsreel.mapped m WHERE m.source = name AND m.relation = root);
    FOR part IN
        SELECT tree.id FROM (SELECT root AS id, -1 AS level UNION ALL SELECT relid::oid, level FROM pg_partition_tree(root)) tree
            GROUP BY tree.id ORDER BY min(tree.level)
    LOOP
        -- Of a partitioned table PostgreSQL copies the triggers of rows to the partitions, and none of TRUNCATE.
        SELECT * INTO there FROM pg_trigger WHERE tgrelid = part AND tgname = 'newsreel_rows';
        IF FOUND AND there.tgfoid <> format('newsreel.%I()', writer)::regprocedure AND there.tgparentid = 0 THEN
            EXECUTE format('DROP TRIGGER newsreel_rows ON %s', part);
            there := NULL;
        END IF;
        IF there.oid IS NULL THEN
            EXECUTE format('CREATE TRIGGER newsreel_rows AFTER INSERT OR UPDATE OR DELETE ON %s
                FOR EACH ROW EXECUTE FUNCTION newsreel.%I()', part, writer);
            is_renewed := true;
        END IF;
        SELECT * INTO there FROM pg_trigger WHERE tgrelid = part AND tgname = 'newsreel_truncate';
        IF FOUND AND there.tgfoid <> format('newsreel.%I()', writer)::regprocedure THEN
            EXECUTE format('DROP TRIGGER newsreel_truncate ON %s', part);
            there := NULL;
        END IF;
        IF there.oid IS NULL THEN
            EXECUTE format('CREATE TRIGGER newsreel_truncate AFTER TRUNCATE ON %s
                FOR EACH STATEMENT EXECUTE FUNCTION newsreel.%I()', part, writer);
            is_renewed := true;
        END IF;
        is_renewed := is_renewed OR EXISTS (SELECT FROM pg_trigger
            WHERE tgrelid = part AND tgname IN ('newsreel_rows', 'newsreel_truncate') AND tgenabled NOT IN ('A', 'O'));
        -- Also for what a subscription of this database applies.
        IF EXISTS (SELECT FROM pg_trigger WHERE tgrelid = part AND tgname IN ('newsreel_rows', 'newsreel_truncate') AND tgenabled <> 'A') THEN
            EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER newsreel_rows, ENABLE ALWAYS TRIGGER newsreel_truncate', part);
        END IF;
    END LOOP;
    IF is_renewed THEN
        UPDATE newsreel.history SET id = gen_random_uuid();
    END IF;
    INSERT INTO newsreel.mapped VALUES (name, name_of_schema, name_of_table, root, wanted, compared, skips)
        ON CONFLICT (source) DO UPDATE
            SET relation = root, columns = wanted, compared = excluded.compared, skips_unchanged = skips;
END $$;

CREATE OR REPLACE FUNCTION newsreel.detach_all_but(kept text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    name text;
BEGIN
    FOR name IN DELETE FROM newsreel.mapped WHERE source <> ALL (kept) RETURNING source LOOP
        EXECUTE format('DROP FUNCTION IF EXISTS newsreel.%I() CASCADE', 'write_' || left(newsreel.digest(name), 32));
    END LOOP;
END $$;

