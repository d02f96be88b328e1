//! Migrations: applied once, compared ever after.

use matryx_surrealdb::{
    Database, Store, StoreError,
    migrate::{self, MigrationState, SchemaProblem},
};

use crate::{
    engine::{Engine, conformance},
    fixture::message,
};

conformance! {
    a_fresh_database_is_brought_up_when_it_opens,
    plans_without_writing,
    refuses_a_database_that_lacks_a_migration,
    refuses_a_migration_that_was_tampered_with,
    refuses_a_database_that_is_newer,
    sees_a_definition_that_was_removed_or_added,
}

async fn a_fresh_database_is_brought_up_when_it_opens(engine: Engine) {
    let database = Database::connect(&engine.config()).await.unwrap();
    assert!(migrate::status(&database).await.unwrap().is_fresh());
    let store = Store::open_on(database.clone(), &engine.config())
        .await
        .unwrap();
    store.commit(message(1, 1)).await.unwrap();
    let status = migrate::status(&database).await.unwrap();
    assert!(!status.is_fresh());
    assert_eq!(status.problem(), None);
    assert!(
        status
            .migrations
            .iter()
            .all(|one| one.state == MigrationState::Applied)
    );
    assert_eq!(migrate::up(&database).await.unwrap(), [""; 0]);
    assert_eq!(migrate::verify(&database).await.unwrap(), []);
}

async fn plans_without_writing(engine: Engine) {
    let database = Database::connect(&engine.config()).await.unwrap();
    let plan = migrate::plan(&database).await.unwrap();
    let names: Vec<&str> = plan.iter().map(|(name, _)| *name).collect();
    assert_eq!(names.first(), Some(&"0001_create_rooms"));
    assert!(plan.iter().all(|(_, text)| text.contains("DEFINE TABLE")));
    assert!(migrate::tables(&database).await.unwrap().is_empty());
    assert_eq!(migrate::up(&database).await.unwrap(), names);
    assert!(migrate::plan(&database).await.unwrap().is_empty());
}

async fn problem(engine: &Engine, damage: &'static str) -> SchemaProblem {
    let database = Database::connect(&engine.config()).await.unwrap();
    migrate::up(&database).await.unwrap();
    database.execute(damage).await.unwrap();
    match Store::open_on(database, &engine.config()).await {
        Err(StoreError::Schema(problem)) => problem,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it opened"),
    }
}

async fn refuses_a_database_that_lacks_a_migration(engine: Engine) {
    let problem = problem(&engine, "DELETE migration:2").await;
    assert!(matches!(&problem, SchemaProblem::Pending { name } if name == "0002_create_accounts"));
    assert!(
        problem.to_string().contains("`matryx migrate up`"),
        "{problem}"
    );
}

async fn refuses_a_migration_that_was_tampered_with(engine: Engine) {
    let problem = problem(&engine, "UPDATE migration:1 SET checksum = 'another'").await;
    assert!(matches!(&problem, SchemaProblem::Changed { name } if name == "0001_create_rooms"));
    assert!(
        problem.to_string().contains("`matryx migrate verify`"),
        "{problem}"
    );
}

async fn refuses_a_database_that_is_newer(engine: Engine) {
    let damage = "CREATE migration:9999 CONTENT \
        { number: 9999, name: '9999_add_the_future', checksum: 'x' }";
    let problem = problem(&engine, damage).await;
    assert!(matches!(&problem, SchemaProblem::Newer { name } if name == "9999_add_the_future"));
    assert!(problem.to_string().contains("newer version"), "{problem}");
}

async fn sees_a_definition_that_was_removed_or_added(engine: Engine) {
    let database = Database::connect(&engine.config()).await.unwrap();
    migrate::up(&database).await.unwrap();
    let damage = "REMOVE INDEX alias_room ON alias; DEFINE FIELD extra ON event TYPE int";
    database.execute(damage).await.unwrap();
    let differences: Vec<String> = migrate::verify(&database)
        .await
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(differences.len(), 2, "{differences:?}");
    assert!(
        differences
            .iter()
            .any(|one| one.starts_with("missing:") && one.contains("alias_room"))
    );
    assert!(
        differences
            .iter()
            .any(|one| one.starts_with("not by a migration:") && one.contains("extra"))
    );
}
