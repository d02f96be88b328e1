//! What the log writer asks of the database.

/// New rows only, which is what a message is.
pub(super) const INSERT: &str = "
    BEGIN;
    INSERT $creates RETURN NONE;
    UPSERT $bell CONTENT $mark RETURN NONE;
    COMMIT;
";

/// Any rows.
pub(super) const WRITE: &str = "
    BEGIN;
    DELETE $deletes RETURN NONE;
    INSERT $creates RETURN NONE;
    FOR $put IN $puts { UPSERT $put[0] CONTENT $put[1] RETURN NONE };
    UPSERT $bell CONTENT $mark RETURN NONE;
    COMMIT;
";

/// Any rows and nothing for the log: nobody needs to hear the bell.
pub(super) const SILENT: &str = "
    BEGIN;
    DELETE $deletes RETURN NONE;
    INSERT $creates RETURN NONE;
    FOR $put IN $puts { UPSERT $put[0] CONTENT $put[1] RETURN NONE };
    COMMIT;
";

/// Any rows, if the bell is still as this writer left it.
pub(super) const GUARDED: &str = "
    BEGIN;
    LET $found = SELECT epoch, batch FROM ONLY $bell;
    IF $found.epoch != $expected[0] OR $found.batch != $expected[1] { THROW 'stale' };
    DELETE $deletes RETURN NONE;
    INSERT $creates RETURN NONE;
    FOR $put IN $puts { UPSERT $put[0] CONTENT $put[1] RETURN NONE };
    UPSERT $bell CONTENT $mark RETURN NONE;
    COMMIT;
";
