//! Embeds the migrations in the program: writes the list of the files in `migrations/`.

use std::{env, error::Error, fmt::Write as _, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../migrations");
    println!("cargo:rerun-if-changed={}", folder.display());
    let mut names: Vec<String> = Vec::new();
    for file in fs::read_dir(&folder)? {
        let name = file?.file_name().to_string_lossy().into_owned();
        if let Some(stem) = name.strip_suffix(".surql") {
            names.push(stem.to_owned());
        }
    }
    names.sort();
    let mut list = String::from("&[\n");
    for name in &names {
        let (number, _) = name
            .split_once('_')
            .ok_or_else(|| format!("{name} has no number"))?;
        let number: u32 = number.parse()?;
        let path = folder.join(format!("{name}.surql"));
        println!("cargo:rerun-if-changed={}", path.display());
        let path = path.display().to_string();
        writeln!(
            list,
            "    Migration {{ number: {number}, name: {name:?}, source: include_str!({path:?}), \
             text: concat!(\"BEGIN;\n\", include_str!({path:?}), {RECORD:?}) }},"
        )?;
    }
    list += "]\n";
    fs::write(Path::new(&env::var("OUT_DIR")?).join("migrations.rs"), list)?;
    Ok(())
}

/// Notes a migration in its own transaction.
const RECORD: &str = "\nCREATE $id CONTENT $record RETURN NONE;\nCOMMIT;\n";
